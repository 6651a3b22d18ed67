// Clients that make one mistake after the other are answered ever more slowly, which costs us
// nothing but their connection and them their time. A value that says how long; the session waits
// on its own deadline, so that nobody else is held up and a stopping relay ends the wait.

import EkidenMail
import EkidenRuntime
import EkidenSMTP

package struct Tarpit: Sendable, Equatable {
    /// Errors of a session whose replies come at once.
    package var freeErrors: Int
    /// Before the reply to the next error; doubled with each one more, up to `delayMax`.
    package var delay: Duration

    /// RFC 5321 §4.5.3.2 has clients wait for minutes.
    package static let delayMax: Duration = .seconds(30)

    package init(freeErrors: Int, delay: Duration) {
        self.freeErrors = freeErrors
        self.delay = delay
    }

    /// How long the reply to a session's n-th error is held back; nil: not at all.
    package func delay(beforeError number: Int) -> Duration? {
        guard number > freeErrors else { return nil }
        // Doubled twenty times, any delay there can be is beyond the bound.
        return min(delay * (1 << min(number - freeErrors - 1, 20)), Self.delayMax)
    }
}

extension IngressSession {
    /// Waits before a refusal is said, when there were too many; what was said before it goes out.
    mutating func holdBack() async throws(IOFailure) {
        // Some refusals are no error of the client's: they are not counted, nor held back.
        defer { heldErrors = session.errorsEver }
        guard session.errorsEver != heldErrors,
            let delay = terms.policy.tarpit?.delay(beforeError: session.errors)
        else { return }
        try await connection.flush()
        try await hold(until: connection.loop.now() + delay)
    }

    /// Does nothing until then, whatever the client says; its slot is all that it costs.
    mutating func hold(until end: Instant) async throws(IOFailure) {
        connection.setDeadline(end)
        switch await connection.loop.wait(connection.handle, for: []) {
        case .cancelled: throw .cancelled
        case .timedOut, .ready: return
        }
    }
}
