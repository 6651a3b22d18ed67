// The name of a client's host by the DNS: asked once for a connection, before its first MAIL, where
// a listener wants it. The question goes through the house (`IngressDoor`); what it means for the
// client is decided in ListenerPolicy+Rules.swift.

import EkidenMail
import EkidenRuntime

/// What a listener does with reverse names.
package enum ReverseCheck: String, Sendable, Equatable {
    /// Nothing is asked.
    case off
    /// A confirmed name stands in the log and in Received.
    case note
    /// And mail is taken from clients with one alone.
    case require
}

/// What was found out of a client's host.
package enum ReverseFinding: Sendable, Equatable {
    /// A name that leads back to the client's address.
    case confirmed(String)
    /// There is none, the text says why.
    case missing(String)
    /// It could not be found out, the text says why.
    case unknown(String)

    /// How long the first MAIL of a connection waits for it at most.
    package static let patience: Duration = .seconds(10)
}

extension IngressSession {
    /// Finds the client's name, if the rules want it and it was not looked for yet; then what they
    /// have against it.
    mutating func reverseRefusal() async -> PolicyRefusal? {
        if terms.policy.rules.reverseCheck == .off { return nil }
        if reverse == nil {
            let loop = connection.loop
            let finding = await door.reverseName(
                of: client.endpoint.address,
                on: loop,
                until: loop.now() + ReverseFinding.patience
            )
            return refusal(after: finding)
        }
        guard let reverse else { return nil }
        return refusal(of: reverse)
    }

    @inline(never)
    private mutating func refusal(after finding: ReverseFinding) -> PolicyRefusal? {
        // Where a name is required the next MAIL asks again: a failure that passes must not refuse
        // all mail of a connection that lasts. For a note nobody waits twice.
        if case .unknown = finding, policy.rules.reverseCheck == .require {
            return refusal(of: finding)
        }
        reverse = finding
        if case .confirmed(let name) = finding { client.reverseName = name }
        return refusal(of: finding)
    }

    @inline(never)
    private func refusal(of finding: ReverseFinding) -> PolicyRefusal? {
        policy.refusal(ofReverse: finding, from: standing)
    }

    /// The client is another one now.
    mutating func forgetReverseName() {
        reverse = nil
        client.reverseName = nil
    }
}
