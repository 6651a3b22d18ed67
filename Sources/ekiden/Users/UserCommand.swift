// `ekiden user add|passwd|remove|list`: the users file (docs/USERS.md). A password is asked for
// twice on the terminal or read from standard input, and never taken as an argument, where other
// users of the machine could see it.

import EkidenConfiguration
import EkidenCrypto
import EkidenIngress
import EkidenLinux
import EkidenMail
import EkidenRuntime
import EkidenSMTP
import Glibc

let userCommand = Command(
    name: "user",
    summary: "Add, change, remove and list the users who may log in",
    details: """
        Writes the users file that auth.users names. The running relay takes the change up within
        seconds. What is kept of a password checks it, and does not give it away.
        """,
    examples: [
        Example("ekiden user add anna", "Asks for the password twice"),
        Example("ekiden user list --users /etc/ekiden/users", "Another file"),
    ],
    subcommands: [addCommand, passwdCommand, removeCommand, listCommand]
)

private let fileOptions = [
    Option("users", value: "FILE", "The users file"),
    Option("config", "c", value: "FILE", "Configuration that names the users file"),
]

private let passwordOptions =
    [
        Option("password-stdin", "Read the password from standard input: its first line"),
        Option("scheme", value: "NAME", "What is kept of it: scram (default) or scrypt"),
        Option("iterations", value: "N", "Rounds of scram, 4096 to 1000000 (default 10000)"),
        Option("cost", value: "N", "Memory of scrypt: 2 to the N kB, 12 to 16 (default 15)"),
    ] + fileOptions

private let addCommand = Command(
    name: "user add",
    summary: "Add a user, and the users file if there is none yet",
    arguments: "NAME",
    arity: 1...1,
    details: """
        NAME is what the user logs in with: a word or a mail address, without spaces and colons.
        A large number of iterations makes guessing from a stolen file, and each login, slower.
        With scrypt each guess costs memory as well; such users log in by PLAIN and LOGIN alone.
        """,
    options: passwordOptions,
    examples: [
        Example("ekiden user add anna@example.org", "Asks for the password twice"),
        Example("pwgen -s 20 1 | ekiden user add --password-stdin printer-3", "From a program"),
    ],
    run: { (invocation, console) throws(CommandProblem) in
        let (path, name) = try place(invocation)
        let file = UsersFile(path: path)
        try file.change { (users) throws(CommandProblem) in
            if let known = users.user(named: name) {
                throw CommandProblem(
                    .negative,
                    "there is a user \(known.name) already",
                    hint: "ekiden user passwd changes a password"
                )
            }
            users.set(name, try newRecord(invocation))
        }
        console.print("\(name) added to \(path)")
        return .success
    }
)

private let passwdCommand = Command(
    name: "user passwd",
    summary: "Give a user another password",
    arguments: "NAME",
    arity: 1...1,
    details: "Scheme and cost stay as they are unless an option says otherwise.",
    options: passwordOptions,
    examples: [Example("ekiden user passwd anna", "Asks for the new password twice")],
    run: { (invocation, console) throws(CommandProblem) in
        let (path, name) = try place(invocation)
        try UsersFile(path: path).change { (users) throws(CommandProblem) in
            guard let known = users.user(named: name) else { throw unknown(name, path) }
            users.set(name, try newRecord(invocation, after: known.record.cost))
        }
        console.print("password of \(name) changed in \(path)")
        return .success
    }
)

private let removeCommand = Command(
    name: "user remove",
    summary: "Remove a user",
    arguments: "NAME",
    arity: 1...1,
    details: "Sessions in which the user is logged in already go on to their end.",
    options: fileOptions,
    examples: [Example("ekiden user remove anna", "No more logins as anna")],
    run: { (invocation, console) throws(CommandProblem) in
        let (path, name) = try place(invocation)
        try UsersFile(path: path).change { (users) throws(CommandProblem) in
            guard users.remove(name) else { throw unknown(name, path) }
        }
        console.print("\(name) removed from \(path)")
        return .success
    }
)

private let listCommand = Command(
    name: "user list",
    summary: "List the users, in the order of the file",
    options: fileOptions,
    examples: [Example("ekiden user list", "One name a line")],
    run: { (invocation, console) throws(CommandProblem) in
        let users = try UsersFile(path: try usersPath(invocation)).read()
        for user in users.all { console.print(printable(user.name)) }
        return .success
    }
)

private func unknown(_ name: String, _ path: String) -> CommandProblem {
    CommandProblem(.notFound, "there is no user \(printable(name)) in \(path)")
}

private func place(
    _ invocation: Invocation
) throws(CommandProblem) -> (path: String, name: String) {
    let word = invocation.arguments[0]
    guard let name = LoginName.prepare(Array(word.utf8)) else {
        throw .usage(
            "\"\(printable(word))\" can't be a user's name",
            hint: "a name is a word without spaces, colons and control characters, not over "
                + "\(LoginName.byteCountMax) bytes, and does not begin with #"
        )
    }
    return (try usersPath(invocation), name)
}

/// `--users`, or what the configuration (`--config`, else the standard one) names.
private func usersPath(_ invocation: Invocation) throws(CommandProblem) -> String {
    if let path = invocation.value("users") { return path }
    let file = invocation.value("config") ?? ControlSocketPath.standardConfiguration
    let bytes = try readFile(file)
    let inspection = Configuration.inspect(text: bytes, file: file, hostname: hostName())
    if let path = inspection.configuration.auth.users { return path }
    if let problem = inspection.errors.first {
        throw CommandProblem(
            .negative,
            problem.text,
            hint: "--users FILE does without the configuration"
        )
    }
    throw CommandProblem(
        .negative,
        "\(file) names no users file",
        hint: "set auth.users, or give --users FILE"
    )
}

/// - Parameter old: what the record in its place costs.
private func newRecord(
    _ invocation: Invocation,
    after old: PasswordRecord.Cost? = nil
) throws(CommandProblem) -> PasswordRecord {
    let asked = ["scheme", "iterations", "cost"].contains { invocation.has($0) }
    let cost = if let old, !asked { old } else { try recordCost(invocation) }
    let given = try PasswordPrompt.read(fromInput: invocation.has("password-stdin"))
    guard let password = PreparedPassword.prepare(given) else {
        throw CommandProblem(
            .negative,
            given.isEmpty
                ? "the password is empty"
                : "the password is no UTF-8 text, has control characters, or is over "
                    + "\(PreparedPassword.byteCountMax) bytes"
        )
    }
    switch cost {
    case .scram(let iterations):
        return .scram(
            ScramKeys(
                password: password,
                salt: randomBytes(ScramKeys.saltBytes),
                iterations: iterations
            )
        )
    case .scrypt(let cost):
        let salt = randomBytes(ScryptHash.saltBytes)
        guard let hash = ScryptHash(password: password, salt: salt, cost: cost) else {
            throw CommandProblem(
                .negative,
                "there is not enough memory for scrypt: it takes \(cost.memoryBytes >> 20) MiB",
                hint: "a smaller --cost takes less"
            )
        }
        return .scrypt(hash)
    }
}

/// What `--scheme`, `--iterations` and `--cost` ask for.
private func recordCost(_ invocation: Invocation) throws(CommandProblem) -> PasswordRecord.Cost {
    let scheme = invocation.value("scheme") ?? (invocation.has("cost") ? "scrypt" : "scram")
    let (own, other) = scheme == "scrypt" ? ("cost", "iterations") : ("iterations", "cost")
    guard scheme == "scram" || scheme == "scrypt" else {
        throw .usage(
            "there is no scheme \"\(printable(scheme))\"",
            hint: "scram serves all mechanisms; scrypt is dearer to guess at"
        )
    }
    if invocation.has(other) {
        throw .usage("--\(other) is not of \(scheme)", hint: "\(scheme) has --\(own)")
    }
    if scheme == "scram" {
        let iterations = try invocation.integer(
            "iterations",
            in: ScramKeys.iterationsRange,
            default: ScramKeys.iterationsDefault
        )
        return .scram(iterations: iterations)
    }
    let log2N = try invocation.integer(
        "cost",
        in: ScryptHash.Cost.log2NRange,
        default: ScryptHash.Cost.usual.log2N
    )
    return .scrypt(ScryptHash.Cost(log2N: log2N))
}

func randomBytes(_ count: Int) -> [UInt8] {
    let random = LinuxRandom()
    return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
}
