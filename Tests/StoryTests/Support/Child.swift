// A process that a story started, by its id: started with its output in a file, stopped by signal,
// waited for. No other process is ever touched.

import Foundation

final class Child {
    let name: String
    let pid: pid_t
    /// Standard output and standard error.
    let output: String
    /// As waitpid told it; nil while it runs.
    private(set) var status: Int32?

    /// - Parameter prefix: a program and its arguments that run the program (strace, prlimit).
    init(_ name: String, _ program: String, _ arguments: [String], output: String) throws {
        self.name = name
        self.output = output
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o644)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        for signal in [SIGPIPE, SIGTERM, SIGINT, SIGHUP] { sigaddset(&signals, signal) }
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(
            &attributes,
            Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)
        )
        var argv = ([program] + arguments).map { strdup($0) } + [nil]
        defer { for argument in argv { free(argument) } }
        var pid: pid_t = 0
        let result = posix_spawnp(&pid, program, &actions, &attributes, &argv, environ)
        guard result == 0 else {
            throw StoryFailure("can't start \(program): \(String(cString: strerror(result)))")
        }
        self.pid = pid
    }

    var text: String { (try? String(decoding: readAll(output), as: UTF8.self)) ?? "" }

    /// Exit status of an ended process; 128 + signal where a signal ended it; nil while it runs.
    var exitStatus: Int32? {
        if status == nil {
            var value: Int32 = 0
            if waitpid(pid, &value, WNOHANG) == pid { status = value }
        }
        guard let status else { return nil }
        return status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
    }

    var isRunning: Bool { exitStatus == nil }

    func send(_ signal: Int32) {
        if isRunning { kill(pid, signal) }
    }

    @discardableResult
    func waitForEnd(within seconds: Double = 20) throws -> Int32 {
        try eventually("\(name) (\(pid)) ends", within: seconds) { exitStatus }
    }

    /// Ends it, kindly at first.
    func end() {
        guard isRunning else { return }
        kill(pid, SIGTERM)
        if (try? waitForEnd(within: 3)) != nil { return }
        kill(pid, SIGKILL)
        _ = try? waitForEnd(within: 10)
    }

    /// Runs a program to its end: its exit status and all it said.
    static func run(
        _ program: String,
        _ arguments: [String],
        within seconds: Double = 30
    ) throws -> (status: Int32, text: String) {
        let output = NSTemporaryDirectory() + "/story-" + UUID().uuidString
        defer { unlink(output) }
        let child = try Child(program, program, arguments, output: output)
        defer { child.end() }
        let status = try child.waitForEnd(within: seconds)
        return (status, child.text)
    }

    /// The path of a program that may not be installed.
    static func find(_ program: String) -> String? {
        for folder in ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin"]
        where access("\(folder)/\(program)", X_OK) == 0 {
            return "\(folder)/\(program)"
        }
        return nil
    }
}

func readAll(_ path: String) throws -> [UInt8] {
    guard let data = FileManager.default.contents(atPath: path) else {
        throw StoryFailure("can't read \(path)")
    }
    return [UInt8](data)
}
