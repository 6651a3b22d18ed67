// What the next host says is heard rightly: for each recipient, at each step, in every form.

import Foundation
import Testing

@Test func `mixed replies deliver, defer and bounce in one transaction`() async throws {
    try await story { stage in
        let mx = try stage.host { command in
            guard command.step == .rcpt else { return nil }
            if command.line.contains("busy@"), command.count < 6 {
                return .say("450 4.2.1 mailbox busy")
            }
            if command.line.contains("nobody@") { return .say("550 5.1.1 no such user") }
            return nil
        }
        let back = try stage.host(for: "origin.test", 12)
        let message = letter()
        let id = try stage.submit(
            to: "good@example.test",
            "busy@example.test",
            "nobody@example.test",
            "fine@example.test",
            message: message
        )
        let delivered = try stage.outcome("delivered", of: id, to: "good@example.test")
        let deferred = try stage.outcome("deferred", of: id, to: "busy@example.test")
        let bounced = try stage.outcome("bounced", of: id, to: "nobody@example.test")
        try stage.outcome("delivered", of: id, to: "fine@example.test")
        #expect(delivered["attempt"] == "1" && deferred["because"] == "peer-deferred")
        #expect(deferred["reply"].contains("450 4.2.1 mailbox busy") && deferred["next"] != "")
        #expect(bounced["because"] == "peer-rejected" && bounced["reply"].contains("550 5.1.1"))
        try stage.outcome("delivered", of: id, to: "busy@example.test")
        let mail = try mx.mail(2)
        #expect(mail[0].recipients == ["good@example.test", "fine@example.test"])
        #expect(mail[1].recipients == ["busy@example.test"])
        #expect(mail.allSatisfy { $0.withoutReceived == message })
        let bounce = try back.mail()[0]
        #expect(bounce.recipients == ["alice@origin.test"] && bounce.sender == "")
        #expect(!bounce.text.contains("Final-Recipient: rfc822; busy"))
    }
}

@Test func `greylisted mail is delivered at the next attempt, a second later`() async throws {
    try await story { stage in
        let mx = try stage.host {
            $0.step == .rcpt && $0.count == 1 ? .say("450 4.7.1 greylisted, come back") : nil
        }
        let id = try stage.submit(to: "bob@example.test")
        let deferred = try stage.outcome("deferred", of: id)
        let delivered = try stage.outcome("delivered", of: id)
        #expect(delivered["attempt"] == "2")
        let waited = delivered.seconds("time") - deferred.seconds("time")
        #expect(waited > 0.9 && waited < 8, "\(waited)")
        #expect(abs(deferred.seconds("next") - deferred.seconds("time") - 1) < 0.5)
        try mx.mail(1)
    }
}

private let drops: [(String, PeerStep, PeerAnswer)] = [
    ("at the greeting", .connect, .hangUp), ("at EHLO", .ehlo, .hangUp),
    ("at MAIL", .mail, .hangUp),
    ("at RCPT", .rcpt, .hangUp), ("at DATA", .data, .hangUp),
    ("within the message", .data, .sayAndHangUp("354 go on")),
    ("421 at the greeting", .connect, .sayAndHangUp("421 4.3.2 closing")),
    ("421 at EHLO", .ehlo, .sayAndHangUp("421 4.3.2 closing")),
    ("421 at MAIL", .mail, .sayAndHangUp("421 4.3.2 closing")),
    ("421 at RCPT", .rcpt, .sayAndHangUp("421 4.3.2 closing")),
    ("421 at DATA", .data, .sayAndHangUp("421 4.3.2 closing")),
    ("421 to the final dot", .dot, .sayAndHangUp("421 4.3.2 closing")),
    ("421 but open", .rcpt, .say("421 4.3.2 closing")),
]

@Test func `a connection that breaks or ends at any step is made again later, once`() async throws {
    try await story { stage in
        var waiting: [(String, String, Peer, [UInt8])] = []
        for (number, (name, step, answer)) in drops.enumerated() {
            let mx = try stage.host(for: "d\(number).test", 20 + number) {
                $0.step == step && $0.session == 1 ? answer : nil
            }
            let message = letter(subject: name)
            let id = try stage.submit(to: "bob@d\(number).test", message: message)
            waiting.append((name, id, mx, message))
        }
        for (name, id, mx, message) in waiting {
            let deferred = try stage.outcome("deferred", of: id)
            #expect(deferred["because"] != "" && deferred["reply"] != "", "\(name): \(deferred)")
            try stage.outcome("delivered", of: id)
            #expect(try mx.mail(1).map(\.withoutReceived) == [message], "\(name)")
        }
    }
}

@Test func `when the reply to the final dot is lost it is tried again and the log says twice`()
    async throws
{
    try await story { stage in
        stage.mail(for: "example.test", to: 10, 11)
        let first = try stage.peer(10) { $0.step == .dot && $0.session == 1 ? .hangUp : nil }
        let second = try stage.peer(11)
        let message = letter()
        let id = try stage.submit(to: "bob@example.test", message: message)
        let deferred = try stage.outcome("deferred", of: id)
        #expect(deferred["reply"].contains("may be delivered twice"), "\(deferred)")
        // Not at once to the next host: that would make the second copy certain.
        try stage.outcome("delivered", of: id)
        let copies = first.received + second.received
        #expect(copies.count == 2 && copies.allSatisfy { $0.withoutReceived == message })
    }
}

@Test func `a final dot without reply is given up after its time`() async throws {
    try await story(["delivery.end_of_data_timeout": "2s"]) { stage in
        let mx = try stage.host { $0.step == .dot && $0.session == 1 ? .silence : nil }
        let id = try stage.submit(to: "bob@example.test")
        let deferred = try stage.outcome("deferred", of: id)
        #expect(deferred["because"] == "reply-timed-out" && deferred["reply"].contains("twice"))
        try mx.mail(1)
    }
}

@Test func `hosts that fall silent at any step are given up after their time`() async throws {
    let settings = [
        "delivery.greeting_timeout": "2s", "delivery.hello_timeout": "2s",
        "delivery.mail_timeout": "2s",
        "delivery.recipient_timeout": "2s", "delivery.data_timeout": "2s",
    ]
    try await story(settings) { stage in
        var waiting: [(PeerStep, String, Peer)] = []
        for (number, step) in [PeerStep.connect, .ehlo, .mail, .rcpt, .data].enumerated() {
            let mx = try stage.host(for: "d\(number).test", 20 + number) {
                $0.step == step && $0.session == 1 ? .silence : nil
            }
            waiting.append((step, try stage.submit(to: "bob@d\(number).test"), mx))
        }
        for (step, id, mx) in waiting {
            let deferred = try stage.outcome("deferred", of: id)
            #expect(deferred["because"] == "reply-timed-out", "\(step): \(deferred)")
            try mx.mail(1)
        }
    }
}

@Test func `a host that stops reading within a message is given up after its time`() async throws {
    try await story(["delivery.data_block_timeout": "1s"]) { stage in
        let mx = try stage.host {
            $0.step == .data && $0.session == 1 ? .sayAndStopReading("354 go on") : nil
        }
        let body = String(repeating: String(repeating: "x", count: 98) + "\r\n", count: 120_000)
        let message = letter(body: body)
        let id = try stage.submit(to: "bob@example.test", message: message)
        let deferred = try stage.outcome("deferred", of: id)
        // It was never whole there, so it can't be delivered twice.
        #expect(!deferred["reply"].contains("twice"), "\(deferred)")
        try stage.outcome("delivered", of: id)
        #expect(try mx.mail(1)[0].withoutReceived == message)
    }
}

private let finalRefusals: [(String, PeerStep, PeerAnswer)] = [
    ("in its greeting", .connect, .sayAndHangUp("554 5.7.1 we don't like you")),
    ("at MAIL", .mail, .say("550 5.7.1 sender refused")),
    ("at RCPT", .rcpt, .say("550 5.1.1 nobody")),
    ("at DATA", .data, .say("554 5.7.1 no")),
    ("at the final dot", .dot, .say("550 5.7.1 spam")),
]

@Test func `a refusal for good by the only host is returned at once with its words`() async throws {
    try await story(["retry.first": "1h", "retry.ceiling": "1h"]) { stage in
        let back = try stage.host(for: "origin.test", 12)
        for (number, (name, step, answer)) in finalRefusals.enumerated() {
            let mx = try stage.host(for: "d\(number).test", 20 + number) {
                $0.step == step ? answer : nil
            }
            let id = try stage.submit(to: "bob@d\(number).test", "carol@d\(number).test")
            for recipient in ["bob", "carol"] {
                let line = try stage.outcome("bounced", of: id, to: "\(recipient)@d\(number).test")
                #expect(line["reply"].hasPrefix("55"), "\(name): \(line)")
            }
            #expect(mx.accepted.isEmpty, "\(name)")
        }
        // One report a message, about both recipients.
        let bounces = try back.mail(finalRefusals.count)
        for bounce in bounces {
            #expect(bounce.text.components(separatedBy: "Final-Recipient:").count == 3)
        }
    }
}

@Test func `when all recipients are refused nothing is sent, whatever DATA is answered`()
    async throws
{
    try await story { stage in
        // RFC 2920 §3.1: a pipelined DATA may be accepted although no recipient was.
        let mx = try stage.peer(at: Place(stage.address(30), 2600)) { command in
            switch command.step {
            case .rcpt: .say("550 5.1.1 nobody")
            default: nil
            }
        }
        stage.name("mx30.test", ["A": [stage.address(30)]])
        stage.more =
            "[[route]]\nname = \"r\"\ndomains = [\"example.test\"]\nhosts = [\"mx30.test:2600\"]\n"
        try stage.restart()
        _ = try stage.host(for: "origin.test", 12)
        let id = try stage.submit(to: "bob@example.test", "carol@example.test")
        try stage.outcome("bounced", of: id, to: "bob@example.test")
        try stage.outcome("bounced", of: id, to: "carol@example.test")
        #expect(mx.received.isEmpty)
    }
}

@Test func `too many recipients for the host go at once in further transactions`() async throws {
    for extensions in [Peer.usualExtensions, ["8BITMIME"]] {
        try await story(["retry.first": "1h", "retry.ceiling": "1h"]) { stage in
            let mx = try stage.host(extensions: extensions) {
                $0.step == .rcpt && $0.recipients >= 3 ? .say("452 4.5.3 too many recipients") : nil
            }
            let recipients = (0..<10).map { "r\($0)@example.test" }
            let client = try stage.client()
            _ = try client.hand(from: "alice@origin.test", to: recipients, letter())
            let mail = try mx.mail(4)
            #expect(mail.flatMap(\.recipients).sorted() == recipients.sorted())
            #expect(stage.log("deferred").isEmpty && stage.log("bounced").isEmpty)
        }
    }
}

@Test func `a host that says how many recipients it takes is never asked for more`() async throws {
    try await story(["retry.first": "1h", "retry.ceiling": "1h"]) { stage in
        let limits = Peer.usualExtensions + ["LIMITS RCPTMAX=2 NEWMAX=1 MAILMAX=0"]
        let mx = try stage.host(extensions: limits) { command in
            guard command.step == .rcpt else { return nil }
            if command.recipients >= 2 { return .say("550 5.5.3 I have told you") }
            return command.line.contains("nobody") ? .say("550 5.1.1 no such user") : nil
        }
        let recipients = (0..<5).map { "r\($0)@example.test" }
        let client = try stage.client()
        let message = letter()
        let nobody = ["nobody0@example.test", "nobody1@example.test"]
        _ = try client.hand(from: "alice@origin.test", to: nobody + recipients, message)
        let mail = try mx.mail(3)
        #expect(mail.flatMap(\.recipients).sorted() == recipients)
        #expect(mail.allSatisfy { $0.session == 1 && $0.withoutReceived == message })
        let bounces = try eventually("two bounces") {
            let lines = stage.log("bounced") { $0["to"].contains("nobody") }
            return lines.count == 2 ? lines : nil
        }
        #expect(stage.log("deferred").isEmpty)
        #expect(mx.lines.filter { $0.hasPrefix("RCPT") }.count == 7)
        #expect(bounces.allSatisfy { $0["reply"].contains("5.1.1") && $0["attempt"] == "1" })
    }
}

@Test func `a host that says how much mail it takes in a session gets the rest in another`()
    async throws
{
    try await story(["sites.connections_start": "1", "sites.connections_max": "1"]) { stage in
        let mx = try stage.host(extensions: Peer.usualExtensions + ["LIMITS MAILMAX=2"])
        for _ in 0..<5 { try stage.submit(to: "bob@example.test") }
        let mail = try mx.mail(5)
        for session in 1...5 { #expect(mail.filter { $0.session == session }.count <= 2) }
        #expect(mx.lines.filter { $0 == "QUIT" }.count >= 2)
        #expect(stage.log("deferred").isEmpty)
    }
}

@Test func `a host that takes one domain in a session gets the others in sessions of their own`()
    async throws
{
    try await story(["sites.connections_start": "1", "sites.connections_max": "1"]) { stage in
        let mx = try stage.peer(10, extensions: ["LIMITS RCPTDOMAINMAX=1"])
        stage.mail(for: "one.test", to: 10)
        stage.mail(for: "two.test", to: 10)
        let recipients = ["a@one.test", "b@two.test", "c@one.test", "d@two.test"]
        let client = try stage.client()
        for _ in 0..<2 {
            _ = try client.hand(from: "alice@origin.test", to: recipients, letter())
        }
        try eventually("all is delivered") { stage.log("delivered").count == 8 }
        for session in 1...max(1, mx.sessions) {
            let mail = mx.accepted.filter { $0.session == session }
            let domains = Set(mail.flatMap(\.recipients).map { $0.suffix(8) })
            #expect(domains.count <= 1, "session \(session): \(domains)")
        }
        #expect(stage.log("deferred").isEmpty)
    }
}

@Test func `a full mailbox that says 452 is a mailbox's matter`() async throws {
    try await story { stage in
        let mx = try stage.host {
            $0.step == .rcpt && $0.line.contains("full@") && $0.count < 4
                ? .say("452 4.2.2 mailbox full") : nil
        }
        let id = try stage.submit(to: "bob@example.test", "full@example.test")
        let line = try stage.outcome("deferred", of: id, to: "full@example.test")
        #expect(line["because"] == "peer-deferred")
        try mx.mail(2)
    }
}

@Test func `a host without extensions gets its mail step by step`() async throws {
    try await story { stage in
        let plain = try stage.host(for: "plain.test", 10, extensions: [])
        let old = try stage.host(for: "old.test", 11) {
            $0.step == .ehlo ? .say("502 5.5.1 EHLO? never heard of it") : nil
        }
        let message = letter(body: "x\r\n.\r\n..y\r\n")
        try stage.submit(to: "bob@plain.test", "carol@plain.test", message: message)
        try stage.submit(to: "bob@old.test", message: message)
        let first = try plain.mail()[0]
        #expect(first.parameters == "" && first.withoutReceived == message)
        #expect(first.recipients.count == 2)
        let second = try old.mail()[0]
        #expect(second.parameters == "" && second.withoutReceived == message)
        #expect(old.lines.prefix(2) == ["EHLO relay.test", "HELO relay.test"])
    }
}

@Test func `what the host offers is used`() async throws {
    try await story { stage in
        let mx = try stage.host()
        let message = letter(body: "Gr\u{fc}\u{df}e\r\n")
        try stage.submit(to: "bob@example.test", message: message, parameters: " BODY=8BITMIME")
        let mail = try mx.mail()[0]
        #expect(mail.parameters.contains("BODY=8BITMIME"))
        #expect(mail.parameters.contains("SIZE=\(mail.content.count)"), "\(mail.parameters)")
    }
}

@Test func `a message too large for the host is returned with 5·3·4`() async throws {
    try await story { stage in
        let mx = try stage.host(extensions: ["SIZE 1000", "PIPELINING"])
        let back = try stage.host(for: "origin.test", 12)
        let long = letter(body: String(repeating: "sixteen bytes..\r\n", count: 200))
        let id = try stage.submit(to: "bob@example.test", message: long)
        #expect(try stage.outcome("bounced", of: id)["because"] == "message-too-large")
        #expect(try back.mail()[0].text.contains("\r\nStatus: 5.3.4\r\n"))
        #expect(mx.received.isEmpty)
    }
}

private let oddities: [(String, PeerStep, PeerAnswer)] = [
    ("an endless greeting", .connect, .flood(Array("220-and on and on\r\n".utf8))),
    ("an endless line", .connect, .flood([UInt8](repeating: 0x32, count: 4096))),
    ("an endless EHLO", .ehlo, .flood(Array("250-X-NEVER-ENDS\r\n".utf8))),
    ("no code", .ehlo, .raw(Array("hello\r\n".utf8))),
    ("a code of two digits", .mail, .raw(Array("25 ok\r\n".utf8))),
    ("a code beyond all", .mail, .raw(Array("999 what\r\n".utf8))),
    ("codes that change within a reply", .rcpt, .raw(Array("250-ok\r\n550 no\r\n".utf8))),
    ("zero bytes", .ehlo, .raw([0, 0, 0, 13, 10])),
    ("354 where 250 belongs", .mail, .say("354 go on")),
    ("250 where 354 belongs", .data, .say("250 ok")),
]

@Test func `hosts that speak nonsense cost an attempt and no more`() async throws {
    let settings = [
        "delivery.attempt_time": "3s", "delivery.greeting_timeout": "2s",
        "delivery.hello_timeout": "2s",
        "delivery.mail_timeout": "2s", "delivery.recipient_timeout": "2s",
    ]
    try await story(settings) { stage in
        var waiting: [(String, String, Peer)] = []
        for (number, (name, step, answer)) in oddities.enumerated() {
            let mx = try stage.host(for: "d\(number).test", 20 + number) {
                $0.step == step && $0.session == 1 ? answer : nil
            }
            waiting.append((name, try stage.submit(to: "bob@d\(number).test"), mx))
        }
        for (name, id, mx) in waiting {
            let line = try stage.outcome("deferred", of: id)
            #expect(line["reply"].utf8.count < 2000, "\(name)")
            #expect(try mx.mail(1).count == 1, "\(name)")
        }
        #expect(stage.log("bounced").isEmpty)
    }
}

@Test func `replies in odd but lawful form are understood`() async throws {
    try await story { stage in
        let mx = try stage.host { command in
            switch command.step {
            case .connect: .raw(Array("220-welcome\r\n220-\r\n220 peer.test\r\n".utf8))
            case .mail: .say("250")
            case .rcpt: .say("251 2.1.5 will forward")
            case .dot: .raw(Array("250-2.0.0 one\r\n250-2.0.0 two\r\n250 2.0.0 three\r\n".utf8))
            default: nil
            }
        }
        let id = try stage.submit(to: "bob@example.test")
        try mx.mail(1)
        #expect(try stage.outcome("delivered", of: id)["reply"].contains("one"))
    }
}

@Test func `a reply can't put words of its own into the log`() async throws {
    try await story { stage in
        _ = try stage.host {
            $0.step == .rcpt
                ? .raw(Array("550 5.1.1 no\u{1b}[31m \u{0}\"id\":\"forged\" \rx\r\n".utf8)) : nil
        }
        _ = try stage.host(for: "origin.test", 12)
        let id = try stage.submit(to: "bob@example.test")
        let line = try stage.outcome("bounced", of: id)
        #expect(line["id"] == id)
        #expect(!stage.logText.utf8.contains(0x1b) && !stage.logText.utf8.contains(0))
    }
}
