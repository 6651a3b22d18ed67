// `ekiden queue retry|hold|release|delete`: what an operator does to mail. The daemon makes it
// durable, with the operator's uid, before this says that it is done.

import EkidenControl
import EkidenMail
import Glibc

private let selectionOptions =
    [
        Option("to-domain", value: "DOMAIN", "All recipients at this domain"),
        Option("from", value: "ADDRESS", "All mail of this sender; <> is the null sender"),
        Option("site", value: "SITE", "All mail that waits for this site"),
        Option("route", value: "NAME", "All mail that goes by this route"),
        Option("all", "The whole queue"),
        Option("json", "One JSON object a line: messages that were not done, then the sum"),
    ] + ControlClient.options

private func actionCommand(
    _ action: QueueAction,
    _ summary: String,
    _ details: String,
    _ more: [Option],
    _ examples: [Example]
) -> Command {
    Command(
        name: "queue \(action.rawValue)",
        summary: summary,
        arguments: "ID… | --to-domain D | --from A | --site S | --route R | --all",
        arity: 0...10_000,
        details: details,
        options: more + selectionOptions,
        examples: examples,
        run: { (invocation, console) throws(CommandProblem) in
            try runAction(action, invocation, console)
        }
    )
}

let queueRetryCommand = actionCommand(
    .retry,
    "Try mail now, whatever its schedule says",
    """
    What is held stays held: release it instead. With --route, a route with on_demand = true is
    opened for its open_time, for what waits and what comes meanwhile.
    """,
    [],
    [
        Example("ekiden queue retry 06BKM6TX4C001", "One message"),
        Example("ekiden queue retry --to-domain example.org", "All that waits for a domain"),
        Example("ekiden queue retry --route ship", "Open a route on demand"),
    ]
)

let queueHoldCommand = actionCommand(
    .hold,
    "Keep mail and do not try it until it is released",
    """
    Held mail does not expire. What is being sent at this moment may still go out: a few
    seconds are waited for it, and messages that were delivered meanwhile or still are being
    sent are named. The latter are held, too.
    """,
    [],
    [Example("ekiden queue hold --from news@example.org", "Stop a mailing")]
)

let queueReleaseCommand = actionCommand(
    .release,
    "Let held mail go; it is tried at once",
    "",
    [],
    [Example("ekiden queue release --all", "Release everything")]
)

let queueDeleteCommand = actionCommand(
    .delete,
    "Remove mail for good, without a bounce",
    """
    Asks first when it runs on a terminal; elsewhere it takes --yes. A recipient that is being
    sent at this moment can't be deleted; the answer names the message.
    """,
    [Option("yes", "y", "Delete without asking")],
    [
        Example("ekiden queue delete 06BKM6TX4C001", "One message"),
        Example("ekiden queue delete --from '<>' --yes", "All bounces and notices"),
    ]
)

private func runAction(
    _ action: QueueAction,
    _ invocation: Invocation,
    _ console: Console
) throws(CommandProblem) -> ExitStatus {
    let (selection, words) = try queueSelection(invocation)
    let client = try ControlClient(invocation)
    if action == .delete, !invocation.has("yes") { try confirmDeletion(words, console) }
    let isJSON = invocation.has("json")
    let end = try client.ask(.act(action, selection)) { (kind, line) throws(CommandProblem) in
        if isJSON {
            console.write(line)
            console.print()
        } else if kind == OutcomeRow.kind {
            let row = try decode(OutcomeRow.self, line)
            console.error("ekiden: \(row.id.text): \(row.problem.text)")
            if !row.problem.hint.isEmpty { console.error("        \(row.problem.hint)") }
        }
    }
    if isJSON {
        console.print("{\"kind\":\"end\",\"count\":\(end.count),\"failed\":\(end.failed)}")
    } else {
        console.print(actionResult(action, end))
    }
    return actionStatus(end, named: selection.isNamed)
}

extension Selection {
    /// Messages were named one by one, so a missing one is a mistake.
    fileprivate var isNamed: Bool { if case .ids = self { true } else { false } }
}

func actionStatus(_ end: ControlEnd, named: Bool) -> ExitStatus {
    if end.failed > 0 { return end.count > 0 ? .partial : named ? .notFound : .negative }
    if end.count > 0 || !named { return .success }
    // Found, but it stays as it is: the sentence says why.
    return end.text.isEmpty ? .notFound : .negative
}

func actionResult(_ action: QueueAction, _ end: ControlEnd) -> String {
    let past =
        switch action {
        case .retry: "will be tried now"
        case .hold: "held"
        case .release: "released"
        case .delete: "deleted"
        }
    var text = "\(plural(end.count, "message")) \(past)"
    if end.failed > 0 { text += ", \(end.failed) not" }
    return text + (end.text.isEmpty ? "" : "; \(printable(end.text))")
}

/// Exactly one way to say which mail is meant, and how to call it in a question.
func queueSelection(_ invocation: Invocation) throws(CommandProblem) -> (Selection, String) {
    var found: [(Selection, String)] = []
    if !invocation.arguments.isEmpty {
        let ids = try queueIDs(invocation.arguments)
        found.append(
            (.ids(ids), ids.count == 1 ? "message \(ids[0].text)" : "\(ids.count) messages")
        )
    }
    if let domain = invocation.value("to-domain") {
        found.append((.toDomain(domain), "all mail for recipients at \(domain)"))
    }
    if let address = invocation.value("from") {
        let sender = withoutBrackets(address)
        found.append((.from(sender), "all mail from <\(sender)>"))
    }
    if let site = invocation.value("site") {
        found.append((.site(site), "all mail that waits for \(site)"))
    }
    if let name = invocation.value("route") {
        found.append((.route(name), "all mail that goes by route \(name)"))
    }
    if invocation.has("all") { found.append((.all, "ALL mail in the queue")) }
    guard found.count == 1 else {
        throw .usage(
            found.isEmpty
                ? "ekiden \(invocation.command.name) needs to know which mail"
                : "ids, --to-domain, --from, --site, --route and --all exclude each other",
            hint: "\(invocation.command.usageLine)"
        )
    }
    return found[0]
}

private func confirmDeletion(_ what: String, _ console: Console) throws(CommandProblem) {
    guard isatty(STDIN_FILENO) == 1, console.errorIsTerminal else {
        throw .usage(
            "deleting \(what) needs --yes where nobody can be asked",
            hint: "ekiden queue delete … --yes"
        )
    }
    console.error("Delete \(what) for good? There will be no bounce. [y/N]")
    guard let answer = readLine(), ["y", "yes"].contains(answer.lowercased()) else {
        throw CommandProblem(.negative, "nothing was deleted")
    }
}
