// `ekiden config check|explain|example`: everything about settings that needs no daemon.

import EkidenConfiguration
import EkidenIngress
import EkidenLinux
import EkidenRelay
import EkidenRuntime
import Glibc

let configCommand = Command(
    name: "config",
    summary: "Check a configuration, explain settings, print an example",
    subcommands: [configCheckCommand, configExplainCommand, configExampleCommand]
)

private let configCheckCommand = Command(
    name: "config check",
    summary: "Say what is wrong with a configuration file",
    arguments: "[FILE]",
    arity: 0...1,
    details: """
        Prints FILE:LINE:COLUMN: sentence for each error and warning. The exit status is 1 with
        errors, and 0 with warnings alone. Without errors it also says what the provider of a
        route became. FILE is \(ControlSocketPath.standardConfiguration) when
        none is given; - is standard input.
        """,
    examples: [Example("ekiden config check ekiden.toml", "Before ekiden reload")],
    run: { (invocation, console) throws(CommandProblem) in
        let file = invocation.arguments.first ?? ControlSocketPath.standardConfiguration
        let bytes = try readFile(file)
        let inspection = Configuration.inspect(text: bytes, file: file, hostname: hostName())
        for problem in inspection.problems { console.print(printable(problem.text)) }
        if !inspection.errors.isEmpty { return .negative }
        if let problem = certificateProblem(inspection.configuration) {
            console.print("\(file): error: " + printable(problem))
            return .negative
        }
        let lists = inspection.configuration.listProblems {
            (path, maxBytes) throws(FileProblem) in
            try LinuxFiles().readNow(path, maxBytes: maxBytes)
        }
        let secrets = secretProblems(inspection.configuration)
        for problem in lists + secrets { console.print("\(file): error: " + printable(problem)) }
        if !lists.isEmpty || !secrets.isEmpty { return .negative }
        for note in inspection.configuration.providerNotes {
            console.print("\(file): " + printable(note))
        }
        console.print(
            inspection.warnings.isEmpty
                ? "\(file): ok"
                : "\(file): ok, with \(plural(inspection.warnings.count, "warning"))"
        )
        return .success
    }
)

/// What keeps a listener from having its TLS, as a start would find it.
private func certificateProblem(_ configuration: Configuration) -> String? {
    for listener in configuration.listeners {
        guard let settings = configuration.tlsSettings(of: listener) else { continue }
        do throws(TLSFailure) { _ = try OpenSSLProvider().acceptor(settings) } catch {
            return "listener \"\(listener.name)\" can have no TLS: \(error.text)"
        }
    }
    for settings in configuration.outboundTLSSettings {
        do throws(TLSFailure) { _ = try OpenSSLProvider().connector(settings) } catch {
            return "mail can't go out under TLS: \(error.text)"
        }
    }
    return nil
}

/// What keeps the files of users and logins from being used, as a start would find it.
private func secretProblems(_ configuration: Configuration) -> [String] {
    var problems: [String] = []
    if let path = configuration.auth.users {
        do throws(FileProblem) {
            let bytes = try LinuxFiles().readNow(path, maxBytes: UserTable.bytesMax)
            do throws(UserTableProblem) { _ = try UserTable(parsing: bytes) } catch {
                problems.append("can't use \(path) (auth.users): line \(error.line): \(error.text)")
            }
        } catch {
            problems.append("can't use \(path) (auth.users): \(error.text)")
        }
    }
    for login in configuration.hopLogins {
        for path in [login.passwordFile, login.tokenFile].compactMap({ $0 }) {
            do throws(FileProblem) {
                let stamp = try LinuxFiles().stampNow(path)
                let bytes = try LinuxFiles().readNow(path, maxBytes: HopLogins.secretBytesMax)
                let flaw =
                    stamp.looseness.map { "\(path) has \($0)" }
                    ?? HopLogins.flaw(in: bytes, of: path, isToken: path == login.tokenFile)
                guard let flaw else { continue }
                problems.append("can't use login \"\(login.name)\": \(flaw)")
            } catch {
                problems.append("can't use login \"\(login.name)\": \(path): \(error.text)")
            }
        }
        if let program = login.tokenCommand.first {
            do throws(FileProblem) {
                guard let unfitness = try LinuxFiles().stampNow(program).unfitness else { continue }
                throw FileProblem(path: program, text: unfitness)
            } catch {
                problems.append(
                    "can't use login \"\(login.name)\": the command \(program) can't be run: "
                        + error.text
                )
            }
        }
    }
    return problems
}

private let configExplainCommand = Command(
    name: "config explain",
    summary: "Explain a setting or a section",
    arguments: "[NAME]",
    arity: 0...1,
    examples: [
        Example("ekiden config explain retry.first", "Type, unit, default, range and what it does"),
        Example("ekiden config explain", "The sections"),
    ],
    run: { (invocation, console) throws(CommandProblem) in
        switch Reference.explain(invocation.arguments.first ?? "") {
        case .text(let text): console.print(text, terminator: "")
        case .unknown(let sentence): throw CommandProblem(.notFound, sentence)
        }
        return .success
    }
)

private let configExampleCommand = Command(
    name: "config example",
    summary: "Print an annotated configuration with every setting",
    examples: [Example("ekiden config example > ekiden.toml", "A file to begin with")],
    run: { (_, console) throws(CommandProblem) in
        console.print(Reference.example, terminator: "")
        return .success
    }
)
