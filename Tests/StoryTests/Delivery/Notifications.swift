// What a sender may ask to be told (DSN, RFC 3461): kept across a restart, said to next hops that
// offer it, and honoured here.

import Foundation
import Testing

extension Client {
    fileprivate func submit(_ mail: String, _ recipients: [String], _ message: [UInt8]) throws {
        try say("MAIL FROM:<alice@origin.test>\(mail)", expecting: "250")
        for recipient in recipients { try say("RCPT TO:\(recipient)", expecting: "250") }
        try say("DATA", expecting: "354")
        try send(stuffed(message) + Array(".\r\n".utf8))
        try expect("250 2.0.0")
    }
}

@Test func `what was asked for is passed on to who offers it, after a restart too`() async throws {
    try await story { stage in
        // At first it takes nothing.
        let mx = try stage.host(extensions: Peer.usualExtensions + ["DSN"]) {
            $0.step == .mail && $0.count == 1 ? .say("451 4.3.0 later") : nil
        }
        let client = try stage.client()
        try client.submit(
            " RET=HDRS ENVID=QQ+2B1",
            [
                "<bob@example.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;robert@origin.test",
                "<eve@example.test> NOTIFY=NEVER", "<mia@example.test>",
            ],
            letter()
        )
        try stage.logged("deferred")
        try stage.restart()
        let mail = try mx.mail()[0]
        #expect(mail.parameters.hasSuffix(" RET=HDRS ENVID=QQ+2B1"), "\(mail.parameters)")
        let recipients = mx.lines.filter { $0.hasPrefix("RCPT") }
        #expect(
            recipients.contains(
                "RCPT TO:<bob@example.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;robert@origin.test"
            )
        )
        #expect(recipients.contains("RCPT TO:<eve@example.test> NOTIFY=NEVER"))
        #expect(recipients.contains("RCPT TO:<mia@example.test>"))
        // Of the delivery they report, not we.
        let back = try stage.host(for: "origin.test", 12)
        try stage.submit(to: "alice@origin.test")
        #expect(try back.mail()[0].sender == "alice@origin.test")
        #expect(stage.log("accepted").count == 2)
    }
}

@Test func `who asked for success hears where the trail ends, and of failures who wants to`()
    async throws
{
    try await story { stage in
        _ = try stage.host { $0.line.contains("nobody") ? .say("550 5.1.1 no such user") : nil }
        let back = try stage.host(for: "origin.test", 12)
        let client = try stage.client()
        let original = letter(body: "the body\r\n")
        try client.submit(
            " RET=HDRS ENVID=QQ+2B1",
            [
                "<bob@example.test> NOTIFY=SUCCESS ORCPT=rfc822;robert+2Bx@origin.test",
                "<nobody@example.test> NOTIFY=SUCCESS", "<nobody2@example.test> NOTIFY=NEVER",
                "<nobody3@example.test> NOTIFY=FAILURE",
            ],
            original
        )
        let mail = try back.mail(2)
        let relayed = try #require(mail.first { $0.text.contains("Action: relayed") })
        #expect(relayed.sender == "" && relayed.text.contains("Original-Envelope-Id: QQ+1\r\n"))
        #expect(
            relayed.text.contains(
                "Original-Recipient: rfc822;robert+x@origin.test\r\n"
                    + "Final-Recipient: rfc822; bob@example.test\r\n"
            )
        )
        #expect(!relayed.text.contains("nobody") && !relayed.text.contains("the body"))
        let failed = try #require(mail.first { $0.text.contains("Action: failed") })
        #expect(failed.text.contains("nobody3@example.test"))
        #expect(!failed.text.contains("nobody@") && !failed.text.contains("nobody2@"))
        #expect(failed.text.contains("text/rfc822-headers") && !failed.text.contains("the body"))
    }
}
