import EkidenMail
import EkidenRuntime

/// What an operator may set about concurrency and back-off, and the bounds inside.
package struct SchedulerSettings: Sendable, Equatable {
    /// Recipients in one transaction. RFC 5321 §4.5.3.1.8: a server must take at least 100.
    package var recipientsPerTransaction = 100
    /// Connections to all sites together.
    package var connectionsMax = 200
    /// Connections to a site of which nothing is known yet.
    package var windowInitial = 2
    /// A site in trouble keeps at least this many.
    package var windowFloor = 1
    package var windowCeiling = 20
    /// The first back-off of a site whose connections all failed; doubles each time.
    package var backOffFirst: Duration = .seconds(60)
    package var backOffCeiling: Duration = .seconds(1800)
    /// Back-offs are drawn within ± this share.
    package var backOffJitter = 0.1
    /// Addresses that failed lately are tried last for this long; longer while the whole site fails.
    package var deadAddressMemory: Duration = .seconds(600)
    /// The answer to a look-up must come within this time, else its mail is deferred.
    package var resolveDeadline: Duration = .seconds(120)
    /// No stored retry time is believed further away than this (the wall clock may have stepped
    /// back): a little more than the longest retry interval.
    package var longestWait: Duration = .seconds(5 * 3600)
    /// Groups handled by one `tick`; the rest waits for the next turn.
    package var turnGroups = 256
    /// Next hops and sites remembered without mail.
    package var idleHopsMax = 4096
    package var idleSitesMax = 4096

    /// The rates of streams, by their names.
    package var streams: [String: PaceSettings] = [:]
    /// For the sites of the operator's rules, by their names.
    package var rules: [String: SiteLimits] = [:]

    package init() {}

    /// What holds for the sites of no rule.
    package var usual: SiteLimits {
        SiteLimits(
            windowInitial: windowInitial,
            windowFloor: windowFloor,
            windowCeiling: windowCeiling,
            backOffFirst: backOffFirst,
            backOffCeiling: backOffCeiling,
            backOffJitter: backOffJitter
        )
    }

    func limits(of rule: String?) -> SiteLimits {
        if let rule, let own = rules[rule] { return own }
        return usual
    }
}

/// What an operator may set for one site, or for several.
package struct SiteLimits: Sendable, Equatable {
    /// Connections while nothing is known of it, in trouble, and at most.
    package var windowInitial: Int
    package var windowFloor: Int
    package var windowCeiling: Int
    package var backOffFirst: Duration
    package var backOffCeiling: Duration
    package var backOffJitter: Double
    /// nil: messages go as fast as connections take them.
    package var pace: PaceSettings?
}

/// Now, on both clocks.
package struct Moment: Sendable, Equatable {
    package let instant: Instant
    package let wall: WallTime

    package init(instant: Instant, wall: WallTime) {
        self.instant = instant
        self.wall = wall
    }

    package init(_ clock: any Clock) {
        self.init(instant: clock.now(), wall: clock.wallNow())
    }

    /// What the calendar will say (or said) at that instant, as far as it is known now.
    package func wallTime(of other: Instant) -> WallTime {
        other == .distantFuture ? WallTime(nanoseconds: .max) : wall + (other - instant)
    }
}
