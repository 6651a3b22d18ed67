// What the tests of this target share: rules, a driver that feeds fragments, and a small seeded
// generator.

import EkidenMail

@testable import EkidenRewriting

struct Random {
    var state: UInt64
    init(_ seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }

    mutating func below(_ bound: Int) -> Int { Int(next() >> 16) % bound }
    mutating func pick<T>(_ choices: [T]) -> T { choices[below(choices.count)] }
}

let testDate = WallTime(seconds: 1_795_226_878)
let testID = QueueID(number: 0x019d_1234_5678_0001)

func rules(
    helo: String = "client.example",
    client: HostAddress? = HostAddress("192.0.2.1"),
    byHost: String = "relay.example",
    inbound: InboundProtocol = .esmtp,
    recipient: String? = "user@example.org",
    adds: Bool = false,
    headerBlockBytes: Int = Limits.headerBlockBytes,
    receivedFields: Int = Limits.receivedFields
) -> RewriteRules {
    RewriteRules(
        received: ReceivedFacts(
            helo: helo,
            client: client,
            byHost: byHost,
            inboundProtocol: inbound,
            id: testID,
            forRecipient: recipient.flatMap { Address($0) },
            date: testDate
        ),
        addsMissingFields: adds,
        headerBlockBytes: headerBlockBytes,
        receivedFields: receivedFields
    )
}

/// Our own Received field under `rules()`.
let ourReceived =
    "Received: from client.example ([192.0.2.1])\r\n"
    + " by relay.example with ESMTP id \(testID.text)\r\n"
    + " for <user@example.org>; \(testDate.mailDate)\r\n"

let ourReceivedLongest = ourReceived.split(separator: "\r\n").map(\.utf8.count).max()

struct Rewritten: Equatable {
    var header: [UInt8]
    var body: [UInt8]
    var findings: HeaderFindings
    var facts: MessageFacts

    var headerText: String { String(decoding: header, as: UTF8.self) }
    var bodyText: String { String(decoding: body, as: UTF8.self) }
}

/// Feeds `message` cut at `cuts` and collects header and body as ingress would.
func rewrite(
    _ message: [UInt8],
    _ rules: RewriteRules,
    cuts: [Int] = []
) throws(HeaderProblem) -> Rewritten {
    var rewriter = HeaderRewriter(rules)
    var rest: [UInt8] = []
    let borders = ([0] + cuts + [message.count]).sorted()
    for (start, end) in zip(borders, borders.dropFirst()) {
        var taken = 0
        if !rewriter.isComplete {
            var result: Result<Int, HeaderProblem> = .success(0)
            message[start..<end].withUnsafeBytes { bytes in
                do throws(HeaderProblem) {
                    result = .success(try rewriter.append(bytes))
                } catch {
                    result = .failure(error)
                }
            }
            taken = try result.get()
        }
        rest += message[(start + taken)..<end]
    }
    let header = rewriter.finish()
    return Rewritten(
        header: header.block.array,
        body: header.bodyStart.array + rest,
        findings: header.findings,
        facts: header.facts
    )
}

func rewrite(
    _ message: String,
    _ rules: RewriteRules = rules(),
    cuts: [Int] = []
) throws(HeaderProblem) -> Rewritten {
    try rewrite(Array(message.utf8), rules, cuts: cuts)
}
