// How many connections a site gets, and when it is left alone: a pure value with three steps.
// Additive growth by a window's worth of successes, halving on trouble, and back-off when as many
// attempts in a row found no living host as were under way when the first of them failed. One dead
// host of several is no trouble: an attempt has tried the others before it reports.

import EkidenMail

struct SiteHealthState {
    enum State {
        case open
        /// Nothing is sent; due mail is deferred with the failure.
        case backingOff(until: Instant, because: Failure)
        /// After a back-off: one attempt decides.
        case probing
    }
    enum Change: Equatable {
        case none
        case backedOff
        case recovered
    }

    private(set) var state = State.open
    private(set) var window: Int
    private(set) var lastFailure: Failure?
    /// Successes since the window last changed.
    private var successes = 0
    /// Troubles in a row.
    private var troubles = 0
    /// Troubles in a row that mean a dead site.
    private var cohort = 1
    /// Back-offs in a row.
    private(set) var backOffs = 0
    private var shrunkAt = Instant(nanoseconds: .min)

    init(window: Int) { self.window = window }

    var isOpen: Bool { if case .backingOff = state { false } else { true } }
    /// Trouble was the last thing heard of the site.
    var isFailing: Bool { troubles > 0 || backOffs > 0 }
    var backOff: (until: Instant, because: Failure)? {
        if case .backingOff(let until, let failure) = state { (until, failure) } else { nil }
    }

    mutating func alive(_ settings: SiteLimits) -> Change {
        troubles = 0
        backOffs = 0
        guard case .open = state else {
            state = .open
            window = max(settings.windowInitial, settings.windowFloor)
            successes = 0
            return .recovered
        }
        successes += 1
        if successes >= window {
            successes = 0
            window = min(window + 1, settings.windowCeiling)
        }
        return .none
    }

    /// The site answered that it has too many connections of ours: the window halves, once for the
    /// attempts of one round.
    mutating func crowded(startedAt: Instant, now: Instant, _ settings: SiteLimits) -> Change {
        troubles = 0
        backOffs = 0
        successes = 0
        guard case .open = state else {
            state = .open
            window = settings.windowFloor
            shrunkAt = now
            return .recovered
        }
        if startedAt > shrunkAt {
            window = max(window / 2, settings.windowFloor)
            shrunkAt = now
        }
        return .none
    }

    /// - startedAt: when the failed attempt began; those begun before the last shrinking don't
    ///   shrink the window again.
    /// - inFlight: attempts at the site under way, this one included.
    /// - draw: 0 ..< 1, for the length of the back-off.
    mutating func trouble(
        _ failure: Failure,
        startedAt: Instant,
        inFlight: Int,
        draw: Double,
        now: Instant,
        _ settings: SiteLimits
    ) -> Change {
        lastFailure = failure
        successes = 0
        if !isOpen { return .none }
        if troubles == 0 { cohort = max(inFlight, 1) }
        troubles += 1
        if startedAt > shrunkAt {
            window = max(window / 2, settings.windowFloor)
            shrunkAt = now
        }
        if case .probing = state { cohort = 1 }
        guard troubles >= cohort else { return .none }
        let doubled = settings.backOffFirst * (1 << min(backOffs, 20))
        let base = min(doubled, settings.backOffCeiling)
        let length = base * (1 + settings.backOffJitter * (2 * draw - 1))
        backOffs += 1
        troubles = 0
        window = settings.windowFloor
        let because = Failure(
            scope: .site,
            isPermanent: false,
            reason: failure.reason,
            step: failure.step,
            host: failure.host,
            reply: failure.reply,
            text: failure.text,
            status: failure.status
        )
        state = .backingOff(until: now + length, because: because)
        return .backedOff
    }

    /// The back-off is over, or an operator ended it: one probe.
    mutating func probe() {
        guard !isOpen else { return }
        state = .probing
        window = 1
        troubles = 0
    }
}
