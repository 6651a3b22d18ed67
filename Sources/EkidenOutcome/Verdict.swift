// What a judgement consists of. The composition records the marks (in one atomic group with the
// reports they cause), tells the scheduler the dispositions, and emits the events.

import EkidenMail

/// Which of a recipient's attempts, counted from the first, are those of the route it has now.
package struct RouteSpan: Sendable, Equatable {
    /// So many were those of routes whose fallback it is.
    package var before: Int
    /// After so many in all its own fallback has the mail; nil: there is none. What is ours to mend uses
    /// them all up, so that the fallback has it at once.
    package var last: Int?

    package init(before: Int = 0, last: Int? = nil) {
        self.before = before
        self.last = last
    }
}

/// What the scheduler is to do with a recipient.
package enum RecipientDisposition: Sendable, Equatable {
    case done
    case retry(after: Duration, because: Reason)
    case again
}

/// What a report tells about one recipient.
package struct ReportItem: Sendable, Equatable {
    package enum Action: String, Sendable {
        case failed
        /// Given up after its lifetime; `failed` in the report's fields.
        case expired
        case delayed
        /// Passed on to a host that offers no DSN (RFC 3461 §5.2.2).
        case relayed
    }
    package let recipient: Address
    /// In the envelope.
    package let index: Int
    package let action: Action
    /// nil for `relayed` alone.
    package let failure: Failure?
    /// Whose words count, and what they are.
    package let host: PeerHost?
    package let reply: Reply?
    package let lastAttempt: WallTime
    /// For `delayed`: the end of the lifetime.
    package let willRetryUntil: WallTime?
    package let attempts: Int

    package init(
        recipient: Address,
        index: Int = 0,
        action: Action,
        failure: Failure,
        lastAttempt: WallTime,
        willRetryUntil: WallTime? = nil,
        attempts: Int
    ) {
        self.recipient = recipient
        self.index = index
        self.action = action
        self.failure = failure
        host = failure.host
        reply = failure.reply
        self.lastAttempt = lastAttempt
        self.willRetryUntil = willRetryUntil
        self.attempts = attempts
    }

    /// A recipient that was passed on.
    package init(
        recipient: Address,
        index: Int,
        relayedTo host: PeerHost?,
        reply: Reply,
        at: WallTime,
        attempts: Int
    ) {
        self.recipient = recipient
        self.index = index
        action = .relayed
        failure = nil
        self.host = host
        self.reply = reply
        lastAttempt = at
        willRetryUntil = nil
        self.attempts = attempts
    }

    /// RFC 3463 §3.5: X.4.7 for expired; the class follows the action.
    var status: EnhancedStatus {
        let own = failure?.status ?? reply?.status ?? EnhancedStatus(2, 0, 0)
        return switch action {
        case .expired: EnhancedStatus(4, 4, 7)
        case .failed: EnhancedStatus(5, own.subject, own.detail)
        case .delayed: EnhancedStatus(4, own.subject, own.detail)
        case .relayed: EnhancedStatus(2, own.subject, own.detail)
        }
    }
}

/// A report to be written and queued.
package struct ReportPlan: Sendable, Equatable {
    package enum Kind: String, Sendable {
        case bounce
        case delayNotice = "delay-notice"
        /// Passed on, to where no report of delivery will come from.
        case relayNotice = "relay-notice"
        /// A bounce that could not be delivered, told to the postmaster.
        case doubleBounce = "double-bounce"
    }
    package let kind: Kind
    package let to: Address
    package let items: [ReportItem]

    package init(kind: Kind, to: Address, items: [ReportItem]) {
        self.kind = kind
        self.to = to
        self.items = items
    }
}

package struct Verdict: Sendable {
    /// For the spool; recipients that go again at once have none.
    package var marks: [RecipientMark] = []
    /// One for each recipient of the job, in its order.
    package var dispositions: [RecipientDisposition] = []
    package var events: [Event] = []
    /// At most one bounce (or double bounce) and one delay notice.
    package var reports: [ReportPlan] = []
    /// The message belongs on hold, because it is `damaged`, or because a route has it so.
    package var hold: Reason?
}
