// What the schema says to people: the manual (docs/CONFIGURATION.md), the annotated example
// (deploy/ekiden.toml) and `ekiden config explain`. All three are made of the rows; a test keeps
// the two files equal to what is made here.

/// The answer to `ekiden config explain NAME`.
package enum Explanation: Sendable, Equatable {
    case text(String)
    /// Nothing has that name; the sentence says so and suggests the nearest.
    case unknown(String)
}

package enum Reference {
    /// Explains a setting (`retry.first`, or `first` where that is enough), a section (`retry`),
    /// or with an empty name lists the sections.
    package static func explain(_ name: String) -> Explanation {
        let name = String(name.filter { !"[] ".contains($0) })
        if name.isEmpty {
            let lines = Schema.sections.map { padded($0.header, 15) + firstSentence($0.sentence) }
            return .text(
                (["The sections of the configuration, in the order mail goes through:", ""]
                    + lines.map { "  " + $0 }).joined(separator: "\n") + "\n"
            )
        }
        if let section = Schema.sections.first(where: { $0.name == name }) {
            return .text(explain(section))
        }
        let rows = Schema.rows.filter { $0.path == name || $0.name == name }
        if !rows.isEmpty { return .text(rows.map(explain).joined(separator: "\n")) }
        let known = Schema.sections.map(\.name) + Schema.rows.map(\.path) + Schema.rows.map(\.name)
        return .unknown(
            "there is no setting or section \"\(name)\"" + Suggestion.question(name, among: known)
        )
    }

    private static func explain(_ section: SectionSchema) -> String {
        let width = (section.rows.map(\.name.utf8.count).max() ?? 0) + 2
        let lines = section.rows.map {
            "  " + padded($0.name, width) + padded(defaultText($0), 22) + firstSentence($0.sentence)
        }
        return ([section.header, wrapped(section.sentence, indent: "  "), ""] + lines)
            .joined(separator: "\n") + "\n"
    }

    private static func explain(_ row: SettingRow) -> String {
        var lines = [row.path, wrapped(row.sentence, indent: "  "), ""]
        lines.append("  type     \(row.noun)" + (row.range.isEmpty ? "" : ", \(row.range)"))
        lines.append("  default  \(defaultText(row))")
        lines.append("  example  \(row.name) = \(row.example)")
        lines.append(
            "  change   " + (row.needsRestart ? "needs a restart" : "takes effect on reload")
        )
        return lines.joined(separator: "\n") + "\n"
    }

    private static func defaultText(_ row: SettingRow) -> String {
        row.defaultWords ?? row.defaultValue ?? "none, must be given"
    }

    // MARK: The manual

    /// docs/CONFIGURATION.md
    package static var manual: String {
        var lines = [manualHead]
        for section in Schema.sections {
            let name = section.header
            lines.append("- [`\(name)`](#\(section.name)): \(firstSentence(section.sentence))")
        }
        for section in Schema.sections {
            lines += [
                "", "## \(section.name)", "",
                wrapped("`\(section.header)`: " + markdown(section.sentence)),
            ]
            for row in section.rows { lines += manual(row) }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func manual(_ row: SettingRow) -> [String] {
        let range = row.range.isEmpty ? "" : " (\(row.range))"
        let standard = row.defaultWords ?? row.defaultValue.map { "`\($0)`" }
        let change = row.needsRestart ? "restart" : "reload"
        return [
            "", "### \(row.path)", "", wrapped(markdown(row.sentence)), "",
            "| type | default | takes effect on |", "|---|---|---|",
            "| \(row.noun)\(range) | \(standard ?? "none, must be given") | \(change) |", "",
            "Example: `\(row.name) = \(row.example)`",
        ]
    }

    /// Text as Markdown: what would be taken for markup is escaped, but not within backticks.
    private static func markdown(_ text: String) -> String {
        var isCode = false
        var out = ""
        for character in text {
            if character == "`" { isCode.toggle() }
            if !isCode, "<*_[".contains(character) { out.append("\\") }
            out.append(character)
        }
        return out
    }

    private static let manualHead = """
        # Configuration

        Made from the schema in `Sources/EkidenConfiguration`; edit the rows there.

        Ekiden reads one file in [TOML 1.0](https://toml.io/en/v1.0.0). Every setting has a default,
        so that the file holds only what differs; without a file the relay listens on
        `127.0.0.1:2525` and `[::1]:2525` and takes mail from this machine alone. A name that is not
        a setting, a value of the wrong type, unit or range is an error with its line and column, and
        nothing is guessed. Where the file's own values leave no room for the default of another
        setting, the default gives way: `connections_max = 2` alone also means to start with 2.

        - `ekiden config check FILE` reads a file and says all that is wrong or doubtful with it.
        - `ekiden config explain NAME` explains a setting or lists a section.
        - A reload (SIGHUP) takes the new file whole or not at all. Open sessions keep their settings;
          new sessions and the next attempts take the new ones. Settings marked *restart* keep their
          values until the next start.

        Times have units: `ms`, `s`, `m`, `h`, `d`, `w`, as in `"5m"` or `"1h30m"`. Sizes too: `B`,
        `KiB`, `MiB`, `GiB`, `TiB` by 1024, `kB`, `MB`, `GB`, `TB` by 1000, as in `"10MiB"`. Both are
        written in quotes. Networks are written as `"10.0.0.0/8"` or `"2001:db8::/32"`, addresses with
        ports as `"192.0.2.1:25"` or `"[2001:db8::1]:25"`.

        The sections, in the order mail goes through the relay:

        """

    // MARK: The example

    /// deploy/ekiden.toml
    package static var example: String {
        var lines = [
            "# Ekiden's configuration: every setting with its default, in the order mail goes",
            "# through the relay. Take away the # before a setting to change it. Made from the schema;",
            "# docs/CONFIGURATION.md says more, and so does \"ekiden config explain NAME\".",
        ]
        for section in Schema.sections {
            lines += ["", wrapped(section.sentence, indent: "# ")]
            // A list's header would by itself begin an element that lacks what it must have.
            lines.append((section.isList ? "#" : "") + section.header)
            for row in section.rows {
                lines += ["", wrapped(exampleWords(row), indent: "# ")]
                lines.append("#\(row.name) = \(row.defaultValue ?? row.example)")
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func exampleWords(_ row: SettingRow) -> String {
        var words = row.sentence
        if !row.range.isEmpty { words += " (\(row.range))" }
        if let standard = row.defaultWords { words += " Default: \(standard)." }
        if row.needsRestart { words += " Needs a restart." }
        return words
    }

    // MARK: Text

    private static func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(1, width - text.utf8.count))
    }

    /// Up to the first full stop that ends a sentence.
    static func firstSentence(_ text: String) -> String {
        var end = text.startIndex
        while let dot = text[end...].firstIndex(of: ".") {
            end = text.index(after: dot)
            if end == text.endIndex || text[end] == " " { return String(text[..<end]) }
        }
        return text
    }

    /// Lines of at most 96 columns, broken between words.
    static func wrapped(_ text: String, indent: String = "") -> String {
        var lines: [String] = []
        var line = indent
        for word in text.split(separator: " ") {
            if line != indent, line.utf8.count + 1 + word.utf8.count > 96 {
                lines.append(line)
                line = indent
            }
            line += (line == indent ? "" : " ") + word
        }
        lines.append(line)
        return lines.joined(separator: "\n")
    }
}
