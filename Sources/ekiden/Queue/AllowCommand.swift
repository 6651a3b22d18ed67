// `ekiden allow`: lets a client relay for a while without a login, lists who may, and takes it back.
// What POP-before-SMTP is made of: the login hook of a POP or IMAP server calls it (docs/POLICY.md).

import EkidenControl
import EkidenMail

let allowCommand = Command(
    name: "allow",
    summary: "Let a client relay for a while without a login",
    arguments: "ADDRESS --for TIME | --revoke ADDRESS | --list",
    arity: 0...1,
    details: """
        For that time the client at ADDRESS (or in a network such as 192.0.2.0/28) may send to
        anywhere, as if it were in relay_for of every listener that does not require a login.
        Allowed again, it may for the longer of both times. Allowances outlive a reload, not a
        restart. From a login hook: ekiden allow "$IP" --for 30m
        """,
    options: [
        Option("for", value: "TIME", "How long: 1s to 24h"),
        Option("revoke", value: "ADDRESS", "End an allowance now"),
        Option("list", "Who may relay, and for how long still"),
        Option("json", "With --list: one JSON object a line"),
    ] + ControlClient.options,
    examples: [
        Example("ekiden allow 192.0.2.7 --for 30m", "One client, half an hour"),
        Example("ekiden allow --list", "Who may, and how long still"),
        Example("ekiden allow --revoke 192.0.2.7", "No more"),
    ],
    run: { (invocation, console) throws(CommandProblem) in
        let ways = [
            !invocation.arguments.isEmpty, invocation.has("revoke"), invocation.has("list"),
        ].filter { $0 }.count
        guard ways == 1 else {
            throw .usage(
                ways == 0
                    ? "ekiden allow needs to know whom"
                    : "ADDRESS, --revoke and --list exclude each other",
                hint: invocation.command.usageLine
            )
        }
        if invocation.has("list") { return try listAllowances(invocation, console) }
        let client = try ControlClient(invocation)
        let end = try client.ask(try allowRequest(invocation)) { (_, _) throws(CommandProblem) in }
        console.print(printable(end.text))
        return .success
    }
)

func allowRequest(_ invocation: Invocation) throws(CommandProblem) -> ControlRequest {
    if let text = invocation.value("revoke") { return .revoke(try clientNetwork(text)) }
    let network = try clientNetwork(invocation.arguments[0])
    guard let time = try invocation.duration("for") else {
        throw .usage(
            "ekiden allow needs to know for how long",
            hint: "ekiden allow \(network.shortText) --for 30m"
        )
    }
    let seconds = Int(time.components.seconds)
    guard (1...24 * 3600).contains(seconds) else {
        throw .usage("--for takes a time from 1s to 24h here")
    }
    return .allow(network, seconds: seconds)
}

private func clientNetwork(_ text: String) throws(CommandProblem) -> NetworkPrefix {
    guard let network = NetworkPrefix(text) else {
        throw .usage(
            "\"\(printable(text))\" is no address of a client",
            hint: "addresses look like 192.0.2.7 or 2001:db8::7, networks like 192.0.2.0/28"
        )
    }
    return network
}

private func listAllowances(
    _ invocation: Invocation,
    _ console: Console
) throws(CommandProblem) -> ExitStatus {
    let isJSON = invocation.has("json")
    var table = Table(columns: [.init(title: "CLIENT"), .init(title: "LEFT", side: .right)])
    _ = try ControlClient(invocation).ask(.allowances) { (kind, line) throws(CommandProblem) in
        if isJSON {
            console.write(line)
            console.print()
        } else if kind == AllowanceRow.kind {
            let row = try decode(AllowanceRow.self, line)
            table.rows.append([printable(row.client), ageText(seconds: row.secondsLeft)])
        }
    }
    if isJSON { return .success }
    if table.rows.isEmpty {
        console.print("nobody has an allowance")
    } else {
        for line in table.lines(width: nil) { console.print(line) }
    }
    return .success
}
