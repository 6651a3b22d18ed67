import EkidenMIME
import EkidenMail
import EkidenSMTP
import Testing

@testable import EkidenDelivery

/// A body given out in blocks of a few bytes; its end can't be read if it is damaged.
private struct Blocks: BodyReader {
    let bytes: Bytes
    var damagedFrom = Int.max

    func read(at offset: Int, count: Int) async throws(ContentUnavailable) -> Bytes {
        if offset >= damagedFrom { throw ContentUnavailable("damaged", isDamage: true) }
        return bytes[offset..<min(offset + min(count, 7), bytes.count)]
    }
}

private let header = Bytes("Subject: x\r\n\r\n")
private let body = Bytes("Gr\u{fc}\u{df}e\r\n" + String(repeating: "a", count: 75) + ".b\r\n.\r\n")

private func content(
    _ body: Content.Body = .memory(body),
    declaresUTF8: Bool = false,
    header: Bytes = header
) -> Content {
    var facts = MessageFacts()
    facts.bodyHasEightBit = true
    facts.hasLeadingDot = true
    var demands = SenderDemands()
    demands.smtpUTF8 = declaresUTF8
    return Content(header: header, body: body, facts: facts, demands: demands)
}

private func extensions(_ offered: String...) -> Extensions {
    Extensions(Reply(250, lines: ["h"] + offered))
}

private func wire(_ form: OutgoingForm, _ runs: [Bytes]) -> String? {
    var bytes = OutgoingBytes(form)
    var out: [Bytes] = []
    for run in runs {
        guard let next = bytes.next(run) else { return nil }
        out.append(next)
    }
    return bytes.end().map { (out + $0).map(\.text).joined() }
}

@Suite struct OutgoingFormTests {
    @Test func `a host that takes 8-bit content gets what is stored`() {
        #expect(!OutgoingForm.asksForSurvey(content(), extensions("8BITMIME"), converts: true))
        #expect(!OutgoingForm.asksForSurvey(content(), extensions(), converts: false))
        #expect(OutgoingForm.asksForSurvey(content(), extensions(), converts: true))
        let form = OutgoingForm(content())
        #expect(form.byteCount == header.count + body.count && form.plan == nil)
        let line = String(repeating: "a", count: 75)
        #expect(
            wire(form, [header, body])
                == "Subject: x\r\n\r\nGr\u{fc}\u{df}e\r\n\(line).b\r\n..\r\n.\r\n"
        )
    }

    @Test func `a header with raw 8-bit characters is said to be why nothing is converted`()
        async throws
    {
        var facts = MessageFacts()
        facts.headerHasEightBit = true
        let raw = Content(
            header: Bytes("Subject: Gr\u{fc}\r\n\r\n"),
            body: .memory(Bytes("x\r\n")),
            facts: facts
        )
        #expect(OutgoingForm.asksForSurvey(raw, extensions(), converts: true))
        #expect(!OutgoingForm.asksForSurvey(raw, extensions("8BITMIME"), converts: true))
        let form = OutgoingForm(raw, try await raw.survey(), extensions(), converts: true)
        #expect(form.plan == nil && form.trouble.contains("header field"))
    }

    @Test func `headers of parts are looked at where they may need UTF-8`() async throws {
        let declared = content(declaresUTF8: true)
        #expect(OutgoingForm.asksForSurvey(declared, extensions("8BITMIME"), converts: false))
        let both = extensions("8BITMIME", "SMTPUTF8")
        #expect(!OutgoingForm.asksForSurvey(declared, both, converts: true))
        let inside = content(
            .memory(Bytes("Subject: \u{fc}\r\n\r\nx\r\n")),
            declaresUTF8: true,
            header: Bytes("Content-Type: message/rfc822\r\n\r\n")
        )
        let findings = try await inside.survey()
        let form = OutgoingForm(inside, findings, extensions("8BITMIME"), converts: true)
        #expect(form.facts.headerHasEightBit && form.plan == nil && form.trouble.isEmpty)
        let plain = OutgoingForm(
            declared,
            try await declared.survey(),
            extensions("8BITMIME"),
            converts: true
        )
        #expect(!plain.facts.headerHasEightBit && plain.plan == nil)
        #expect(plain.byteCount == declared.byteCount)
    }

    @Test func `in blocks or whole, it is converted to the same, dots and size included`()
        async throws
    {
        let whole = content()
        let stored = content(.stored(Blocks(bytes: body), byteCount: body.count))
        let findings = try await stored.survey()
        #expect(try await whole.survey().plan == findings.plan)
        let form = OutgoingForm(stored, findings, extensions(), converts: true)
        #expect(!form.facts.hasEightBit)
        let blocks = stride(from: 0, to: body.count, by: 5).map {
            body[$0..<min($0 + 5, body.count)]
        }
        let sent = try #require(wire(form, [header] + blocks))
        #expect(sent == wire(form, [header, body]))
        #expect(sent.utf8.allSatisfy { $0 < 0x80 })
        // Behind a soft line break, as a line, and at the end.
        #expect(sent.hasSuffix("aa=\r\n..b\r\n..\r\n.\r\n"), "\(sent)")
        #expect(sent.utf8.count == form.byteCount + "..".utf8.count + ".\r\n".utf8.count)
    }

    @Test func `what can't be converted has a sentence, and what can't be read an error`()
        async throws
    {
        let signed = content(
            .memory(Bytes("--b\r\n\r\n\u{fc}\r\n--b--\r\n")),
            header: Bytes("Content-Type: multipart/signed; boundary=b\r\n\r\n")
        )
        let form = OutgoingForm(signed, try await signed.survey(), extensions(), converts: true)
        #expect(form.plan == nil && form.facts.bodyHasEightBit)
        #expect(form.trouble.hasSuffix(": " + SevenBitObstacle.signed.sentence))
        let damaged = content(
            .stored(Blocks(bytes: body, damagedFrom: 14), byteCount: body.count)
        )
        await #expect(throws: ContentUnavailable("damaged", isDamage: true)) {
            _ = try await damaged.survey()
        }
        let short = content(.stored(Blocks(bytes: body), byteCount: body.count + 1))
        await #expect(throws: ContentUnavailable.self) { _ = try await short.survey() }
    }
}
