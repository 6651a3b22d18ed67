// Help texts for people and the manual for docs/COMMANDS.md, both from the command tree.

extension Command {
    /// `ekiden queue show [options] ID`.
    var usageLine: String {
        var line = name.isEmpty ? "ekiden" : "ekiden \(name)"
        if run == nil {
            line += " COMMAND"
        } else {
            if !options.isEmpty { line += " [options]" }
            if !arguments.isEmpty { line += " \(arguments)" }
        }
        return line
    }

    var helpText: String {
        var text = "\(summary).\n\nUsage: \(usageLine)\n"
        if !details.isEmpty { text += "\n\(details)\n" }
        if !subcommands.isEmpty {
            text += "\nCommands:\n" + columns(subcommands.map { ($0.word, $0.summary) })
        }
        text +=
            "\nOptions:\n" + columns((options + [Self.helpOption]).map { ($0.synopsis, $0.help) })
        if !examples.isEmpty {
            text += "\nExamples:\n"
            for example in examples { text += "  \(example.line)\n      \(example.explanation)\n" }
        }
        if name.isEmpty { text += "\nExit status:\n" + columns(exitStatusRows) }
        return text
    }

    /// The whole manual in Markdown: this command and all below it.
    var manual: String {
        var text = """
            # Commands

            Made from the help texts of `ekiden`; `ekiden help --markdown` prints this page.

            ## Exit status

            | status | meaning |
            |--:|---|

            """
        for (status, meaning) in exitStatusRows { text += "| \(status) | \(meaning) |\n" }
        return text + manualSections
    }

    private var manualSections: String {
        var text = ""
        if run != nil || name.isEmpty {
            text += "\n## \(name.isEmpty ? "ekiden" : "ekiden \(name)")\n\n```\n\(helpText)```\n"
        }
        for command in subcommands { text += command.manualSections }
        return text
    }
}

private let exitStatusRows = ExitStatus.allCases.map { (String($0.rawValue), $0.meaning) }

/// Two columns; a left side that is too wide gets a line of its own.
private func columns(_ rows: [(String, String)]) -> String {
    let width = min(rows.map(\.0.count).max() ?? 0, 26)
    var text = ""
    for (left, right) in rows {
        let indent = String(repeating: " ", count: width + 4)
        if left.count > width {
            text += "  \(left)\n\(indent)"
        } else {
            text += "  \(left)\(String(repeating: " ", count: width - left.count + 2))"
        }
        text += wrapped(right, width: 78 - width - 4).joined(separator: "\n\(indent)") + "\n"
    }
    return text
}

func wrapped(_ text: String, width: Int) -> [String] {
    var lines: [String] = []
    var line = ""
    for word in text.split(separator: " ") {
        if !line.isEmpty, line.count + 1 + word.count > width {
            lines.append(line)
            line = ""
        }
        line += (line.isEmpty ? "" : " ") + word
    }
    lines.append(line)
    return lines
}
