import EkidenCrypto
import EkidenMail
import Testing

@testable import EkidenMIME

/// A part of a multipart with boundary `b`, in a message with MIME-Version.
private func inMultipart(_ part: [String], type: String = "multipart/mixed") -> [String] {
    ["MIME-Version: 1.0", "Content-Type: \(type); boundary=b", "", "--b"] + part + ["--b--", ""]
}

@Suite struct ConverterTests {
    @Test func `mail without MIME is labelled as what it is`() {
        let result = convert(["Subject: x", "", "Gr\u{fc}\u{df}e", ""])
        #expect(
            result.text == """
                Subject: x\r
                MIME-Version: 1.0\r
                Content-Type: text/plain; charset=unknown-8bit\r
                Content-Transfer-Encoding: quoted-printable\r
                \r
                Gr=FC=DFe\r

                """
        )
    }

    @Test func `only the parts with 8-bit content change`() {
        let result = convert(
            [
                "content-TYPE: Multipart/Mixed;", "\tboundary=\"b\"", "MIME-version: 1.0",
                "Content-transfer-encoding: 8bit", "", "preamble", "--b",
                "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding:", " (it is)",
                " 8BIT", "X-After: x", "", "caf\u{e9} = \u{fc}\t", "", "--b", "", "seven ", "--b",
                "Content-Type: image/x", "", "\u{0}\u{ff}", "", "--b--", "epilogue",
            ]
        )
        #expect(
            result.text == """
                content-TYPE: Multipart/Mixed;\r
                \tboundary="b"\r
                MIME-version: 1.0\r
                Content-Transfer-Encoding: 7bit\r
                \r
                preamble\r
                --b\r
                Content-Type: text/plain; charset=utf-8\r
                Content-Transfer-Encoding: quoted-printable\r
                X-After: x\r
                \r
                caf=E9 =3D =FC=09\r
                \r
                --b\r
                \r
                seven \r
                --b\r
                Content-Type: image/x\r
                Content-Transfer-Encoding: base64\r
                \r
                AP8NCg==\r
                --b--\r
                epilogue
                """
        )
        #expect(result.findings.plan.byteCount == result.output?.count)
    }

    @Test func `text of other scripts becomes base64`() {
        let line = "\u{65e5}\u{672c}\u{8a9e}"
        let message = Array("Content-Type: text/plain; charset=utf-8\r\n\r\n\(line)\r\n".utf8)
        #expect(
            convert(message).text == """
                Content-Type: text/plain; charset=utf-8\r
                MIME-Version: 1.0\r
                Content-Transfer-Encoding: base64\r
                \r
                5pel5pys6KqeDQo=\r

                """
        )
    }

    @Test func `a message inside a message is converted with its own labels`() {
        let result = convert(
            inMultipart([
                "Content-Type: message/rfc822", "Content-Transfer-Encoding: binary", "",
                "Subject: inside", "", "caf\u{e9}",
            ])
        )
        #expect(
            result.text == """
                MIME-Version: 1.0\r
                Content-Type: multipart/mixed; boundary=b\r
                \r
                --b\r
                Content-Type: message/rfc822\r
                Content-Transfer-Encoding: 7bit\r
                \r
                Subject: inside\r
                MIME-Version: 1.0\r
                Content-Type: text/plain; charset=unknown-8bit\r
                Content-Transfer-Encoding: quoted-printable\r
                \r
                caf=E9\r
                --b--\r

                """
        )
    }

    @Test func `a message with UTF-8 headers may be encoded whole`() {
        let result = convert(
            inMultipart(["Content-Type: message/global", "", "Subject: \u{fc}", "", "\u{fc}"])
        )
        #expect(
            result.text?.contains(
                "message/global\r\nContent-Transfer-Encoding: base64\r\n\r\n"
                    + Base64.encode(bytes(["Subject: \u{fc}", "", "\u{fc}"])) + "\r\n--b--"
            ) == true
        )
        #expect(!result.findings.headersHaveEightBit)
    }

    @Test func `what is signed stays, and what stands beside it changes`() {
        let signed = [
            "Content-Type: multipart/signed; boundary=s", "", "--s", "", "seven ", "--s",
            "Content-Type: application/pgp-signature", "", "sig", "--s--",
        ]
        let result = convert(inMultipart(signed + ["--b", "", "caf\u{e9}"]))
        #expect(result.text?.contains(signed.joined(separator: "\r\n")) == true)
        #expect(result.text?.contains("caf=E9") == true)
    }

    @Test func `mail that is 7-bit already stays as it is`() {
        let message = bytes(inMultipart(["Content-Transfer-Encoding: 8bit", "", "seven"]))
        #expect(convert(message).output == message)
        #expect(convert([]).output == [])
    }

    @Test(arguments: [
        (["Subject: \u{fc}", "", "x"], SevenBitObstacle.header),
        (inMultipart(["X-Name: \u{fc}", "", "x"]), .header),
        (["Content-Type: message/rfc822", "", "Subject: \u{fc}", "", "x"], .header),
        (
            ["Content-Type: multipart/mixed; boundary=b", "", "\u{fc}", "--b", "", "--b--"],
            .surroundings
        ),
        (inMultipart(["", "x", "--b--", "\u{fc}"]), .surroundings),
        (inMultipart(["", "\u{fc}"], type: "Multipart/(c)Signed"), .signed),
        (
            inMultipart(
                ["Content-Type: message/rfc822", "", "S: x", "", "\u{fc}"],
                type: "multipart/signed"
            ), .signed
        ),
        (inMultipart(["Content-Transfer-Encoding: BASE64", "", "\u{fc}"]), .alreadyEncoded),
        (
            [
                "Content-Type: multipart/mixed; boundary=b",
                "Content-Transfer-Encoding: quoted-printable", "", "--b", "", "\u{fc}",
            ], .alreadyEncoded
        ),
        (["Content-Transfer-Encoding: x-uuencode", "", "\u{fc}"], .unknownEncoding),
        (["Content-Transfer-Encoding: 8bit 8bit", "", "\u{fc}"], .unknownEncoding),
        (["Content-Type: message/partial; id=a", "", "\u{fc}"], .restrictedType),
        (["Content-Type: message/delivery-status", "", "\u{fc}"], .restrictedType),
        (["Content-Type: multipart/mixed", "", "\u{fc}"], .damagedStructure),
        (["Content-Type: multipart; boundary=b", "", "--b", "", "\u{fc}"], .damagedStructure),
        (
            ["Content-Type: multipart/mixed; boundary=\"b", "", "--b", "", "\u{fc}"],
            .damagedStructure
        ),
        (["Content-Type: multipart/mixed; boundary=", "", "--", "", "\u{fc}"], .damagedStructure),
        (
            ["Content-Type: multipart/mixed; boundary=b c", "", "--b", "", "\u{fc}"],
            .damagedStructure
        ),
        (
            ["Content-Type: multipart/mixed; boundary*=us-ascii''b", "", "--b", "", "\u{fc}"],
            .damagedStructure
        ),
        (
            [
                "Content-Type: multipart/mixed; boundary=b",
                "Content-Type: multipart/mixed; boundary=c",
                "", "--b", "", "\u{fc}",
            ], .damagedStructure
        ),
        (
            ["Content-Transfer-Encoding: 8bit", "Content-Transfer-Encoding: 7bit", "", "\u{fc}"],
            .damagedStructure
        ),
        (
            ["Content-Type: text/plain", "Content-Type : text/plain", "", "x\u{fc}"],
            .damagedStructure
        ),
        (inMultipart(["no header, no empty line", "", "\u{fc}"]), .damagedStructure),
        (
            ["Content-Type: text/plain" + String(repeating: " ", count: 9000), "", "\u{fc}"],
            .damagedStructure
        ),
    ])
    func `what can't be converted has its reason`(lines: [String], obstacle: SevenBitObstacle) {
        #expect(convert(lines).findings.obstacle == obstacle)
        #expect(!obstacle.sentence.isEmpty)
        // The same without 8-bit content is nobody's concern.
        let ascii = lines.map { $0.replacing("\u{fc}", with: "u") }
        #expect(convert(ascii).output == bytes(ascii))
    }

    @Test func `where the header has UTF-8 is known of parts and messages inside, too`() {
        for lines in [
            ["Subject: \u{fc}", "", "x"], inMultipart(["X: \u{fc}", "", "x"]),
            inMultipart(["X: \u{fc}", "", "x"], type: "multipart/signed"),
            ["Content-Type: message/rfc822", "", "S: \u{fc}", "", "x"],
        ] {
            #expect(convert(lines).findings.headersHaveEightBit)
        }
        #expect(!convert(inMultipart(["X: u", "", "\u{fc}"])).findings.headersHaveEightBit)
    }

    @Test func `nesting has a bound`() {
        func nested(_ depth: Int) -> [String] {
            (0..<depth).flatMap {
                ["Content-Type: multipart/mixed; boundary=b\($0)x", "", "--b\($0)x"]
            } + ["", "\u{fc}"]
        }
        #expect(convert(nested(MIMEWalker.depthMax)).text?.hasSuffix("=FC") == true)
        #expect(convert(nested(MIMEWalker.depthMax + 1)).findings.obstacle == .tooDeep)
    }

    @Test func `so has the number of parts`() {
        func many(_ count: Int) -> [String] {
            ["Content-Type: multipart/mixed; boundary=b", ""]
                + (0..<count).flatMap { _ in ["--b", "", "\u{fc}"] }
        }
        #expect(convert(many(MIMEWalker.entitiesMax - 1)).output != nil)
        #expect(convert(many(MIMEWalker.entitiesMax)).findings.obstacle == .tooManyParts)
    }

    @Test func `bare newlines and endless lines are no text lines`() {
        #expect(
            convert(Array("A: b\r\n\r\nx\n\u{fc}\r\n".utf8)).findings.obstacle == .damagedStructure
        )
        let long = [UInt8](repeating: 0x61, count: LineCutter.lineBytesMax + 10)
        #expect(
            convert(Array("A: b\r\n\r\n".utf8) + long + [0xfc]).findings.obstacle
                == .damagedStructure
        )
    }
}

@Suite struct QuotedPrintableTests {
    private func encode(_ line: [UInt8]) -> String {
        var out = BytesBuilder()
        line.withUnsafeBytes { QuotedPrintable.encode($0, into: &out) }
        return out.finish().text
    }

    private func encode(_ line: String) -> String { encode(Array(line.utf8)) }

    @Test(arguments: [
        ("", ""), ("plain words, = and ~", "plain words, =3D and ~"), ("x ", "x=20"), (" x", " x"),
        ("x\t", "x=09"), ("  ", " =20"), ("\u{fc}", "=C3=BC"), ("\u{0}\u{7f}", "=00=7F"),
        (".", "."),
        ("--b", "=2D-b"), ("-b-- --", "-b-- --"), ("-", "-"), ("--", "=2D-"),
    ])
    func `a line is written so`(line: String, expected: String) {
        #expect(encode(line) == expected)
    }

    @Test func `long lines are broken softly, at most 76 characters`() {
        let full = String(repeating: "a", count: 76)
        #expect(encode(full) == full)
        let rest = String(repeating: "a", count: 75)
        #expect(encode(full + "b") == rest + "=\r\nab")
        #expect(encode(rest + "=") == rest + "=\r\n=3D")
        #expect(encode(rest.dropLast(2) + "=") == rest.dropLast(2) + "=3D")
        #expect(encode(rest.dropLast() + "= x") == rest.dropLast() + "=\r\n=3D x")
        // What would look like a boundary behind the soft line break.
        #expect(encode(rest + "--b") == rest + "=\r\n=2D-b")
        #expect(encode(rest.dropLast() + "---b") == rest.dropLast() + "-=\r\n=2D-b")
        // A space before a soft line break stands in the middle of a line.
        #expect(encode(rest.dropLast() + " bc") == rest.dropLast() + " =\r\nbc")
    }
}

@Suite struct Base64LinesTests {
    @Test func `any cut gives the same lines, and their length is known before`() {
        for count in 0..<120 {
            let bytes = (0..<count).map { UInt8($0 & 255) }
            for cut in 0...count {
                var lines = Base64Lines()
                var out = BytesBuilder()
                bytes[..<cut].withUnsafeBytes { lines.encode($0, into: &out) }
                bytes[cut...].withUnsafeBytes { lines.encode($0, into: &out) }
                lines.finish(into: &out)
                let text = out.finish().text
                #expect(text.utf8.count == Base64Lines.encodedBytes(of: count))
                let expected = stride(from: 0, to: count, by: 57).map {
                    Base64.encode(Array(bytes[$0..<min($0 + 57, count)])) + "\r\n"
                }
                #expect(text == expected.joined())
            }
        }
    }
}
