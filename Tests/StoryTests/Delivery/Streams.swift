// Whose turn it is: many letters of one sender beside one of another, urgent mail, a stream's rate.

import Foundation
import Testing

private let smarthost = """
    [[route]]
    name = "smarthost"
    domains = ["*"]
    hosts = ["HOST"]

    """

private let oneConnection = [
    "sites.connections_min": "1", "sites.connections_start": "1", "sites.connections_max": "1",
]

/// Keeps a host from answering until all mail is in the queue.
private final class Gate: Sendable {
    private let semaphore = DispatchSemaphore(value: 0)

    func wait() {
        _ = semaphore.wait(timeout: .now() + 60)
        semaphore.signal()
    }
    func open() { semaphore.signal() }
}

private func settings(_ stage: Stage, _ more: String = "") -> String {
    smarthost.replacingOccurrences(of: "HOST", with: "\(stage.address(11)):\(Stage.mailPort)")
        + more
}

@Test func `one sender's hundred letters do not stand before another's one`() async throws {
    try await story(oneConnection, starts: false) { stage in
        stage.more = settings(stage)
        let gate = Gate()
        let host = try stage.peer(11) {
            if $0.step == .mail { gate.wait() }
            return nil
        }
        try stage.start()
        for n in 0..<100 {
            try stage.submit(from: "news+\(n)=x@shop.test", to: "n\(n)@example.test")
        }
        try stage.submit(from: "noreply@shop.test", to: "anna@example.test")
        gate.open()
        let order = try host.mail(101, within: 60).flatMap(\.recipients)
        let place = try #require(order.firstIndex(of: "anna@example.test"))
        #expect(place <= 2, "after \(place) others")
    }
}

@Test func `urgent mail goes first, and a stream no faster than its rate`() async throws {
    try await story(oneConnection, starts: false) { stage in
        stage.more = settings(
            stage,
            """
            [[stream]]
            name = "alerts"
            senders = ["alerts@shop.test"]
            priority = "high"

            [[stream]]
            name = "slow"
            senders = ["slow@shop.test"]
            rate = "1/h"
            """
        )
        let gate = Gate()
        let host = try stage.peer(11) {
            if $0.step == .mail { gate.wait() }
            return nil
        }
        try stage.start()
        for n in 0..<8 { try stage.submit(from: "a\(n)@shop.test", to: "n\(n)@example.test") }
        for n in 0..<3 { try stage.submit(from: "alerts@shop.test", to: "u\(n)@example.test") }
        let slow = try (0..<3).map {
            try stage.submit(from: "slow@shop.test", to: "s\($0)@example.test")
        }
        let waiting = try stage.ask("queue", "show", slow[1])
        #expect(waiting.contains("stream-paced") || waiting.contains("stream's rate"), "\(waiting)")
        gate.open()
        let order = try host.mail(12, within: 30).flatMap(\.recipients)
        #expect(order.prefix(5).filter { $0.hasPrefix("u") }.count == 3, "\(order)")
        #expect(order.filter { $0.hasPrefix("s") } == ["s0@example.test"])
        // Without the rate the rest goes at once.
        stage.more = settings(stage)
        try stage.reload()
        try host.mail(14, within: 30)
    }
}
