// Static routes: a domain's own hosts, the smarthost for all others, failover in their order.

import Foundation
import Synchronization
import Testing

private func route(_ name: String, _ domains: String, _ hosts: [String]) -> String {
    let list = hosts.map { "\"\($0)\"" }.joined(separator: ", ")
    return "[[route]]\nname = \"\(name)\"\ndomains = [\(domains)]\nhosts = [\(list)]\n"
}

@Test func `a route's hosts are tried in their order, by name, address and port`() async throws {
    try await story(["retry.first": "1h", "retry.ceiling": "1h"], starts: false) { stage in
        let place = Place(stage.address(12), 2600)
        stage.more = route(
            "list",
            "\"example.test\"",
            ["\(stage.address(10)):2600", "mx11.test", place.description]
        )
        // 10 is dead; 11 turns everybody away; 12 takes it.
        let second = try stage.peer(11) { $0.step == .connect ? .sayAndHangUp("421 busy") : nil }
        let third = try stage.peer(at: place)
        stage.name("example.test", ["MX": [[10, "nowhere.test"]]])
        try stage.start()
        let id = try stage.submit(to: "bob@example.test")
        try third.mail(1)
        #expect(second.sessions == 1)
        #expect(try stage.outcome("delivered", of: id)["attempt"] == "1")
        #expect(!stage.questions.contains("MX example.test"), "\(stage.questions)")
    }
}

@Test func `the first host of a route gets all while it is well`() async throws {
    try await story(starts: false) { stage in
        stage.more = route("pair", "\"example.test\"", ["mx10.test", "mx11.test"])
        let (first, second) = (try stage.peer(10), try stage.peer(11))
        try stage.start()
        for _ in 0..<10 { try stage.submit(to: "bob@example.test") }
        try first.mail(10)
        #expect(second.sessions == 0)
    }
}

@Test func `a smarthost takes everything that has no route of its own`() async throws {
    try await story(starts: false) { stage in
        stage.more =
            route("smarthost", "\"*\"", ["\(stage.address(10)):2600"])
            + route("inside", "\"inside.test\", \".inside.test\"", ["\(stage.address(11)):2600"])
            + route("deep", "\".deep.inside.test\"", ["\(stage.address(12)):2600"])
        let smart = try stage.peer(at: Place(stage.address(10), 2600))
        let inside = try stage.peer(at: Place(stage.address(11), 2600))
        let deep = try stage.peer(at: Place(stage.address(12), 2600))
        try stage.start()
        for domain in [
            "anywhere.test", "never-heard-of.test", "INSIDE.test", "a.inside.test",
            "deep.inside.test",
            "x.deep.inside.test",
        ] {
            try stage.submit(to: "bob@\(domain)")
        }
        let to = { (peer: Peer) in Set(peer.accepted.flatMap(\.recipients).map { $0.lowercased() })
        }
        try smart.mail(2)
        try inside.mail(3)
        try deep.mail(1)
        #expect(to(smart) == ["bob@anywhere.test", "bob@never-heard-of.test"])
        #expect(to(inside) == ["bob@inside.test", "bob@a.inside.test", "bob@deep.inside.test"])
        #expect(to(deep) == ["bob@x.deep.inside.test"])
        #expect(stage.questions.isEmpty, "\(stage.questions)")
    }
}

@Test func `a route changed by reload holds for mail that waits`() async throws {
    try await story(starts: false) { stage in
        stage.more = route("out", "\"example.test\"", ["\(stage.address(10)):2600"])
        try stage.start()
        let id = try stage.submit(to: "bob@example.test")
        try stage.outcome("deferred", of: id)
        let mx = try stage.peer(at: Place(stage.address(11), 2600))
        stage.more = route("out", "\"example.test\"", ["\(stage.address(11)):2600"])
        try stage.reload()
        try mx.mail(1, within: 30)
    }
}

@Test func `a route made by reload takes mail that waited for its domain's own hosts`() async throws
{
    try await story(starts: false) { stage in
        stage.name("example.test", ["MX": [[10, "mx10.test"]]])
        // An address where nobody listens.
        stage.name("mx10.test", ["A": [stage.address(10)]])
        try stage.start()
        let id = try stage.submit(to: "bob@example.test")
        try stage.outcome("deferred", of: id)
        let host = try stage.peer(at: Place(stage.address(11), 2600))
        stage.more = route("out", "\"example.test\"", ["\(stage.address(11)):2600"])
        try stage.reload()
        try host.mail(1, within: 30)
    }
}

@Test func `a route added before a start takes mail that waited`() async throws {
    try await story { stage in
        stage.mail(for: "example.test", to: 10)
        stage.name("mx10.test", ["A": [stage.address(10)]])
        let id = try stage.submit(to: "bob@example.test")
        try stage.outcome("deferred", of: id)
        let mx = try stage.peer(at: Place(stage.address(11), 2600))
        stage.more = route("new", "\"example.test\"", ["\(stage.address(11)):2600"])
        try stage.restart()
        try mx.mail(1)
    }
}

@Test func `mail that goes round ends as one bounce`() async throws {
    try await story(["listener.max_received": "10"], starts: false) { stage in
        // The relay is its own next hop for that domain, which the name alone does not show.
        stage.name("round.test", ["A": [stage.address(1)]])
        stage.more = route("round", "\"loop.test\"", ["round.test:\(stage.place.port)"])
        let back = try stage.host(for: "origin.test", 12)
        try stage.start()
        try stage.submit(to: "bob@loop.test")
        let bounce = try back.mail(1)[0]
        #expect(bounce.text.contains("\r\nStatus: 5.4.6\r\n"), "\(bounce.text)")
        #expect(stage.log("bounced").count == 1)
    }
}

@Test func `a smarthost that does not let us relay stops the route with one alert, not the mail`()
    async throws
{
    try await story(["sites.backoff_first": "1s", "sites.backoff_ceiling": "2s"], starts: false) {
        stage in
        stage.more = route("smarthost", "\"*\"", ["mx10.test"])
        let isMended = Mutex(false)
        let smarthost = try stage.peer(10) { command in
            command.step == .rcpt && !isMended.withLock { $0 }
                ? .say("554 5.7.1 Relay access denied") : nil
        }
        try stage.start()
        for number in 0..<5 { try stage.submit(to: "r\(number)@any.test") }
        try stage.logged("deferred") { $0["because"] == "route-refused" }
        let alert = try stage.noticed("is stopped")
        #expect(alert["level"] == "error" && alert["text"].contains("Relay access denied"))
        Thread.sleep(forTimeInterval: 4)
        #expect(stage.log("bounced").isEmpty)
        isMended.withLock { $0 = true }
        try smarthost.mail(5, within: 30)
        _ = try stage.noticed("takes our mail again")
        let alerts = stage.log("notice") { $0["text"].contains("is stopped") }
        #expect(alerts.count == 1)
    }
}
