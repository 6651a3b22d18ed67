// Reads a command line by the tree of commands. Conventions of the GNU tools: `--long value`,
// `--long=value`, `-s value`, `-svalue`, switches of one letter joined, `--` ends the options,
// options and arguments in any order.

enum ParsedLine {
    case run(Invocation)
    case help(Command)
}

struct ArgumentParser {
    let root: Command

    func parse(_ words: [String]) throws(CommandProblem) -> ParsedLine {
        var command = root
        var rest = words[...]
        while let word = rest.first, !word.hasPrefix("-"), !command.subcommands.isEmpty {
            if let next = command.subcommand(word) {
                command = next
                rest = rest.dropFirst()
            } else if command.run != nil, command.arity.upperBound > 0 {
                break
            } else {
                throw unknownCommand(word, in: command)
            }
        }
        var invocation = Invocation(command: command)
        while let word = rest.popFirst() {
            if word == "--" {
                invocation.arguments += rest
                break
            }
            if word == "--help" || word == "-h" { return .help(command) }
            if word.hasPrefix("--") {
                try long(word.dropFirst(2), &rest, &invocation)
            } else if word.hasPrefix("-"), word.count > 1 {
                try short(word.dropFirst(), &rest, &invocation)
            } else {
                invocation.arguments.append(word)
            }
        }
        if command.run == nil { return .help(command) }
        try checkArity(invocation)
        return .run(invocation)
    }

    private func long(
        _ text: Substring,
        _ rest: inout ArraySlice<String>,
        _ invocation: inout Invocation
    ) throws(CommandProblem) {
        let name = text.prefix { $0 != "=" }
        let attached = name.count < text.count ? String(text.dropFirst(name.count + 1)) : nil
        guard let option = invocation.command.options.first(where: { $0.long == name }) else {
            throw unknownOption("--\(name)", invocation.command)
        }
        if option.value == nil {
            if attached != nil { throw .usage("--\(name) takes no value") }
            try record("", option, &invocation)
        } else if let value = attached ?? rest.popFirst() {
            try record(value, option, &invocation)
        } else {
            throw .usage("--\(name) needs a value: \(option.synopsis)")
        }
    }

    private func short(
        _ letters: Substring,
        _ rest: inout ArraySlice<String>,
        _ invocation: inout Invocation
    ) throws(CommandProblem) {
        var letters = letters
        while let letter = letters.popFirst() {
            if letter == "h" { throw .usage("-h stands alone") }
            guard let option = invocation.command.options.first(where: { $0.short == letter })
            else { throw unknownOption("-\(letter)", invocation.command) }
            if option.value == nil {
                try record("", option, &invocation)
                continue
            }
            guard let value = letters.isEmpty ? rest.popFirst() : String(letters) else {
                throw .usage("-\(letter) needs a value: \(option.synopsis)")
            }
            try record(value, option, &invocation)
            return
        }
    }

    private func record(
        _ value: String,
        _ option: Option,
        _ invocation: inout Invocation
    ) throws(CommandProblem) {
        if !option.repeats, option.value != nil, invocation.has(option.long) {
            throw .usage("--\(option.long) was given twice")
        }
        invocation.values[option.long, default: []].append(value)
    }

    private func checkArity(_ invocation: Invocation) throws(CommandProblem) {
        let command = invocation.command
        let count = invocation.arguments.count
        if count < command.arity.lowerBound {
            throw .usage(
                "ekiden \(command.name) needs \(command.arguments)",
                hint: "ekiden \(command.name) --help shows examples"
            )
        }
        if count > command.arity.upperBound {
            throw .usage(
                "ekiden \(command.name) does not know what to do with "
                    + "\"\(invocation.arguments[command.arity.upperBound])\"",
                hint: "ekiden \(command.name) --help"
            )
        }
    }

    private func unknownCommand(_ word: String, in command: Command) -> CommandProblem {
        let prefix = command.name.isEmpty ? "ekiden" : "ekiden \(command.name)"
        let close = nearest(word, among: command.subcommands.map(\.word))
        return .usage(
            "there is no \"\(prefix) \(word)\"",
            hint: close.map { "did you mean \"\(prefix) \($0)\"?" } ?? "\(prefix) --help lists all"
        )
    }

    private func unknownOption(_ word: String, _ command: Command) -> CommandProblem {
        let name = command.name.isEmpty ? "ekiden" : "ekiden \(command.name)"
        let close = nearest(word, among: command.options.map { "--\($0.long)" })
        return .usage(
            "\(name) has no option \(word)",
            hint: close.map { "did you mean \($0)?" } ?? "\(name) --help lists all"
        )
    }
}

/// The known word closest to a mistyped one, if one is close enough to have been meant.
func nearest(_ word: String, among known: [String]) -> String? {
    var best: (distance: Int, word: String)?
    for candidate in known {
        let distance = editDistance(Array(word.utf8), Array(candidate.utf8))
        let isBegun = word.count >= 2 && candidate.hasPrefix(word)
        guard distance <= max(1, candidate.count / 3) || isBegun else { continue }
        if best.map({ distance < $0.distance }) ?? true { best = (distance, candidate) }
    }
    return best?.word
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from `a` to `b`.
func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var before: [Int] = []
    var last = Array(0...b.count)
    for i in 0..<a.count {
        var row = [i + 1]
        for j in 0..<b.count {
            var cost = min(last[j] + (a[i] == b[j] ? 0 : 1), last[j + 1] + 1, row[j] + 1)
            if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
                cost = min(cost, before[j - 1] + 1)
            }
            row.append(cost)
        }
        before = last
        last = row
    }
    return last[b.count]
}
