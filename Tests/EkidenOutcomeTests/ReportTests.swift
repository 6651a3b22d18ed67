import EkidenMIME
import EkidenMail
import Testing

@testable import EkidenOutcome

private let originalHeader =
    "Received: from a by b\r\nFrom: A <from@example.org>\r\nSubject: Lunch\r\n"
    + "Date: Sat, 21 Nov 2026 02:00:00 +0000\r\nMessage-ID: <m1@example.org>\r\n"
    + "References: <m0@example.org>\r\n\r\n"

private func item(
    _ failure: Failure = noSuchUser,
    action: ReportItem.Action = .failed,
    to: String = "r1@example.net"
) -> ReportItem {
    ReportItem(
        recipient: mailbox(to),
        action: action,
        failure: failure,
        lastAttempt: epoch + .seconds(60),
        willRetryUntil: action == .delayed ? epoch + .seconds(5 * 86_400) : nil,
        attempts: 3
    )
}

private func request(
    _ kind: ReportPlan.Kind = .bounce,
    _ items: [ReportItem] = [item()],
    header: String = originalHeader,
    body: Bytes? = Bytes("See you at noon.\r\n")
) -> ReportRequest {
    ReportRequest(
        plan: ReportPlan(kind: kind, to: mailbox("from@example.org"), items: items),
        reportingHost: "relay.example.org",
        id: QueueID(number: 0x1_0000),
        originalID: QueueID(number: 77),
        originalSender: .address(mailbox("from@example.org")),
        arrived: epoch,
        now: epoch + .seconds(60),
        originalHeader: Bytes(header),
        originalBody: body
    )
}

private let globalHeader =
    "From: J <j\u{fc}r@example.org>\r\nSubject: Gr\u{fc}\u{df}e\r\nMessage-ID: <m2@x>\r\n\r\n"

/// A report on mail with SMTPUTF8, to a recipient beyond ASCII.
private func global(to: String = "j\u{fc}r@example.org") -> ReportRequest {
    var asked = request(
        .bounce,
        [item(to: "gr\u{fc}n+x@b\u{fc}cher.example")],
        header: globalHeader,
        body: Bytes("Sch\u{f6}n = gut\r\n")
    )
    asked.plan = ReportPlan(kind: .bounce, to: mailbox(to), items: asked.plan.items)
    asked.originalSender = .address(mailbox("j\u{fc}r@example.org"))
    asked.allowsEightBit = false
    asked.demands.smtpUTF8 = true
    asked.demands.recipients = [
        RecipientDemands(originalRecipient: "utf-8;gr\\x{FC}n\\x{2B}x@b\\x{FC}cher.example")
    ]
    return asked
}

/// What quoted-printable stands for.
private func unquoted(_ bytes: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    var rest = bytes[...]
    while let byte = rest.popFirst() {
        guard byte == UInt8(ascii: "=") else {
            result.append(byte)
            continue
        }
        let next = rest.prefix(2)
        rest = rest.dropFirst(2)
        if next.elementsEqual([0x0d, 0x0a]) { continue }
        let value = UInt8(String(decoding: next, as: UTF8.self), radix: 16)
        result.append(value ?? 0)
    }
    return result
}

private func bytes(_ message: NewMessage) -> [UInt8] {
    guard case .memory(let body) = message.content.body else { return [] }
    return message.content.header.array + body.array
}

private func checked(
    _ request: ReportRequest,
    sourceLocation: SourceLocation = #_sourceLocation
) throws -> (message: MIMEPart, parts: [MIMEPart]) {
    let message = ReportComposer(request).message()
    let all = bytes(message)
    let complaints = MIMECheck.complaints(
        all,
        eightBitAllowed: message.envelope.body == .eightBitMIME
    )
    #expect(complaints == [], sourceLocation: sourceLocation)
    #expect(message.content.facts == recount(all, header: message.content.header.count))
    let part = MIMECheck.part(all)
    #expect(!part.fields.contains { $0.name == "!malformed" }, sourceLocation: sourceLocation)
    let parts = try #require(MIMECheck.parts(part), sourceLocation: sourceLocation)
    try #require(parts.count == 3, sourceLocation: sourceLocation)
    return (part, parts)
}

/// The facts, found in another way.
private func recount(_ all: [UInt8], header: Int) -> MessageFacts {
    var facts = MessageFacts()
    let lines = all.pieces(by: [0x0d, 0x0a]).dropLast()
    facts.lines = lines.count
    facts.longestLineBytes = lines.map(\.count).max() ?? 0
    facts.hasLeadingDot = lines.contains { $0.first == 0x2e }
    facts.headerHasEightBit = all[..<header].contains { $0 > 127 }
    facts.bodyHasEightBit = all[header...].contains { $0 > 127 }
    return facts
}

@Suite struct ReportTests {
    @Test func aBounceReadsLikeThis() {
        let text = String(decoding: bytes(ReportComposer(request()).message()), as: UTF8.self)
        #expect(text.components(by: "\r\n") == golden.components(by: "\n"))
    }

    @Test func theEnvelopeIsNullAndTheHeaderSaysItIsAutomatic() throws {
        let message = ReportComposer(request()).message()
        #expect(message.envelope.sender == .null)
        #expect(message.envelope.recipients.map(\.text) == ["from@example.org"])
        #expect(message.envelope.client.inboundProtocol == .local)
        let (part, _) = try checked(request())
        #expect(part.value("auto-submitted") == "auto-replied")
        #expect(part.value("in-reply-to") == "<m1@example.org>")
        #expect(part.value("references") == "<m0@example.org> <m1@example.org>")
        #expect(part.value("content-transfer-encoding") == nil)
        for name in ["date", "from", "to", "subject", "message-id", "mime-version"] {
            #expect(part.fields.filter { $0.name == name }.count == 1)
        }
    }

    @Test func theStatusPartHasAllFieldsOfRFC3464() throws {
        let items = [
            item(),
            item(tryLater, action: .expired, to: "r2@example.net"),
            item(tryLater, action: .delayed, to: "r3@example.net"),
            item(failure(.site, permanent: true, .domainNotFound, step: .resolve, host: nil)),
        ]
        let (_, parts) = try checked(request(.bounce, items))
        #expect(parts[1].value("content-type") == "message/delivery-status")
        let blocks = parts[1].blocks.map {
            Dictionary($0.map { ($0.name, $0.value) }, uniquingKeysWith: { a, _ in a })
        }
        try #require(blocks.count == 5)
        #expect(blocks[0]["reporting-mta"] == "dns; relay.example.org")
        #expect(blocks[0]["arrival-date"] == epoch.mailDate)
        #expect(blocks[0]["x-ekiden-queue-id"] == QueueID(number: 77).text)
        #expect(blocks[1]["final-recipient"] == "rfc822; r1@example.net")
        #expect(blocks[1]["action"] == "failed")
        #expect(blocks[1]["status"] == "5.1.1")
        #expect(blocks[1]["remote-mta"] == "dns; mx.example.net")
        #expect(blocks[1]["diagnostic-code"] == "smtp; 550 5.1.1 no such user")
        #expect(blocks[1]["will-retry-until"] == nil)
        #expect(blocks[2]["action"] == "failed")
        #expect(blocks[2]["status"] == "4.4.7")
        #expect(blocks[3]["action"] == "delayed")
        #expect(blocks[3]["status"] == "4.2.0")
        #expect(blocks[3]["will-retry-until"] == (epoch + .seconds(5 * 86_400)).mailDate)
        #expect(blocks[4]["remote-mta"] == nil)
        #expect(blocks[4]["diagnostic-code"] == "x-ekiden; the domain does not exist")
    }

    @Test func whatTheSenderCalledThemStandsInTheReport() throws {
        var asked = request(.bounce, [item(), item(to: "r2@example.net"), item()])
        asked.demands.envelopeID = "QQ+2B314+0D+0AX: y"
        asked.demands.recipients = [
            RecipientDemands(originalRecipient: "rfc822;Bob+2Bx@example.com")
        ]
        let (_, parts) = try checked(asked)
        let blocks = parts[1].blocks.map {
            Dictionary($0.map { ($0.name, $0.value) }) { a, _ in a }
        }
        #expect(blocks[0]["original-envelope-id"] == "QQ+314??X: y")
        #expect(blocks[1]["original-recipient"] == "rfc822;Bob+x@example.com")
        // `item` is of the first recipient, whatever its address.
        asked.demands.recipients[0].originalRecipient = "utf-8;f\\x{FC}r@example.com"
        let again = try checked(asked).parts[1].blocks[1].first { $0.name == "original-recipient" }
        #expect(again?.value == "utf-8;f\\x{FC}r@example.com")
    }

    @Test func whatHadToTravelUnderTLSDoesNotComeBack() throws {
        var asked = request()
        asked.demands.requiresTLS = true
        let text = String(decoding: bytes(ReportComposer(asked).message()), as: UTF8.self)
        #expect(!text.contains("Lunch") && !text.contains("noon") && !text.contains("Received"))
        #expect(text.contains("<m1@example.org>"))
    }

    @Test func addressesBeyondASCIIAreNamedInASCIIAndToldWithUTF8() throws {
        let item = item(to: "gr\u{fc}n@example.net")
        var asked = request(.bounce, [item])
        #expect(!ReportComposer(asked).message().envelope.demands.smtpUTF8)
        let fields = try checked(asked).parts[1].blocks[1]
        #expect(
            fields.first { $0.name == "final-recipient" }?.value
                == "utf-8; gr\\x{FC}n@example.net"
        )
        let (_, ascii) = try checked(asked)
        #expect(ascii[0].text.contains("<gr\\x{FC}n@example.net>"))
        #expect(ascii[0].value("content-type") == "text/plain; charset=us-ascii")
        asked.plan = ReportPlan(kind: .bounce, to: mailbox("j\u{fc}r@x"), items: [item])
        let message = ReportComposer(asked).message()
        #expect(message.envelope.demands.smtpUTF8 && message.content.facts.headerHasEightBit)
        #expect(message.envelope.body == .eightBitMIME)
    }

    @Test func aReportInUTF8ReadsLikeThis() throws {
        let text = String(decoding: bytes(ReportComposer(global()).message()), as: UTF8.self)
        #expect(text.components(by: "\r\n") == goldenGlobal.components(by: "\n"))
        _ = try checked(global())
    }

    /// To an address in ASCII: who sent the message knows UTF-8, but the way back may not.
    @Test func whereTheWayBackMayBeSevenBitPartsAreEncoded() throws {
        let message = ReportComposer(global(to: "alice@example.org")).message()
        #expect(message.envelope.body == .sevenBit && !message.envelope.demands.smtpUTF8)
        let (part, parts) = try checked(global(to: "alice@example.org"))
        #expect(part.value("content-transfer-encoding") == nil)
        let (_, plain) = try checked(global())
        for (encoded, plain) in zip(parts, plain) {
            #expect(encoded.value("content-type") == plain.value("content-type"))
            #expect(encoded.value("content-transfer-encoding") == "quoted-printable")
            #expect(plain.value("content-transfer-encoding") == "8bit")
            #expect(encoded.body != plain.body && unquoted(encoded.body) == plain.body)
        }
    }

    @Test func headersAloneBeyondASCIIAreGlobalWhereTheReportMayBe() throws {
        for to in ["j\u{fc}r@x", "alice@example.org"] {
            var asked = global(to: to)
            asked.originalBody = nil
            let (_, parts) = try checked(asked)
            #expect(parts[2].value("content-type") == "message/global-headers")
            let body = to.hasPrefix("j") ? parts[2].body : unquoted(parts[2].body)
            #expect(String(decoding: body, as: UTF8.self) == String(globalHeader.dropLast()))
            // What is no UTF-8 may not call itself so.
            asked.originalHeader = Bytes(
                Array("Subject: Gr".utf8) + [0xfc, 0x0d, 0x0a, 0x0d, 0x0a]
            )
            let other = try checked(asked).parts[2]
            #expect(other.value("content-type") == "text/rfc822-headers")
            #expect(other.text == "Subject: Gr?\r\n")
            // A line that is cut is not cut within a character.
            let long = "Subject: " + String(repeating: "\u{20ac}", count: 400) + "\r\n\r\n"
            asked.originalHeader = Bytes(long)
            let cut = try checked(asked).parts[2]
            let line = to.hasPrefix("j") ? cut.body : unquoted(cut.body)
            #expect(String(validating: line, as: UTF8.self)?.hasSuffix("\u{20ac} ...\r\n") == true)
        }
        // Without SMTPUTF8 nobody has asked for it.
        var old = global(to: "alice@example.org")
        old.demands.smtpUTF8 = false
        old.allowsEightBit = false
        let (_, parts) = try checked(old)
        #expect(parts[1].value("content-type") == "message/delivery-status")
        #expect(parts[2].value("content-type") == "text/rfc822-headers")
        #expect(!bytes(ReportComposer(old).message()).contains { $0 >= 0x80 })
    }

    @Test func whatIsAllASCIIStaysWhatItWas() throws {
        var asked = request()
        asked.demands.smtpUTF8 = true
        let plain = bytes(ReportComposer(request()).message())
        #expect(bytes(ReportComposer(asked).message()) == plain)
    }

    @Test(arguments: [
        ("a=b\r\n", "a=3Db\r\n"), ("x \r\ny\t\r\n", "x=20\r\ny=09\r\n"), ("\u{fc}", "=C3=BC"),
        ("a\nb\rc", "a=0Ab=0Dc"), ("end ", "end=20"), (" .\r\n.\r\n", " .\r\n.\r\n"), ("", ""),
    ])
    func quotedPrintableIsWhatRFC2045Says(text: String, encoded: String) {
        #expect(QuotedPrintable.encode(Bytes(text)).array == Array(encoded.utf8))
    }

    @Test func quotedLinesAreShortAndComeBackAsTheyWere() {
        for count in 70...80 {
            for unit in ["x", "\u{fc}", "x ", "="] {
                let text = String(repeating: unit, count: count) + "\r\n"
                let encoded = QuotedPrintable.encode(Bytes(text)).array
                #expect(unquoted(encoded) == Array(text.utf8))
                for line in encoded.pieces(by: [0x0d, 0x0a]) {
                    #expect(line.count <= 76 && line.last != 0x20)
                }
            }
        }
    }

    @Test func theSenderSaysHowMuchComesBack() throws {
        func kind(_ kind: ReportPlan.Kind, _ returned: SenderDemands.Returned?) throws -> String? {
            var asked = request(kind)
            asked.demands.returned = returned
            return try checked(asked).parts[2].value("content-type")
        }
        for kindOfFailure in [ReportPlan.Kind.bounce, .doubleBounce] {
            #expect(try kind(kindOfFailure, nil) == "message/rfc822")
            #expect(try kind(kindOfFailure, .full) == "message/rfc822")
            #expect(try kind(kindOfFailure, .headers) == "text/rfc822-headers")
        }
        #expect(try kind(.delayNotice, nil) == "message/rfc822")
        #expect(try kind(.delayNotice, .full) == "text/rfc822-headers")
    }

    @Test func aMessagePassedOnIsToldSo() throws {
        let item = ReportItem(
            recipient: mailbox("r1@example.net"),
            index: 0,
            relayedTo: host,
            reply: Reply(250, EnhancedStatus(2, 6, 0), "queued as 7"),
            at: epoch,
            attempts: 1
        )
        let (message, parts) = try checked(request(.relayNotice, [item]))
        #expect(message.value("subject") == "Your message was passed on")
        let fields = Dictionary(parts[1].blocks[1].map { ($0.name, $0.value) }) { a, _ in a }
        #expect(fields["action"] == "relayed" && fields["status"] == "2.6.0")
        #expect(fields["diagnostic-code"] == "smtp; 250 2.6.0 queued as 7")
        #expect(fields["remote-mta"] == "dns; mx.example.net")
        #expect(parts[2].value("content-type") == "text/rfc822-headers")
    }

    @Test func aSmallMessageComesBackWholeAndALargeOneAsItsHeader() throws {
        let (_, whole) = try checked(request())
        #expect(whole[2].value("content-type") == "message/rfc822")
        #expect(whole[2].text == originalHeader + "See you at noon.\r\n")
        var large = request()
        large.wholeBytesMax = 20
        let (_, header) = try checked(large)
        #expect(header[2].value("content-type") == "text/rfc822-headers")
        #expect(header[2].text == String(originalHeader.dropLast()))
        let (_, absent) = try checked(request(body: nil))
        #expect(absent[2].value("content-type") == "text/rfc822-headers")
    }

    @Test func eightBitIsDeclaredOrLeftOut() throws {
        let eightBit = request(body: Bytes("Grüße\r\n"))
        let message = ReportComposer(eightBit).message()
        #expect(message.envelope.body == .eightBitMIME)
        let (part, parts) = try checked(eightBit)
        #expect(part.value("content-transfer-encoding") == "8bit")
        #expect(parts[2].value("content-transfer-encoding") == "8bit")
        #expect(parts[2].text.hasSuffix("Grüße\r\n"))
        var sevenBit = eightBit
        sevenBit.allowsEightBit = false
        let (_, plain) = try checked(sevenBit)
        #expect(plain[2].value("content-type") == "text/rfc822-headers")
        #expect(ReportComposer(sevenBit).message().envelope.body == .sevenBit)
    }

    @Test(arguments: [
        "bare\nLF\r\n", "bare\rCR\r\n", "NUL\u{0}\r\n", "\r", String(repeating: "x", count: 999),
    ])
    func aBodyThatCantStandInsideAMessageIsNotReturned(body: String) throws {
        let (_, parts) = try checked(request(body: Bytes(body)))
        #expect(parts[2].value("content-type") == "text/rfc822-headers")
    }

    @Test func aPeersWordsCantAddFieldsOrLines() throws {
        let evil = Reply(
            550,
            EnhancedStatus(5, 7, 1),
            lines: ["no\r\nBcc: x@y\r\n\r\nhello", "\u{0}\u{7f}äöü", "--=_0000000000200_0--", "."]
        )
        let items = [
            item(failure(.recipient, permanent: true, .peerRejected, reply: evil))
        ]
        let header = "Subject: a\r\n b\u{0}c\r\nMessage-ID: <a b> <ok@x>\r\n\r\n"
        let (part, parts) = try checked(request(.bounce, items, header: header))
        #expect(part.value("bcc") == nil)
        #expect(part.value("in-reply-to") == "<ok@x>")
        #expect(parts[1].blocks.count == 2)
        #expect(
            parts[1].blocks[1].first { $0.name == "diagnostic-code" }?.value
                .contains("no??Bcc: x@y????hello") == true
        )
    }

    @Test func theBoundaryOccursNowhereElse() throws {
        let id = QueueID(number: 0x1_0000).text
        let nasty = "--=_\(id)_0\r\n--=_\(id)_1--\r\n"
        let (part, parts) = try checked(request(body: Bytes(nasty)))
        #expect(part.value("content-type")?.contains("=_\(id)_2") == true)
        #expect(parts[2].text.hasSuffix(nasty))
    }

    @Test func aDelayNoticeSaysThatNothingNeedsToBeDone() throws {
        let (part, parts) = try checked(request(.delayNotice, [item(tryLater, action: .delayed)]))
        #expect(part.value("subject")?.contains("delayed") == true)
        let words = parts[0].text.components(by: "\r\n").joined(separator: " ")
        #expect(words.contains("You need not do anything"))
        #expect(words.contains("451 4.2.0 try later"))
    }

    @Test func anythingThrownAtItComesOutAsAValidReport() throws {
        var state: UInt64 = 2026
        func random(_ n: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(n))
        }
        let alphabet = Array("\r\n\t \u{0}:;<>@-=_.abcXYZ0129é\u{7f}".utf8)
        func noise(_ n: Int) -> [UInt8] {
            (0..<random(n)).map { _ in
                random(12) == 0 ? UInt8(random(256)) : alphabet[random(alphabet.count)]
            }
        }
        for _ in 0..<400 {
            let words = (0..<(1 + random(3))).map { _ in
                String(decoding: noise(random(4) == 0 ? 3000 : 60), as: UTF8.self)
            }
            let reply = Reply(550, nil, lines: words)
            let failure = failure(
                .recipient,
                permanent: true,
                .peerRejected,
                reply: random(3) == 0 ? nil : reply,
                host: PeerHost(name: words[0].isEmpty ? "h" : "mx.example", endpoint: nil)
            )
            var request = request(.bounce, [item(failure)])
            request.demands.smtpUTF8 = random(2) == 0
            if random(3) == 0 {
                request.plan = ReportPlan(
                    kind: .bounce,
                    to: mailbox("j\u{fc}r@x"),
                    items: request.plan.items
                )
            }
            request.originalHeader = Bytes(
                Array("Subject:".utf8) + noise(2000) + Array("\r\nReferences: ".utf8) + noise(500)
            )
            request.originalBody = random(3) == 0 ? nil : Bytes(noise(500))
            _ = try checked(request)
        }
    }

    @Test func everyReasonIsToldInShortLines() throws {
        for reason in Reason.allCases {
            let failed = failure(.message, permanent: true, reason, host: nil)
            let (_, parts) = try checked(request(.bounce, [item(failed)]))
            for line in parts[0].text.components(by: "\r\n") { #expect(line.utf8.count <= 80) }
        }
    }
}

private let golden = """
    Date: Sat, 21 Nov 2026 02:08:58 +0000
    From: Mail Delivery System <MAILER-DAEMON@relay.example.org>
    To: <from@example.org>
    Subject: Your message could not be delivered
    Message-ID: <0000000002000@relay.example.org>
    In-Reply-To: <m1@example.org>
    References: <m0@example.org> <m1@example.org>
    Auto-Submitted: auto-replied
    MIME-Version: 1.0
    Content-Type: multipart/report; report-type=delivery-status;
     boundary="=_0000000002000_0"

    This is a delivery report in MIME format.

    --=_0000000002000_0
    Content-Type: text/plain; charset=us-ascii
    Content-Description: Explanation

    This is the mail system at host relay.example.org.

    Your message could not be delivered to the recipient below. It is not tried
    again; other recipients, if any, are not affected.

      Subject:    Lunch
      Sent:       Sat, 21 Nov 2026 02:00:00 +0000
      Message-ID: <m1@example.org>
      Accepted:   Sat, 21 Nov 2026 02:07:58 +0000
      Queue id:   000000000002D

    <r1@example.net>
        mx.example.net[192.0.2.7]:25 said while we were sending RCPT TO:
            550 5.1.1 no such user
        Please check the address for a typing error.

    If you need help, please give this report to your postmaster; it has all the
    details. Your message, or its header, is attached.

    --=_0000000002000_0
    Content-Type: message/delivery-status
    Content-Description: Delivery status

    Reporting-MTA: dns; relay.example.org
    Arrival-Date: Sat, 21 Nov 2026 02:07:58 +0000
    X-Ekiden-Queue-ID: 000000000002D
    X-Ekiden-Sender: rfc822; from@example.org

    Final-Recipient: rfc822; r1@example.net
    Action: failed
    Status: 5.1.1
    Remote-MTA: dns; mx.example.net
    Diagnostic-Code: smtp; 550 5.1.1 no such user
    Last-Attempt-Date: Sat, 21 Nov 2026 02:08:58 +0000

    --=_0000000002000_0
    Content-Type: message/rfc822
    Content-Description: The message

    Received: from a by b
    From: A <from@example.org>
    Subject: Lunch
    Date: Sat, 21 Nov 2026 02:00:00 +0000
    Message-ID: <m1@example.org>
    References: <m0@example.org>

    See you at noon.

    --=_0000000002000_0--

    """

private let goldenGlobal = """
    Date: Sat, 21 Nov 2026 02:08:58 +0000
    From: Mail Delivery System <MAILER-DAEMON@relay.example.org>
    To: <j\u{fc}r@example.org>
    Subject: Your message could not be delivered
    Message-ID: <0000000002000@relay.example.org>
    In-Reply-To: <m2@x>
    References: <m2@x>
    Auto-Submitted: auto-replied
    MIME-Version: 1.0
    Content-Type: multipart/report; report-type=delivery-status;
     boundary="=_0000000002000_0"
    Content-Transfer-Encoding: 8bit

    This is a delivery report in MIME format.

    --=_0000000002000_0
    Content-Type: text/plain; charset=utf-8
    Content-Description: Explanation
    Content-Transfer-Encoding: 8bit

    This is the mail system at host relay.example.org.

    Your message could not be delivered to the recipient below. It is not tried
    again; other recipients, if any, are not affected.

      Subject:    Gr??e
      Message-ID: <m2@x>
      Accepted:   Sat, 21 Nov 2026 02:07:58 +0000
      Queue id:   000000000002D

    <gr\u{fc}n+x@b\u{fc}cher.example>
        mx.example.net[192.0.2.7]:25 said while we were sending RCPT TO:
            550 5.1.1 no such user
        Please check the address for a typing error.

    If you need help, please give this report to your postmaster; it has all the
    details. Your message, or its header, is attached.

    --=_0000000002000_0
    Content-Type: message/global-delivery-status
    Content-Description: Delivery status
    Content-Transfer-Encoding: 8bit

    Reporting-MTA: dns; relay.example.org
    Arrival-Date: Sat, 21 Nov 2026 02:07:58 +0000
    X-Ekiden-Queue-ID: 000000000002D
    X-Ekiden-Sender: utf-8; j\u{fc}r@example.org

    Original-Recipient: utf-8;gr\u{fc}n\\x{2B}x@b\u{fc}cher.example
    Final-Recipient: utf-8; gr\u{fc}n\\x{2B}x@b\u{fc}cher.example
    Action: failed
    Status: 5.1.1
    Remote-MTA: dns; mx.example.net
    Diagnostic-Code: smtp; 550 5.1.1 no such user
    Last-Attempt-Date: Sat, 21 Nov 2026 02:08:58 +0000

    --=_0000000002000_0
    Content-Type: message/global
    Content-Description: The message
    Content-Transfer-Encoding: 8bit

    From: J <j\u{fc}r@example.org>
    Subject: Gr\u{fc}\u{df}e
    Message-ID: <m2@x>

    Sch\u{f6}n = gut

    --=_0000000002000_0--

    """
