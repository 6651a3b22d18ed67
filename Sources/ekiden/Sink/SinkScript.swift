// How a sink misbehaves on purpose: replies other than yes, dropped connections, delays. Read from
// options, asked at every step; the empty script costs nothing.

import EkidenMail

/// Where in a session something can be made to happen.
enum SinkStep: String, CaseIterable {
    case connect
    case ehlo
    case mail
    case rcpt
    case data
    /// In the middle of the message.
    case body
    case dot
    case rset
    case quit

    static let list = allCases.map(\.rawValue).joined(separator: ", ")
}

struct SinkScript {
    struct Rule {
        var step: SinkStep
        /// Holds only for command lines that contain this; empty for all.
        var containing: String
        var action: Action
    }

    enum Action: Equatable {
        /// The reply with its CRLF.
        case reply(String, closes: Bool)
        case drop
    }

    private(set) var rules: [Rule] = []
    private var delays: [SinkStep: Duration] = [:]
    /// Each rule holds once, then the sink is well.
    var isOnce = false

    var isEmpty: Bool { rules.isEmpty && delays.isEmpty }

    /// What to do at `step` instead of saying yes.
    mutating func action(at step: SinkStep, line: String) -> Action? {
        let folded = line.lowercased()
        guard
            let index = rules.firstIndex(where: {
                $0.step == step && ($0.containing.isEmpty || folded.contains($0.containing))
            })
        else { return nil }
        return isOnce ? rules.remove(at: index).action : rules[index].action
    }

    func delay(at step: SinkStep) -> Duration? { delays[step] }

    /// Reads `rcpt=450:4.2.0:try later` or `rcpt~bob@=550:5.1.1:no such user`.
    mutating func addReply(_ text: String) throws(CommandProblem) {
        guard let equals = text.firstIndex(of: "=") else {
            throw .usage("--reply takes STEP=CODE:STATUS:TEXT, not \"\(text)\"")
        }
        let (step, containing) = try Self.place(text[..<equals], option: "reply")
        let parts = text[text.index(after: equals)...].split(
            separator: ":",
            maxSplits: 2,
            omittingEmptySubsequences: false
        )
        guard let code = UInt16(parts[0]), (200...599).contains(code) else {
            throw .usage("--reply: \"\(parts[0])\" is no reply code")
        }
        var words = parts.dropFirst().map(String.init)
        if let first = words.first, !first.isEmpty, EnhancedStatus(first) == nil {
            words = [words.joined(separator: ":")]
        }
        let line = ([String(code)] + words.filter { !$0.isEmpty }).joined(separator: " ")
        // RFC 5321 §3.8: 421 announces that the connection closes; a greeting of 5xx ends it too.
        let closes = code == 421 || step == .connect && code >= 400
        rules.append(
            Rule(
                step: step,
                containing: containing,
                action: .reply(line + (words.isEmpty ? " scripted" : "") + "\r\n", closes: closes)
            )
        )
    }

    mutating func addDrop(_ text: String) throws(CommandProblem) {
        let (step, containing) = try Self.place(text[...], option: "drop-at")
        rules.append(Rule(step: step, containing: containing, action: .drop))
    }

    /// Reads `500ms` (every step) or `dot=2s`.
    mutating func addDelay(_ text: String) throws(CommandProblem) {
        let parts = text.split(separator: "=", maxSplits: 1)
        guard let last = parts.last, let duration = parseDuration(String(last)) else {
            throw .usage("--delay takes a time such as 500ms or dot=2s, not \"\(text)\"")
        }
        if parts.count == 2 {
            delays[try Self.place(parts[0], option: "delay").0] = duration
        } else {
            for step in SinkStep.allCases where step != .body { delays[step] = duration }
        }
    }

    private static func place(
        _ text: Substring,
        option: String
    ) throws(CommandProblem) -> (SinkStep, String) {
        let parts = text.split(separator: "~", maxSplits: 1, omittingEmptySubsequences: false)
        guard let step = SinkStep(rawValue: parts[0].lowercased()) else {
            let close = nearest(String(parts[0]), among: SinkStep.allCases.map(\.rawValue))
            throw .usage(
                "--\(option): there is no step \"\(parts[0])\"",
                hint: close.map { "did you mean \($0)?" } ?? "steps are \(SinkStep.list)"
            )
        }
        return (step, parts.count == 2 ? parts[1].lowercased() : "")
    }
}
