// 250 means durable: what a client was told is ours survives the end of the process, whichever way
// it ends, and arrives intact. Tests/Tools/crash_loop.py does the same for longer.

import Foundation
import Synchronization
import Testing

/// Clients that submit without pause and remember what was acknowledged.
private final class Load: Sendable {
    private struct State {
        var isOver = false
        var acknowledged: [String] = []
        var messages: [String: [UInt8]] = [:]
        var threads = 0
    }
    private let state = Mutex(State())

    /// - Parameter domains: recipients' domains, in turn.
    init(_ place: Place, clients: Int, largeEvery: Int = 50) {
        state.withLock { $0.threads = clients }
        for number in 0..<clients {
            let thread = Thread {
                self.run(place, number, largeEvery)
                self.state.withLock { $0.threads -= 1 }
            }
            thread.stackSize = 1 << 20
            thread.start()
        }
    }

    func stop() throws {
        state.withLock { $0.isOver = true }
        try eventually("the clients stop") { state.withLock { $0.threads } == 0 }
    }

    var acknowledged: [String] { state.withLock { $0.acknowledged } }
    func message(_ key: String) -> [UInt8]? { state.withLock { $0.messages[key] } }
    private var isOver: Bool { state.withLock { $0.isOver } }

    private func run(_ place: Place, _ number: Int, _ largeEvery: Int) {
        var count = 0
        while !isOver {
            do {
                let client = try Client(place)
                try client.hello()
                while !isOver {
                    count += 1
                    let key = "c\(number)-\(count)-"
                    let size = count % largeEvery == 0 ? 20_000 : count % 20
                    let line = ".line of \(key)\r\n"
                    let message = letter(subject: key, body: String(repeating: line, count: size))
                    state.withLock { $0.messages[key] = message }
                    let reply = try client.hand(
                        from: "alice@origin.test",
                        to: ["\(key)@example.test"],
                        message
                    )
                    if reply.codes == "250 2.0.0" {
                        state.withLock { $0.acknowledged.append(key) }
                    } else {
                        break
                    }
                }
            } catch {
                usleep(5_000)
            }
        }
    }
}

/// Copies of each message by its key; fails on one that is not what was sent.
private func copies(_ peer: Peer, _ load: Load) throws -> [String: Int] {
    var copies: [String: Int] = [:]
    for mail in peer.accepted {
        let key = String(try #require(mail.recipients.first).split(separator: "@")[0])
        copies[key, default: 0] += 1
        try #require(mail.withoutReceived == load.message(key), "\(key) is damaged")
    }
    return copies
}

private func waitForAll(_ load: Load, _ peer: Peer) throws -> [String: Int] {
    let acknowledged = Set(load.acknowledged)
    do {
        try eventually("all that was acknowledged is delivered", within: 60) {
            Set(
                peer.accepted.compactMap {
                    $0.recipients.first?.split(separator: "@").first.map(String.init)
                }
            )
            .isSuperset(of: acknowledged)
        }
    } catch {
        let lost = acknowledged.subtracting(try copies(peer, load).keys)
        throw StoryFailure(
            "\(lost.count) of \(acknowledged.count) lost: \(lost.sorted().prefix(10))"
        )
    }
    return try copies(peer, load)
}

@Test func `kill -9 in the middle of load loses nothing and doubles little`() async throws {
    let connections = 4
    let settings = [
        "sites.connections_max": String(connections), "sites.connections_start": "2",
        "delivery.max_connections": String(connections),
    ]
    try await story(settings) { stage in
        let mx = try stage.host {
            $0.step == .rcpt && $0.count % 40 == 0 ? .say("450 4.2.1 busy") : nil
        }
        let load = Load(stage.place, clients: 6)
        var dice = Dice(9)
        let kills = 8
        for _ in 0..<kills {
            let before = load.acknowledged.count
            try eventually("mail is accepted") { load.acknowledged.count > before + 20 }
            usleep(UInt32(dice.roll(300_000)))
            try stage.killRelay()
            // And once more while it recovers.
            let recovering = try stage.launch()
            usleep(UInt32(dice.roll(60_000)))
            recovering.send(SIGKILL)
            try recovering.waitForEnd()
            try stage.start()
        }
        try load.stop()
        let copies = try waitForAll(load, mx)
        let extra = copies.values.map { $0 - 1 }.reduce(0, +)
        #expect(load.acknowledged.count > kills * 20)
        #expect(extra <= kills * connections, "\(extra) copies too many after \(kills) kills")
        // Nothing is left, and nothing was kept aside as damaged.
        try stage.restart()
        let started = try #require(
            stage.log("notice") { $0["text"].hasPrefix("started with") }.last
        )
        #expect(started["text"].hasPrefix("started with 0 "), "\(started)")
        #expect(stage.log("notice") { $0["text"].contains("damaged") }.isEmpty)
    }
}

@Test func `a graceful stop under load loses nothing and doubles nothing`() async throws {
    try await story { stage in
        let mx = try stage.host { $0.step == .dot ? .wait(seconds: 0.01) : nil }
        let load = Load(stage.place, clients: 6)
        for _ in 0..<3 {
            let before = load.acknowledged.count
            try eventually("mail is accepted") { load.acknowledged.count > before + 30 }
            try stage.stopRelay(within: 20)
            try stage.start()
        }
        try load.stop()
        let copies = try waitForAll(load, mx)
        let twice = copies.filter { $0.value > 1 }.keys.sorted()
        #expect(twice.isEmpty, "\(twice)")
    }
}

@Test func `a graceful stop says 421 to clients and waits for the reply to a final dot`()
    async throws
{
    try await story { stage in
        let mx = try stage.host { $0.step == .dot ? .wait(seconds: 1.5) : nil }
        let idle = try stage.client()
        let id = try stage.submit(to: "bob@example.test")
        try eventually("the final dot is out") { mx.lines.contains("DATA") }
        usleep(200_000)
        stage.relay?.send(SIGTERM)
        let goodbye = try idle.reply()
        #expect(goodbye.codes == "421 4.3.2", "\(goodbye)")
        #expect(try stage.relay?.waitForEnd() == 0)
        #expect(stage.log("delivered") { $0["id"] == id }.count == 1)
        try stage.start()
        #expect(stage.log("notice") { $0["text"].hasPrefix("started with 0 ") }.count == 2)
        #expect(mx.received.count == 1)
    }
}

@Test func `a graceful stop ends within its time, whatever a host does`() async throws {
    try await story(["relay.stop_time": "2s"]) { stage in
        let mx = try stage.host { $0.step == .dot && $0.session == 1 ? .silence : nil }
        let message = letter()
        let id = try stage.submit(to: "bob@example.test", message: message)
        try eventually("the final dot is awaited") { mx.lines.contains("DATA") }
        let busy = try stage.client()
        try busy.say("MAIL FROM:<a@origin.test>", expecting: "250")
        usleep(200_000)
        let began = Date()
        try stage.stopRelay()
        let took = Date().timeIntervalSince(began)
        #expect(took > 1 && took < 8, "\(took) s")
        try stage.start()
        // Its outcome is not known, so it is tried again.
        try stage.outcome("delivered", of: id)
        #expect(try mx.mail(1)[0].withoutReceived == message)
    }
}

@Test func `a restart keeps the queue with its attempts and its times`() async throws {
    for kills in [false, true] {
        try await story(["retry.first": "4s"]) { stage in
            let mx = try stage.host {
                $0.step == .rcpt && $0.count == 1 ? .say("450 4.2.1 busy") : nil
            }
            let message = letter()
            let id = try stage.submit(to: "bob@example.test", message: message)
            let deferred = try stage.outcome("deferred", of: id, attempt: 1)
            // Marks are on disk within 20 ms.
            usleep(100_000)
            if kills { try stage.killRelay() } else { try stage.stopRelay() }
            try stage.start()
            try stage.noticed("started with 1 ")
            let delivered = try stage.outcome("delivered", of: id)
            #expect(delivered["attempt"] == "2")
            #expect(
                delivered.seconds("time") >= deferred.seconds("next") - 0.1,
                "too early: \(delivered)"
            )
            #expect(try mx.mail()[0].withoutReceived == message)
            #expect(stage.log("accepted").count == 1)
        }
    }
}

@Test func `recipients that are done stay done after a kill`() async throws {
    try await story(["retry.first": "2s"]) { stage in
        let mx = try stage.host {
            $0.step == .rcpt && $0.line.contains("late@") && $0.session == 1
                ? .say("450 4.2.1 busy") : nil
        }
        let id = try stage.submit(to: "early@example.test", "late@example.test")
        try stage.outcome("deferred", of: id, to: "late@example.test")
        usleep(100_000)
        try stage.killRelay()
        try stage.start()
        let mail = try mx.mail(2)
        #expect(mail.map(\.recipients) == [["early@example.test"], ["late@example.test"]])
    }
}
