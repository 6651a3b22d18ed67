// SMTPUTF8 from the client's side (RFC 6531): who needs it, and who goes without.

import EkidenMail
import Testing

@testable import EkidenSMTP

private let host = PeerHost(name: "mx.example", endpoint: nil)
private let ok = Reply(250, EnhancedStatus(2, 0, 0), "ok")
private let unsaid = RecipientResult.failed(
    Failure(
        scope: .recipient,
        isPermanent: true,
        reason: .utf8Unsupported,
        step: .recipient,
        host: host,
        status: EnhancedStatus(5, 6, 7)
    )
)

private struct Talk {
    var transaction: ClientTransaction
    var said: [String] = []

    init(
        from sender: String = "s",
        to recipients: [String],
        offering: [String],
        speaksLMTP: Bool = false,
        facts change: (inout MessageFacts) -> Void = { _ in }
    ) {
        let address = { Address(localPart: $0, domain: Domain("a.example")) }
        var demands = SenderDemands()
        demands.smtpUTF8 = true
        var facts = MessageFacts()
        change(&facts)
        transaction = ClientTransaction(
            sender: .address(address(sender)),
            recipients: recipients.map(address),
            demands: demands,
            byteCount: 1,
            facts: facts,
            extensions: Extensions(Reply(250, lines: ["h"] + offering)),
            host: host,
            speaksLMTP: speaksLMTP
        )
    }

    /// Feeds replies where they are awaited.
    mutating func hear(_ replies: [Reply]) {
        var replies = replies[...]
        var output = BytesBuilder()
        while !transaction.isFinished {
            switch transaction.next(into: &output) {
            case .send: continue
            case .sendMessage: transaction.finalDotSent()
            case .finished: break
            case .awaitReply:
                guard let reply = replies.popFirst() else {
                    Issue.record("one more reply is awaited")
                    return
                }
                transaction.received(reply)
            }
        }
        #expect(replies.isEmpty)
        said = output.finish().text.split(separator: "\r\n").map { String($0) }
    }
}

@Suite struct ClientUTF8Tests {
    private static let delivered = RecipientResult.delivered(ok)

    @Test(arguments: [[], ["PIPELINING"]])
    func `an address that can't be said fails alone`(offering: [String]) {
        for (recipients, results) in [
            (["\u{fc}", "b", "\u{e9}", "d"], [unsaid, Self.delivered, unsaid, Self.delivered]),
            (["a", "\u{fc}"], [Self.delivered, unsaid]),
        ] {
            var talk = Talk(to: recipients, offering: offering)
            let plain = recipients.filter { $0.utf8.count == 1 }
            let go = Reply(354, "go")
            talk.hear([ok] + plain.map { _ in ok } + [go, ok])
            #expect(talk.transaction.results == results)
            #expect(talk.transaction.aftermath == .reusable)
            let commands =
                ["MAIL FROM:<s@a.example>"] + plain.map { "RCPT TO:<\($0)@a.example>" } + ["DATA"]
            #expect(talk.said == commands)
        }
    }

    @Test func `so it does where each recipient has a reply`() {
        var talk = Talk(to: ["\u{fc}", "b", "c"], offering: ["PIPELINING"], speaksLMTP: true)
        let full = Reply(452, EnhancedStatus(4, 2, 2), "full")
        talk.hear([ok, ok, ok, Reply(354, "go"), ok, full])
        guard case .failed(let last) = talk.transaction.results.last else {
            Issue.record("\(talk.transaction.results)")
            return
        }
        #expect(talk.transaction.results.prefix(2) == [unsaid, Self.delivered])
        #expect(last.reply == full)
    }

    @Test(arguments: [[], ["PIPELINING"]])
    func `too many recipients are those that were to be said`(offering: [String]) {
        var talk = Talk(to: ["a", "b", "\u{fc}", "d"], offering: offering)
        let tooMany = Reply(452, EnhancedStatus(4, 5, 3), "too many")
        let answers = offering.isEmpty ? [ok, ok, tooMany] : [ok, ok, tooMany, tooMany]
        talk.hear(answers + [Reply(354, "go"), ok])
        #expect(talk.transaction.results[0] == Self.delivered)
        #expect(talk.transaction.results[2] == unsaid)
        for index in [1, 3] {
            guard case .failed(let failure) = talk.transaction.results[index] else {
                Issue.record("\(talk.transaction.results)")
                return
            }
            #expect(failure.reason == .tooManyRecipients)
        }
    }

    @Test func `where nobody can be said, nothing is`() {
        var talk = Talk(to: ["\u{fc}", "\u{e9}"], offering: ["PIPELINING"])
        talk.hear([])
        #expect(talk.transaction.results == [unsaid, unsaid] && talk.said.isEmpty)
        #expect(talk.transaction.aftermath == .reusable)
    }

    @Test func `a sender or a header that needs it fails for all`() {
        var header = Talk(to: ["a", "\u{fc}"], offering: ["8BITMIME"]) {
            $0.headerHasEightBit = true
        }
        var sender = Talk(from: "\u{fc}", to: ["a", "b"], offering: ["8BITMIME"])
        for talk in [header, sender] {
            for result in talk.transaction.results {
                guard case .failed(let failure) = result else {
                    Issue.record("\(result)")
                    return
                }
                #expect(failure.scope == .message && failure.reason == .utf8Unsupported)
                #expect(failure.status == EnhancedStatus(5, 6, 7) && failure.isPermanent)
            }
        }
        header.hear([])
        sender.hear([])
        #expect(header.said.isEmpty && sender.said.isEmpty)
    }

    @Test func `who offers it hears of it where something may need it`() {
        let replies = [ok, ok, Reply(354, "go"), ok]
        var plain = Talk(to: ["a"], offering: ["SMTPUTF8", "8BITMIME"])
        plain.hear(replies)
        #expect(plain.said.first == "MAIL FROM:<s@a.example>")
        var address = Talk(to: ["\u{fc}"], offering: ["SMTPUTF8", "8BITMIME"])
        address.hear(replies)
        #expect(
            address.said.prefix(2) == [
                "MAIL FROM:<s@a.example> SMTPUTF8", "RCPT TO:<\u{fc}@a.example>",
            ]
        )
        // The headers of its parts may have UTF-8.
        var body = Talk(to: ["a"], offering: ["SMTPUTF8", "8BITMIME"]) { $0.bodyHasEightBit = true }
        body.hear(replies)
        #expect(body.said.first == "MAIL FROM:<s@a.example> BODY=8BITMIME SMTPUTF8")
    }
}
