// Bytes are sacred: what a client sends arrives bit for bit, but for the Received field in front
// and the fields the relay's rules name (RFC 5321 §4.5.2, §6.4).

import Foundation
import Testing

private let bodies: [(name: String, body: [UInt8])] = [
    ("empty", []),
    ("one empty line", Array("\r\n".utf8)),
    ("dots", Array(".\r\n..\r\n...\r\n....\r\n".utf8)),
    ("dots before text", Array(".a\r\n..a\r\n. a\r\n.\t\r\na.\r\n".utf8)),
    ("begins and ends with a dot line", Array(".\r\nx\r\n.\r\n".utf8)),
    ("what looks like SMTP", Array("QUIT\r\n.QUIT\r\nDATA\r\n250 ok\r\nFrom alice\r\n".utf8)),
    ("blank lines at the end", Array("x\r\n\r\n\r\n\r\n".utf8)),
    ("trailing white space", Array("x \r\n\t\r\n  \t \r\n".utf8)),
    ("every byte but CR and LF", (0...255).filter { $0 != 13 && $0 != 10 } + [13, 10]),
    ("UTF-8", Array("Grüße, 東海道駅伝\r\n".utf8)),
]

@Test func `bodies of every kind arrive byte for byte`() async throws {
    try await story { stage in
        let mx = try stage.host()
        for (name, body) in bodies {
            let message = letter(subject: name, body: "") + body
            try stage.submit(to: "bob@example.test", message: message, parameters: " BODY=8BITMIME")
        }
        let mail = try mx.mail(bodies.count)
        for (name, body) in bodies {
            let found = mail.first { $0.text.contains("Subject: \(name)\r\n") }
            let arrived = try #require(found, "\(name) did not arrive")
            let expected = letterEnd(arrived.withoutReceived)
            #expect(expected == body, "\(name)")
        }
    }
}

/// What follows the empty line.
private func letterEnd(_ message: [UInt8]) -> [UInt8] {
    var at = 0
    while at + 3 < message.count {
        if Array(message[at..<at + 4]) == [13, 10, 13, 10] { return Array(message[(at + 4)...]) }
        at += 1
    }
    return []
}

@Test func `large messages arrive byte for byte, from memory, log and file`() async throws {
    try await story(["spool.memory_cache": "0B"]) { stage in
        let mx = try stage.host()
        var sent: [[UInt8]] = []
        var random = Dice(7)
        for size in [100_000, 300_000, 3_000_000] {
            var body: [UInt8] = []
            while body.count < size {
                if random.roll(8) == 0 { body.append(UInt8(ascii: ".")) }
                for _ in 0..<random.roll(200) { body.append(UInt8(32 + random.roll(95))) }
                body += [13, 10]
            }
            let message = letter(subject: "\(size)", body: "") + body
            try stage.submit(to: "bob@example.test", message: message)
            sent.append(message)
        }
        let mail = try mx.mail(3)
        for message in sent { #expect(mail.contains { $0.withoutReceived == message }) }
    }
}

@Test func `lines of 64 KiB pass unchanged and longer ones are refused`() async throws {
    try await story { stage in
        let mx = try stage.host()
        let longest = letter(body: String(repeating: "a", count: 65_536) + "\r\nend\r\n")
        try stage.submit(to: "bob@example.test", message: longest)
        #expect(try mx.mail()[0].withoutReceived == longest)
        let client = try stage.client()
        let tooLong = letter(body: String(repeating: "a", count: 65_537) + "\r\nend\r\n")
        let reply = try client.hand(from: "a@origin.test", to: ["bob@example.test"], tooLong)
        #expect(reply.code / 100 == 5 && reply.status == "5.6.0", "\(reply)")
        // The session goes on.
        let next = try client.hand(from: "a@origin.test", to: ["bob@example.test"], letter())
        #expect(next.codes == "250 2.0.0")
        try mx.mail(2)
    }
}

@Test func `a message larger than SIZE is refused when announced and when it is not`() async throws
{
    try await story(["listener.max_message_size": "64KiB"]) { stage in
        let mx = try stage.host()
        let client = try stage.client()
        try client.say("MAIL FROM:<a@origin.test> SIZE=65537", expecting: "552 5.3.4")
        let large = letter(
            body: String(repeating: String(repeating: "x", count: 70) + "\r\n", count: 1000)
        )
        let reply = try client.hand(from: "a@origin.test", to: ["bob@example.test"], large)
        #expect(reply.codes == "552 5.3.4", "\(reply)")
        #expect(
            try client.hand(from: "a@origin.test", to: ["bob@example.test"], letter()).code == 250
        )
        try mx.mail(1)
    }
}

@Test func `the Received field says who, to whom and when`() async throws {
    try await story { stage in
        let mx = try stage.host()
        let id = try stage.submit(to: "bob@example.test")
        let text = try mx.mail()[0].text
        let field = text.prefix(upTo: text.range(of: "\r\nFrom:")!.lowerBound)
            .replacingOccurrences(of: "\r\n", with: "").replacingOccurrences(of: "\t", with: " ")
        for part in [
            "Received: from client.test", "[127.0.0.1]", "by relay.test", "with ESMTP", "id \(id)",
            "for <bob@example.test>;", "+0000",
        ] {
            #expect(field.contains(part), "\(part) in \(field)")
        }
        // RFC 5321 §7.6: several recipients are not told of each other.
        try stage.submit(to: "carol@example.test", "dave@example.test")
        let second = try mx.mail(2)[1]
        #expect(!String(decoding: second.content.prefix(400), as: UTF8.self).contains("for <"))
    }
}

@Test func `missing Date and Message-ID are added for our own clients and for nobody else`()
    async throws
{
    try await story { stage in
        let mx = try stage.host()
        let bare = Array("From: <a@origin.test>\r\nSubject: bare\r\n\r\nx\r\n".utf8)
        let id = try stage.submit(to: "bob@example.test", message: bare)
        let text = try mx.mail()[0].text
        #expect(text.contains("\r\nMessage-ID: <"), "\(text)")
        #expect(text.contains(id) && text.contains("\r\nDate: "))
        #expect(text.hasSuffix("\r\n\r\nx\r\n"))
        stage.settings["rewriting.add_missing_headers"] = "false"
        try stage.reload()
        try stage.submit(to: "bob@example.test", message: bare)
        #expect(try mx.mail(2)[1].withoutReceived == bare)
    }
}

/// SplitMix64: random numbers that are the same in every run.
struct Dice {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// 0 ..< sides
    mutating func roll(_ sides: Int) -> Int { Int(next() % UInt64(sides)) }
}
