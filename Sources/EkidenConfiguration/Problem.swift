// What is wrong with a configuration, where, and what to do about it: the lines that
// `ekiden config check`, `ekiden serve` and a reload print.

package struct ConfigurationProblem: Error, Sendable, Equatable {
    package enum Severity: String, Sendable {
        /// The configuration can't be used.
        case error
        /// It can be used, but probably not as meant.
        case warning
    }

    package let severity: Severity
    package let file: String
    /// nil when it is about something that is not in the file.
    package let position: TOMLPosition?
    /// A sentence without a full stop: what is wrong and what to do.
    package let sentence: String

    package init(
        _ severity: Severity,
        file: String,
        position: TOMLPosition?,
        _ sentence: String
    ) {
        self.severity = severity
        self.file = file
        self.position = position
        self.sentence = sentence
    }

    /// `ekiden.toml:12:9: sentence`; warnings say that they are.
    package var text: String {
        let place = position.map { ":\($0.line):\($0.column)" } ?? ""
        return "\(file)\(place): \(severity == .warning ? "warning: " : "")\(sentence)"
    }
}

/// All the errors of one configuration, in the order of the file; at least one.
package struct ConfigurationErrors: Error, Sendable, Equatable {
    package let problems: [ConfigurationProblem]

    /// One line for each.
    package var text: String { problems.map(\.text).joined(separator: "\n") }
}

/// A value does not suit its setting: from a decoder to the loader, which adds file and setting.
struct Misfit: Error {
    let sentence: String
    /// Set when it is about a part of the value, such as one element of a list.
    let position: TOMLPosition?

    init(_ sentence: String, at position: TOMLPosition? = nil) {
        self.sentence = sentence
        self.position = position
    }
}
