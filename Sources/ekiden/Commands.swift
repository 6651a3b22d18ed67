// The tree of everything `ekiden` can be asked, and the step from words to an exit status.

var commandTree: Command {
    Command(
        name: "",
        summary: "Ekiden, a mail relay",
        details: """
            One binary: the daemon, the tools around it and the questions one asks it.
            Commands that talk to the daemon use its control socket (--socket).
            """,
        options: [],
        examples: [
            Example("ekiden serve --config /etc/ekiden/ekiden.toml", "Run the relay"),
            Example("ekiden queue", "What waits, why, and when it is tried next"),
            Example("ekiden queue show --help", "Help exists for every command"),
        ],
        subcommands: [
            serveCommand,
            configCommand, queueCommand, traceCommand, statusCommand, reloadCommand, suspendCommand,
            resumeCommand, confirmClockCommand, allowCommand, userCommand, spoolCommand,
            sinkCommand,
            benchCommand, versionCommand, helpCommand,
        ],
        run: nil
    )
}

let versionText = "0.1.0"

private let versionCommand: Command = Command(
    name: "version",
    summary: "Print the version",
    examples: [Example("ekiden version", "ekiden \(versionText)")],
    run: { (_, console) throws(CommandProblem) in
        console.print("ekiden \(versionText)")
        return .success
    }
)

private let helpCommand: Command = Command(
    name: "help",
    summary: "Explain a command",
    arguments: "[COMMAND…]",
    arity: 0...3,
    options: [Option("markdown", "Print the whole manual in Markdown (docs/COMMANDS.md)")],
    examples: [Example("ekiden help queue delete", "The same as ekiden queue delete --help")],
    run: { (invocation, console) throws(CommandProblem) in
        if invocation.has("markdown") {
            console.print(commandTree.manual, terminator: "")
            return .success
        }
        let line = invocation.arguments + ["--help"]
        guard case .help(let command) = try ArgumentParser(root: commandTree).parse(line) else {
            return .usage
        }
        console.print(command.helpText, terminator: "")
        return .success
    }
)

/// Runs one command line. Problems go to standard error as `ekiden: sentence`, then a hint.
func runCommandLine(_ words: [String], _ console: Console) -> ExitStatus {
    do throws(CommandProblem) {
        if words.isEmpty {
            console.print(commandTree.helpText, terminator: "")
            return .usage
        }
        if words == ["--version"] { return runCommandLine(["version"], console) }
        switch try ArgumentParser(root: commandTree).parse(words) {
        case .help(let command):
            console.print(command.helpText, terminator: "")
            // Asked for, it is an answer; for want of a command, it is a correction.
            return words.contains { $0 == "--help" || $0 == "-h" } ? .success : .usage
        case .run(let invocation):
            guard let run = invocation.command.run else { return .usage }
            return try run(invocation, console)
        }
    } catch {
        console.error("ekiden: \(error.text)")
        if !error.hint.isEmpty { console.error("        \(error.hint)") }
        return error.status
    }
}
