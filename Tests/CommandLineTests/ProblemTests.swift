import EkidenControl
import EkidenMail
import Glibc
import Testing

@testable import ekiden

@Suite struct ProblemTests {
    @Test func anUnreachableDaemonIsNamedByItsSocket() {
        let (status, _, errors) = run("queue", "--socket", "/nonexistent/ekiden.socket")
        #expect(status == .unreachable)
        #expect(
            errors == """
                ekiden: can't reach the daemon at /nonexistent/ekiden.socket (from --socket): \
                No such file or directory
                        nothing is there: is ekiden running, and is this its socket? \
                (ekiden serve, or --socket PATH)

                """
        )
        let long = run("status", "--socket", "/" + String(repeating: "x", count: 200))
        #expect(long.status == .usage)
    }

    static let lines: [([String], Status)] = [
        (["queue", "show"], .usage),
        (["queue", "show", "nonsense"], .usage),
        (["queue", "--state", "sleeping"], .usage),
        (["queue", "--reason", "boredom"], .usage),
        (["queue", "--by", "colour"], .usage),
        (["queue", "--older-than", "soon"], .usage),
        (["queue", "delete"], .usage),
        (["queue", "delete", "--all", "--from", "a@b", "--yes"], .usage),
        (["queue", "hold", "06BKM6TX4C001", "--all"], .usage),
        (["queue", "delete", "--all", "--yes", "--socket", "/nonexistent"], .unreachable),
        (["reload", "--socket", "/nonexistent"], .unreachable),
        (["suspend", "--socket", "/nonexistent"], .usage),
        (["allow"], .usage),
        (["allow", "192.0.2.7"], .usage),
        (["allow", "192.0.2.7", "--for", "25h"], .usage),
        (["allow", "192.0.2.7", "--for", "500ms"], .usage),
        (["allow", "192.0.2.7", "--for", "soon"], .usage),
        (["allow", "mail.example.org", "--for", "30m"], .usage),
        (["allow", "192.0.2.7/24", "--for", "30m"], .usage),
        (["allow", "192.0.2.7", "--list"], .usage),
        (["allow", "--list", "--revoke", "192.0.2.7"], .usage),
        (["allow", "192.0.2.7", "--for", "30m", "--socket", "/nonexistent"], .unreachable),
        (["allow", "2001:db8::/64", "--for", "24h", "--socket", "/nonexistent"], .unreachable),
        (["allow", "--revoke", "192.0.2.7", "--socket", "/nonexistent"], .unreachable),
        (["allow", "--list", "--socket", "/nonexistent"], .unreachable),
        (["config", "check", "/nonexistent"], .notFound),
        (["config", "explain", "retry.frist"], .notFound),
        (["config", "explain", "retry"], .success),
        (["config", "example"], .success),
        (["sink", "--print", "loud"], .usage),
        (["sink", "--listen", "example.org:25"], .usage),
        (["bench", "--size", "huge"], .usage),
        (["bench", "--to", "nowhere"], .usage),
        (["frobnicate"], .usage),
    ]

    @Test(arguments: lines)
    func eachMistakeHasItsStatusAndASentence(words: [String], expected: Status) {
        let console = Console(captured: true)
        #expect(runCommandLine(words, console) == expected)
        #expect(expected == .success || console.errorText.hasPrefix("ekiden: "))
    }

    @Test func filtersBecomeAQuery() throws {
        guard
            case .run(let line) = try ArgumentParser(root: commandTree).parse([
                "queue", "--from", "<>", "--to-domain", "d", "--state", "held", "--older-than",
                "2h",
                "--by", "site", "-n", "5", "06BKM6TX4C001",
            ])
        else {
            Issue.record("no invocation")
            return
        }
        var query = QueueQuery(grouping: .site)
        query.ids = [try #require(QueueID("06BKM6TX4C001"))]
        query.from = ""
        query.toDomain = "d"
        query.state = .held
        query.olderThanSeconds = 7200
        query.limit = 5
        #expect(try queueQuery(line) == query)
    }

    /// docs/COMMANDS.md is made of the help texts; `ekiden help --markdown` writes it.
    @Test func theManualIsUpToDate() throws {
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let bytes = try readFile("/\(root)/docs/COMMANDS.md")
        #expect(
            String(decoding: bytes, as: UTF8.self) == commandTree.manual,
            "run: ekiden help --markdown > docs/COMMANDS.md"
        )
    }
}
