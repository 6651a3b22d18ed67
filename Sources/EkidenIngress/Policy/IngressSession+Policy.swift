// Where a session asks its listener's rules, and does what they say. A part of the driver: it
// gathers the facts, and the decisions are those of ListenerPolicy+Rules.swift.

import EkidenMail
import EkidenSMTP

extension IngressSession {
    var standing: ClientStanding {
        ClientStanding(client.endpoint.address, isLoggedIn: session.user != nil)
    }

    /// The client may send to anywhere.
    var mayRelay: Bool { policy.mayRelay(standing) }

    /// Answers RCPT.
    mutating func judge(_ path: RecipientPath) -> ServerEffect {
        switch limited(policy.verdict(on: path, from: standing)) {
        case .success(let address):
            return session.recipientAccepted(address)
        case .failure(let refusal):
            if case .address(let address) = path { refused.recipient = address.text }
            refused.entry = refusal.entry
            return session.recipientRefused(refusal.reply, rule: refusal.rule)
        }
    }
}
