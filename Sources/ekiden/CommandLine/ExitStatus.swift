// What the command line answers to scripts, and the problems that lead there. Documented once,
// here; docs/COMMANDS.md and `ekiden help` print this table.

/// Exit statuses of every subcommand.
enum ExitStatus: Int, CaseIterable {
    case success = 0
    case negative = 1
    case usage = 2
    case unreachable = 3
    case notFound = 4
    case partial = 5

    var code: Int32 { Int32(rawValue) }

    var meaning: String {
        switch self {
        case .success: "done, or the answer is yes"
        case .negative: "failed, or the answer is no (an invalid configuration, a damaged spool)"
        case .usage: "the command line can't be understood"
        case .unreachable: "the daemon can't be reached on its control socket"
        case .notFound: "nothing by that name: message, setting, file"
        case .partial: "done for some and not for others; the output says for which"
        }
    }
}

/// Why a command ends without doing its work.
struct CommandProblem: Error, Equatable {
    var status: ExitStatus
    /// One sentence, without a full stop.
    var text: String
    /// What to do about it; may be empty.
    var hint: String

    init(_ status: ExitStatus, _ text: String, hint: String = "") {
        self.status = status
        self.text = text
        self.hint = hint
    }

    static func usage(_ text: String, hint: String = "") -> CommandProblem {
        CommandProblem(.usage, text, hint: hint)
    }
}
