// Messages in chunks (CHUNKING, RFC 3030): however they are cut they arrive bit for bit, and
// whatever a chunk holds, the relay reads it as message.

import Foundation
import Testing

extension Client {
    /// Sends a chunk without waiting for its reply.
    fileprivate func chunk(_ octets: [UInt8], isLast: Bool = false) throws {
        try send(Array("BDAT \(octets.count)\(isLast ? " LAST" : "")\r\n".utf8) + octets)
    }

    fileprivate func envelope() throws {
        try say("MAIL FROM:<alice@origin.test>", expecting: "250")
        try say("RCPT TO:<bob@example.test>", expecting: "250")
    }
}

@Test func `a message in chunks of any size arrives as it was sent`() async throws {
    try await story { stage in
        let mx = try stage.host()
        let client = try stage.client()
        var sent: [[UInt8]] = []
        for size in [1, 7, 100, 100_000] {
            let tail = (0..<(size == 1 ? 5 : 20_000)).map { "line \($0) of \(size)\r\n" }.joined()
            let message = letter(body: ".\r\n..\r\n.QUIT\r\nQUIT\r\n\r\n" + tail)
            try client.envelope()
            let starts = Array(stride(from: 0, to: message.count, by: size))
            for start in starts {
                let end = min(message.count, start + size)
                try client.chunk(Array(message[start..<end]), isLast: end == message.count)
                // In lockstep when the chunks are small, else in the pipeline.
                if size < 10 { try client.expect("250 2.0.0") }
                if size == 7, start > 700 {
                    try client.chunk(Array(message[end...]), isLast: true)
                    try client.expect("250 2.0.0")
                    break
                }
            }
            if size >= 10 { for _ in starts { try client.expect("250 2.0.0") } }
            sent.append(message)
        }
        try client.say("QUIT", expecting: "221")
        let mail = try mx.mail(sent.count)
        for message in sent { #expect(mail.contains { $0.withoutReceived == message }) }
    }
}

@Test func `chunks that can't be taken are read to their end and leave nothing behind`()
    async throws
{
    try await story(["listener.max_message_size": "1KiB"]) { stage in
        let mx = try stage.host()
        let client = try stage.client()
        let poison = Array("RSET\r\nMAIL FROM:<x@origin.test>\r\nQUIT\r\n".utf8)
        // Nothing is open.
        try client.chunk(poison, isLast: true)
        try client.expect("503 5.5.1")
        // Larger than a message may be, at once and by and by.
        try client.envelope()
        try client.chunk(Array(String(repeating: "0123456789\r\n", count: 25_000).utf8))
        try client.chunk(poison)
        try client.chunk(poison, isLast: true)
        for expected in ["552 5.3.4", "503 5.5.1", "503 5.5.1"] { try client.expect(expected) }
        try client.say("MAIL FROM:<alice@origin.test>", expecting: "503 5.5.1")
        try client.say("RSET", expecting: "250")
        // Newlines, and an end that is none.
        for (content, expected) in [("a\nb\r\n", "550 5.6.0"), ("a\r\nb", "554 5.6.0")] {
            try client.envelope()
            try client.chunk(Array(content.utf8), isLast: true)
            try client.expect(expected)
        }
        // A transaction that is given up.
        try client.envelope()
        try client.chunk(letter())
        try client.expect("250")
        try client.say("RSET", expecting: "250")
        try client.envelope()
        try client.chunk(letter())
        try client.expect("250")
        try client.say("EHLO client.test", expecting: "250")
        let last = letter(subject: "the only one")
        try client.envelope()
        try client.chunk(last)
        try client.expect("250")
        try client.chunk([], isLast: true)
        try client.expect("250 2.0.0")
        // A connection that breaks off within a message.
        try client.envelope()
        try client.chunk(letter())
        try client.expect("250")
        client.socket.shutDown(Int32(SHUT_RDWR))
        #expect(try mx.mail()[0].withoutReceived == last)
        try stage.logged("rejected") { $0["rule"] == "unfinished-line" }
    }
}
