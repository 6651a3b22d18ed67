// What a judgement consists of. The composition records the marks (in one atomic group with the
// reports they cause), tells the scheduler the dispositions, and emits the events.

import EkidenMail

/// What the scheduler is to do with a recipient.
package enum RecipientDisposition: Sendable, Equatable {
    case done
    case retry(after: Duration, because: Reason)
    case again
}

/// What the attempt says about its site.
package enum SiteVerdict: Sendable, Equatable {
    case alive
    case trouble(Failure)
    case unknown
}

/// What a report tells about one recipient.
package struct ReportItem: Sendable, Equatable {
    package enum Action: String, Sendable {
        case failed
        /// Given up after its lifetime; `failed` in the report's fields.
        case expired
        case delayed
    }
    package let recipient: Address
    package let action: Action
    package let failure: Failure
    package let lastAttempt: WallTime
    /// For `delayed`: the end of the lifetime.
    package let willRetryUntil: WallTime?
    package let attempts: Int

    package init(
        recipient: Address,
        action: Action,
        failure: Failure,
        lastAttempt: WallTime,
        willRetryUntil: WallTime? = nil,
        attempts: Int
    ) {
        self.recipient = recipient
        self.action = action
        self.failure = failure
        self.lastAttempt = lastAttempt
        self.willRetryUntil = willRetryUntil
        self.attempts = attempts
    }

    /// RFC 3463 §3.5: X.4.7 for expired; the class follows the action.
    var status: EnhancedStatus {
        switch action {
        case .expired: EnhancedStatus(4, 4, 7)
        case .failed: EnhancedStatus(5, failure.status.subject, failure.status.detail)
        case .delayed: EnhancedStatus(4, failure.status.subject, failure.status.detail)
        }
    }
}

/// A report to be written and queued.
package struct ReportPlan: Sendable, Equatable {
    package enum Kind: String, Sendable {
        case bounce
        case delayNotice = "delay-notice"
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
    package var site = SiteVerdict.unknown
    /// The stored bytes are damaged: the message belongs on hold.
    package var isDamaged = false
}
