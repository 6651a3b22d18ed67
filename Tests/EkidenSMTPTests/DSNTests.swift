import EkidenMail
import TestKit
import Testing

@testable import EkidenSMTP

@Suite struct DSNParameterTests {
    @Test(arguments: [
        ("rfc822;bob@example.org", "rfc822;bob@example.org"),
        ("RFC822;a+2Bb@example.org", "RFC822;a+2Bb@example.org"),
        ("x-400;anything+20at+20all", "x-400;anything+20at+20all"),
        ("utf-8;bob@example.org", "utf-8;bob@example.org"),
        ("utf-8;f\\x{FC}r@example.org", "utf-8;f\\x{FC}r@example.org"),
        ("utf-8;für@example.org", "utf-8;f\\x{FC}r@example.org"),
        ("UTF-8;a\\x{2B}b\\x{3D}\\x{5C}@x", "UTF-8;a\\x{2B}b\\x{3D}\\x{5C}@x"),
    ])
    func `an original recipient is kept, in ASCII`(_ given: String, _ kept: String) {
        #expect(DSNParameters.originalRecipient(given) == kept)
    }

    @Test(arguments: [
        "", ";", "rfc822", "rfc822;", ";x", "rf c822;x", "rfc822;a=b", "rfc822;a b", "rfc822;a+",
        "rfc822;a+2", "rfc822;a+2b", "rfc822;a+0D", "rfc822;a+80", "rfc822;ä", "utf-8;a+2B",
        "utf-8;\\", "utf-8;\\x", "utf-8;\\x{", "utf-8;\\x{}", "utf-8;\\x{A}", "utf-8;\\x{fc}",
        "utf-8;\\x{0A}", "utf-8;\\x{9F}", "utf-8;\\x{D800}", "utf-8;\\x{110000}",
        "utf-8;\\x{0000041}", "utf-8;a b", "utf-8;a=b", "utf_8;x",
    ])
    func `what is no original recipient is refused`(_ given: String) {
        #expect(DSNParameters.originalRecipient(given) == nil)
    }

    @Test func `lengths are bounded`() {
        let text = { (count: Int) in String(repeating: "x", count: count) }
        #expect(DSNParameters.envelopeID(text(100)) != nil)
        #expect(DSNParameters.envelopeID(text(101)) == nil)
        #expect(DSNParameters.originalRecipient("rfc822;" + text(493)) != nil)
        #expect(DSNParameters.originalRecipient("rfc822;" + text(494)) == nil)
    }

    @Test(
        arguments: [
            ("never", []), ("NEVER", []), ("Success", .success),
            ("delay,failure", [.delay, .failure]),
            ("SUCCESS,FAILURE,DELAY", [.success, .failure, .delay]), ("DELAY,DELAY", .delay),
        ] as [(String, NotifyWhen)]
    )
    func `NOTIFY is NEVER or a list`(_ given: String, _ when: NotifyWhen) {
        #expect(DSNParameters.notify(given) == when)
        #expect(DSNParameters.notify(when.text) == when)
    }

    @Test(arguments: ["", ",", "never,success", "success,", ",delay", "sometimes", "success delay"])
    func `what is no NOTIFY is refused`(_ given: String) {
        #expect(DSNParameters.notify(given) == nil)
    }

    @Test(arguments: 1...20)
    func `random parameters never pass with anything that could break a line`(_ seed: Int) {
        var random = TestRandom(seed: UInt64(seed))
        let pieces = [
            "rfc822;", "utf-8;", "a", "@", "+2B", "+0D", "+0A", "+", "\\x{", "FC", "20AC", "}",
            "0D",
            "\\", "ä", "\r", "\n", " ", "=", ";", "\u{85}", "\u{0}", ",",
        ]
        for _ in 0..<2000 {
            let text = (0..<random.below(8)).map { _ in random.pick(pieces) }.joined()
            for kept in [DSNParameters.originalRecipient(text), DSNParameters.envelopeID(text)] {
                guard let kept else { continue }
                #expect(kept.utf8.allSatisfy { (0x21...0x7e).contains($0) }, "\(kept)")
                // What was kept is itself such a parameter.
                #expect(
                    DSNParameters.originalRecipient(kept) == kept
                        || DSNParameters.envelopeID(kept) == kept
                )
            }
            if let decoded = UTF8Xtext.decode(text) {
                #expect(UTF8Xtext.decode(UTF8Xtext.encode(decoded)) == decoded)
                #expect(!decoded.unicodeScalars.contains { $0.value < 0x20 })
            }
        }
    }

    @Test func `what was asked stands with the recipient it was asked for`() {
        var driver = ServerDriver(ServerSettings(hostName: "relay.example"))
        let input =
            "EHLO c.example\r\nMAIL FROM:<a@b.example> RET=HDRS ENVID=77\r\nRCPT TO:<1@d.example>\r\n"
            + "RCPT TO:<2@d.example> NOTIFY=NEVER\r\nRCPT TO:<2@d.example> NOTIFY=SUCCESS\r\n"
            + "RCPT TO:<3@d.example>\r\nRCPT TO:<x@denied.example> NOTIFY=DELAY\r\n"
            + "RCPT TO:<4@d.example> ORCPT=rfc822;four@d.example\r\nRCPT TO:<5@d.example>\r\n"
            + "BDAT 0 LAST\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<1@d.example>\r\nBDAT 0 LAST\r\n"
        driver.receive(bytes(input))
        #expect(driver.envelopes.count == 2)
        let demands = driver.envelopes[0].demands
        #expect(demands.returned == .headers && demands.envelopeID == "77")
        #expect(
            demands.recipients == [
                RecipientDemands(), RecipientDemands(notify: []), RecipientDemands(),
                RecipientDemands(originalRecipient: "rfc822;four@d.example"),
            ]
        )
        #expect(driver.envelopes[0].recipients.count == 5 && demands.of(4).isEmpty)
        #expect(driver.envelopes[1].demands.isEmpty)
    }
}

@Suite struct DSNClientTests {
    private func said(_ offered: [String]) -> [String] {
        var demands = SenderDemands()
        demands.returned = .full
        demands.envelopeID = "77+2B"
        let recipients = ["1@d.example", "2@d.example", "3@d.example"].compactMap { Address($0) }
        var transaction = ClientTransaction(
            sender: .address(recipients[0]),
            recipients: recipients,
            demands: demands,
            recipientDemands: [
                RecipientDemands(notify: [.success, .delay], originalRecipient: "rfc822;one@d"),
                RecipientDemands(notify: []),
            ],
            byteCount: 10,
            facts: MessageFacts(),
            extensions: Extensions(Reply(250, nil, lines: ["d.example", "PIPELINING"] + offered)),
            host: PeerHost(name: "d.example", endpoint: nil)
        )
        var output = BytesBuilder(capacity: 64)
        _ = transaction.next(into: &output)
        return output.finish().asArray.text.split(separator: "\r\n").map(String.init)
    }

    @Test func `a next hop with DSN is told everything`() {
        #expect(
            said(["DSN"]) == [
                "MAIL FROM:<1@d.example> RET=FULL ENVID=77+2B",
                "RCPT TO:<1@d.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;one@d",
                "RCPT TO:<2@d.example> NOTIFY=NEVER", "RCPT TO:<3@d.example>", "DATA",
            ]
        )
    }

    @Test func `a next hop without DSN is told nothing`() {
        #expect(
            said([]) == [
                "MAIL FROM:<1@d.example>", "RCPT TO:<1@d.example>", "RCPT TO:<2@d.example>",
                "RCPT TO:<3@d.example>", "DATA",
            ]
        )
    }
}
