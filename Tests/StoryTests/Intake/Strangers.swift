// Whatever comes to the port that is no mail client leaves nothing behind.

import Foundation
import Testing

@Test func `a browser is shown out before its body can be taken for commands`() async throws {
    try await story { stage in
        let mx = try stage.host()
        let smuggle =
            "EHLO x\r\nMAIL FROM:<a@origin.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nx\r\n.\r\n"
        for request in [
            "POST / HTTP/1.1\r\nHost: relay.test\r\nContent-Length: 200\r\n\r\n",
            "GET /\(smuggle.replacingOccurrences(of: "\r\n", with: "%0d%0a")) HTTP/1.1\r\n\r\n",
            "get / http/1.0\r\n", "CONNECT relay.test:25 HTTP/1.1\r\n\r\n",
        ] {
            let client = try Client(stage.place)
            try client.expect("220")
            try client.send(request + smuggle)
            let rest = try client.rest()
            #expect(rest.hasPrefix("421") && rest.split(separator: "\r\n").count == 1, "\(rest)")
        }
        #expect(stage.log("accepted").isEmpty && mx.received.isEmpty)
    }
}

@Test func `a TLS handshake on the plain port does no harm`() async throws {
    try await story { stage in
        let client = try Client(stage.place)
        try client.expect("220")
        var hello: [UInt8] = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]
        hello += [UInt8](repeating: 0xab, count: 500)
        try client.send(hello + [13, 10])
        #expect(try client.reply().code / 100 >= 4)
        try stage.client().say("QUIT", expecting: "221")
    }
}

@Test func `a client that goes away within a message leaves nothing behind`() async throws {
    try await story { stage in
        let mx = try stage.host()
        try stage.submit(to: "bob@example.test")
        try mx.mail(1)
        let before = try files(below: stage.spool)
        for size in [0, 1000, 600_000] {
            for breaksOff in [false, true] {
                let client = try stage.client()
                try client.say("MAIL FROM:<a@origin.test>", expecting: "250")
                try client.say("RCPT TO:<bob@example.test>", expecting: "250")
                try client.say("DATA", expecting: "354")
                let line = String(repeating: "x", count: 78) + "\r\n"
                try client.send("Subject: half\r\n\r\n" + String(repeating: line, count: size / 80))
                // All but the last byte of the end.
                try client.send("\r\n.\r")
                if breaksOff { client.socket.breakOff() } else { client.endSending() }
                if !breaksOff { _ = try client.rest() }
            }
        }
        try eventually("no file is left of them") { try files(below: stage.spool) == before }
        #expect(stage.log("accepted").count == 1)
        try stage.restart()
        #expect(stage.log("notice") { $0["text"].hasPrefix("started with 0 ") }.count == 2)
        #expect(mx.accepted.count == 1)
    }
}

/// Files in folders of the spool but the log's segments, which come and go.
private func files(below path: String) throws -> [String] {
    try FileManager.default.subpathsOfDirectory(atPath: path)
        .filter { !$0.hasSuffix(".segment") && !$0.contains("segment") }.sorted()
}

@Test func `random bytes don't hurt`() async throws {
    let seed: UInt64 = 20_261_121
    let words = [
        "EHLO ", "HELO ", "MAIL FROM:<", "RCPT TO:<", "DATA", "RSET", "NOOP", "VRFY ", "QUIT",
        "\r\n",
        "\r\n", "\r\n", "\n", "\r", ".", "\r\n.\r\n", ">", "@", "a@b.test>", " SIZE=",
        " BODY=8BITMIME",
        "\0", "\u{ff}", "[IPv6:", "\"", "\\", "BDAT 5\r\n", String(repeating: "A", count: 3000),
        "Bcc: x", ":", "Subject", "\t",
    ].map { Array($0.utf8) }
    try await story(["listener.max_errors": "1000", "listener.command_timeout": "5s"]) { stage in
        let mx = try stage.host()
        let place = stage.place
        try together(8) { thread in
            var dice = Dice(seed &+ UInt64(thread))
            for _ in 0..<25 {
                let client = try Client(place)
                if dice.roll(2) == 0 { try? client.hello() }
                for _ in 0..<(1 + dice.roll(30)) {
                    var bytes: [UInt8] = []
                    for _ in 0..<dice.roll(20) {
                        if dice.roll(6) == 0 {
                            bytes.append(UInt8(dice.roll(256)))
                        } else {
                            bytes += words[dice.roll(words.count)]
                        }
                    }
                    if !client.socket.send(bytes) { break }
                }
                if dice.roll(3) == 0 { client.socket.breakOff() }
            }
        }
        try #require(stage.relay?.isRunning == true, "seed \(seed)")
        let message = letter(subject: "after the storm")
        try stage.submit(to: "bob@example.test", message: message)
        try eventually("mail still goes through, seed \(seed)") {
            mx.accepted.contains { $0.withoutReceived == message }
        }
    }
}
