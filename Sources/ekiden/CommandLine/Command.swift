// A subcommand as data: what it is called, what it takes, how its help reads and what it runs.
// Parser, help and docs/COMMANDS.md are all made from these values.

/// `--long`, `-s`, with or without a value.
struct Option: Sendable {
    var long: String
    var short: Character?
    /// Name of the value in help (`DIR`); nil for a switch.
    var value: String?
    var help: String
    var repeats: Bool

    init(
        _ long: String,
        value: String? = nil,
        repeats: Bool = false,
        _ help: String
    ) {
        self.init(long: long, short: nil, value: value, repeats: repeats, help: help)
    }

    init(
        _ long: String,
        _ short: Character,
        value: String? = nil,
        repeats: Bool = false,
        _ help: String
    ) {
        self.init(long: long, short: short, value: value, repeats: repeats, help: help)
    }

    private init(long: String, short: Character?, value: String?, repeats: Bool, help: String) {
        self.long = long
        self.short = short
        self.value = value
        self.repeats = repeats
        self.help = help
    }

    /// `-n, --count N`.
    var synopsis: String {
        (short.map { "-\($0), " } ?? "") + "--\(long)" + (value.map { " \($0)" } ?? "")
    }
}

struct Example: Sendable {
    var line: String
    var explanation: String
    init(_ line: String, _ explanation: String) {
        self.line = line
        self.explanation = explanation
    }
}

struct Command: Sendable {
    /// Words after `ekiden`: `queue show`.
    var name: String
    /// One line for lists; no full stop.
    var summary: String
    /// How its arguments are written: `ID…`; empty when it takes none.
    var arguments = ""
    /// How many arguments it takes.
    var arity = 0...0
    /// Paragraphs of help.
    var details = ""
    var options: [Option] = []
    var examples: [Example] = []
    var subcommands: [Command] = []
    /// nil: only its subcommands do something.
    var run: (@Sendable (Invocation, Console) throws(CommandProblem) -> ExitStatus)?

    static let helpOption = Option("help", "h", "Print this help")

    func subcommand(_ word: String) -> Command? {
        subcommands.first { $0.word == word }
    }

    /// The last word of the name.
    var word: String { name.split(separator: " ").last.map(String.init) ?? name }
}
