// Programs of the operator's, run for real: what they get, what is heard of them, and what is left.

import EkidenRuntime
import Foundation
import Testing

@testable import EkidenLinux

@Suite struct LinuxProgramsTests {
    /// What a program says; its problem.
    private func run(
        _ command: [String],
        patience: Duration = .seconds(30),
        stopping: Bool = false
    ) async throws -> Result<String, ProgramProblem> {
        let programs = try LinuxPrograms(patience: patience)
        let world = try LinuxLoops(count: 1)
        let loop = world.loops[0]
        if stopping { programs.stop() }
        let result = await withUnsafeContinuation { continuation in
            loop.spawn {
                do throws(ProgramProblem) {
                    let bytes = try await programs.output(of: command, on: loop)
                    continuation.resume(
                        returning: Result<String, ProgramProblem>.success(
                            String(decoding: bytes, as: UTF8.self)
                        )
                    )
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        world.stop()
        programs.close()
        return result
    }

    private func shell(_ script: String) -> [String] { ["/bin/sh", "-c", script] }

    @Test func `a program says what it has to say`() async throws {
        #expect(try await run(["/bin/echo", "a  b", "$HOME"]) == .success("a  b $HOME\n"))
        let long = shell("head -c 65536 /dev/zero | tr '\\0' x")
        #expect(try await run(long).get().utf8.count == 65_536)
    }

    @Test func `it gets an empty input, our path and home, and no descriptor of ours`()
        async throws
    {
        let descriptor = open("/dev/null", O_RDONLY)
        defer { close(descriptor) }
        setenv("EKIDEN_TEST_SECRET", "x", 1)
        let script = """
            wc -c; pwd; env
            for fd in /proc/$$/fd/*; do test -e $fd && echo fd ${fd##*/}; done; true
            """
        let said = try await run(shell(script)).get()
        let lines = said.split(separator: "\n").map(String.init)
        #expect(lines.prefix(2) == ["0", "/"] && !said.contains("EKIDEN_TEST_SECRET"), "\(said)")
        #expect(lines.contains { $0.hasPrefix("PATH=") })
        #expect(lines.filter { $0.hasPrefix("fd ") } == ["fd 0", "fd 1", "fd 2"], "\(said)")
        // Usual signals, though we ignore this one.
        signal(SIGPIPE, SIG_IGN)
        let piped = try await run(shell("kill -PIPE $$; echo alive"))
        #expect(piped == .failure(ProgramProblem("was ended by signal 13")))
    }

    @Test func `what goes wrong is said, in a sentence that goes on from its name`() async throws {
        let problems = [
            (["/nowhere/at/all"], "can't be run: No such file or directory"),
            (["/etc/passwd"], "can't be run: Permission denied"),
            (shell("exit 3"), "ended with status 3"),
            (shell("echo 'no\tway' >&2; exit 1"), "ended with status 1: no way"),
            (shell("kill -9 $$"), "was ended by signal 9"),
            (["/bin/cat", "/dev/zero"], "says more than 65536 bytes"),
            (shell("head -c 70000 /dev/zero"), "says more than 65536 bytes"),
        ]
        for (command, text) in problems {
            #expect(try await run(command) == .failure(ProgramProblem(text)), "\(command)")
        }
        let told = try await run(shell("head -c 9000 /dev/zero | tr '\\0' '\\n' >&2; exit 1"))
        #expect(told == .failure(ProgramProblem("ended with status 1")))
    }

    @Test func `one that hangs is killed with all it has started, and reaped`() async throws {
        let marks = NSTemporaryDirectory() + "ekiden-programs-\(getpid())"
        defer { unlink(marks) }
        let hanging = shell("sleep 1000 & echo $$ $! > \(marks); wait")
        let result = try await run(hanging, patience: .seconds(1))
        #expect(result == .failure(ProgramProblem("did not end within 1 s, and was killed")))
        let text = try String(contentsOfFile: marks, encoding: .utf8)
        let ids = text.split { $0.isWhitespace }.compactMap { pid_t($0) }
        try #require(ids.count == 2)
        // Nobody has its number any more: it was waited for.
        #expect(kill(ids[0], 0) == -1 && errno == ESRCH)
        // The other is init's to reap, and dead in any case.
        let state = (try? String(contentsOfFile: "/proc/\(ids[1])/stat", encoding: .utf8)) ?? ") Z"
        #expect(state.contains(") Z") || kill(ids[1], 0) == -1, "\(state)")
    }

    @Test func `a descendant that keeps the pipes open is not waited for`() async throws {
        let result = try await run(shell("sleep 20 & echo token"), patience: .seconds(10))
        #expect(result == .success("token\n"))
    }

    @Test func `when the relay stops nothing is run`() async throws {
        let result = try await run(shell("echo token"), stopping: true)
        #expect(result == .failure(ProgramProblem("was not waited for: the relay stops")))
    }

    @Test func `a hundred runs leave no descriptor behind`() async throws {
        func count() -> Int {
            (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? 0
        }
        // Other tests have theirs; a leak would be of 200.
        let before = count()
        for _ in 0..<100 { _ = try await run(["/bin/true"]) }
        #expect(count() - before < 100)
    }

    @Test(arguments: [
        ("no network", "no network"), ("a\r\n b\u{1b}[0m", "a b [0m"), ("käse", "k??se"),
        ("token ya29.a0AfH6SMBx-0123456789", "token [...]"),
        ("{\"access_token\":\"abcdefghij0123456789\"}", "[...]"),
        (
            "https://login.example.com/oauth/token?x=1",
            "https://login.example.com/oauth/token?x=1"
        ),
        ("said:shortsecret", "[...]"), ("client_secret=hunter2 used", "[...] used"),
        ("AbCdEfGhIjKlMnOpQrStUvWxYz is no digit", "[...] is no digit"),
        ("/usr/local/bin/get-token: no", "/usr/local/bin/get-token: no"),
    ])
    func `words of a program are shown without what may be a token`(said: String, shown: String) {
        let output = Array("shortsecret\nmore\n".utf8)
        #expect(ProgramWords.shown(Array(said.utf8), hiding: output) == shown)
    }
}
