// Logins by token at next hops: from a file or from a command, and renewed when they are refused.

import Foundation
import Testing

/// A smarthost that wants a token, and a command that has one.
private final class TokenStage {
    let stage: Stage
    private let host: Child
    private var directory: String { stage.directory }

    init(_ stage: Stage, source: (String) -> String) throws {
        self.stage = stage
        let directory = stage.directory
        try stage.makeCertificate("tokens", for: "mx10.test")
        stage.name("mx10.test", ["A": [stage.address(10)]])
        try "".write(toFile: directory + "/accepted", atomically: true, encoding: .utf8)
        let tool = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Tools/token_host.py").path
        let host = try Child(
            "token host",
            Child.find("python3") ?? "python3",
            [
                tool, "--address", stage.address(10), "--port", String(Stage.mailPort),
                "--certificate", directory + "/tokens.pem", "--key", directory + "/tokens.key",
                "--accepts", directory + "/accepted",
            ],
            output: directory + "/host.log"
        )
        self.host = host
        try eventually("the host is ready") { host.text.contains("ready") }
        stage.settings["delivery.tls_authorities"] = directory + "/tokens.pem"
        stage.more = """

            [[login]]
            name = "cloud"
            user = "relay@cloud.test"
            \(source(directory))
            [[route]]
            name = "cloud"
            domains = ["*"]
            hosts = ["mx10.test:\(Stage.mailPort)"]
            login = "cloud"
            [[site]]
            name = "cloud"
            routes = ["cloud"]
            messages_per_connection = 1
            """
    }

    func end() { host.end() }

    /// What the host takes, and what is to be had.
    func accept(_ token: String) throws {
        try (token + "\n").write(
            toFile: directory + "/accepted",
            atomically: true,
            encoding: .utf8
        )
    }

    func offer(_ token: String) throws {
        let path = directory + "/token"
        try (token + "\nnothing else\n").write(toFile: path, atomically: true, encoding: .utf8)
        chmod(path, 0o600)
    }

    func command(_ script: String, mode: mode_t = 0o700) throws {
        let path = directory + "/get-token"
        let text = path + ".text"
        try ("#!/bin/sh\n" + script + "\n").write(toFile: text, atomically: true, encoding: .utf8)
        // By another process: children that other stories start meanwhile may inherit a descriptor
        // of ours, and a file that is open for writing can't be run. And not in place, as it may run.
        let installed = path + ".new"
        let copied = try Child.run("install", ["-m", String(mode, radix: 8), text, installed])
        guard copied.status == 0 else { throw StoryFailure(copied.text) }
        rename(installed, path)
    }

    func lines(_ word: String) -> Int {
        host.text.split(separator: "\n").filter { $0.hasPrefix(word) }.count
    }

    var runs: Int {
        ((try? String(contentsOfFile: directory + "/runs", encoding: .utf8)) ?? "").count
    }

    func mail(_ count: Int) throws {
        try eventually("\(count) messages are taken, not \(lines("mail"))", within: 30) {
            lines("mail") >= count
        }
    }
}

private func withTokens(
    _ source: @Sendable @escaping (String) -> String,
    _ body: @Sendable @escaping (TokenStage) throws -> Void
) async throws {
    try await story(starts: false) { stage in
        let tokens = try TokenStage(stage, source: source)
        defer { tokens.end() }
        try body(tokens)
    }
}

private let commandSource: @Sendable (String) -> String = {
    "token_command = [\"\($0)/get-token\", \"a b\", \"$HOME\"]"
}

@Test func `a command gives a token, once for all, and another when the host refuses it`()
    async throws
{
    try await withTokens(commandSource) { tokens in
        let stage = tokens.stage
        let directory = stage.directory
        // Slow, so that several connections want the token at once; and its words come unchanged.
        try tokens.command(
            """
            test "$1" = "a b" -a "$2" = '$HOME' || exit 9
            printf x >> \(directory)/runs
            sleep 0.5
            cat \(directory)/token
            """
        )
        try tokens.offer("first-token-0123456789")
        try tokens.accept("first-token-0123456789")
        try stage.start()
        #expect(tokens.runs == 0)
        for number in 0..<5 { try stage.submit(to: "r\(number)@any.test") }
        try tokens.mail(5)
        #expect(tokens.runs == 1)
        try tokens.accept("second-token-0123456789")
        try tokens.offer("second-token-0123456789")
        for number in 0..<5 { try stage.submit(to: "s\(number)@any.test") }
        try tokens.mail(10)
        #expect(tokens.runs == 2 && tokens.lines("refused") >= 1)
        try eventually("the log has all of it") { stage.log("delivered").count == 10 }
        // Without an operator, and without a wait.
        #expect(stage.log("deferred").isEmpty && stage.log("site").isEmpty)
        #expect(stage.log("delivered").allSatisfy { $0["attempt"] == "1" })
        #expect(!stage.logText.contains("token-0123456789"))
    }
}

@Test func `a token that is refused again counts as a failed login, and the next run mends it`()
    async throws
{
    try await withTokens(commandSource) { tokens in
        let stage = tokens.stage
        try tokens.command("cat \(stage.directory)/token")
        try tokens.offer("stale-token-0123456789")
        try stage.start()
        try stage.submit(to: "bob@any.test")
        let line = try stage.logged("deferred") { $0["because"] == "login-failed" }
        #expect(line["reply"].contains("535 5.7.8"), "\(line)")
        try tokens.accept("good-token-0123456789")
        try tokens.offer("good-token-0123456789")
        try tokens.mail(1)
        #expect(!stage.logText.contains("token-0123456789"))
    }
}

@Test func `a command that fails leaves mail waiting, with its words but not its token`()
    async throws
{
    try await withTokens(commandSource) { tokens in
        let stage = tokens.stage
        try tokens.command(
            """
            echo secret-token-0123456789
            echo "no network; had secret-token-0123456789" >&2
            exit 3
            """
        )
        try tokens.accept("good-token-0123456789")
        try stage.start()
        try stage.submit(to: "bob@any.test")
        let line = try stage.logged("deferred")
        #expect(line["because"] == "login-unavailable")
        #expect(
            line["reply"].contains("get-token ended with status 3: no network; had [...]"),
            "\(line)"
        )
        let queue = try stage.ask("queue")
        #expect(queue.contains("get-token ended with status 3: no network"), "\(queue)")
        #expect(!stage.logText.contains("token-0123456789") && !queue.contains("0123456789"))
        try tokens.command("echo good-token-0123456789")
        try tokens.mail(1)
        #expect(try stage.logged("delivered")["attempt"] == "1")
    }
}

@Test func `a token file is read again when its token is refused`() async throws {
    try await withTokens({ "token_file = \"\($0)/token\"" }) { tokens in
        let stage = tokens.stage
        try tokens.offer("first-token-0123456789")
        try tokens.accept("second-token-0123456789")
        try stage.start()
        try stage.submit(to: "bob@any.test")
        try stage.logged("deferred") { $0["because"] == "login-failed" }
        try tokens.offer("second-token-0123456789")
        try tokens.mail(1)
        #expect(!stage.logText.contains("token-0123456789"))
    }
}

@Test func `a command that others may write to is not run`() async throws {
    try await withTokens(commandSource) { tokens in
        let stage = tokens.stage
        try tokens.command("echo good-token-0123456789", mode: 0o722)
        try stage.writeConfiguration()
        let checked = try stage.ekiden("config", "check", stage.configurationPath)
        #expect(checked.status == 1 && checked.text.contains("lets others change it; chmod 755"))
        let child = try stage.launch()
        #expect(try child.waitForEnd() == 1)
        #expect(stage.logText.contains("can't use login \"cloud\""), "\(stage.logText)")
        try tokens.command("echo good-token-0123456789")
        try tokens.accept("good-token-0123456789")
        try stage.start()
        // It becomes so later.
        chmod(stage.directory + "/get-token", 0o600)
        try stage.submit(to: "bob@any.test")
        let line = try stage.logged("deferred")
        #expect(line["reply"].contains("it is not executable; chmod 750"), "\(line)")
        chmod(stage.directory + "/get-token", 0o700)
        try tokens.mail(1)
    }
}

@Test func `a command that hangs keeps no relay from stopping, and is no fault of the login`()
    async throws
{
    try await withTokens(commandSource) { tokens in
        let stage = tokens.stage
        try tokens.command("echo $$ > \(stage.directory)/pid\nexec sleep 1000")
        try stage.start()
        try stage.submit(to: "bob@any.test")
        let id = try eventually("the command runs") {
            let text = try? String(contentsOfFile: stage.directory + "/pid", encoding: .utf8)
            return text.flatMap { pid_t($0.dropLast()) }
        }
        // Less than the command would be given.
        try stage.stopRelay(within: 20)
        #expect(kill(id, 0) == -1)
        #expect(stage.log("deferred").isEmpty && stage.log("site").isEmpty, "\(stage.logText)")
        try tokens.command("echo good-token-0123456789")
        try tokens.accept("good-token-0123456789")
        try stage.start()
        try tokens.mail(1)
    }
}
