// `ekiden trace`: what became of a message, from the history in the spool (docs/HISTORY.md), with or
// without a running relay.

import EkidenConfiguration
import EkidenLinux
import EkidenMail
import Glibc

let traceCommand = Command(
    name: "trace",
    summary: "Tell what became of a message, also after it has left",
    arguments: "ID|MESSAGE-ID|ADDRESS|DOMAIN",
    arity: 1...1,
    details: """
        Finds messages by queue id, by Message-ID, or by a sender's or recipient's address or domain,
        and prints all that happened to them. Reads the history in the spool, so it must be run as
        root or as the relay's user; the relay need not run.
        """,
    options: [
        Option(
            "since",
            value: "DURATION",
            "Only messages of which something is not older, as 2h or 3d"
        ),
        Option("limit", value: "N", "The newest N messages (20)"),
        Option("json", "The lines of the history as they are (docs/LOG.md)"),
        Option("history", value: "DIR", "Directory of the history"),
        Option("config", "c", value: "FILE", "Configuration that names the spool"),
    ],
    examples: [
        Example("ekiden trace 06BKM6TX4C001", "One message, attempt by attempt"),
        Example("ekiden trace bob@example.net --since 2d", "What Bob was sent since yesterday"),
        Example("ekiden trace '<1@example.org>'", "By its Message-ID"),
    ],
    run: runTrace
)

private func runTrace(
    _ invocation: Invocation,
    _ console: Console
) throws(CommandProblem) -> ExitStatus {
    let directory = try historyDirectory(invocation)
    let files = History.files(in: directory)
    if files.isEmpty {
        throw CommandProblem(
            .notFound,
            "there is no history in \(directory)",
            hint: access(directory, R_OK | X_OK) == 0 || errno == ENOENT
                ? "the relay makes it when mail comes; history.keep says for how long, --history where"
                : "\(systemWords()): run it as root or as the relay's user"
        )
    }
    var search = TraceSearch(
        TraceQuery(invocation.arguments[0]),
        limit: try number(invocation.value("limit"), 20)
    )
    if let text = invocation.value("since") {
        guard let span = duration(text) else {
            throw .usage("--since wants a time such as 90m, 2h or 3d, not \"\(printable(text))\"")
        }
        search.since = WallTime(seconds: Int64(time(nil)) - span.components.seconds)
    }
    for file in files { try search.read(file.path) }
    let found = search.found
    if found.isEmpty {
        throw CommandProblem(
            .notFound,
            "the history knows nothing of \(printable(invocation.arguments[0]))",
            hint: "it goes back to \(files[0].path.split(separator: "/").last ?? "")"
        )
    }
    for message in found {
        console.print(
            invocation.has("json") ? message.lines.joined(separator: "\n") : message.text
        )
    }
    if search.dropped > 0, !invocation.has("json") {
        console.print("\(plural(search.dropped, "older message")) not shown; --limit shows more")
    }
    return .success
}

private func number(_ text: String?, _ usual: Int) throws(CommandProblem) -> Int {
    guard let text else { return usual }
    guard let number = Int(text), number > 0 else {
        throw .usage("--limit wants a number from 1 on, not \"\(printable(text))\"")
    }
    return number
}

/// As the configuration has times; nil: it is none.
private func duration(_ text: String) -> Duration? {
    let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800]
    guard let unit = text.last.flatMap({ units[$0] }), let count = Int64(text.dropLast()),
        (1...100_000_000).contains(count)
    else { return nil }
    return .seconds(count * unit)
}

private func historyDirectory(_ invocation: Invocation) throws(CommandProblem) -> String {
    if let directory = invocation.value("history") { return directory }
    let standard = ControlSocketPath.standardConfiguration
    let file = invocation.value("config") ?? (access(standard, R_OK) == 0 ? standard : nil)
    guard let file else { return "spool/history" }
    let inspection = Configuration.inspect(
        text: try readFile(file),
        file: file,
        hostname: hostName()
    )
    if let problem = inspection.errors.first {
        throw CommandProblem(
            .negative,
            problem.text,
            hint: "--history DIR does without the configuration"
        )
    }
    return inspection.configuration.historySettings.directory
}
