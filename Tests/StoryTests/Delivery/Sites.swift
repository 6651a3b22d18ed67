// Many sites at once: one that is dead, slow or busy is nobody else's trouble.

import Foundation
import Testing

@Test func `a dead domain never holds up the others`() async throws {
    let settings = [
        "delivery.connect_timeout": "2s", "delivery.greeting_timeout": "30s",
        "sites.connections_start": "2",
    ]
    try await story(settings) { stage in
        // One never greets, one refuses connections, one answers no names.
        let mute = try stage.host(for: "mute.test", 10) { $0.step == .connect ? .silence : nil }
        stage.name("refused.test", ["MX": [[10, "mx11.test"]]])
        stage.name("mx11.test", ["A": [stage.address(11)]])
        stage.name("nameless.test", ["silent": true])
        let live = try stage.host(for: "live.test", 12)
        let client = try stage.client()
        for number in 0..<60 {
            for domain in ["mute.test", "refused.test", "nameless.test"] {
                _ = try client.hand(from: "a@origin.test", to: ["r\(number)@\(domain)"], letter())
            }
        }
        let began = Date()
        for number in 0..<20 {
            _ = try client.hand(from: "a@origin.test", to: ["r\(number)@live.test"], letter())
        }
        try live.mail(20, within: 10)
        #expect(Date().timeIntervalSince(began) < 10)
        // The window of a site that is not known to be well stays small.
        #expect(mute.sessions <= 2, "\(mute.sessions)")
    }
}

@Test func `many messages to one site share connections`() async throws {
    try await story { stage in
        let mx = try stage.host()
        let client = try stage.client()
        for number in 0..<100 {
            _ = try client.hand(from: "a@origin.test", to: ["r\(number)@example.test"], letter())
        }
        try mx.mail(100)
        #expect(mx.sessions <= 20, "\(mx.sessions) connections for 100 messages")
        // One QUIT each, within the idle time; and no session is left behind.
        try eventually("connections end politely") {
            mx.lines.filter { $0 == "QUIT" }.count == mx.sessions
        }
    }
}

@Test func `a connection carries no more messages than it may`() async throws {
    try await story([
        "delivery.messages_per_connection": "3", "sites.connections_max": "1",
        "sites.connections_start": "1",
    ]) {
        stage in
        let mx = try stage.host()
        let client = try stage.client()
        for _ in 0..<9 {
            _ = try client.hand(from: "a@origin.test", to: ["bob@example.test"], letter())
        }
        let mail = try mx.mail(9)
        let perSession = Dictionary(grouping: mail, by: \.session).mapValues(\.count)
        #expect(perSession.values.allSatisfy { $0 <= 3 }, "\(perSession)")
    }
}

@Test func `a reused connection that the host has closed costs nothing`() async throws {
    try await story(["delivery.idle_time": "1m", "retry.first": "1h", "retry.ceiling": "1h"]) {
        stage in
        // Hangs up after each message's reply.
        let mx = try stage.host {
            $0.step == .dot ? .sayAndHangUp("250 2.0.0 taken, goodbye") : nil
        }
        for count in 1...5 {
            try stage.submit(to: "bob@example.test")
            try eventually("message \(count) arrives") { mx.accepted.count == count }
        }
        #expect(stage.log("deferred").isEmpty)
    }
}

@Test func `a site that fails is left alone for a while, then probed by one`() async throws {
    try await story(["sites.backoff_first": "2s", "retry.first": "1s"]) { stage in
        stage.mail(for: "example.test", to: 10)
        stage.name("mx10.test", ["A": [stage.address(10)]])
        let client = try stage.client()
        for number in 0..<20 {
            _ = try client.hand(from: "a@origin.test", to: ["r\(number)@example.test"], letter())
        }
        let site = try stage.logged("site") { $0["state"] == "backing-off" }
        #expect(site["because"] == "connection-refused" && site["until"] != "", "\(site)")
        let mx = try stage.peer(10)
        try mx.mail(20, within: 30)
        try stage.logged("site") { $0["state"] == "open" }
    }
}
