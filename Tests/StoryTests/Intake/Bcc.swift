// Bcc and Resent-Bcc leave the top-level header in every form, Return-Path too; nothing else does.

import Foundation
import Testing

private let kept =
    "From: <a@origin.test>\r\nDate: Sat, 21 Nov 2026 02:07:58 +0000\r\nMessage-ID: <1@origin.test>\r\n"

private let forms: [(name: String, field: String)] = [
    ("plain", "Bcc: secret@example.test\r\n"),
    ("lower", "bcc: secret@example.test\r\n"),
    ("upper", "BCC: secret@example.test\r\n"),
    ("no space", "Bcc:secret@example.test\r\n"),
    ("space before the colon", "Bcc : secret@example.test\r\n"),
    ("tab before the colon", "bCc\t: secret@example.test\r\n"),
    ("empty", "Bcc:\r\n"),
    ("empty with space", "Bcc: \r\n"),
    ("folded", "Bcc: a@example.test,\r\n secret@example.test,\r\n\tsecret2@example.test\r\n"),
    ("folded at once", "Bcc:\r\n secret@example.test\r\n"),
    ("twice", "Bcc: secret@example.test\r\nBcc: secret2@example.test\r\n"),
    ("resent", "Resent-Bcc: secret@example.test\r\n"),
    ("resent, any case", "RESENT-bcc : secret@example.test\r\n"),
    ("return path", "Return-Path: <secret@example.test>\r\n"),
]

@Test func `Bcc leaves the header wherever and however it stands there`() async throws {
    try await story { stage in
        let mx = try stage.host()
        var expected: Set<[UInt8]> = []
        let client = try stage.client()
        for (name, field) in forms {
            let subject = "Subject: \(name)\r\n"
            for (place, header) in [
                ("first", field + subject + kept), ("middle", subject + field + kept),
                ("last", subject + kept + field), ("both ends", field + subject + kept + field),
            ] {
                let body = "\r\n\(place): Bcc: body@example.test\r\nBcc: body@example.test\r\n"
                let reply = try client.hand(
                    from: "a@origin.test",
                    to: ["bob@example.test"],
                    Array((header + body).utf8)
                )
                try #require(reply.code == 250, "\(name) \(place): \(reply)")
                expected.insert(Array((subject + kept + body).utf8))
            }
        }
        let arrived = Set(try mx.mail(forms.count * 4).map(\.withoutReceived))
        for message in expected.subtracting(arrived) {
            Issue.record(
                "did not arrive so: \(String(decoding: message, as: UTF8.self).debugDescription)"
            )
        }
        for message in arrived.subtracting(expected) {
            Issue.record("arrived: \(String(decoding: message, as: UTF8.self).debugDescription)")
        }
    }
}

@Test func `fields that only look like Bcc stay, and so does Bcc in an inner header`() async throws
{
    try await story { stage in
        let mx = try stage.host()
        let message = Array(
            ("X-Bcc: a\r\nBccx: b\r\nSubject: Bcc: c\r\nTo: x,\r\n Bcc: folded\r\n" + kept
                + "Content-Type: message/rfc822\r\n\r\nBcc: inner@example.test\r\nSubject: inner\r\n\r\nx\r\n")
                .utf8
        )
        try stage.submit(to: "bob@example.test", message: message)
        #expect(try mx.mail()[0].withoutReceived == message)
    }
}
