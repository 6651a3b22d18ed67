// The administrator's commands against the running relay: what waits and why, and what is done
// about it; durable before the command says so.

import Foundation
import Testing

/// Lines of `--json`, by their fields.
private func rows(_ text: String) -> [[String: Any]] {
    text.split(separator: "\n").compactMap {
        try? JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]
    }
}

extension Stage {
    fileprivate func queue() throws -> [[String: Any]] { rows(try ask("queue", "--json")) }

    /// A domain whose only host is not there.
    fileprivate func deadDomain(_ domain: String = "example.test") {
        mail(for: domain, to: 10)
        name("mx10.test", ["A": [address(10)]])
    }
}

private let patience = [
    "retry.first": "1h", "retry.ceiling": "1h", "sites.backoff_first": "1h",
    "sites.backoff_ceiling": "1h",
]

@Test func `the queue says what waits, why, since when and until when`() async throws {
    try await story(patience) { stage in
        #expect(try stage.queue().isEmpty)
        stage.deadDomain()
        let id = try stage.submit(to: "bob@example.test", "carol@example.test")
        try stage.outcome("deferred", of: id, to: "carol@example.test")
        let row = try #require(try stage.queue().first)
        #expect(row["id"] as? String == id && row["from"] as? String == "alice@origin.test")
        #expect(row["to"] as? [String] == ["bob@example.test", "carol@example.test"])
        #expect(row["state"] as? String == "waiting")
        #expect(row["reason"] as? String == "connection-refused")
        let next = try #require(row["next_in_seconds"] as? Double)
        // The probe of the site comes before or after its own time: both are an hour, more or less.
        #expect(next > 3000 && next < 4000)
        let text = try stage.ask("queue")
        #expect(text.contains(id) && text.contains("refused the connection"), "\(text)")
        let shown = try stage.ask("queue", "show", id)
        for words in [
            "<carol@example.test>", "connection refused", "Message-ID", "alice@origin.test",
        ] {
            #expect(shown.contains(words), "\(words) in \(shown)")
        }
        #expect(try stage.ask("queue", "--to-domain", "other.test", "--json").isEmpty)
        #expect(rows(try stage.ask("queue", "--by", "site", "--json")).count == 1)
        #expect(rows(try stage.ask("status", "--json")).count == 1)
    }
}

@Test func `show --raw prints the very bytes that are delivered later`() async throws {
    try await story(patience) { stage in
        stage.deadDomain()
        let id = try stage.submit(to: "bob@example.test", message: letter(body: ".\r\n..\r\nx\r\n"))
        try stage.outcome("deferred", of: id)
        let raw = try stage.ask("queue", "show", id, "--raw")
        let mx = try stage.peer(10)
        _ = try stage.ask("queue", "retry", id)
        #expect(try mx.mail()[0].text == raw)
    }
}

@Test func `a retry tries now, whatever the schedule and the site's back-off say`() async throws {
    try await story(patience) { stage in
        stage.deadDomain()
        let ids = try (0..<5).map { _ in try stage.submit(to: "bob@example.test") }
        for id in ids { try stage.outcome("deferred", of: id) }
        let mx = try stage.peer(10)
        _ = try stage.ask("queue", "retry", "--to-domain", "example.test")
        try mx.mail(5)
        try eventually("the queue is empty") { try stage.queue().isEmpty }
    }
}

@Test func `held mail stays through retries and a kill until it is released`() async throws {
    try await story(patience) { stage in
        stage.deadDomain()
        let id = try stage.submit(to: "bob@example.test")
        try stage.outcome("deferred", of: id)
        _ = try stage.ask("queue", "hold", id)
        try stage.killRelay()
        let mx = try stage.peer(10)
        try stage.start()
        #expect(try stage.queue().first?["state"] as? String == "held")
        _ = try Child.run(
            Stage.binary,
            ["queue", "retry", "--all", "--config", stage.configurationPath]
        )
        #expect(mx.sessions == 0)
        #expect(try stage.queue().first?["state"] as? String == "held")
        let moved = try stage.ask("queue", "release", id)
        #expect(moved.contains("1 message"), "\(moved)")
        try mx.mail(1)
    }
}

@Test func `deleted mail is gone without a bounce, also after a kill`() async throws {
    try await story(patience) { stage in
        stage.deadDomain()
        let back = try stage.host(for: "origin.test", 12)
        let ids = try (0..<3).map { try stage.submit(to: "r\($0)@example.test") }
        for id in ids { try stage.outcome("deferred", of: id) }
        _ = try stage.ask("queue", "delete", "--yes", ids[0], ids[1])
        try stage.logged("moved") {
            $0["id"] == ids[0] && $0["state"] == "removed" && $0["uid"] == "\(getuid())"
        }
        try stage.killRelay()
        let mx = try stage.peer(10)
        try stage.start()
        #expect(try stage.queue().count <= 1)
        _ = try Child.run(
            Stage.binary,
            ["queue", "retry", "--all", "--config", stage.configurationPath]
        )
        #expect(try mx.mail(1).map(\.recipients) == [["r2@example.test"]])
        #expect(back.sessions == 0)
    }
}

@Test func `deleting what is being sent is waited for or refused, and never both`() async throws {
    try await story { stage in
        let mx = try stage.host { $0.step == .dot ? .wait(seconds: 1) : nil }
        let id = try stage.submit(to: "bob@example.test")
        try eventually("it is being sent") { mx.lines.contains("DATA") }
        let run = try Child.run(
            Stage.binary,
            ["queue", "delete", "--yes", id, "--config", stage.configurationPath]
        )
        try mx.mail(1)
        try stage.outcome("delivered", of: id)
        let removed = stage.log("moved") { $0["id"] == id && $0["state"] == "removed" }
        #expect(removed.isEmpty, "delivered and said to be removed: \(run)")
    }
}

@Test func `a suspended site gets nothing until it is resumed`() async throws {
    try await story { stage in
        let mx = try stage.host()
        try stage.submit(to: "bob@example.test")
        try mx.mail(1)
        let site = try stage.logged("delivered")["site"]
        _ = try stage.ask("suspend", site)
        for _ in 0..<3 { try stage.submit(to: "bob@example.test") }
        try eventually("they wait in the queue") { try stage.queue().count == 3 }
        #expect(mx.accepted.count == 1)
        _ = try stage.ask("resume", site)
        try mx.mail(4)
    }
}

@Test func `commands end with the status that says what happened`() async throws {
    try await story { stage in
        _ = try stage.ask("queue", "show", "0000000000000", ending: 4)
        _ = try stage.ask("queue", "show", "nonsense", ending: 2)
        _ = try stage.ask("queue", "--state", "asleep", ending: 2)
        _ = try stage.ask("queue", "delete", ending: 2)
        try stage.stopRelay()
        let text = try stage.ask("queue", ending: 3)
        #expect(text.contains("control.socket"), "\(text)")
    }
}

@Test func `a spool is verified and exported while the relay is away`() async throws {
    try await story(patience) { stage in
        stage.deadDomain()
        var sent: [String: [UInt8]] = [:]
        for size in [10, 400_000] {
            let message = letter(
                body: String(repeating: "sixteen bytes..\r\n", count: size / 17 + 1)
            )
            sent[try stage.submit(to: "bob@example.test", message: message)] = message
        }
        for id in sent.keys { try stage.outcome("deferred", of: id) }
        try stage.killRelay()
        let sound = try stage.ekiden("spool", "verify", stage.spool)
        #expect(sound.status == 0, "\(sound.text)")
        let to = stage.directory + "/export"
        let export = try stage.ekiden("spool", "export", stage.spool, "--to", to)
        #expect(export.status == 0, "\(export.text)")
        for (id, message) in sent {
            let exported = try readAll("\(to)/\(id).eml")
            #expect(exported.suffix(message.count) == message[...], "\(id)")
        }
        // And a byte that changed is found.
        let segments = try FileManager.default.subpathsOfDirectory(atPath: stage.spool)
            .filter { $0.hasSuffix(".segment") }
        let spoiled = try segments.filter { try spoil("\(stage.spool)/\($0)", at: "sixteen bytes") }
        #expect(spoiled.count == 1, "\(segments)")
        let damaged = try stage.ekiden("spool", "verify", stage.spool)
        #expect(damaged.status == 1, "\(damaged.text)")
    }
}

/// Changes a byte where the text first stands in the file; false when it is not there.
private func spoil(_ path: String, at text: String) throws -> Bool {
    var data = try Data(contentsOf: URL(filePath: path))
    guard let range = data.range(of: Data(text.utf8)) else { return false }
    data[range.lowerBound] ^= 1
    try data.write(to: URL(filePath: path))
    return true
}
