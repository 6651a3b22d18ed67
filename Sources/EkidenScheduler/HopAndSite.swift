// The records of next hops and sites. Due groups stand in the lanes of their next hop; a resolved
// next hop stands with its lanes in the rings of its site. So a changed MX answer moves any amount
// of mail to another site by moving one record.

import EkidenMail

enum HopState {
    /// Nothing known, or what was known is out of date.
    case unresolved
    /// Asked; overdue after `until`.
    case resolving(until: Instant)
    case attached(site: UInt32, serial: UInt32, validUntil: Instant)
    /// Not resolvable: its lanes are being emptied.
    case failing(Failure)
}

struct HopRecord {
    var key: NextHop
    var state = HopState.unresolved
    /// Groups of this next hop, wherever they are.
    var groups = 0
    /// Groups in its lanes.
    var queued = 0
    /// Shares, in turn.
    var lanes = Lanes(Chain())
    /// In the site's ring of that lane.
    var isInRing = Lanes(false)
    /// Waiting groups that come forward when the site recovers.
    var stalled = Chain()
    /// The site whose recovery they wait for.
    var stalledAt = none
    /// Its own resolution, where it differs from the site's (other preferences, same hosts).
    var ownSite: Site?
    /// The site it led to last, for the queue list.
    var lastSite: SiteID?
    var isFailingListed = false
    var isIdle = false
}

struct Suspension {
    let uid: UInt32
    let until: Instant?
}

struct DeadAddress {
    let address: HostAddress
    let until: Instant
}

struct SiteRecord {
    var site: Site
    /// Tells this record from earlier ones of the same number.
    var serial: UInt32
    var health: SiteHealthState
    var suspension: Suspension?
    /// Next hops with work in that lane, in turn.
    var rings = Lanes(Chain())
    var turns = LaneTurns()
    /// Groups in the lanes of its next hops.
    var ready = 0
    /// Sessions: all, those that will ask for a job of their own accord, those with a job.
    var sessions = 0
    var called = 0
    var inFlight = 0
    /// Parked sessions, longest parked last to be woken (their connections die first).
    var idle: [SessionID] = []
    /// Next hops with stalled groups.
    var stalledHops = Chain()
    var dead: [DeadAddress] = []
    /// The next hop of the first attempt, whether others had attempts since, and the one whose attempts
    /// alone failed since the last that did not; for sites that a rule has joined.
    var firstHop = none
    var hasSeveralHops = false
    var troubledHop = none
    /// When its pace allows the next message; nil: it does not wait for that.
    var paceAlarm: Instant?
    var isWanting = false
    var wantsUrgently = false
    /// A host of it answered, and it has not backed off since.
    var isAnswering = false
    var isDraining = false
    var isRecovering = false
    var isIdleListed = false

    var isUsed: Bool {
        sessions > 0 || ready > 0 || !stalledHops.isEmpty || suspension != nil || !health.isOpen
            || isWanting || isDraining || isRecovering
    }

    /// Sessions may be started and jobs given out.
    var isServing: Bool { suspension == nil && health.isOpen }

    /// The lane that has the next turn; nil: none has work.
    var nextLane: Lane? {
        var hasWork = Lanes(false)
        for lane in Lane.allCases { hasWork[lane] = !rings[lane].isEmpty }
        return turns.lane(hasWork)
    }
}

extension SiteRecord {
    /// Remembered at once per site; the oldest are forgotten first.
    private static let deadAddressesMax = 64

    mutating func addressesFailed(_ addresses: [HostAddress], until: Instant) {
        for address in addresses {
            dead.removeAll { $0.address == address }
            dead.append(DeadAddress(address: address, until: until))
        }
        if dead.count > Self.deadAddressesMax {
            dead.removeFirst(dead.count - Self.deadAddressesMax)
        }
    }

    mutating func addressIsAlive(_ address: HostAddress) {
        dead.removeAll { $0.address == address }
    }

    /// Longest ago first. While the whole site fails nothing is forgotten, so that attempt after
    /// attempt goes on to addresses not yet tried.
    mutating func deadAddresses(now: Instant) -> [HostAddress] {
        if !health.isFailing { dead.removeAll { $0.until <= now } }
        return dead.map(\.address)
    }
}

enum SessionState {
    /// Will ask for a job: just started, woken, or between two jobs.
    case called
    case idle
    case busy(flight: UInt32)
    /// Told to end.
    case ending
}

struct SessionRecord {
    var serial: UInt32
    var site: UInt32
    var state = SessionState.called
    /// How long its job may wait for a greeting.
    var patience = Patience.usual
    /// It had a job; before that it is not asked to make room.
    var hasWorked = false
    var isVacant = false
}

/// A job in progress.
struct Flight {
    var serial: UInt32
    /// `none` for a failure without a session.
    var session: UInt32
    /// `none` where the next hop had no site.
    var site: UInt32
    var siteSerial: UInt32
    var groups: [UInt32]
    var startedAt: Instant
    /// Deferred because of its site: what is retried comes forward when the site recovers.
    var isSiteFailure: Bool
    var isVacant = false
}
