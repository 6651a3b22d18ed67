// Disks that are full, descriptors that are few, files that are wrong: said clearly, and over when
// the cause is.

import Foundation
import Testing

private func canMount() -> Bool {
    guard geteuid() == 0, let mount = Child.find("mount") else { return false }
    var template = Array("/tmp/ekiden-mount-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { return false }
    let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { rmdir(path) }
    guard (try? Child.run(mount, ["-t", "tmpfs", "none", path]))?.status == 0 else { return false }
    return (try? Child.run("umount", [path]))?.status == 0
}

@Test(.enabled(if: canMount(), "no right to mount a tmpfs"))
func `a full disk answers 452, and mail goes out and in again when there is room`() async throws {
    try await story(["spool.min_free_space": "4MiB"], starts: false) {
        stage in
        mkdir(stage.spool, 0o700)
        let size = "size=40m"
        let mounted = try Child.run("mount", ["-t", "tmpfs", "-o", size, "none", stage.spool])
        try #require(mounted.status == 0, "\(mounted.text)")
        defer {
            stage.relay?.end()
            _ = try? Child.run("umount", [stage.spool])
        }
        // Nobody listens at first, so that the queue fills.
        stage.mail(for: "example.test", to: 10)
        stage.name("mx10.test", ["A": [stage.address(10)]])
        try stage.start()
        let body = String(repeating: String(repeating: "x", count: 78) + "\r\n", count: 2000)
        var accepted: [String: [UInt8]] = [:]
        var refusal: Reply?
        let client = try stage.client()
        for number in 0..<1000 where refusal == nil {
            let message = letter(subject: "number \(number)", body: body)
            try client.send("MAIL FROM:<a@origin.test>\r\n")
            let mail = try client.reply()
            if mail.code != 250 {
                refusal = mail
                break
            }
            try client.say("RCPT TO:<r\(number)@example.test>", expecting: "250")
            let data = try client.say("DATA")
            if data.code != 354 {
                refusal = data
                break
            }
            try client.send(message + Array(".\r\n".utf8))
            let reply = try client.reply()
            if reply.code == 250 {
                accepted["r\(number)@example.test"] = message
            } else {
                refusal = reply
            }
        }
        #expect(refusal?.codes == "452 4.3.1", "\(String(describing: refusal))")
        #expect(accepted.count > 20)
        // It drains although it is full, and takes mail again.
        let mx = try stage.peer(10)
        let mail = try mx.mail(accepted.count, within: 60)
        for one in mail { #expect(one.withoutReceived == accepted[one.recipients[0]]) }
        try eventually("mail is taken again", within: 30) {
            let client = try stage.client()
            guard try client.say("MAIL FROM:<a@origin.test>").code == 250 else { return false }
            try client.say("RSET", expecting: "250")
            return try client.hand(from: "a@origin.test", to: ["last@example.test"], letter()).code
                == 250
        }
    }
}

@Test func `a queue at its limit answers 452 until there is room`() async throws {
    try await story(["spool.max_messages": "5"]) { stage in
        stage.mail(for: "example.test", to: 10)
        stage.name("mx10.test", ["A": [stage.address(10)]])
        for _ in 0..<5 { try stage.submit(to: "bob@example.test") }
        let client = try stage.client()
        var reply = try client.say("MAIL FROM:<a@origin.test>")
        if reply.code == 250 {
            reply = try client.say("RCPT TO:<bob@example.test>")
            reply = try client.say("DATA")
        }
        #expect(reply.codes == "452 4.3.1", "\(reply)")
        try stage.peer(10).mail(5, within: 30)
        try eventually("there is room again") {
            let client = try stage.client()
            guard try client.say("MAIL FROM:<a@origin.test>").code == 250 else { return false }
            try client.say("RSET", expecting: "250")
            return try client.hand(from: "a@origin.test", to: ["bob@example.test"], letter()).code
                == 250
        }
    }
}

@Test(.enabled(if: Child.find("prlimit") != nil, "prlimit is not installed"))
func `with sixty-four descriptors all in use the relay stays up and keeps its word`() async throws {
    try await story(starts: false) { stage in
        let mx = try stage.host()
        stage.launcher = ["prlimit", "--nofile=64"]
        try stage.start()
        let place = stage.place
        let early = try stage.client()
        let crowd = try (0..<150).map { _ in try Client(place) }
        // Work that needs files and connections while there are none: served or put off.
        var acknowledged: [[UInt8]] = []
        let body = String(repeating: String(repeating: "x", count: 78) + "\r\n", count: 8000)
        for number in 0..<15 {
            let message = letter(subject: "number \(number)", body: body)
            let mail = try early.say("MAIL FROM:<a@origin.test>")
            if mail.code / 100 == 4 { continue }
            try early.say("RCPT TO:<bob@example.test>", expecting: "250")
            let data = try early.say("DATA")
            if data.code / 100 == 4 {
                try early.say("RSET", expecting: "250")
                continue
            }
            try early.send(message + Array(".\r\n".utf8))
            let reply = try early.reply()
            if reply.code == 250 { acknowledged.append(message) }
            try #require(reply.code == 250 || reply.code / 100 == 4, "\(reply)")
        }
        for client in crowd { client.endSending() }
        try #require(stage.relay?.isRunning == true)
        let message = letter()
        try eventually("mail is taken again afterwards", within: 40) {
            let client = try Client(stage.place)
            guard (try? client.reply(within: 3))?.code == 220 else { return false }
            try client.say("EHLO client.test", expecting: "250")
            guard try client.say("MAIL FROM:<>").code == 250 else { return false }
            try client.say("RSET", expecting: "250")
            return try client.hand(from: "a@origin.test", to: ["bob@example.test"], message).code
                == 250
        }
        let mail = try mx.mail(acknowledged.count + 1, within: 40)
        for message in acknowledged + [message] {
            #expect(mail.contains { $0.withoutReceived == message })
        }
        #expect(stage.log("notice") { $0["text"].contains("disk is full") }.isEmpty)
    }
}

@Test func `a second relay on the same spool is refused and the first goes on`() async throws {
    try await story { stage in
        let mx = try stage.host()
        let second = try Child(
            "second relay",
            Stage.binary,
            ["serve", "--config", stage.configurationPath],
            output: stage.directory + "/second.log"
        )
        defer { second.end() }
        let status = try second.waitForEnd()
        #expect(status == 1, "\(second.text)")
        #expect(second.text.contains(stage.spool), "\(second.text)")
        #expect(second.text.contains("another") || second.text.contains("in use"), "\(second.text)")
        try stage.submit(to: "bob@example.test")
        try mx.mail(1)
    }
}

@Test func `a broken file at reload keeps the old configuration and says where it is broken`()
    async throws
{
    try await story(["listener.banner": "before"]) { stage in
        let greeting = {
            let client = try Client(stage.place)
            return try client.expect("220").text
        }
        #expect(try greeting().hasSuffix("before"))
        stage.settings["listener.banner"] = "after"
        stage.settings["retry.fist"] = "5m"
        try stage.reload()
        let said = try stage.noticed("not reloaded")
        #expect(said["level"] == "error")
        #expect(said["text"].contains("ekiden.toml:") && said["text"].contains("fist"), "\(said)")
        #expect(said["text"].contains("first"), "a suggestion: \(said)")
        #expect(try greeting().hasSuffix("before"))
        stage.settings["retry.fist"] = nil
        try stage.reload()
        try stage.noticed("configuration reloaded")
        #expect(try greeting().hasSuffix("after"))
    }
}

@Test func `a reload names the settings that need a restart and applies the others`() async throws {
    try await story { stage in
        stage.settings["spool.segment_size"] = "8MiB"
        stage.settings["listener.max_errors"] = "1"
        try stage.reload()
        #expect(try stage.noticed("need a restart")["text"].contains("spool.segment_size"))
        let client = try stage.client()
        try client.say("FOO", expecting: "421")
    }
}

@Test func `open sessions keep their settings over a reload`() async throws {
    try await story { stage in
        let client = try stage.client()
        stage.settings["listener.max_message_size"] = "64KiB"
        try stage.reload()
        try client.say("MAIL FROM:<a@origin.test> SIZE=1000000", expecting: "250")
        let later = try stage.client()
        try later.say("MAIL FROM:<a@origin.test> SIZE=1000000", expecting: "552")
    }
}

private let wrong: [(name: String, text: String, words: [String])] = [
    ("unknown key", "[retry]\nfist = \"5m\"\n", ["ekiden.toml:2:1", "fist", "first"]),
    ("unknown section", "[reply]\n", ["ekiden.toml:1:", "reply"]),
    ("wrong unit", "[retry]\nfirst = \"5 apples\"\n", ["ekiden.toml:2:9", "apples"]),
    ("wrong type", "[retry]\nfirst = 5\n", ["ekiden.toml:2:"]),
    ("not TOML", "[retry\nfirst\n", ["ekiden.toml:1:"]),
    ("out of range", "[delivery]\nport = 70000\n", ["ekiden.toml:2:", "65535"]),
    (
        "a listener without a name", "[[listener]]\nlisten = [\"127.0.0.1:1\"]\n",
        ["ekiden.toml:", "name"]
    ),
]

@Test func `a wrong configuration ends the start with the place and the reason`() async throws {
    try await story(starts: false) { stage in
        for (name, text, words) in wrong {
            try stage.writeConfiguration(text)
            let run = try stage.ekiden("serve", "--config", stage.configurationPath)
            #expect(run.status == 1, "\(name): \(run.text)")
            for word in words { #expect(run.text.contains(word), "\(name): \(run.text)") }
        }
        let missing = try stage.ekiden("serve", "--config", stage.directory + "/none.toml")
        #expect(missing.status == 1 && missing.text.contains("none.toml"), "\(missing)")
        let usage = try stage.ekiden("serve", "--confg", "x")
        #expect(usage.status == 2 && usage.text.contains("--config"), "\(usage)")
    }
}

@Test func `a port in use and a spool that can't be made are said so`() async throws {
    try await story(starts: false) { stage in
        let holder = try Socket.listen(on: stage.place)
        let busy = try stage.launch()
        #expect(try busy.waitForEnd() == 1)
        #expect(
            busy.text.contains(stage.place.description) && busy.text.contains("in use"),
            "\(busy.text)"
        )
        withExtendedLifetime(holder) {}
        try Data("a file".utf8).write(to: URL(filePath: stage.directory + "/file"))
        stage.settings["spool.directory"] = stage.directory + "/file/spool"
        try stage.writeConfiguration()
        let run = try stage.ekiden("serve", "--config", stage.configurationPath)
        #expect(run.status == 1 && run.text.contains("/file/spool"), "\(run)")
    }
}

/// Lets a process have so many files more than it has open now; nil: as many as it ever might.
private func limitDescriptors(of pid: pid_t, to more: Int?) throws {
    let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").count
    let hard = try Child.run("prlimit", ["--pid", "\(pid)", "-o", "HARD", "--noheadings", "-n"])
    let soft =
        more.map { String(open + $0) }
        ?? hard.text.trimmingCharacters(in: .whitespacesAndNewlines)
    let set = try Child.run("prlimit", ["--pid", "\(pid)", "--nofile=\(soft):"])
    if set.status != 0 { throw StoryFailure("prlimit: \(set.text)") }
}

@Test func `out of descriptors accepting pauses, and goes on when there are some`() async throws {
    try await story { stage in
        let mx = try stage.host()
        let relay = try #require(stage.relay)
        let early = try stage.client()
        try limitDescriptors(of: relay.pid, to: 2)
        let clients = try (0..<6).map { _ in try Client(stage.place) }
        try stage.logged("notice") { $0["text"].hasPrefix("can't accept on ") }
        // Who is in goes on, though the delivery of it may have to wait.
        let reply = try early.hand(
            from: "a@origin.test",
            to: ["bob@example.test"],
            letter(subject: "early")
        )
        #expect(reply.code == 250)
        try limitDescriptors(of: relay.pid, to: nil)
        // None of those who stood in line was dropped.
        for client in clients {
            try client.expect("220")
            try client.say("QUIT", expecting: "221")
        }
        #expect(try mx.mail(1).count == 1)
        #expect(relay.exitStatus == nil)
    }
}

@Test func `who sends on behind a DATA that is refused for a full queue is not obeyed`()
    async throws
{
    try await story(["spool.max_messages": "1"]) { stage in
        stage.mail(for: "later.test", to: 11)
        stage.name("mx11.test", ["A": [stage.address(11)]])
        let (hasty, patient) = (try stage.client(), try stage.client())
        for client in [hasty, patient] {
            try client.say("MAIL FROM:<a@origin.test>", expecting: "250")
            try client.say("RCPT TO:<bob@later.test>", expecting: "250")
        }
        try stage.submit(to: "eve@later.test", message: letter(subject: "the one"))
        // The text would be commands, and its dot no end of anything (RFC 2920 §3.1).
        try hasty.send("DATA\r\nRSET\r\nMAIL FROM:<x@origin.test>\r\n.\r\n")
        let rest = try hasty.rest()
        #expect(rest.hasPrefix("452 4.3.1 ") && rest.split(separator: "\r\n").count == 1, "\(rest)")
        try stage.logged("rejected") { $0["rule"] == "spool-full" }
        // Who waits for the reply keeps the session.
        try patient.say("DATA", expecting: "452 4.3.1")
        try patient.say("RSET", expecting: "250")
        try patient.say("QUIT", expecting: "221")
        #expect(stage.log("accepted").count == 1)
    }
}
