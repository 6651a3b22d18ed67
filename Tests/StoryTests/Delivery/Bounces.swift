// What comes back when mail can't be delivered (RFC 3461 … 3464, 6522): once, to the sender, in a
// form that programs parse and people understand; and never about itself.

import Foundation
import Testing

/// A report as Python's email package reads it.
private struct Report: Decodable {
    let type: String
    let reportType: String
    let parts: [String]
    let headers: [String: String]
    let human: String
    let message: [String: String]
    let recipients: [[String: String]]
    let returned: String
    let defects: [String]

    static func parse(_ mail: PeerMail, on stage: Stage) throws -> Report {
        let path = stage.directory + "/report-\(UUID().uuidString).eml"
        try Data(mail.withoutReceived).write(to: URL(filePath: path))
        let tool = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Tools/read_report.py").path
        let run = try Child.run(Child.find("python3") ?? "python3", [tool, path])
        guard run.status == 0 else { throw StoryFailure("not a report: \(run.text)\n\(mail.text)") }
        return try JSONDecoder().decode(Report.self, from: Data(run.text.utf8))
    }
}

@Test func `a bounce is a report that programs can read`() async throws {
    try await story { stage in
        _ = try stage.host { command in
            guard command.step == .rcpt else { return nil }
            if command.line.contains("nobody@") {
                return .say("550-5.1.1 no such user\r\n550 5.1.1 really")
            }
            if command.line.contains("full@") { return .say("552 5.2.2 mailbox full") }
            return nil
        }
        let back = try stage.host(for: "origin.test", 12)
        let original = letter(subject: "to be returned", body: "--=_\r\n.\r\nFrom here on\r\n")
        let id = try stage.submit(
            to: "nobody@example.test",
            "bob@example.test",
            "full@example.test",
            message: original
        )
        let mail = try back.mail()[0]
        #expect(mail.sender == "" && mail.recipients == ["alice@origin.test"])
        let report = try Report.parse(mail, on: stage)
        #expect(report.type == "multipart/report" && report.reportType == "delivery-status")
        #expect(report.parts == ["text/plain", "message/delivery-status", "message/rfc822"])
        #expect(report.defects.isEmpty, "\(report.defects)")
        #expect(report.headers["To"]?.contains("alice@origin.test") == true)
        #expect(report.headers["From"]?.contains("MAILER-DAEMON@relay.test") == true)
        #expect(report.headers["Auto-Submitted"]?.hasPrefix("auto-") == true)
        for field in ["Date", "Message-ID", "Subject", "MIME-Version"] {
            #expect(report.headers[field] != nil, "\(field)")
        }
        #expect(
            report.human.contains("nobody@example.test") && report.human.contains("no such user")
        )
        #expect(report.human.contains(id))
        #expect(report.message["Reporting-MTA"] == "dns; relay.test")
        #expect(report.message["Arrival-Date"] != nil)
        try #require(report.recipients.count == 2)
        let first = report.recipients[0]
        #expect(first["Final-Recipient"] == "rfc822; nobody@example.test")
        #expect(first["Action"] == "failed" && first["Status"] == "5.1.1")
        #expect(first["Remote-MTA"] == "dns; mx10.test")
        #expect(first["Diagnostic-Code"]?.hasPrefix("smtp; 550 5.1.1 no such user") == true)
        #expect(first["Last-Attempt-Date"] != nil)
        #expect(report.recipients[1]["Status"] == "5.2.2")
        #expect(report.returned.contains("Subject: to be returned"))
        #expect(mail.text.contains(String(decoding: original, as: UTF8.self)))
    }
}

@Test func `of a large message the header comes back, without its secrets`() async throws {
    try await story(["bounces.max_returned": "8KiB"]) { stage in
        _ = try stage.host { $0.step == .dot ? .say("554 5.7.1 spam") : nil }
        let back = try stage.host(for: "origin.test", 12)
        let secret = "Bcc: secret@example.test\r\n"
        let long =
            Array(secret.utf8)
            + letter(subject: "long", body: String(repeating: "sixteen bytes..\r\n", count: 2000))
        try stage.submit(to: "bob@example.test", message: long)
        let mail = try back.mail()[0]
        let report = try Report.parse(mail, on: stage)
        #expect(report.parts[2] == "text/rfc822-headers")
        #expect(report.returned.contains("Subject: long") && !mail.text.contains("sixteen bytes"))
        #expect(!mail.text.contains("secret@"))
        #expect(report.recipients[0]["Status"] == "5.7.1")
    }
}

@Test func `8-bit mail comes back in a report of 7 bits, which any host takes`() async throws {
    try await story { stage in
        _ = try stage.host { $0.step == .rcpt ? .say("550 5.1.1 nobody with \u{fc}") : nil }
        let back = try stage.host(for: "origin.test", 12, extensions: ["PIPELINING"])
        let original = letter(subject: "Gr\u{fc}\u{df}e", body: "Gr\u{fc}\u{df}e\r\n")
        try stage.submit(to: "bob@example.test", message: original, parameters: " BODY=8BITMIME")
        let mail = try back.mail()[0]
        #expect(mail.wire.allSatisfy { $0 < 0x80 })
        let report = try Report.parse(mail, on: stage)
        #expect(report.defects.isEmpty, "\(report.defects)")
        #expect(report.returned.contains("Message-ID: <"))
    }
}

@Test func `a bounce that can't be delivered goes to the postmaster and no further`() async throws {
    try await story { stage in
        _ = try stage.host { $0.step == .rcpt ? .say("550 5.1.1 nobody") : nil }
        _ = try stage.host(for: "origin.test", 12) {
            $0.step == .rcpt ? .say("550 5.1.1 forged") : nil
        }
        let admin = try stage.host(for: "admin.test", 13) {
            $0.step == .rcpt && $0.count > 1 ? .say("550 5.1.1 not you either") : nil
        }
        try stage.submit(to: "bob@example.test")
        let mail = try admin.mail()[0]
        #expect(mail.sender == "" && mail.recipients == ["postmaster@admin.test"])
        #expect(mail.text.contains("alice@origin.test"))
        // The second double bounce is refused; that is the end, said in the log.
        try stage.submit(to: "bob@example.test")
        try stage.noticed("dropped")
        // Two messages, their bounces, and the postmaster's copies of those; nothing after them.
        // A report's own line may follow the line of its first attempt.
        _ = try eventually("six accepted lines") { stage.log("accepted").dropFirst(5).first }
        #expect(stage.log("accepted").count == 6)
        try stage.restart()
        #expect(stage.log("notice") { $0["text"].hasPrefix("started with 0 ") }.count == 2)
        #expect(admin.accepted.count == 1)
    }
}

@Test func `mail from the null sender never bounces`() async throws {
    try await story { stage in
        _ = try stage.host { $0.step == .rcpt ? .say("550 5.1.1 nobody") : nil }
        let admin = try stage.host(for: "admin.test", 13)
        let id = try stage.submit(from: "", to: "bob@example.test")
        try stage.outcome("bounced", of: id)
        // Told to the postmaster, as a double bounce.
        let mail = try admin.mail()[0]
        #expect(mail.sender == "" && mail.recipients == ["postmaster@admin.test"])
        #expect(mail.text.contains("bob@example.test"))
    }
}

@Test func `mail that can't be delivered within its lifetime is returned with what was tried`()
    async throws
{
    try await story(["retry.lifetime": "3s", "retry.delay_notice_after": "0s"]) { stage in
        let mx = try stage.host { $0.step == .rcpt ? .say("450 4.2.1 mailbox busy") : nil }
        let back = try stage.host(for: "origin.test", 12)
        let id = try stage.submit(to: "bob@example.test")
        let expired = try stage.outcome("expired", of: id, within: 30)
        #expect(expired["reply"].contains("mailbox busy"))
        #expect(Int(expired["attempt"]) ?? 0 >= 2)
        let report = try Report.parse(back.mail()[0], on: stage)
        #expect(
            report.recipients[0]["Status"] == "4.4.7" && report.recipients[0]["Action"] == "failed"
        )
        #expect(report.recipients[0]["Diagnostic-Code"]?.contains("mailbox busy") == true)
        #expect(mx.accepted.isEmpty)
    }
}

@Test func `a sender is told once that mail is late, and mail is delivered all the same`()
    async throws
{
    try await story(["retry.delay_notice_after": "1s"]) { stage in
        let mx = try stage.host {
            $0.step == .rcpt && $0.count < 5 ? .say("450 4.2.1 mailbox busy") : nil
        }
        let back = try stage.host(for: "origin.test", 12)
        let id = try stage.submit(to: "bob@example.test")
        let notice = try Report.parse(back.mail()[0], on: stage)
        #expect(notice.recipients[0]["Action"] == "delayed")
        #expect(notice.recipients[0]["Status"] == "4.2.1")
        #expect(notice.recipients[0]["Will-Retry-Until"] != nil)
        try stage.outcome("delivered", of: id)
        try mx.mail(1)
        #expect(back.accepted.count == 1)
    }
}

@Test func `no notice is sent about mail from the null sender`() async throws {
    try await story(["retry.delay_notice_after": "1s", "retry.null_sender_lifetime": "3s"]) {
        stage in
        _ = try stage.host { $0.step == .rcpt ? .say("450 4.2.1 mailbox busy") : nil }
        let admin = try stage.host(for: "admin.test", 13)
        let id = try stage.submit(from: "", to: "bob@example.test")
        try stage.outcome("expired", of: id, within: 30)
        try admin.mail(1)
    }
}

@Test func `status counts failures by their class`() async throws {
    try await story { stage in
        let mx = try stage.host {
            switch $0.step {
            case .rcpt where $0.line.contains("nobody"): .say("550 5.1.1 no such user")
            case .rcpt where $0.line.contains("grey"): .say("451 4.7.1 greylisted, come back")
            default: nil
            }
        }
        _ = try stage.host(for: "origin.test", 11)
        let id = try stage.submit(
            to: "nobody@example.test",
            "grey@example.test",
            "bob@example.test"
        )
        try mx.mail(1)
        try stage.outcome("bounced", of: id)
        try stage.outcome("deferred", of: id)
        let status = try stage.ask("status")
        #expect(status.contains("Failures   deferred: greylisted 1\n"), "\(status)")
        #expect(status.contains("           bounced: unknown-user 1\n"), "\(status)")
    }
}
