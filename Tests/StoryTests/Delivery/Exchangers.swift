// Where mail goes by its domain's records (RFC 5321 §5.1, RFC 7505), and to whom next when a host
// fails.

import Foundation
import Testing

@Test func `the best MX gets the mail and the others none`() async throws {
    try await story { stage in
        stage.name(
            "example.test",
            ["MX": [[20, "mx11.test"], [10, "mx10.test"], [30, "mx12.test"]]]
        )
        let best = try stage.peer(10)
        let others = try [stage.peer(11), stage.peer(12)]
        let message = letter()
        for _ in 0..<5 { try stage.submit(to: "bob@example.test", message: message) }
        #expect(try best.mail(5).allSatisfy { $0.withoutReceived == message })
        #expect(others.allSatisfy { $0.sessions == 0 })
        #expect(best.lines[0] == "EHLO relay.test")
        let line = try stage.logged("delivered")
        #expect(line["host"].contains("mx10.test") && line["host"].contains(stage.address(10)))
        #expect(line["from"] == "<alice@origin.test>" && line["reply"].contains("taken"))
    }
}

private let refusals: [(String, PeerStep, PeerAnswer)] = [
    ("4xx greeting", .connect, .sayAndHangUp("421 4.3.2 too busy")),
    ("5xx greeting", .connect, .sayAndHangUp("554 5.7.1 not you")),
    ("dropped before its greeting", .connect, .hangUp),
    ("dropped at EHLO", .ehlo, .hangUp),
    ("4xx at EHLO", .ehlo, .say("450 4.7.1 try later")),
    ("4xx at MAIL", .mail, .say("451 4.3.0 no")),
    ("dropped at MAIL", .mail, .hangUp),
    ("4xx at RCPT", .rcpt, .say("450 4.2.1 greylisted")),
    ("dropped at RCPT", .rcpt, .hangUp),
    ("4xx at DATA", .data, .say("451 4.3.0 no")),
    ("dropped at DATA", .data, .hangUp),
    ("4xx to the final dot", .dot, .say("451 4.3.0 no")),
    ("no SMTP at all", .connect, .raw(Array("SSH-2.0-OpenSSH_9.2\r\n".utf8))),
]

@Test func `when the first host fails the second takes over in the same attempt`() async throws {
    try await story(["retry.first": "1h", "retry.ceiling": "1h"]) { stage in
        for (number, (name, step, answer)) in refusals.enumerated() {
            let (bad, good) = (20 + 2 * number, 21 + 2 * number)
            let domain = "d\(number).test"
            stage.mail(for: domain, to: bad, good)
            let first = try stage.peer(bad) { $0.step == step ? answer : nil }
            let second = try stage.peer(good)
            let message = letter(subject: name)
            let id = try stage.submit(to: "bob@\(domain)", message: message)
            let line = try stage.outcome("delivered", of: id)
            #expect(line["attempt"] == "1", "\(name)")
            #expect(first.accepted.isEmpty && first.sessions > 0, "\(name)")
            #expect(second.accepted.map(\.withoutReceived) == [message], "\(name)")
        }
    }
}

@Test func `a host that hangs up within a long message is followed by the next`() async throws {
    try await story(["retry.first": "1h", "retry.ceiling": "1h"]) { stage in
        stage.mail(for: "example.test", to: 10, 11)
        let first = try stage.peer(10) { $0.step == .data ? .sayAndHangUp("354 go on") : nil }
        let second = try stage.peer(11)
        // More than sockets hold, so that it can't be all out when the connection ends.
        let body = String(repeating: String(repeating: "x", count: 98) + "\r\n", count: 120_000)
        let message = letter(body: body)
        let id = try stage.submit(to: "bob@example.test", message: message)
        #expect(try stage.outcome("delivered", of: id, within: 30)["attempt"] == "1")
        #expect(first.sessions == 1 && first.received.isEmpty)
        #expect(second.accepted.map(\.withoutReceived) == [message])
    }
}

@Test func `a host that refuses the connection is followed by the next`() async throws {
    try await story(["retry.first": "1h", "retry.ceiling": "1h"]) { stage in
        // Nobody listens at 10.
        stage.name("mx10.test", ["A": [stage.address(10)]])
        stage.mail(for: "example.test", to: 10, 11)
        let second = try stage.peer(11)
        let id = try stage.submit(to: "bob@example.test")
        #expect(try stage.outcome("delivered", of: id)["attempt"] == "1")
        try second.mail(1)
    }
}

@Test func `a recipient refused for good by the first host is not tried at the second`()
    async throws
{
    try await story { stage in
        stage.mail(for: "example.test", to: 10, 11)
        stage.mail(for: "origin.test", to: 12)
        _ = try stage.peer(10) { $0.step == .rcpt ? .say("550 5.1.1 no such user") : nil }
        let second = try stage.peer(11)
        let back = try stage.peer(12)
        let id = try stage.submit(to: "bob@example.test")
        try stage.outcome("bounced", of: id)
        try back.mail(1)
        #expect(second.sessions == 0)
    }
}

@Test func `hosts of equal preference share the mail`() async throws {
    try await story(["delivery.messages_per_connection": "1"]) { stage in
        stage.name(
            "example.test",
            ["MX": [[10, "mx10.test"], [10, "mx11.test"], [10, "mx12.test"]]]
        )
        let peers = try [stage.peer(10), stage.peer(11), stage.peer(12)]
        for _ in 0..<40 { try stage.submit(to: "bob@example.test") }
        try eventually("all arrive") { peers.map(\.accepted.count).reduce(0, +) == 40 }
        // A fair choice leaves one out of three with none in forty once in ten million runs.
        #expect(peers.allSatisfy { $0.accepted.count > 0 }, "\(peers.map(\.accepted.count))")
    }
}

private struct Names: Sendable {
    let name: String
    let reason: String
    let status: String
    let records: @Sendable (Stage) -> Void
}

@Test func `domains that take no mail bounce at once and say why`() async throws {
    try await story(["retry.first": "1h", "retry.ceiling": "1h"]) { stage in
        let back = try stage.host(for: "origin.test", 12)
        stage.name("null.test", ["MX": [[0, "."]]])
        stage.name("nothing.test", ["TXT": ["no mail here"]])
        stage.name("dangling.test", ["MX": [[10, "gone.test"]]])
        stage.name("self.test", ["MX": [[10, "relay.test"]]])
        let cases = [
            ("null.test", "null-mx", "5.1.10"), ("gone.test", "domain-not-found", "5.1.2"),
            ("nothing.test", "", "5."), ("dangling.test", "", "5."),
            ("self.test", "mail-loop", "5.4.6"),
        ]
        for (domain, reason, status) in cases {
            let id = try stage.submit(to: "bob@\(domain)", message: letter(to: "bob@\(domain)"))
            let line = try stage.outcome("bounced", of: id)
            if !reason.isEmpty { #expect(line["because"] == reason, "\(line)") }
            let bounce = try eventually("the bounce for \(domain)") {
                back.accepted.first { $0.text.contains("Final-Recipient: rfc822; bob@\(domain)") }
            }
            #expect(bounce.text.contains("\r\nStatus: \(status)"), "\(domain): \(bounce.text)")
        }
        #expect(back.accepted.count == cases.count)
    }
}

@Test func `a name server in trouble puts mail off and nothing is lost`() async throws {
    try await story(["resolver.timeout": "300ms", "resolver.attempts": "1"]) { stage in
        stage.name("broken.test", ["rcode": "SERVFAIL"])
        stage.name("mute.test", ["silent": true])
        stage.name("refused.test", ["rcode": "REFUSED"])
        stage.name("half.test", ["MX": [[10, "halfmx.test"]]])
        stage.name("halfmx.test", ["rcode": "SERVFAIL"])
        let domains = ["broken.test", "mute.test", "refused.test", "half.test"]
        for domain in domains {
            let id = try stage.submit(to: "bob@\(domain)")
            let line = try stage.outcome("deferred", of: id)
            #expect(line["because"].hasPrefix("name-server"), "\(line)")
            #expect(line["next"] != "")
        }
        let mx = try stage.peer(10)
        stage.mail(for: "half.test", to: 10)
        for domain in domains { stage.mail(for: domain, to: 10) }
        #expect(Set(try mx.mail(4).flatMap(\.recipients)) == Set(domains.map { "bob@\($0)" }))
    }
}

@Test func `a domain without MX gets mail at its own address`() async throws {
    try await story { stage in
        stage.name("host.test", ["A": [stage.address(10)]])
        let mx = try stage.peer(at: Place(stage.address(10), Stage.mailPort))
        try stage.submit(to: "bob@host.test")
        try mx.mail(1)
    }
}

@Test func `aliases are followed, for domains and for hosts`() async throws {
    try await story { stage in
        stage.name("alias.test", ["CNAME": "real.test"])
        stage.name("real.test", ["MX": [[10, "mailalias.test"]]])
        stage.name("mailalias.test", ["CNAME": "mx10.test"])
        let mx = try stage.peer(10)
        try stage.submit(to: "bob@alias.test")
        // The recipient keeps the name that its sender wrote (RFC 5321 §2.3.5 and RFC 1123 moved on).
        #expect(try mx.mail()[0].recipients == ["bob@alias.test"])
    }
}

@Test func `an address literal goes to that address`() async throws {
    try await story { stage in
        let mx = try stage.peer(10)
        try stage.submit(to: "bob@[\(stage.address(10))]")
        #expect(try mx.mail()[0].recipients == ["bob@[\(stage.address(10))]"])
    }
}

@Test func `a host with an IPv6 address is reached over it`() async throws {
    try await story(more: "", starts: false) { stage in
        let mx = try stage.peer(at: Place("::1", 0))
        stage.settings["delivery.port"] = String(mx.place.port)
        try stage.start()
        stage.name("six.test", ["MX": [[10, "mx6.test"]]])
        stage.name("mx6.test", ["AAAA": ["::1"]])
        let id = try stage.submit(to: "bob@six.test")
        try mx.mail(1)
        #expect(try stage.outcome("delivered", of: id)["host"].contains("::1"))
    }
}

@Test func `what is refused for our IPv6 address goes over IPv4, an unknown user bounces`()
    async throws
{
    try await story(more: "", starts: false) { stage in
        let six = try stage.peer(at: Place("::1", 0)) {
            switch ($0.step, $0.recipients) {
            case (.rcpt, _) where $0.line.contains("nobody"): .say("550 5.1.1 no such user")
            case (.dot, _): .say("550 5.7.25 [::1] has no PTR record; see our IPv6 policy")
            default: nil
            }
        }
        let four = try stage.peer(at: Place(stage.address(11), six.place.port))
        stage.settings["delivery.port"] = String(six.place.port)
        stage.settings["delivery.address_family"] = "prefer-ipv6"
        try stage.start()
        stage.name("both.test", ["MX": [[10, "mxb.test"]]])
        stage.name("mxb.test", ["AAAA": ["::1"], "A": [stage.address(11)]])
        let id = try stage.submit(to: "bob@both.test", "nobody@both.test")
        try four.mail(1)
        let delivered = try stage.outcome("delivered", of: id, to: "bob@both.test")
        #expect(delivered["attempt"] == "1" && delivered["host"].contains(stage.address(11)))
        let bounced = try stage.outcome("bounced", of: id, to: "nobody@both.test")
        #expect(bounced["host"].contains("::1"))
    }
}

@Test func `a dead first address of a host is followed by its second`() async throws {
    try await story(["retry.first": "1h", "retry.ceiling": "1h"]) { stage in
        stage.mail(for: "example.test", to: 10)
        let second = try stage.peer(at: Place(stage.address(11), Stage.mailPort))
        stage.name("mx10.test", ["A": [stage.address(10), stage.address(11)], "AAAA": ["::1"]])
        let id = try stage.submit(to: "bob@example.test")
        #expect(try stage.outcome("delivered", of: id)["attempt"] == "1")
        try second.mail(1)
    }
}

@Test func `an answer too large for a datagram is asked for again over TCP`() async throws {
    try await story { stage in
        let mx = try stage.peer(10)
        stage.name("long.test", ["MX": [[10, "mx10.test"]], "truncate": true])
        try stage.submit(to: "bob@long.test")
        try mx.mail(1)
    }
}

@Test func `a changed MX moves waiting mail to the new host`() async throws {
    try await story { stage in
        stage.mail(for: "example.test", to: 10)
        stage.name("mx10.test", ["A": [stage.address(10)]])
        stage.settings["resolver.ttl_min"] = "0s"
        try stage.reload()
        let id = try stage.submit(to: "bob@example.test")
        try stage.outcome("deferred", of: id)
        let mx = try stage.peer(11)
        stage.mail(for: "example.test", to: 11)
        try mx.mail(1, within: 30)
    }
}
