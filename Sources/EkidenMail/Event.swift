// The closed set of things the relay logs. A stage makes an `Event`; what it looks like as text
// or JSON is decided in EventText.swift, once, from the same fields in the same order.

/// How loud an event is.
package enum EventLevel: String, Sendable, Comparable, CaseIterable {
    case debug
    case info
    case warning
    case error

    package static func < (a: EventLevel, b: EventLevel) -> Bool {
        let order = allCases
        return (order.firstIndex(of: a) ?? 0) < (order.firstIndex(of: b) ?? 0)
    }
}

package enum Event: Sendable {
    /// A message is durable and ours. One per message.
    case accepted(Accepted)
    /// An attempt ended for one recipient. One per recipient per attempt.
    case attempt(Attempt)
    /// A command or connection was refused. One per refusal.
    case rejected(Rejected)
    /// Somebody logged in, or tried to. One per answer of the users file.
    case login(Login)
    /// A recipient or message changed its place for a reason other than an attempt.
    case moved(Moved)
    /// A site changed its state.
    case site(SiteMoved)
    /// Life of the process: start, stop, reload, disk and clock trouble, recovery.
    case notice(Notice)

    package struct Accepted: Sendable {
        package var id: QueueID
        package var sender: ReversePath
        package var recipients: [Address]
        package var byteCount: Int
        package var client: ClientFacts
        /// Text of the message's Message-ID field, if it has one; for searching.
        package var messageID: String
        /// From the first byte of the transaction (MAIL) to the reply.
        package var took: Duration
        /// The message that this one, a report of ours, tells of.
        package var about: QueueID?
        package init(
            id: QueueID,
            sender: ReversePath,
            recipients: [Address],
            byteCount: Int,
            client: ClientFacts,
            messageID: String = "",
            took: Duration = .zero,
            about: QueueID? = nil
        ) {
            self.id = id
            self.sender = sender
            self.recipients = recipients
            self.byteCount = byteCount
            self.client = client
            self.messageID = messageID
            self.took = took
            self.about = about
        }
    }

    package struct Attempt: Sendable {
        package enum Status: String, Sendable {
            case delivered
            case deferred
            case bounced
            case expired
            /// As a route has it; nobody is told.
            case discarded
        }
        package var id: QueueID
        package var sender: ReversePath
        package var recipient: Address
        package var status: Status
        /// Number of this attempt, from 1.
        package var attempt: Int
        package var host: PeerHost?
        package var site: SiteID?
        /// From acceptance to the start of this attempt.
        package var queueTime: Duration
        package var connectTime: Duration
        package var transferTime: Duration
        /// What TLS the connection had; nil: none.
        package var tls: TLSFacts?
        /// Its 8-bit content was converted to 7 bits for that host.
        package var isConverted: Bool
        package var reason: Reason
        /// Where it failed; nil: it did not.
        package var step: DeliveryStep?
        package var failureClass: FailureClass?
        /// The peer's words or ours, one line.
        package var words: String
        /// When it is tried next; nil when final.
        package var next: WallTime?
        package init(
            id: QueueID,
            sender: ReversePath,
            recipient: Address,
            status: Status,
            attempt: Int,
            host: PeerHost?,
            site: SiteID?,
            queueTime: Duration,
            connectTime: Duration,
            transferTime: Duration,
            tls: TLSFacts? = nil,
            isConverted: Bool = false,
            reason: Reason,
            step: DeliveryStep? = nil,
            failureClass: FailureClass? = nil,
            words: String,
            next: WallTime?
        ) {
            self.id = id
            self.sender = sender
            self.recipient = recipient
            self.status = status
            self.attempt = attempt
            self.host = host
            self.site = site
            self.queueTime = queueTime
            self.connectTime = connectTime
            self.transferTime = transferTime
            self.tls = tls
            self.isConverted = isConverted
            self.reason = reason
            self.step = step
            self.failureClass = failureClass
            self.words = words
            self.next = next
        }
    }

    package struct Rejected: Sendable {
        package var client: ClientFacts
        package var sender: ReversePath?
        package var recipient: String?
        /// The id, when the refusal came after data.
        package var id: QueueID?
        /// Name of the rule that decided: `relay-denied`, `bare-newline`, `message-size` …
        package var rule: String
        /// The entry of a list that decided: `blocked: .x.example`.
        package var entry: String?
        package var reply: Reply
        package init(
            client: ClientFacts,
            sender: ReversePath? = nil,
            recipient: String? = nil,
            id: QueueID? = nil,
            rule: String,
            entry: String? = nil,
            reply: Reply
        ) {
            self.client = client
            self.sender = sender
            self.recipient = recipient
            self.id = id
            self.rule = rule
            self.entry = entry
            self.reply = reply
        }
    }

    package struct Login: Sendable {
        package var client: ClientFacts
        /// The mechanism's registered name.
        package var mechanism: String
        /// As the client gave it.
        package var user: String
        /// Name of the rule by which it failed; nil: the user is logged in.
        package var failure: String?
        package init(
            client: ClientFacts,
            mechanism: String,
            user: String,
            failure: String? = nil
        ) {
            self.client = client
            self.mechanism = mechanism
            self.user = user
            self.failure = failure
        }
    }

    package struct Moved: Sendable {
        package var id: QueueID
        /// nil: the whole message.
        package var recipient: Address?
        /// The state's word: `waiting`, `ready`, `in-flight`, `held`, `removed`.
        package var state: String
        package var reason: Reason
        package var until: WallTime?
        package var uid: UInt32?
        /// The route that it goes by now, where that is why.
        package var route: String?
        package init(
            id: QueueID,
            recipient: Address? = nil,
            state: String,
            reason: Reason,
            until: WallTime? = nil,
            uid: UInt32? = nil,
            route: String? = nil
        ) {
            self.route = route
            self.id = id
            self.recipient = recipient
            self.state = state
            self.reason = reason
            self.until = until
            self.uid = uid
        }
    }

    package struct SiteMoved: Sendable {
        package var site: SiteID
        /// `open`, `backing-off`, `suspended`.
        package var state: String
        /// Connections allowed at once, where it is open.
        package var window: Int?
        package var reason: Reason
        package var words: String
        package var until: WallTime?
        package init(
            site: SiteID,
            state: String,
            window: Int? = nil,
            reason: Reason,
            words: String = "",
            until: WallTime? = nil
        ) {
            self.site = site
            self.state = state
            self.window = window
            self.reason = reason
            self.words = words
            self.until = until
        }
    }

    package struct Notice: Sendable {
        package var level: EventLevel
        /// Which part speaks: `relay`, `config`, `listener`, `spool`, `clock`, `log`.
        package var part: String
        /// One sentence: what happened, and what to do where something can be done.
        package var text: String
        package var id: QueueID?
        package init(_ level: EventLevel, _ part: String, _ text: String, id: QueueID? = nil) {
            self.level = level
            self.part = part
            self.text = text
            self.id = id
        }
    }
}

/// Where events go: the log in production, the oracle's ears in the simulated world.
package protocol EventSink: Sendable {
    /// Never blocks and never fails; `at` is when it happened.
    func emit(_ event: Event, at: WallTime)
}
