// The places of a recipient and the states of a site, in the words that log, command line and
// tests use, and the rows in which they are shown.

import EkidenMail

/// Where a queued recipient is.
package enum Place: Sendable, Equatable {
    /// → ready when its time comes, its site recovers or an operator asks; → held.
    case waiting(until: WallTime, because: Reason)
    /// Due, its site known; waits for a connection. → inFlight, held, waiting (names expired).
    case ready
    /// → gone when final; → waiting, ready, held.
    case inFlight(JobID)
    /// → ready on release; `by` is nil when the relay itself holds it (damaged).
    case held(by: UInt32?)

    /// When a waiting recipient is due.
    package var until: WallTime? {
        if case .waiting(let until, _) = self { until } else { nil }
    }

    package var isHeld: Bool { if case .held = self { true } else { false } }

    package var word: String {
        switch self {
        case .waiting: "waiting"
        case .ready: "ready"
        case .inFlight: "in-flight"
        case .held: "held"
        }
    }
}

/// The state of a site.
package enum SiteState: Sendable, Equatable {
    /// → backingOff when all its connections fail; → suspended.
    case open(window: Int)
    /// → open, with a single probe, when the time is over; → suspended.
    case backingOff(until: WallTime, because: Reason)
    /// → open when resumed or the time is over; nil: until resumed.
    case suspended(by: UInt32, until: WallTime?)

    package var word: String {
        switch self {
        case .open: "open"
        case .backingOff: "backing-off"
        case .suspended: "suspended"
        }
    }
}

/// One recipient, as the queue list shows it.
package struct RecipientRow: Sendable, Equatable {
    /// Index in the envelope.
    package let recipient: Int
    package let place: Place
    package let because: Reason
    /// When it is tried next, as far as is known: its own time, or that of the site's probe, rate or
    /// resumption; nil: not known, or not while it is so.
    package var next: WallTime?
    package let since: WallTime
    package let nextHop: NextHop
    /// The site its next hop led to last, if known.
    package let site: SiteID?
    /// The stream whose rate it waits for.
    package let pacedBy: String?
}

/// One site, as the site list shows it.
package struct SiteRow: Sendable, Equatable {
    package let site: SiteID
    package let state: SiteState
    /// Connections in use or parked.
    package let connections: Int
    package let window: Int
    /// Groups ready for it.
    package let ready: Int
    /// What went wrong last, in the peer's words or ours; empty when nothing did.
    package let lastFailure: String
    package let deadAddresses: [HostAddress]
}

/// Recipients that share where they go, where they are, and why.
package struct CauseRow: Sendable, Hashable {
    /// The site's name if known, else the next hop's.
    package let destination: String
    /// `waiting`, `ready`, `in-flight`, `held`.
    package let place: String
    package let because: Reason
}

/// Recipients in each place.
package struct PlaceCounts: Sendable, Equatable {
    package var waiting = 0
    package var ready = 0
    package var inFlight = 0
    package var held = 0

    package init() {}

    package var total: Int { waiting + ready + inFlight + held }

    mutating func add(_ n: Int, to place: PlaceCode) {
        switch place {
        case .vacant: break
        case .waiting: waiting += n
        case .queued: ready += n
        case .inFlight: inFlight += n
        case .held: held += n
        }
    }
}
