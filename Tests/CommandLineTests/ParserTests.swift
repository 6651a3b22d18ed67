import EkidenMail
import Testing

@testable import ekiden

@Suite struct ParserTests {
    private let tree = Command(
        name: "",
        summary: "root",
        subcommands: [
            Command(
                name: "go",
                summary: "go",
                arguments: "PLACE…",
                arity: 0...2,
                options: [
                    Option("fast", "f", "fast"),
                    Option("speed", "s", value: "N", "speed"),
                    Option("via", value: "PLACE", repeats: true, "via"),
                ],
                run: { (_, _) throws(CommandProblem) in .success }
            )
        ]
    )

    private func parse(_ words: String...) throws(CommandProblem) -> Invocation {
        guard case .run(let invocation) = try ArgumentParser(root: tree).parse(words) else {
            throw .usage("help")
        }
        return invocation
    }

    @Test func optionsAndArgumentsComeInAnyOrderAndForm() throws {
        for words in [
            ["go", "-f", "--speed", "3", "a", "b"], ["go", "a", "--speed=3", "b", "--fast"],
            ["go", "-fs3", "a", "b"], ["go", "-s", "3", "-f", "--", "a", "b"],
        ] {
            guard case .run(let line) = try ArgumentParser(root: tree).parse(words) else {
                Issue.record("no invocation")
                return
            }
            #expect(line.has("fast"))
            #expect(try line.integer("speed", in: 1...9, default: 1) == 3)
            #expect(line.arguments == ["a", "b"])
        }
        #expect(try parse("go", "--via", "x", "--via=y").all("via") == ["x", "y"])
        #expect(try parse("go", "--", "--fast").arguments == ["--fast"])
        #expect(try parse("go", "-").arguments == ["-"])
        #expect(try parse("go", "--speed=").value("speed") == "")
    }

    static let mistakes: [([String], String)] = [
        (["og"], "did you mean \"ekiden go\"?"),
        (["go", "--fats"], "did you mean --fast?"),
        (["go", "--xyzzy"], "lists all"),
        (["go", "--speed"], ""),
        (["go", "-s"], ""),
        (["go", "--fast=1"], ""),
        (["go", "-x"], ""),
        (["go", "a", "b", "c"], ""),
        (["go", "--speed", "1", "--speed", "2"], ""),
    ]

    @Test(arguments: mistakes)
    func mistakesAreUsageProblemsWithAHint(words: [String], hint: String) {
        do throws(CommandProblem) {
            _ = try ArgumentParser(root: tree).parse(words)
            Issue.record("was understood")
        } catch {
            #expect(error.status == .usage)
            #expect(!error.text.isEmpty)
            #expect(hint.isEmpty || error.hint.contains(hint))
        }
    }

    @Test func valuesAreReadWithTheirUnits() {
        #expect(parseSize("4096") == 4096)
        #expect(parseSize("4KiB") == 4096)
        #expect(parseSize("2MB") == 2_000_000)
        for bad in ["", "KiB", "-1", "4 KiB", "4XB", "99999999999GiB"] {
            #expect(parseSize(bad) == nil)
        }
        #expect(parseDuration("500ms") == .milliseconds(500))
        #expect(parseDuration("2h") == .seconds(7200))
        for bad in ["", "h", "1.5h", "-1s", "5 m"] { #expect(parseDuration(bad) == nil) }
        #expect(parseEndpoint("2525")?.text == "127.0.0.1:2525")
        #expect(parseEndpoint("[::1]:25")?.text == "[::1]:25")
        #expect(parseEndpoint("localhost:25")?.text == "127.0.0.1:25")
        for bad in ["", "0", "example.org:25", "::1", "70000"] {
            #expect(parseEndpoint(bad) == nil)
        }
    }

    @Test func theNearestWordIsTheOneThatWasMeant() {
        #expect(editDistance(Array("abcd".utf8), Array("acbd".utf8)) == 1)
        #expect(editDistance([], Array("abc".utf8)) == 3)
        #expect(nearest("stauts", among: ["status", "queue"]) == "status")
        #expect(nearest("rel", among: ["release", "retry"]) == "release")
        #expect(nearest("zzz", among: ["status", "queue"]) == nil)
    }

    @Test func everyCommandTeaches() {
        func check(_ command: Command) {
            if command.run != nil {
                #expect(!command.examples.isEmpty, "ekiden \(command.name) has no example")
            }
            #expect(!command.summary.isEmpty && !command.summary.hasSuffix("."))
            let longs = command.options.map(\.long)
            #expect(Set(longs).count == longs.count)
            let shorts = command.options.compactMap(\.short)
            #expect(Set(shorts).count == shorts.count && !shorts.contains("h"))
            for other in command.subcommands { check(other) }
        }
        check(commandTree)
        #expect(run("queue", "delete", "--help").status == .success)
        #expect(run("help", "queue", "delete").output == run("queue", "delete", "-h").output)
        #expect(run().status == .usage)
        #expect(run("config").status == .usage)
        #expect(run("version").output == "ekiden \(versionText)\n")
    }
}
