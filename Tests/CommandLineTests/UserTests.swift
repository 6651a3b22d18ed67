import Glibc
import Testing

@testable import ekiden

/// A directory of its own, removed when the test ends.
private final class Folder {
    let path: String
    var users: String { path + "/users" }

    init() {
        var template = Array("/tmp/ekiden-users-XXXXXX".utf8CString)
        mkdtemp(&template)
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        for name in ["users", "users.lock", "relay.toml"] { unlink(path + "/" + name) }
        rmdir(path)
    }

    var text: String {
        get throws { String(decoding: try readFile(users), as: UTF8.self) }
    }

    var mode: UInt32 {
        var status = stat()
        return stat(users, &status) == 0 ? status.st_mode & 0o777 : 0
    }
}

/// Runs `body` with standard input reading from a pipe that has `text`.
private func withInput<Value>(_ text: String, _ body: () throws -> Value) rethrows -> Value {
    var ends: [Int32] = [0, 0]
    pipe(&ends)
    let bytes = Array(text.utf8)
    _ = write(ends[1], bytes, bytes.count)
    close(ends[1])
    let before = dup(STDIN_FILENO)
    dup2(ends[0], STDIN_FILENO)
    close(ends[0])
    defer {
        dup2(before, STDIN_FILENO)
        close(before)
    }
    return try body()
}

/// Standard input is the process's: one after the other.
@Suite(.serialized) struct UserTests {
    private func user(
        _ folder: Folder,
        _ words: [String],
        input: String = ""
    ) -> (status: Status, output: String, errors: String) {
        let console = Console(captured: true)
        let status = withInput(input) {
            runCommandLine(["user"] + words + ["--users", folder.users], console)
        }
        return (status, console.text, console.errorText)
    }

    @Test func `users are added, listed, changed and removed`() throws {
        let folder = Folder()
        let added = user(folder, ["add", "anna", "--password-stdin"], input: "sesame\n")
        #expect(added.status == .success && added.output.contains("anna added"))
        #expect(folder.mode == 0o640)
        let text = try folder.text
        #expect(text.contains("\nanna:{SCRAM-SHA-256}10000,") && text.contains("#secret "))
        #expect(!text.contains("sesame"))
        let more = ["add", "tim@b.example", "--password-stdin", "--iterations", "4096"]
        #expect(user(folder, more, input: "open").status == .success)
        #expect(user(folder, ["list"]).output == "anna\ntim@b.example\n")
        #expect(
            user(folder, ["passwd", "Anna", "--password-stdin"], input: "other\n").status
                == .success
        )
        #expect(try folder.text.hasPrefix(text.prefix { $0 != ":" }))
        #expect(try folder.text != text)
        #expect(user(folder, ["remove", "anna"]).status == .success)
        #expect(user(folder, ["list"]).output == "tim@b.example\n")
        #expect(try folder.text.contains("#secret "))
    }

    @Test func `a password is kept as scrypt has it, and stays so when it changes`() throws {
        let folder = Folder()
        let add = ["add", "eva", "--password-stdin", "--scheme", "scrypt", "--cost", "12"]
        #expect(user(folder, add, input: "sesame\n").status == .success)
        let text = try folder.text
        #expect(text.contains("\neva:$scrypt$ln=12,r=8,p=1$"))
        let passwd = ["passwd", "eva", "--password-stdin"]
        #expect(user(folder, passwd, input: "open\n").status == .success)
        #expect(try folder.text.contains("\neva:$scrypt$ln=12,r=8,p=1$"))
        #expect(try folder.text != text)
        #expect(user(folder, passwd + ["--scheme", "scram"], input: "open\n").status == .success)
        #expect(try folder.text.contains("\neva:{SCRAM-SHA-256}10000,"))
        #expect(user(folder, passwd + ["--cost", "13"], input: "open\n").status == .success)
        #expect(try folder.text.contains("\neva:$scrypt$ln=13,"))
        for wrong in [
            ["--scheme", "md5"], ["--cost", "20"], ["--scheme", "scrypt", "--iterations", "5000"],
            ["--scheme", "scram", "--cost", "14"],
        ] {
            let refused = user(folder, passwd + wrong, input: "x\n")
            #expect(refused.status == .usage, "\(wrong)")
        }
        #expect(try folder.text.contains("\neva:$scrypt$ln=13,"))
    }

    @Test func `what can't be done is said, and changes nothing`() throws {
        let folder = Folder()
        #expect(user(folder, ["list"]).status == .notFound)
        #expect(
            user(folder, ["add", "anna", "--password-stdin"], input: "sesame\n").status == .success
        )
        let before = try folder.text
        let again = user(folder, ["add", "ANNA", "--password-stdin"], input: "x\n")
        #expect(again.status == .negative && again.errors.contains("already"))
        #expect(
            user(folder, ["passwd", "tim", "--password-stdin"], input: "x\n").status == .notFound
        )
        #expect(user(folder, ["remove", "tim"]).status == .notFound)
        for bad in ["", "\n", "a\tb\n", "a\0b\n"] {
            let refused = user(folder, ["passwd", "anna", "--password-stdin"], input: bad)
            #expect(refused.status == .negative, "\(bad.debugDescription)")
        }
        for name in ["a b", "a:b", "#a", "", "a\nb"] {
            let refused = user(folder, ["add", name, "--password-stdin"], input: "x\n")
            #expect(refused.status == .usage, "\(name.debugDescription)")
        }
        let few = user(folder, ["passwd", "anna", "--password-stdin", "--iterations", "1"])
        #expect(few.status == .usage)
        #expect(try folder.text == before)
    }

    @Test func `a file with a broken line is named with its line and left alone`() throws {
        let folder = Folder()
        try writeFile(folder.users, Array("# x\nanna:{PLAIN}sesame\n".utf8))
        let refused = user(folder, ["add", "tim", "--password-stdin"], input: "open\n")
        #expect(refused.status == .negative && refused.errors.contains("users:2: "))
        #expect(try folder.text == "# x\nanna:{PLAIN}sesame\n")
    }

    @Test func `the mode of the file stays as it is`() throws {
        let folder = Folder()
        try writeFile(folder.users, Array("# ours\n".utf8))
        chmod(folder.users, 0o600)
        #expect(
            user(folder, ["add", "tim", "--password-stdin"], input: "open\n").status == .success
        )
        #expect(folder.mode == 0o600)
        #expect(try folder.text.contains("# ours\n"))
    }

    @Test func `the configuration names the file`() throws {
        let folder = Folder()
        let toml = folder.path + "/relay.toml"
        try writeFile(toml, Array("[auth]\nusers = \"\(folder.users)\"\n".utf8))
        let console = Console(captured: true)
        let status = withInput("sesame\n") {
            runCommandLine(["user", "add", "anna", "--password-stdin", "--config", toml], console)
        }
        #expect(status == .success, "\(console.errorText)")
        #expect(try folder.text.contains("anna:"))
        try writeFile(toml, [])
        let none = run("user", "list", "--config", toml)
        #expect(none.status == .negative && none.errors.contains("auth.users"))
    }
}
