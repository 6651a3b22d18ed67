// `ekiden queue`: what waits, why, and when it is tried next; root causes first.

import EkidenControl
import EkidenMail

let queueFilterOptions = [
    Option("from", value: "ADDRESS", "Only mail of this sender; <> is the null sender"),
    Option("from-domain", value: "DOMAIN", "Only senders at this domain"),
    Option("to", value: "ADDRESS", "Only mail for this recipient"),
    Option("to-domain", value: "DOMAIN", "Only recipients at this domain"),
    Option("state", value: "STATE", "waiting, ready, in-flight or held"),
    Option("reason", value: "WORD", "Only mail that waits for this reason"),
    Option("site", value: "SITE", "Only mail for this site"),
    Option("older-than", value: "TIME", "Only mail that is older than 2h, 3d, …"),
]

let queueCommand = Command(
    name: "queue",
    summary: "List the mail that waits, why, and when it is tried next",
    arguments: "[ID…]",
    arity: 0...10_000,
    details: """
        First come the root causes, a line for each: how many messages wait for what. Then a row
        for each message, oldest first. STATE is one of: waiting (for its time), ready (for a
        connection), in-flight (being sent), held (by an operator). NEXT is its own time, or that of
        its site's probe, rate or opening. With --by site STATE is open, backing-off, suspended,
        closed (a route on demand), unresolved (not looked up yet).
        --json prints one object a line, with times in RFC 3339 and in seconds.
        """,
    options: queueFilterOptions + [
        Option("by", value: "WHAT", "site or reason: a row for each instead of for each message"),
        Option("limit", "n", value: "N", "At most N rows (1000; all with --json)"),
        Option("after", value: "ID", "Go on after this message"),
        Option("json", "One JSON object a line"),
    ] + ControlClient.options,
    examples: [
        Example("ekiden queue", "Everything, causes first"),
        Example(
            "ekiden queue --to-domain example.org --older-than 1h",
            "What is late for one domain"
        ),
        Example("ekiden queue --by site", "Where mail waits, and how each next hop is"),
        Example("ekiden queue --json | jq -r 'select(.state==\"held\").id'", "Ids of held mail"),
        Example("ekiden queue retry --to-domain example.org", "Try all of a domain now"),
    ],
    subcommands: [
        queueShowCommand, queueRetryCommand, queueHoldCommand, queueReleaseCommand,
        queueDeleteCommand,
    ],
    run: runQueue
)

private func runQueue(
    _ invocation: Invocation,
    _ console: Console
) throws(CommandProblem)
    -> ExitStatus
{
    let query = try queueQuery(invocation)
    let client = try ControlClient(invocation)
    if invocation.has("json") {
        _ = try client.ask(query) { (_, line) throws(CommandProblem) in
            console.write(line)
            console.print()
        }
        return .success
    }
    switch query.grouping {
    case .message: return try listMessages(query, client, console)
    case .site: return try listSites(query, client, console)
    case .reason: return try listCauses(query, client, console)
    }
}

extension ControlClient {
    fileprivate func ask(
        _ query: QueueQuery,
        _ row: (String, UnsafeRawBufferPointer) throws(CommandProblem) -> Void
    ) throws(CommandProblem) -> ControlEnd {
        try ask(.queue(query), row)
    }
}

func queueQuery(_ invocation: Invocation) throws(CommandProblem) -> QueueQuery {
    var query = QueueQuery()
    if let by = invocation.value("by") {
        guard let grouping = QueueQuery.Grouping(rawValue: by) else {
            throw .usage("--by takes message, site or reason, not \"\(by)\"")
        }
        query.grouping = grouping
    }
    query.ids = try queueIDs(invocation.arguments)
    query.from = invocation.value("from").map(withoutBrackets)
    query.fromDomain = invocation.value("from-domain")
    query.to = invocation.value("to").map(withoutBrackets)
    query.toDomain = invocation.value("to-domain")
    query.site = invocation.value("site")
    if let word = invocation.value("state") {
        guard let state = PlaceWord(rawValue: word) else {
            throw .usage(
                "--state takes waiting, ready, in-flight or held, not \"\(word)\"",
                hint: nearest(word, among: PlaceWord.allCases.map(\.rawValue)).map {
                    "did you mean \($0)?"
                } ?? ""
            )
        }
        query.state = state
    }
    if let word = invocation.value("reason") {
        guard let reason = Reason(rawValue: word) else {
            let close = nearest(word, among: Reason.allCases.map(\.rawValue))
            throw .usage(
                "there is no reason \"\(word)\"",
                hint: close.map { "did you mean \($0)?" } ?? "ekiden queue --by reason lists them"
            )
        }
        query.reason = reason
    }
    if let age = try invocation.duration("older-than") {
        query.olderThanSeconds = Int(age.components.seconds)
    }
    if let after = invocation.value("after") { query.after = try queueIDs([after]).first }
    let standard = invocation.has("json") ? Int.max : 1000
    let limit = try invocation.integer("limit", in: 1...Int.max, default: standard)
    query.limit = limit == .max ? nil : limit
    return query
}

func queueIDs(_ texts: [String]) throws(CommandProblem) -> [QueueID] {
    var ids: [QueueID] = []
    for text in texts {
        guard let id = QueueID(text) else {
            let isCommand = queueCommand.subcommands.contains { $0.name == "queue " + text }
            throw .usage(
                "\"\(text)\" is no queue id",
                hint: isCommand
                    ? "options come behind it: ekiden queue \(text) …"
                    : "ids have 13 letters and digits, as ekiden queue shows them"
            )
        }
        ids.append(id)
    }
    return ids
}

/// `<a@b>` and `a@b` are the same; `<>` is the null sender.
func withoutBrackets(_ address: String) -> String {
    address.hasPrefix("<") && address.hasSuffix(">")
        ? String(address.dropFirst().dropLast()) : address
}

private func listMessages(
    _ query: QueueQuery,
    _ client: ControlClient,
    _ console: Console
) throws(CommandProblem) -> ExitStatus {
    var causes = query
    causes.grouping = .reason
    causes.after = nil
    causes.limit = 6
    var sentences: [String] = []
    let all = try client.ask(causes) { (kind, line) throws(CommandProblem) in
        if kind == CauseRow.kind { sentences.append(sentence(try decode(CauseRow.self, line))) }
    }
    var table = Table(columns: messageColumns)
    let end = try client.ask(query) { (kind, line) throws(CommandProblem) in
        if kind == QueueRow.kind { table.rows.append(cells(try decode(QueueRow.self, line))) }
    }
    if table.rows.isEmpty {
        console.print(
            query == QueueQuery.everything(query.limit)
                ? "The queue is empty." : "No message matches."
        )
        return .success
    }
    for line in sentences { console.print(line) }
    if all.isCutShort { console.print("… and more causes: ekiden queue --by reason") }
    if !sentences.isEmpty { console.print() }
    for line in table.lines(width: console.width) { console.print(line) }
    if end.isCutShort {
        let last = table.rows.last?.first ?? ""
        console.print("\n… more: --after \(last) goes on, --limit N shows more at once")
    }
    return .success
}

extension QueueQuery {
    fileprivate static func everything(_ limit: Int?) -> QueueQuery {
        var query = QueueQuery()
        query.limit = limit
        return query
    }
}

/// `37 messages wait for mx.example: the host refused the connection; next try in 4m`.
func sentence(_ cause: CauseRow) -> String {
    let isOne = cause.messages == 1
    let subject = plural(cause.messages, "message")
    if cause.isBeingSent {
        return "\(subject) \(isOne ? "is" : "are") being sent to \(printable(cause.place))"
    }
    // Held mail waits for nobody but the operator; there is no next try to tell of.
    let isHeld = cause.place.isEmpty
    let verb = isHeld ? (isOne ? "is held" : "are held") : (isOne ? "waits" : "wait")
    var text = "\(subject) \(verb)"
    if !cause.place.isEmpty { text += " for \(printable(cause.place))" }
    text += ": \(cause.reason.sentence)"
    if !cause.words.isEmpty {
        text += " (\(printable(cause.words)))"
    }
    if let next = cause.nextInSeconds {
        text += next > 0 ? "; next try in \(ageText(seconds: next))" : "; next try now"
    }
    return text
}

private let messageColumns = [
    Table.Column(title: "ID"),
    Table.Column(title: "AGE", side: .right),
    Table.Column(title: "SIZE", side: .right),
    Table.Column(title: "FROM", isElastic: true),
    Table.Column(title: "TO", isElastic: true),
    Table.Column(title: "STATE"),
    Table.Column(title: "NEXT", side: .right),
    Table.Column(title: "REASON", isElastic: true),
]

private func cells(_ row: QueueRow) -> [String] {
    var to = row.recipients.first.map(printable) ?? ""
    if row.pendingCount > 1 { to += " +\(row.pendingCount - 1)" }
    // The last words of a host are not why held mail waits.
    let showsReason = row.words.isEmpty || row.state == .held
    let reason =
        row.state == .inFlight
        ? "being sent" : showsReason ? row.reason.sentence : printable(row.words)
    return [
        row.id.text,
        ageText(seconds: row.ageSeconds),
        sizeText(row.byteCount),
        row.sender.isEmpty ? "<>" : printable(row.sender),
        to,
        row.state.rawValue,
        nextText(row.nextInSeconds),
        reason,
    ]
}

func nextText(_ seconds: Double?) -> String {
    guard let seconds else { return "-" }
    return seconds > 0 ? ageText(seconds: seconds) : "now"
}

private func listSites(
    _ query: QueueQuery,
    _ client: ControlClient,
    _ console: Console
) throws(CommandProblem) -> ExitStatus {
    var table = Table(columns: [
        Table.Column(title: "SITE", isElastic: true),
        Table.Column(title: "STATE"),
        Table.Column(title: "CONNS", side: .right),
        Table.Column(title: "READY", side: .right),
        Table.Column(title: "SENDING", side: .right),
        Table.Column(title: "WAITING", side: .right),
        Table.Column(title: "HELD", side: .right),
        Table.Column(title: "OLDEST", side: .right),
        Table.Column(title: "NEXT", side: .right),
        Table.Column(title: "REASON", isElastic: true),
    ])
    _ = try client.ask(query) { (kind, line) throws(CommandProblem) in
        guard kind == SiteRow.kind else { return }
        let row = try decode(SiteRow.self, line)
        table.rows.append([
            printable(row.site),
            row.state,
            "\(row.connections)/\(row.window.map(String.init) ?? "-")",
            String(row.ready),
            String(row.inFlight),
            String(row.waiting),
            String(row.held),
            row.oldestAgeSeconds.map { ageText(seconds: $0) } ?? "-",
            nextText(row.nextInSeconds),
            row.words.isEmpty ? row.reason?.sentence ?? "" : printable(row.words),
        ])
    }
    if table.rows.isEmpty {
        console.print("No site has mail.")
    } else {
        for line in table.lines(width: console.width) { console.print(line) }
    }
    return .success
}

private func listCauses(
    _ query: QueueQuery,
    _ client: ControlClient,
    _ console: Console
) throws(CommandProblem) -> ExitStatus {
    var table = Table(columns: [
        Table.Column(title: "MESSAGES", side: .right),
        Table.Column(title: "RECIPIENTS", side: .right),
        Table.Column(title: "OLDEST", side: .right),
        Table.Column(title: "NEXT", side: .right),
        Table.Column(title: "REASON"),
        Table.Column(title: "WHERE", isElastic: true),
        Table.Column(title: "WORDS", isElastic: true),
    ])
    _ = try client.ask(query) { (kind, line) throws(CommandProblem) in
        guard kind == CauseRow.kind else { return }
        let row = try decode(CauseRow.self, line)
        table.rows.append([
            String(row.messages),
            String(row.recipients),
            row.oldestAgeSeconds.map { ageText(seconds: $0) } ?? "-",
            nextText(row.nextInSeconds),
            row.isBeingSent ? PlaceWord.inFlight.rawValue : row.reason.rawValue,
            printable(row.place),
            row.isBeingSent
                ? "being sent" : row.words.isEmpty ? row.reason.sentence : printable(row.words),
        ])
    }
    if table.rows.isEmpty {
        console.print("Nothing waits.")
    } else {
        for line in table.lines(width: console.width) { console.print(line) }
    }
    return .success
}
