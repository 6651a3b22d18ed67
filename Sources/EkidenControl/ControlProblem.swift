// Why a request was not answered: a code for programs, a sentence for people, and what to do.

package struct ControlProblem: Error, Sendable, Equatable {
    package enum Code: String, Sendable, CaseIterable {
        /// Not a request, or one of another version.
        case malformed
        /// The peer's user may not ask that.
        case denied
        case notFound = "not-found"
        /// Recipients in flight: wait, then ask again.
        case inFlight = "in-flight"
        /// The spool can't make it durable now.
        case unavailable
        /// The new configuration has errors; the old one runs on.
        case invalidConfiguration = "invalid-configuration"
        /// The relay is stopping.
        case stopping
    }

    package var code: Code
    package var text: String
    /// What to do about it; may be empty.
    package var hint: String

    package init(_ code: Code, _ text: String, hint: String = "") {
        self.code = code
        self.text = text
        self.hint = hint
    }
}
