/// How a recipient stands, as the log on disk has it. Every accepted recipient begins `pending`
/// and ends in exactly one of the others.
package enum RecipientState: UInt8, Sendable, CaseIterable {
    /// Still ours to deliver.
    case pending = 0
    /// A next hop accepted it.
    case delivered = 1
    /// Rejected for good; a bounce was made in the same atomic group (unless the sender was null).
    case failed = 2
    /// Its lifetime passed; a bounce was made in the same atomic group.
    case expired = 3
    /// Removed by a named operator, or by a route that discards.
    case removed = 4

    package var isFinal: Bool { self != .pending }

    package var text: String {
        switch self {
        case .pending: "pending"
        case .delivered: "delivered"
        case .failed: "failed"
        case .expired: "expired"
        case .removed: "removed"
        }
    }
}

/// What became of one recipient in one attempt (or by an operator's hand), as the spool records it.
package struct RecipientMark: Sendable, Equatable {
    /// Index in the envelope's recipients.
    package var recipient: Int
    package var state: RecipientState
    /// Attempts made so far, this one included.
    package var attempts: Int
    package var at: WallTime
    /// When it is due again; nil when final (or at once).
    package var nextAttempt: WallTime?
    package var reason: Reason
    /// `mx.example[192.0.2.1]:25`; empty when no host was reached.
    package var host: String
    /// The peer's words or ours, one line.
    package var words: String
    /// A delay notice for this recipient went out (now or earlier).
    package var delayNoticeSent: Bool

    package init(
        recipient: Int,
        state: RecipientState,
        attempts: Int,
        at: WallTime,
        nextAttempt: WallTime? = nil,
        reason: Reason,
        host: String = "",
        words: String = "",
        delayNoticeSent: Bool = false
    ) {
        self.recipient = recipient
        self.state = state
        self.attempts = attempts
        self.at = at
        self.nextAttempt = nextAttempt
        self.reason = reason
        self.host = host
        self.words = words
        self.delayNoticeSent = delayNoticeSent
    }
}

/// One recipient of a queued message as it stands now: the durable part, as spool and scheduler
/// exchange it at start and after marks.
package struct RecipientStatus: Sendable, Equatable {
    package var address: Address
    package var state: RecipientState
    package var attempts: Int
    /// nil: never tried, or due at once.
    package var nextAttempt: WallTime?
    /// The last reason recorded; `accepted` before the first attempt.
    package var reason: Reason
    package var delayNoticeSent: Bool

    package init(
        address: Address,
        state: RecipientState = .pending,
        attempts: Int = 0,
        nextAttempt: WallTime? = nil,
        reason: Reason = .accepted,
        delayNoticeSent: Bool = false
    ) {
        self.address = address
        self.state = state
        self.attempts = attempts
        self.nextAttempt = nextAttempt
        self.reason = reason
        self.delayNoticeSent = delayNoticeSent
    }
}

/// A message in the queue, as the spool hands it to the scheduler: when accepted, and at start.
package struct QueuedMessage: Sendable, Equatable {
    package var id: QueueID
    package var sender: ReversePath
    package var recipients: [RecipientStatus]
    package var byteCount: Int
    package var arrived: WallTime
    /// Held by an operator, or put on hold because its bytes are damaged.
    package var hold: Hold?
    /// The client asked for something; what, is in its content's `demands`.
    package var hasDemands: Bool
    package var origin: Origin
    /// An operator released it from a hold: no route holds it again.
    package var isReleased = false

    package init(
        id: QueueID,
        sender: ReversePath,
        recipients: [RecipientStatus],
        byteCount: Int,
        arrived: WallTime,
        hold: Hold? = nil,
        hasDemands: Bool = false,
        origin: Origin = Origin()
    ) {
        self.origin = origin
        self.hasDemands = hasDemands
        self.id = id
        self.sender = sender
        self.recipients = recipients
        self.byteCount = byteCount
        self.arrived = arrived
        self.hold = hold
    }
}

/// Why and since when a message is on hold.
package struct Hold: Sendable, Equatable {
    /// `operatorHold`, `damaged` or `routeHolds`.
    package var reason: Reason
    /// The operator's user id; nil when the relay itself put it on hold.
    package var uid: UInt32?
    package var since: WallTime

    package init(reason: Reason, uid: UInt32?, since: WallTime) {
        self.reason = reason
        self.uid = uid
        self.since = since
    }
}

/// A message about to become the queue's: from a client, or made by the relay itself (a bounce).
package struct NewMessage: Sendable {
    package var id: QueueID
    package var envelope: Envelope
    package var content: Content

    package init(id: QueueID, envelope: Envelope, content: Content) {
        self.id = id
        self.envelope = envelope
        self.content = content
    }
}
