// Only CRLF.CRLF ends a message, on both sides of the relay: what one server takes for one message
// may never become two behind us (RFC 5321 §2.3.8, §4.1.1.4).

import Foundation
import Testing

/// Ends that are none.
private let falseEnds = [
    "\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\n.\r", "\r.\n", "\r\n\n.\r\n",
    "\r\r\n.\r\r\n", "\n\n.\n\n", "\r\n.\r\r\n",
]

private let smuggled =
    "MAIL FROM:<evil@origin.test>\r\nRCPT TO:<victim@example.test>\r\nDATA\r\nSubject: evil\r\n\r\nevil"

@Test func `a message with a bare CR or LF around dots is refused and nothing of it is obeyed`()
    async throws
{
    try await story { stage in
        let mx = try stage.host()
        for end in falseEnds {
            let client = try stage.client()
            try client.say("MAIL FROM:<a@origin.test>", expecting: "250")
            try client.say("RCPT TO:<bob@example.test>", expecting: "250")
            try client.say("DATA", expecting: "354")
            try client.send("Subject: cover\r\n\r\nhello" + end + smuggled + "\r\n.\r\n")
            let reply = try client.reply()
            #expect(reply.code / 100 == 5, "\(end.debugDescription) → \(reply)")
            // Exactly one reply: the next is that of the next command.
            try client.say("VRFY x", expecting: "252")
            #expect(
                try client.hand(from: "a@origin.test", to: ["bob@example.test"], letter()).code
                    == 250
            )
        }
        let mail = try mx.mail(falseEnds.count)
        #expect(
            mail.allSatisfy { $0.recipients == ["bob@example.test"] && !$0.text.contains("evil") }
        )
        #expect(stage.log("accepted").count == falseEnds.count)
        #expect(stage.log("rejected") { $0["rule"] == "bare-newline" }.count == falseEnds.count)
    }
}

@Test func `for a lenient network the message stays one and what we send can't be taken for two`()
    async throws
{
    try await story(["listener.lenient_for": "[\"127.0.0.0/8\"]"]) { stage in
        let mx = try stage.host()
        for (number, end) in falseEnds.enumerated() {
            let client = try stage.client()
            try client.say("MAIL FROM:<a@origin.test>", expecting: "250")
            try client.say("RCPT TO:<bob@example.test>", expecting: "250")
            try client.say("DATA", expecting: "354")
            try client.send(
                "Subject: number \(number).\r\n\r\nhello" + end + smuggled + "\r\n.\r\n"
            )
            try client.expect("250 2.0.0", after: end.debugDescription)
            try client.say("VRFY x", expecting: "252")
        }
        let mail = try mx.mail(falseEnds.count)
        for one in mail {
            #expect(one.sender == "a@origin.test" && one.text.contains("evil\r\n"))
            #expect(!hasBareNewline(one.wire), "\(one.text.debugDescription)")
        }
        #expect(mx.lines.filter { $0.hasPrefix("MAIL") }.allSatisfy { !$0.contains("evil") })
        #expect(stage.log("accepted").count == falseEnds.count)
        #expect(!stage.log("notice") { $0["text"].contains("lenient_for") }.isEmpty)
    }
}

@Test func `dots that a client stuffed reach the next host stuffed again`() async throws {
    try await story { stage in
        let mx = try stage.host()
        let message = letter(body: "one\r\n.\r\n" + smuggled + "\r\n.\r\nend\r\n")
        try stage.submit(to: "bob@example.test", message: message)
        let mail = try mx.mail()[0]
        #expect(mail.withoutReceived == message)
        #expect(String(decoding: mail.wire, as: UTF8.self).contains("\r\n..\r\nMAIL FROM"))
    }
}

private func hasBareNewline(_ bytes: [UInt8]) -> Bool {
    for (index, byte) in bytes.enumerated() {
        if byte == 10, index == 0 || bytes[index - 1] != 13 { return true }
        if byte == 13, index + 1 == bytes.count || bytes[index + 1] != 10 { return true }
    }
    return false
}
