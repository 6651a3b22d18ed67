// 8-bit content for hosts without 8BITMIME: converted on its way out, or returned.

import Foundation
import Testing

private let plain = ["PIPELINING", "SIZE 100000"]

/// With a text, Latin-1 and UTF-8, a picture, and a message inside.
private func mixed(boundary: String = "=_1") -> [UInt8] {
    let start = """
        From: alice@origin.test\r
        Subject: parts\r
        Message-ID: <1@x>\r
        Date: Sat, 21 Nov 2026 02:07:58 +0000\r
        MIME-Version: 1.0\r
        Content-Type: multipart/mixed;\r
        \tboundary="\(boundary)"\r
        Content-Transfer-Encoding: 8bit\r
        \r
        --\(boundary)\r
        Content-Type: text/plain; charset=utf-8\r
        Content-Transfer-Encoding: 8bit\r
        \r
        Gr\u{fc}\u{df}e aus K\u{f6}ln, und was sonst auf einer langen Zeile steht, die weich umbrochen wird  \r
        .\r
        --\(boundary)\r
        Content-Type: text/plain; charset=utf-8\r
        \r
        \u{65e5}\u{672c}\u{8a9e}\u{306e}\u{30e1}\u{30fc}\u{30eb}\r
        --\(boundary)\r
        \r
        seven bits = seven bits \r
        --\(boundary)\r
        Content-Type: image/x-test\r
        Content-Transfer-Encoding: binary\r
        \r\n
        """
    let inside = """
        \r
        --\(boundary)\r
        Content-Type: message/rfc822\r
        \r
        Subject: inside\r
        \r
        caf\u{e9}\r
        --\(boundary)--\r\n
        """
    let picture: [UInt8] = (1...255).filter { $0 != 10 && $0 != 13 }
    return Array(start.utf8) + picture + Array(inside.utf8)
}

/// What Python reads of the leaves: type, length and digest of each.
private func leaves(_ message: [UInt8], _ stage: Stage) throws -> String {
    let path = "\(stage.directory)/\(UUID()).eml"
    try Data(message).write(to: URL(filePath: path))
    let program = """
        import email, hashlib, sys
        message = email.message_from_bytes(open(sys.argv[1], "rb").read())
        for part in message.walk():
            if not part.is_multipart():
                content = part.get_payload(decode=True)
                digest = hashlib.sha256(content).hexdigest()
                print(part.get_content_type(), len(content), digest)
        """
    let result = try Child.run("python3", ["-c", program, path])
    #expect(result.status == 0, "\(result.text)")
    return result.text
}

@Test func `8-bit parts go to a host without 8BITMIME in 7 bits, and say the same`() async throws {
    try await story { stage in
        let mx = try stage.host(extensions: plain)
        let message = mixed()
        let id = try stage.submit(
            to: "bob@example.test",
            message: message,
            parameters: " BODY=8BITMIME"
        )
        let mail = try mx.mail()[0]
        #expect(mail.content.allSatisfy { $0 < 0x80 })
        #expect(mail.parameters == " SIZE=\(mail.content.count)", "\(mail.parameters)")
        let told = try leaves(mail.content, stage)
        #expect(try told == leaves(message, stage))
        #expect(told.split(separator: "\n").count == 5, "\(told)")
        #expect(mail.text.contains("\r\n\r\nseven bits = seven bits \r\n--=_1\r\n"))
        #expect(mail.text.contains("\tboundary=\"=_1\"\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"))
        let line = try stage.outcome("delivered", of: id)
        #expect(line["converted"] == "7bit")
        let trace = try eventually("the history has it") { () -> String? in
            let text = try stage.ask("trace", id)
            return text.contains("delivered") ? text : nil
        }
        #expect(trace.contains(", converted to 7 bit for mx10.test: 250"), "\(trace)")
    }
}

@Test func `a large message is converted as it streams`() async throws {
    try await story(["spool.large_message": "64KiB"]) { stage in
        let mx = try stage.host(extensions: ["SIZE"])
        let line = "Gr\u{fc}\u{df}e aus K\u{f6}ln, Zeile um Zeile. \u{20ac}\r\n"
        let body = String(repeating: line, count: 20_000)
        let message = Array(
            "Subject: x\r\nMessage-ID: <1@x>\r\nDate: Sat, 21 Nov 2026 02:07:58 +0000\r\n\r\n\(body)"
                .utf8
        )
        try stage.submit(to: "bob@example.test", message: message)
        let mail = try mx.mail()[0]
        #expect(mail.parameters == " SIZE=\(mail.content.count)")
        #expect(mail.content.allSatisfy { $0 < 0x80 })
        #expect(mail.text.contains("\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"))
        #expect(mail.text.contains("\r\nMIME-Version: 1.0\r\n"))
        let told = try leaves(mail.content, stage)
        #expect(try told == leaves(message, stage))
        #expect(told.hasPrefix("text/plain \(body.utf8.count) "), "\(told)")
    }
}

@Test func `what is signed is not touched, and its sender is told why it was returned`()
    async throws
{
    try await story { stage in
        let mx = try stage.host(extensions: plain)
        let back = try stage.host(for: "origin.test", 12)
        let message = String(decoding: mixed().filter { $0 < 0x80 }, as: UTF8.self)
            .replacing("multipart/mixed", with: "multipart/signed")
            .replacing("seven bits =", with: "acht Bits: \u{fc} =")
        let id = try stage.submit(to: "bob@example.test", message: Array(message.utf8))
        let line = try stage.outcome("bounced", of: id)
        #expect(line["because"] == "eight-bit-unsupported" && line["converted"].isEmpty)
        let report = try back.mail()[0].text
        #expect(report.contains("\r\nStatus: 5.6.3\r\n"))
        #expect(report.contains("signed"), "\(report)")
        #expect(mx.received.isEmpty)
    }
}

@Test func `with bounce 8-bit mail for a host that takes 7 bits only is returned with 5·6·3`()
    async throws
{
    try await story(["delivery.eight_bit": "bounce"]) { stage in
        let mx = try stage.host(extensions: ["PIPELINING"])
        let back = try stage.host(for: "origin.test", 12)
        let id = try stage.submit(
            to: "bob@example.test",
            message: letter(body: "Gr\u{fc}\u{df}e\r\n")
        )
        #expect(try stage.outcome("bounced", of: id)["because"] == "eight-bit-unsupported")
        #expect(try back.mail()[0].text.contains("\r\nStatus: 5.6.3\r\n"))
        #expect(mx.received.isEmpty)
        try stage.submit(to: "bob@example.test")
        try mx.mail(1)
    }
}

@Test func `8-bit mail goes as it is to the host that takes it`() async throws {
    try await story { stage in
        let mx = try stage.host()
        let message = mixed()
        let id = try stage.submit(to: "bob@example.test", message: message)
        #expect(try mx.mail()[0].withoutReceived == message)
        #expect(try stage.outcome("delivered", of: id)["converted"].isEmpty)
    }
}
