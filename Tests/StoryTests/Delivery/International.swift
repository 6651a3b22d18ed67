// Addresses beyond ASCII (SMTPUTF8, RFC 6531): to who takes them, and back from who does not.

import Foundation
import Testing

private let header =
    "Subject: Gr\u{fc}\u{df}e\r\nMessage-ID: <1@x>\r\nDate: Sat, 21 Nov 2026 02:07:58 +0000"

extension Client {
    fileprivate func submit(from sender: String, to recipient: String) throws {
        try say("MAIL FROM:<\(sender)> BODY=8BITMIME SMTPUTF8", expecting: "250")
        try say("RCPT TO:<\(recipient)>", expecting: "250")
        try say("DATA", expecting: "354")
        try send("From: <\(sender)>\r\nTo: <\(recipient)>\r\n\(header)\r\n\r\nHallo\r\n.\r\n")
        try expect("250 2.0.0")
    }
}

@Test func `mail with UTF-8 addresses goes on, and its domain is looked up in ASCII`() async throws
{
    try await story { stage in
        let mx = try stage.host(
            for: "xn--bcher-kva.test",
            10,
            extensions: Peer.usualExtensions + ["SMTPUTF8"]
        )
        let client = try stage.client()
        try client.submit(from: "j\u{fc}rgen@origin.test", to: "gr\u{fc}n@b\u{fc}cher.test")
        let mail = try mx.mail()[0]
        #expect(mail.sender == "j\u{fc}rgen@origin.test")
        #expect(mail.recipients == ["gr\u{fc}n@b\u{fc}cher.test"])
        #expect(mail.parameters.contains(" SMTPUTF8") && mail.parameters.contains("BODY=8BITMIME"))
        #expect(mail.text.contains("with UTF8SMTP id"))
    }
}

@Test func `where UTF-8 is not taken the sender is told, in a report that can come back`()
    async throws
{
    try await story { stage in
        let mx = try stage.host()
        let back = try stage.host(
            for: "origin.test",
            12,
            extensions: Peer.usualExtensions + ["SMTPUTF8"]
        )
        let client = try stage.client()
        try client.submit(from: "j\u{fc}rgen@origin.test", to: "gr\u{fc}n@example.test")
        let report = try back.mail()[0]
        #expect(report.recipients == ["j\u{fc}rgen@origin.test"])
        #expect(report.parameters.contains(" SMTPUTF8"))
        #expect(report.text.contains("Status: 5.6.7\r\n"))
        #expect(report.text.contains("Content-Type: message/global-delivery-status\r\n"))
        #expect(report.text.contains("Final-Recipient: utf-8; gr\u{fc}n@example.test\r\n"))
        #expect(report.text.contains("Content-Type: message/global\r\n"))
        #expect(report.text.contains("To: <j\u{fc}rgen@origin.test>\r\n"))
        // What declares SMTPUTF8 and needs none goes anywhere.
        try client.say("MAIL FROM:<alice@origin.test> SMTPUTF8", expecting: "250")
        try client.say("RCPT TO:<bob@example.test>", expecting: "250")
        try client.say("DATA", expecting: "354")
        try client.send(letter() + Array(".\r\n".utf8))
        try client.expect("250 2.0.0")
        #expect(try !mx.mail()[0].parameters.contains("SMTPUTF8"))
        // A domain that can't be put into ASCII.
        try client.submit(from: "alice@origin.test", to: "x@\u{2603}.test")
        let encoded = try back.mail(2)[1]
        #expect(encoded.text.contains("Status: 5.6.7\r\n"))
        #expect(encoded.text.contains("Final-Recipient: utf-8; x@=E2=98=83.test\r\n"))
        // It asks nothing of the way back that the message to it did not.
        #expect(
            !encoded.parameters.contains("SMTPUTF8") && !encoded.parameters.contains("8BITMIME")
        )
        #expect(encoded.content.allSatisfy { $0 < 0x80 })
    }
}

@Test func `where one address needs UTF-8 the others still have their mail`() async throws {
    try await story { stage in
        for extensions in [["PIPELINING", "8BITMIME"], []] {
            let number = extensions.count + 20
            let domain = "old\(number).test"
            let mx = try stage.host(for: domain, number, extensions: extensions)
            let client = try stage.client()
            try client.say("MAIL FROM:<alice@origin.test> BODY=8BITMIME SMTPUTF8", expecting: "250")
            for recipient in ["gr\u{fc}n@\(domain)", "bob@\(domain)", "gelb\u{e9}@\(domain)"] {
                try client.say("RCPT TO:<\(recipient)>", expecting: "250")
            }
            try client.say("DATA", expecting: "354")
            try client.send(letter(body: "Gr\u{fc}\u{df}e\r\n") + Array(".\r\n".utf8))
            try client.expect("250 2.0.0")
            let mail = try mx.mail()[0]
            #expect(mail.recipients == ["bob@\(domain)"])
            #expect(!mail.parameters.contains("SMTPUTF8"))
            try eventually("the two others are told of") {
                stage.log("bounced") {
                    $0["to"].hasSuffix("@\(domain)>") && $0["because"] == "utf8-unsupported"
                }.count == 2
            }
        }
    }
}

@Test func `UTF-8 in the header of a part goes to who takes it, and to nobody else`() async throws {
    try await story { stage in
        let old = try stage.host()
        let new = try stage.host(
            for: "new.test",
            11,
            extensions: Peer.usualExtensions + ["SMTPUTF8"]
        )
        let back = try stage.host(for: "origin.test", 12)
        let part = "Content-Type: text/plain; name=\"gr\u{fc}n\"\r\n\r\nHallo\r\n"
        let message =
            "Subject: x\r\nMessage-ID: <1@x>\r\nDate: Sat, 21 Nov 2026 02:07:58 +0000\r\n"
            + "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
            + "--b\r\n\(part)--b--\r\n"
        for domain in ["new.test", "example.test"] {
            try stage.submit(
                to: "bob@\(domain)",
                message: Array(message.utf8),
                parameters: " BODY=8BITMIME SMTPUTF8"
            )
        }
        #expect(try new.mail()[0].parameters.contains(" SMTPUTF8"))
        #expect(try back.mail()[0].text.contains("Status: 5.6.7\r\n"))
        #expect(old.received.isEmpty)
    }
}
