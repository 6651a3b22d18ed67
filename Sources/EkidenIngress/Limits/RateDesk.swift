// The rate limits of the whole relay, shared by all loops and sessions, and what a session says to
// a client that has had enough. A listener without limits never comes here.

import EkidenMail
import EkidenRuntime
import EkidenSMTP
import Synchronization

package final class RateDesk: Sendable {
    private let ledger: Mutex<RateLedger>

    package init(_ ledger: RateLedger = RateLedger()) { self.ledger = Mutex(ledger) }

    /// From now on these are the limits; what was counted under those that stay is kept.
    package func adopt(_ limits: [RateLimit]) { ledger.withLock { $0.adopt(limits) } }

    func take(
        _ event: RateLimit.Event,
        by subject: RateSubject,
        under limits: [RateLimit],
        at now: Instant
    ) -> RateLedger.Excess? {
        ledger.withLock { $0.take(event, by: subject, under: limits, at: now) }
    }

    /// How the limits stand, with so many of those who are nearest to each.
    package func standings(at now: Instant, places: Int) -> [RateLedger.Standing] {
        ledger.withLock { $0.standings(at: now, places: places) }
    }
}

extension IngressSession {
    /// Counts one of those against the listener's rate limits; why there can't be one more now.
    func refusalByRate(_ event: RateLimit.Event, sender: ReversePath? = nil) -> IntakeRefusal? {
        if policy.rates.isEmpty { return nil }
        let subject = RateSubject(
            client: client.endpoint.address,
            user: session.user,
            sender: sender
        )
        let now = connection.loop.turnTime
        let excess = rates.take(event, by: subject, under: policy.rates, at: now)
        return excess.map { IntakeRefusal($0.reply, rule: $0.rule) }
    }
}

extension RateLedger.Excess {
    /// The rule's name in the log.
    var rule: String { "rate-" + limit.name }

    /// Which limit, and when to come again. Its subject is named where it is an address, which can
    /// always be said in a reply.
    var reply: Reply {
        let about =
            switch limit.per {
            case .client, .network: "from " + who
            case .user: "of this user"
            case .sender: "of this sender"
            }
        let text =
            "too many \(limit.of.rawValue) \(about), limit \(limit.name) is \(limit.rate.text); "
            + "come again in \(wait.waitText)"
        // RFC 3463 §3.8: X.7.1, by policy; at MAIL RFC 5321 §4.3.2 has 451, at RCPT 450.
        switch limit.of {
        case .connections: return Reply(421, EnhancedStatus(4, 7, 0), text)
        case .messages: return Reply(451, EnhancedStatus(4, 7, 1), text)
        case .recipients: return Reply(450, EnhancedStatus(4, 7, 1), text)
        }
    }
}

extension Duration {
    /// `90 seconds`, `3 minutes`, `4 hours`: rounded up, so that who waits so long has waited enough.
    var waitText: String {
        let seconds = max(1, Int((self + .seconds(1) - .nanoseconds(1)) / .seconds(1)))
        if seconds < 120 { return seconds == 1 ? "1 second" : "\(seconds) seconds" }
        if seconds < 7200 { return "\((seconds + 59) / 60) minutes" }
        return "\((seconds + 3599) / 3600) hours"
    }
}
