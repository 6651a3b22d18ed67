import EkidenMail
import Testing

@testable import EkidenRewriting

@Suite struct HeaderRewriterTests {
    @Test func aFieldThatWaivesTLSIsNoted() throws {
        for (field, waives) in [
            ("TLS-Required: No", true), ("tls-required:no ", true), ("TLS-Required: Yes", false),
            ("TLS-Required: No way", false), ("X-TLS-Required: No", false),
        ] {
            let done = try rewrite(field + "\r\n\r\n", rules())
            #expect(done.findings.waivesTLS == waives, "\(field)")
            #expect(done.headerText.contains(field))
        }
    }

    @Test func aPlainMessageGetsOneReceivedFieldAndNothingElse() throws {
        let message = "From: a@b.example\r\nSubject: x\r\n\r\nBcc: body\r\n.\r\n"
        let result = try rewrite(message)
        #expect(result.headerText == ourReceived + "From: a@b.example\r\nSubject: x\r\n\r\n")
        #expect(result.bodyText == "Bcc: body\r\n.\r\n")
        #expect(result.findings.end == .emptyLine)
    }

    static let removed: [(String, String)] = [
        ("Bcc: a@b\r\n", ""),
        ("bcc: a@b\r\n", ""),
        ("BCC:a@b\r\n", ""),
        ("bCc:\r\n", ""),
        ("Bcc: \r\n", ""),
        ("Bcc : a@b\r\n", ""),
        ("Bcc\t: a@b\r\n", ""),
        ("Bcc \t \t: a@b\r\n", ""),
        ("Bcc: a@b,\r\n c@d,\r\n\te@f\r\n", ""),
        ("Bcc:\r\n a@b\r\n", ""),
        ("Bcc: a@b\r\n \r\n\t\r\n", ""),
        ("Bcc\r\n : a@b\r\n", ""),
        ("Bcc \r\n\t: a@b,\r\n c@d\r\n", ""),
        ("Resent-Bcc: a@b\r\n", ""),
        ("RESENT-BCC :\r\n a@b\r\n", ""),
        ("resent-bcc:\r\n", ""),
        ("Bcc: a@b\nX: y\n", "X: y\n"),
        ("Return-Path: <a@b>\r\n", ""),
        ("RETURN-path:\r\n <a@b>\r\n", ""),
        ("Bcc: a\r\nBcc: b\r\nSubject: s\r\nBcc: c\r\n", "Subject: s\r\n"),
        (
            "Subject: s\r\n t\r\nBcc: c\r\n d\r\nTo: x\r\n y\r\n",
            "Subject: s\r\n t\r\nTo: x\r\n y\r\n"
        ),
    ]

    @Test(arguments: removed)
    func bccAndReturnPathGoInEveryForm(form: String, kept: String) throws {
        for before in ["", "From: a@b\r\n", "X-Long: a\r\n\tb\r\n"] {
            for after in ["", "To: c@d\r\n", "Subject: Bcc: no\r\n Bcc: no\r\n"] {
                let result = try rewrite(before + form + after + "\r\nBcc: stays\r\n")
                #expect(result.headerText == ourReceived + before + kept + after + "\r\n")
                #expect(result.bodyText == "Bcc: stays\r\n")
                #expect(result.findings.removedFields >= 1)
            }
        }
    }

    @Test(arguments: [
        "Bccx: a\r\n", "X-Bcc: a\r\n", "Bc: a\r\n", "Resent-Bccs: a\r\n", "Bcc-: a\r\n",
        "Return-Paths: a\r\n", ">From a@b Sat Nov 21\r\n", "From a@b Sat Nov 21\r\n",
        ">>From x\r\n", "Subject:\r\n", "X:y\r\n", "!#$%: odd name\r\n", "Subject : spaced\r\n",
        "Received: from a by b; c\r\n", "X: \u{e9}\u{e8}\r\n", "Date: not a date\r\n",
        "X: a\0b\r\n", "Dotted.Name: x\r\n", ".dot: x\r\n", "X: tab\t \t \r\n", "From:x\n",
    ])
    func whatNoRuleNamesPassesByteForByte(line: String) throws {
        let message = "To: a@b\r\n" + line + "Cc: c@d\r\n\r\nbody"
        let result = try rewrite(message)
        #expect(result.headerText == ourReceived + "To: a@b\r\n" + line + "Cc: c@d\r\n\r\n")
        #expect(result.bodyText == "body")
    }

    @Test(arguments: [
        "no header at all\r\n", " continuation of nothing\r\n", ": no name\r\n",
        "two words: x\r\n", "N\u{e9}: x\r\n", "Subject\r\n", "\u{1}: x\r\n", "Bcc\r\nx\r\n",
        "Bcc\r\n x: y\r\n", "Bcc\r\n\r\n", "-- \r\n", "Bcc \r\nBcc: a@b\r\n",
    ])
    func aLineThatIsNoFieldEndsTheHeader(line: String) throws {
        for before in ["", "To: a@b\r\n"] where !(before != "" && line.hasPrefix(" ")) {
            let message = before + line + "Bcc: now body\r\n"
            let result = try rewrite(message)
            #expect(result.headerText == ourReceived + before + "\r\n")
            #expect(result.bodyText == line + "Bcc: now body\r\n")
            #expect(result.findings.end == .strayLine)
        }
    }

    static let ends: [(String, String, String)] = [
        ("", "", ""),
        ("To: a@b\r\n", "To: a@b\r\n", ""),
        ("To: a@b", "To: a@b", ""),
        ("To: a@b\r\nBcc: c@d", "To: a@b\r\n", ""),
        ("To: a@b\r\nBcc", "To: a@b\r\n\r\n", "Bcc"),
        ("To: a@b\r\nBcc\r\n", "To: a@b\r\n\r\n", "Bcc\r\n"),
        ("text", "\r\n", "text"),
        ("\r\n", "\r\n", ""),
        ("To: a@b\r\n\r\n", "To: a@b\r\n\r\n", ""),
        ("To: a@b\n\nbody", "To: a@b\n\n", "body"),
        ("To: a@b\r\n\r", "To: a@b\r\n\r\n", "\r"),
    ]

    @Test(arguments: ends)
    func aMessageMayEndWithinItsHeader(message: String, header: String, body: String) throws {
        for cuts in [[], Array(0..<message.utf8.count)] {
            let result = try rewrite(message, cuts: cuts)
            #expect(result.headerText == ourReceived + header)
            #expect(result.bodyText == body)
        }
    }

    @Test func missingFieldsAreAddedAtTheEndOnlyWhereTold() throws {
        let date = "Date: \(testDate.mailDate)\r\n"
        let id = "Message-ID: <\(testID.text)@relay.example>\r\n"
        let adding = rules(adds: true)
        #expect(
            try rewrite("To: a\r\n\r\nb", adding).headerText == ourReceived
                + "To: a\r\n\(date)\(id)\r\n"
        )
        #expect(
            try rewrite("date : x\r\n\r\nb", adding).headerText
                == ourReceived + "date : x\r\n\(id)\r\n"
        )
        #expect(
            try rewrite("MESSAGE-ID:\r\n <q@r>\r\n\r\nb", adding).headerText
                == ourReceived + "MESSAGE-ID:\r\n <q@r>\r\n\(date)\r\n"
        )
        #expect(try rewrite("To: a", adding).headerText == ourReceived + "To: a\r\n\(date)\(id)")
        let stray = try rewrite("hello\r\n", adding)
        #expect(stray.headerText == ourReceived + date + id + "\r\n")
        #expect(stray.bodyText == "hello\r\n")
        let complete = "Date: x\r\nMessage-ID: <a@b>\r\n\r\n"
        #expect(try rewrite(complete, adding).headerText == ourReceived + complete)
        #expect(try rewrite("To: a\r\n\r\n").headerText == ourReceived + "To: a\r\n\r\n")
    }

    @Test(arguments: [
        ("Message-ID: <a@b>\r\n", "<a@b>"), ("Message-Id:<a@b>  \r\n", "<a@b>"),
        ("message-id:\r\n <a@b>\r\n", "<a@b>"), ("Message-ID: <a@\r\n\tb>\r\n", "<a@ b>"),
        ("Message-ID:\r\n", ""), ("Message-ID: <a@b>\r\nMessage-ID: <c@d>\r\n", "<a@b>"),
        ("Bcc: x\r\nMessage-ID: <a@b>\r\nBcc: y\r\n", "<a@b>"),
        ("Message-ID: \u{1}<a>\u{7}\r\n", "<a>"),
        (
            "Message-ID: \(String(repeating: "x", count: 500))\r\n",
            String(repeating: "x", count: 256)
        ),
    ])
    func theMessageIDIsFoundUnfolded(field: String, expected: String) throws {
        for cut in 0..<field.utf8.count {
            let found = try rewrite("To: a\r\n" + field + "\r\n", cuts: [7 + cut]).findings
            #expect(found.messageID == expected)
            #expect(found.hadMessageID)
        }
    }

    @Test func factsDescribeTheFinishedBlock() throws {
        let plain = try rewrite("To: a\r\n\r\n")
        #expect(plain.facts.lines == 5)
        #expect(plain.facts.longestLineBytes == ourReceivedLongest)
        #expect(!plain.facts.hasLeadingDot)
        #expect(!plain.facts.headerHasEightBit)
        let odd = try rewrite(".x: \u{e9}\r\nBcc: \(String(repeating: "x", count: 900))\r\n\r\n")
        #expect(odd.facts.hasLeadingDot)
        #expect(odd.facts.headerHasEightBit)
        #expect(odd.facts.longestLineBytes == ourReceivedLongest)
        let removed = try rewrite("Bcc: \u{e9}\r\n\r\n")
        #expect(!removed.facts.headerHasEightBit)
    }

    @Test func aHeaderOverItsLimitIsRefusedAtAnyCut() throws {
        let field = "X: 345678\r\n"
        let header = String(repeating: field, count: 10) + "\r\n"
        let fits = rules(headerBlockBytes: 112)
        let tight = rules(headerBlockBytes: 111)
        for cut in 0...header.utf8.count {
            #expect(try rewrite(header + "body", fits, cuts: [cut]).bodyText == "body")
            #expect(throws: HeaderProblem.tooLarge(limitBytes: 111)) {
                try rewrite(header + "body", tight, cuts: [cut])
            }
        }
        let endless = [UInt8](repeating: 0x61, count: 70_000)
        #expect(throws: HeaderProblem.tooLarge(limitBytes: 1000)) {
            try rewrite(
                endless,
                rules(headerBlockBytes: 1000),
                cuts: Array(stride(from: 0, to: 70_000, by: 997))
            )
        }
        #expect(
            HeaderProblem.tooLarge(limitBytes: 1).reply.oneLine
                == "552 5.3.4 header larger than 1 bytes"
        )
    }

    @Test func aMessageThatWasAroundTooOftenIsRefused() throws {
        let field = "Received: from a by b; date\r\n"
        let limited = rules(receivedFields: 5)
        let passes = try rewrite(String(repeating: field, count: 4) + "\r\n", limited)
        #expect(passes.findings.receivedFields == 4)
        for cuts in [[], Array(0..<145)] {
            #expect(throws: HeaderProblem.tooManyHops(limit: 5)) {
                try rewrite(String(repeating: field, count: 5) + "\r\n", limited, cuts: cuts)
            }
        }
        #expect(HeaderProblem.tooManyHops(limit: 5).reply.code == 554)
        #expect(HeaderProblem.tooManyHops(limit: 5).reply.status == EnhancedStatus(5, 4, 6))
    }
}
