// Routes that ask for more than a domain, and those that lead to no host of their own.

import Foundation
import Testing

private func route(_ name: String, _ lines: String...) -> String {
    "[[route]]\nname = \"\(name)\"\n" + lines.joined(separator: "\n") + "\n"
}

private func hosts(_ stage: Stage, _ number: Int) -> String {
    "hosts = [\"\(stage.address(number)):\(Stage.mailPort)\"]"
}

@Test func `each sender has its own smarthost, and reports go by MX`() async throws {
    try await story(starts: false) { stage in
        stage.more =
            route("billing", "senders = [\"billing@shop.test\"]", hosts(stage, 11))
            + route("news", "senders = [\".news.test\"]", hosts(stage, 12))
            + route("reports", "senders = [\"<>\"]", "target = \"mx\"")
            + route("rest", "domains = [\"*\"]", hosts(stage, 13))
        let billing = try stage.peer(11)
        let news = try stage.peer(12) {
            $0.step == .rcpt ? .say("550 5.1.1 nobody of that name") : nil
        }
        let rest = try stage.peer(13)
        let back = try stage.host(for: "a.news.test", 14)
        try stage.start()
        try stage.submit(from: "billing@shop.test", to: "bob@example.test")
        try stage.submit(from: "help@shop.test", to: "bob@example.test")
        try stage.submit(from: "letter@a.news.test", to: "bob@example.test")
        try billing.mail(1)
        try rest.mail(1)
        #expect(try back.mail(1)[0].recipients == ["letter@a.news.test"])
        #expect(news.accepted.isEmpty && billing.accepted.count == 1)
    }
}

@Test func `a header field chooses the route, also after a restart`() async throws {
    try await story(["retry.first": "2s"], starts: false) { stage in
        stage.more =
            route(
                "bulk",
                "header = [\"X-Stream: bulk-*\"]",
                "helo = \"bulk.test\"",
                "source_ipv4 = \"\(stage.address(77))\"",
                "target = \"mx\""
            )
        let mx = try stage.host { $0.step == .rcpt && $0.count == 1 ? .say("451 later") : nil }
        try stage.start()
        let bulk = try stage.submit(
            to: "bob@example.test",
            message: Array("X-Stream:\r\n Bulk-7\r\n".utf8) + letter()
        )
        try stage.outcome("deferred", of: bulk)
        try stage.submit(
            to: "bob@example.test",
            message: Array("X-Stream: other\r\n".utf8) + letter()
        )
        try mx.mail(1)
        try stage.restart()
        let mail = try mx.mail(2)
        #expect(mail.map(\.helo) == ["relay.test", "bulk.test"])
        #expect(try stage.outcome("delivered", of: bulk)["site"] == "mx:mx10.test:2526+route=bulk")
    }
}

@Test func `a route bounces, discards or holds`() async throws {
    try await story(starts: false) { stage in
        stage.more =
            route(
                "gone",
                "domains = [\"gone.test\"]",
                "target = \"bounce\"",
                "text = \"5.1.6 we moved\""
            )
            + route("void", "domains = [\"void.test\"]", "target = \"discard\"")
            + route("check", "domains = [\"check.test\"]", "target = \"hold\"")
            + route("inside", "domains = [\"check.test\"]", hosts(stage, 12))
        let back = try stage.host(for: "origin.test", 11)
        let inside = try stage.peer(12)
        try stage.start()
        let gone = try stage.submit(to: "bob@gone.test")
        let void = try stage.submit(to: "bob@void.test")
        let held = try stage.submit(to: "bob@check.test", "carol@check.test")
        #expect(try stage.outcome("bounced", of: gone)["because"] == "route-bounces")
        let report = try back.mail(1)[0].text
        #expect(report.contains("Status: 5.1.6") && report.contains("we moved"), "\(report)")
        #expect(try stage.outcome("discarded", of: void)["because"] == "route-discards")
        try stage.logged("moved") { $0["id"] == held && $0["because"] == "route-holds" }
        try stage.restart()
        let queue = try stage.ask("queue", "--json")
        #expect(queue.contains(held) && queue.contains("\"state\":\"held\""), "\(queue)")
        #expect(!queue.contains(gone) && !queue.contains(void))
        #expect(inside.accepted.isEmpty)
        _ = try stage.ask("queue", "release", held)
        #expect(try inside.mail(1)[0].recipients == ["bob@check.test", "carol@check.test"])
        #expect(back.accepted.count == 1)
    }
}

@Test func `mail that its route's host does not take goes by the fallback`() async throws {
    try await story(["retry.first": "1s", "retry.ceiling": "1s"], starts: false) { stage in
        stage.more =
            route(
                "first",
                "domains = [\"*\"]",
                hosts(stage, 11),
                "fallback = \"second\"",
                "fallback_after = 2"
            ) + route("second", hosts(stage, 12))
        let first = try stage.peer(11) {
            $0.step == .rcpt && $0.line.contains("bob") ? .say("451 4.7.1 greylisted") : nil
        }
        let second = try stage.peer(12)
        try stage.start()
        let id = try stage.submit(to: "bob@example.test", "carol@example.test")
        #expect(try second.mail(1, within: 30)[0].recipients == ["bob@example.test"])
        #expect(try first.mail(1)[0].recipients == ["carol@example.test"])
        #expect(try stage.outcome("delivered", of: id, to: "bob@example.test")["attempt"] == "3")
    }
}

@Test func `what a host takes for spam goes by the fallback, an unknown user bounces`()
    async throws
{
    try await story(starts: false) { stage in
        stage.more =
            route(
                "first",
                "domains = [\"example.test\"]",
                hosts(stage, 11),
                "fallback = \"second\"",
                "fallback_on = [\"spam\"]"
            ) + route("second", hosts(stage, 12))
        let first = try stage.peer(11) {
            switch $0.step {
            case .rcpt where $0.line.contains("nobody"): .say("550 5.1.1 no such user")
            case .dot: .say("554 5.7.1 message looks like spam")
            default: nil
            }
        }
        let second = try stage.peer(12)
        _ = try stage.host(for: "origin.test", 13)
        try stage.start()
        let id = try stage.submit(to: "bob@example.test", "nobody@example.test")
        #expect(try second.mail(1)[0].recipients == ["bob@example.test"])
        try stage.outcome("bounced", of: id, to: "nobody@example.test")
        #expect(first.accepted.isEmpty)
    }
}

@Test func `by LMTP each mailbox has its own outcome`() async throws {
    try await story(starts: false) { stage in
        stage.more = route(
            "mailboxes",
            "domains = [\"inside.test\"]",
            "target = \"lmtp\"",
            "hosts = [\"\(stage.address(11)):2600\"]"
        )
        let mailboxes = try stage.peer(at: Place(stage.address(11), 2600), speaksLMTP: true) {
            switch ($0.step, $0.line) {
            case (.dot, "full@inside.test"): .say("552 5.2.2 mailbox full")
            case (.dot, "busy@inside.test") where $0.count < 5: .say("452 4.2.1 try later")
            case (.rcpt, _) where $0.line.contains("nobody"): .say("550 5.1.1 nobody")
            default: nil
            }
        }
        let back = try stage.host(for: "origin.test", 12)
        try stage.start()
        let id = try stage.submit(
            to: "bob@inside.test",
            "full@inside.test",
            "nobody@inside.test",
            "busy@inside.test"
        )
        #expect(
            try mailboxes.mail(2).map(\.recipients) == [["bob@inside.test"], ["busy@inside.test"]]
        )
        #expect(
            try stage.outcome("bounced", of: id, to: "full@inside.test")["reply"].contains("5.2.2")
        )
        let report = try back.mail(1)[0].text
        #expect(report.contains("full@inside.test") && report.contains("nobody@inside.test"))
        #expect(!report.contains("<bob@inside.test>:"))
        #expect(mailboxes.lines.contains("LHLO relay.test"))
        #expect(try stage.outcome("delivered", of: id, to: "busy@inside.test")["attempt"] == "2")
    }
}

@Test func `a socket of this machine that is not there is a host that is not there`() async throws {
    try await story(starts: false) { stage in
        stage.more = route(
            "mailboxes",
            "domains = [\"*\"]",
            "target = \"lmtp\"",
            "hosts = [\"unix:\(stage.directory)/lmtp\"]"
        )
        try stage.start()
        let id = try stage.submit(to: "bob@inside.test")
        let deferred = try stage.outcome("deferred", of: id)
        #expect(deferred["because"] == "host-unreachable", "\(deferred)")
        #expect(deferred["host"] == "unix:\(stage.directory)/lmtp")
        #expect(deferred["reply"].contains("No such file or directory"), "\(deferred)")
    }
}

@Test func `mail in flight while routes change goes by the new ones after its attempt`()
    async throws
{
    try await story(["retry.first": "1s"], starts: false) { stage in
        stage.more = route("old", "domains = [\"*\"]", hosts(stage, 11))
        let old = try stage.peer(11) {
            switch $0.step {
            case .dot: $0.count == 1 ? .wait(seconds: 3) : nil
            case .rcpt where $0.line.contains("slow"): nil
            case .rcpt: .say("451 4.7.1 later")
            default: nil
            }
        }
        let new = try stage.peer(12)
        try stage.start()
        // bob is refused for now in the same transaction whose final dot takes so long.
        let id = try stage.submit(to: "slow@example.test", "bob@example.test")
        try eventually("the message is sent") {
            !old.received.isEmpty || old.lines.contains("DATA")
        }
        stage.more =
            route("check", "recipients = [\"bob@example.test\"]", "target = \"hold\"")
            + route("new", "domains = [\"*\"]", hosts(stage, 12))
        try stage.reload()
        try stage.logged("moved") { $0["id"] == id && $0["because"] == "route-holds" }
        #expect(try old.mail(1)[0].recipients == ["slow@example.test"])
        #expect(old.lines.filter { $0.contains("bob") }.count == 1 && new.accepted.isEmpty)
    }
}

@Test func `a host that a route has no longer gets no mail of it`() async throws {
    let short = ["delivery.greeting_timeout": "2s", "retry.own_fault": "1s"]
    try await story(short, starts: false) { stage in
        stage.more = route(
            "out",
            "domains = [\"*\"]",
            "hosts = [\"\(stage.address(11)):2526\", \"\(stage.address(12)):2526\"]"
        )
        let hung = try stage.peer(11) { $0.step == .connect ? .silence : nil }
        let old = try stage.peer(12)
        let new = try stage.peer(13)
        try stage.start()
        try stage.submit(to: "bob@example.test")
        try eventually("the first host is asked") { hung.sessions == 1 }
        stage.more = route("out", "domains = [\"*\"]", hosts(stage, 13))
        try stage.reload()
        try new.mail(1)
        #expect(old.sessions == 0)
    }
}

@Test func `a release stays one while another recipient is in flight`() async throws {
    try await story(starts: false) { stage in
        stage.more =
            route("check", "recipients = [\"held@example.test\"]", "target = \"hold\"")
            + route("slow", "recipients = [\"slow@example.test\"]", hosts(stage, 11))
            + route("rest", "domains = [\"*\"]", hosts(stage, 12))
        let slow = try stage.peer(11) { $0.step == .dot ? .wait(seconds: 4) : nil }
        let rest = try stage.peer(12)
        try stage.start()
        let id = try stage.submit(to: "held@example.test", "slow@example.test")
        try stage.logged("moved") { $0["id"] == id && $0["because"] == "route-holds" }
        try eventually("the other is being delivered") { slow.lines.contains("DATA") }
        _ = try stage.ask("queue", "release", id)
        #expect(try rest.mail(1)[0].recipients == ["held@example.test"])
        try slow.mail(1)
        #expect(stage.log("moved") { $0["because"] == "route-holds" }.count == 1)
        try eventually("the queue is empty") { try stage.ask("queue", "--json").isEmpty }
    }
}

@Test func `a login that can't be had leaves the mail to the fallback at once`() async throws {
    try await story(["retry.first": "1h", "retry.ceiling": "1h"], starts: false) { stage in
        let password = stage.directory + "/password"
        try "secret\n".write(toFile: password, atomically: true, encoding: .utf8)
        chmod(password, 0o600)
        stage.more =
            "[[login]]\nname = \"hop\"\nuser = \"u\"\npassword_file = \"\(password)\"\n"
            + route(
                "first",
                "domains = [\"*\"]",
                hosts(stage, 11),
                "login = \"hop\"",
                "fallback = \"second\""
            ) + route("second", hosts(stage, 12))
        let first = try stage.peer(11)
        let second = try stage.peer(12)
        try stage.start()
        chmod(password, 0o644)
        let id = try stage.submit(to: "bob@example.test")
        #expect(try stage.outcome("deferred", of: id)["because"] == "login-unavailable")
        try second.mail(1)
        #expect(first.accepted.isEmpty)
        // All three attempts of the first route are used up, and the fourth was the fallback's.
        #expect(try stage.outcome("delivered", of: id)["attempt"] == "4")
    }
}

@Test func `a reload while a connection is opened is no fault of the new hosts`() async throws {
    try await story(
        ["retry.own_fault": "1s", "sites.backoff_first": "1h", "sites.backoff_ceiling": "1h"],
        starts: false
    ) {
        stage in
        stage.more = route("out", "domains = [\"*\"]", hosts(stage, 11))
        let old = try stage.peer(11) { $0.step == .connect ? .wait(seconds: 3) : nil }
        let new = try stage.peer(12)
        try stage.start()
        try stage.submit(to: "first@example.test")
        try eventually("the old host is asked") { old.sessions == 1 }
        stage.more = route("out", "domains = [\"*\"]", hosts(stage, 12))
        try stage.reload()
        try stage.submit(to: "second@example.test")
        try new.mail(2)
        #expect(old.accepted.isEmpty)
        #expect(stage.log("site") { $0["state"] == "backing-off" }.isEmpty)
    }
}

@Test func `a reply too many after LMTP's last is not taken for the next one`() async throws {
    try await story(["sites.connections_max": "1"], starts: false) { stage in
        stage.more = route(
            "mailboxes",
            "domains = [\"inside.test\"]",
            "target = \"lmtp\"",
            "hosts = [\"\(stage.address(11)):2600\"]"
        )
        let mailboxes = try stage.peer(at: Place(stage.address(11), 2600), speaksLMTP: true) {
            switch ($0.step, $0.line) {
            case (.dot, "one@inside.test"): .say("250 2.0.0 stored\r\n250 2.0.0 stored again")
            case (.rcpt, _) where $0.line.contains("bad"): .say("550 5.1.1 nobody")
            default: nil
            }
        }
        try stage.start()
        try stage.submit(to: "one@inside.test")
        try mailboxes.mail(1)
        let id = try stage.submit(to: "good@inside.test", "bad@inside.test")
        try mailboxes.mail(2)
        #expect(try stage.outcome("bounced", of: id)["to"] == "<bad@inside.test>")
        try stage.outcome("delivered", of: id, to: "good@inside.test")
    }
}
