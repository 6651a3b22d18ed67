// `ekiden status` and the short orders to the daemon: reload, confirm-clock, suspend, resume.

import EkidenControl
import EkidenMail

let statusCommand = Command(
    name: "status",
    summary: "How the daemon is: listeners, queue, spool, rates, limits",
    options: [Option("json", "One JSON object")] + ControlClient.options,
    examples: [
        Example("ekiden status", "For people"),
        Example("ekiden status --json | jq .queue.messages", "For programs"),
    ],
    run: { (invocation, console) throws(CommandProblem) in
        let isJSON = invocation.has("json")
        _ = try ControlClient(invocation).ask(.status) { (kind, line) throws(CommandProblem) in
            if isJSON {
                console.write(line)
                console.print()
            } else if kind == StatusReport.kind {
                console.print(statusText(try decode(StatusReport.self, line)), terminator: "")
            }
        }
        return .success
    }
)

func statusText(_ report: StatusReport) -> String {
    var text = "ekiden \(report.version) on \(printable(report.hostname)), pid \(report.pid), "
    text += "up \(ageText(seconds: report.uptimeSeconds)), \(plural(report.loops, "loop"))"
    text += report.isStopping ? ", STOPPING\n" : "\n"
    text += "Config     \(report.configurationFile.map(printable) ?? "none: safe defaults")\n"
    if let reload = report.lastReload {
        text += "Reload     \(printable(reload))"
        text += report.lastReloadAt.map { " (\($0.timestamp))\n" } ?? "\n"
    }
    if !report.restartNeededFor.isEmpty {
        text += "Restart    needed for \(report.restartNeededFor.joined(separator: ", "))\n"
    }
    for listener in report.listeners {
        text += "Listener   \(printable(listener.name)) on \(listener.endpoint), "
        text += "\(plural(listener.connections, "connection"))\n"
    }
    let queue = report.queue
    text += "Queue      \(plural(queue.messages, "message")): \(queue.ready) ready, "
    text += "\(queue.inFlight) in flight, \(queue.waiting) waiting, \(queue.held) held"
    text += queue.oldestAgeSeconds.map { ", oldest \(ageText(seconds: $0))\n" } ?? "\n"
    let spool = report.spool
    text += "Spool      \(printable(spool.directory)): \(printable(spool.health)), "
    text += "\(sizeText(spool.usedBytes)) used (\(sizeText(spool.liveBytes)) live), "
    text += "\(sizeText(spool.freeBytes)) free\n"
    text +=
        "           takes \(plural(spool.messagesMax, "message")) and \(sizeText(spool.bytesMax)); "
    text +=
        "\(sizeText(spool.freeBytesMin)) and \(plural(spool.freeInodesMin, "inode")) stay free\n"
    if !spool.acceptsMail { text += "           NO NEW MAIL IS ACCEPTED\n" }
    if spool.expiryPaused {
        text += "           expiry waits for the clock: ekiden confirm-clock when it is right\n"
    }
    let resolver = report.resolver
    text += "Names      \(resolver.queries) asked, \(resolver.cacheHits) from cache, "
    text += "\(resolver.failures) failed"
    text += resolver.servers.isEmpty ? "\n" : ", by \(resolver.servers.joined(separator: ", "))\n"
    for row in report.certificates {
        let names = row.names.isEmpty ? [row.file] : Array(row.names.prefix(5))
        text += "TLS        \(printable(names.joined(separator: ", ")))"
        text += row.end.map { ", until \($0.timestamp)\n" } ?? "\n"
        if let trouble = row.trouble {
            text += "           NEW FILES ARE NOT USED: \(printable(trouble))\n"
        }
    }
    if report.allowances > 0 {
        text += "Allowed    \(plural(report.allowances, "client")) for a while: "
        text += "ekiden allow --list\n"
    }
    let rates = report.rates
    text +=
        "A second   \(fixed(rates.accepted, 1)) accepted, \(fixed(rates.delivered, 1)) delivered, "
    text += "\(fixed(rates.deferred, 1)) deferred, \(fixed(rates.bounced, 1)) bounced\n"
    return text + failuresText(report.failures) + limitsText(report)
}

/// What went wrong since the start, by class; docs/DELIVERY.md has what a class is.
private func failuresText(_ failures: [FailureCount]) -> String {
    var text = ""
    for (what, count) in [("deferred", \FailureCount.deferred), ("bounced", \.bounced)] {
        let some = failures.filter { $0[keyPath: count] > 0 }
            .sorted { $0[keyPath: count] > $1[keyPath: count] }
        if some.isEmpty { continue }
        let words = some.map { "\($0.failureClass.rawValue) \($0[keyPath: count])" }
        text += (text.isEmpty ? "Failures   " : "           ")
        text += "\(what): \(words.joined(separator: ", "))\n"
    }
    return text
}

/// Limits, and those who stand nearest to them.
private func limitsText(_ report: StatusReport) -> String {
    func uses(_ uses: [LimitUse]) -> String {
        uses.isEmpty
            ? "" : ": " + uses.map { "\(printable($0.who)) \($0.used)" }.joined(separator: ", ")
    }
    var text = ""
    for listener in report.connections {
        text += "Limits     \(printable(listener.name)): \(listener.connections) of "
        text += "\(plural(listener.limit, "connection"))\n"
        text += "           \(listener.perClient) per client\(uses(listener.clients))\n"
        if let limit = listener.perNetwork {
            text += "           \(limit) per network\(uses(listener.networks))\n"
        }
        text += sessionText(listener.session)
    }
    if let sessions = report.sessionsMax {
        text += "           \(plural(sessions, "connection")) in all\n"
    }
    for limit in report.limits {
        text += "Rate       \(printable(limit.name)): \(limit.rate) \(limit.of) per \(limit.per)"
        text += ", \(limit.burst) at once, \(limit.counted) counted, \(limit.refused) refused"
        text += uses(limit.first) + "\n"
    }
    if let logins = report.logins {
        text += "Logins     \(plural(logins.users, "user")); locked out: "
        text += "\(plural(logins.lockedClients, "client")), \(plural(logins.lockedUsers, "user"))\n"
        text +=
            "           \(plural(logins.failures, "failure")) in \(timeText(logins.windowSeconds)) "
        text += "lock out for \(timeText(logins.lockoutSeconds))\n"
    }
    return text
}

private func sessionText(_ limits: SessionLimits) -> String {
    var text = "           a session: \(plural(limits.errors, "error"))"
    text +=
        limits.errorsBeforeTarpit.map {
            " (from \($0 + 1) on \(timeText(limits.tarpitSeconds)) later each)"
        } ?? ""
    text += ", \(plural(limits.commands, "command")), \(timeText(limits.commandSeconds)) for each"
    if limits.greetSeconds > 0 { text += ", greeted after \(timeText(limits.greetSeconds))" }
    text += "\n"
    text += "           a message: \(limits.messageBytes.map(sizeText) ?? "any size"), "
    text += "\(plural(limits.recipients, "recipient")), \(timeText(limits.messageSeconds)), "
    text += "\(timeText(limits.dataBlockSeconds)) for a part\n"
    text += "           a header: \(sizeText(limits.headerBytes)), "
    text +=
        "\(plural(limits.headerFields, "field")), \(sizeText(limits.headerFieldBytes)) for each, "
    return text + "\(limits.receivedFields) Received\n"
}

/// Sends a request whose answer is one sentence.
private func order(
    _ request: ControlRequest,
    _ invocation: Invocation,
    _ console: Console,
    done: String
) throws(CommandProblem) -> ExitStatus {
    let end = try ControlClient(invocation).ask(request) { (_, _) throws(CommandProblem) in }
    console.print(end.text.isEmpty ? done : printable(end.text))
    return .success
}

let reloadCommand = Command(
    name: "reload",
    summary: "Let the daemon read its configuration again",
    details: """
        All or nothing: with an error in the file the old configuration runs on, the error is
        printed, and the exit status is 1. The same as SIGHUP, with an answer.
        """,
    options: ControlClient.options,
    examples: [
        Example("ekiden config check /etc/ekiden/ekiden.toml && ekiden reload", "Check first")
    ],
    run: { (invocation, console) throws(CommandProblem) in
        try order(.reload, invocation, console, done: "the new configuration is in use")
    }
)

let confirmClockCommand = Command(
    name: "confirm-clock",
    summary: "Say that the wall clock is right, so that expiry goes on",
    details: """
        After a large step of the clock no mail expires until the clock has agreed with itself
        for an hour, or until this is said. ekiden status tells when it waits.
        """,
    options: ControlClient.options,
    examples: [Example("date; ekiden confirm-clock", "Look first")],
    run: { (invocation, console) throws(CommandProblem) in
        try order(.confirmClock, invocation, console, done: "expiry goes on")
    }
)

let suspendCommand = Command(
    name: "suspend",
    summary: "Send nothing to a site for a while",
    arguments: "SITE",
    arity: 1...1,
    details: """
        A suspension outlives a reload, but not a restart of the relay. A site is known by its name
        once it has had mail since the start: ekiden queue --by site lists them.
        """,
    options: [Option("for", value: "TIME", "How long (until resumed)")] + ControlClient.options,
    examples: [Example("ekiden suspend mx:mx.example --for 2h", "Leave a site alone")],
    run: { (invocation, console) throws(CommandProblem) in
        let time = try invocation.duration("for")
        let site = invocation.arguments[0]
        return try order(
            .suspend(site: site, seconds: time.map { Int($0.components.seconds) }),
            invocation,
            console,
            done: "\(site) is suspended"
        )
    }
)

let resumeCommand = Command(
    name: "resume",
    summary: "Send to a suspended site again",
    arguments: "SITE",
    arity: 1...1,
    options: ControlClient.options,
    examples: [Example("ekiden resume mx:mx.example", "ekiden queue --by site shows the names")],
    run: { (invocation, console) throws(CommandProblem) in
        let site = invocation.arguments[0]
        return try order(
            .resume(site: site),
            invocation,
            console,
            done: "\(site) is open again"
        )
    }
)
