// How much of something may happen in a time: the arithmetic of one limit and one who is limited.
// Pure, time passed in, whole nanoseconds, so that the same questions have the same answers.

import EkidenMail

/// "60 a minute", and how many at once.
package struct Rate: Sendable, Equatable {
    package var count: Int
    package var period: Duration
    /// Tokens a full bucket has: so many may come in one moment after a rest.
    package var burst: Int

    /// - Parameters:
    ///   - count: at least 1, at most one a nanosecond.
    ///   - burst: nil for one period's worth.
    package init(_ count: Int, per period: Duration, burst: Int? = nil) {
        precondition(count > 0 && (burst ?? 1) > 0, "a rate of nothing")
        self.count = count
        self.period = period
        self.burst = burst ?? count
    }

    /// The time in which one token comes.
    var interval: Duration { max(period / count, .nanoseconds(1)) }

    /// `60/m`
    package var text: String {
        switch period {
        case .seconds(1): "\(count)/s"
        case .seconds(60): "\(count)/m"
        case .seconds(3600): "\(count)/h"
        case .seconds(86_400): "\(count)/d"
        default: "\(count)/\(period)"
        }
    }
}

/// Tokens that are spent at once and come back one by one. Kept as the moment at which none is
/// missing any more: a bucket whose moment is past is full, and need not be kept at all.
package struct TokenBucket: Sendable, Equatable {
    package private(set) var fullAt: Instant

    /// A full one.
    package init(at now: Instant) { fullAt = now }

    package func isFull(at now: Instant) -> Bool { fullAt <= now }

    /// How long until a token is there; nil: one is.
    package func wait(_ rate: Rate, at now: Instant) -> Duration? {
        let missing = max(fullAt - now, .zero) + rate.interval - rate.interval * rate.burst
        return missing > .zero ? missing : nil
    }

    /// Spends a token, one that `wait` said is there.
    package mutating func take(_ rate: Rate, at now: Instant) {
        fullAt = max(fullAt, now) + rate.interval
    }

    /// Tokens missing now, at most `burst`.
    package func spent(_ rate: Rate, at now: Instant) -> Int {
        let missing = max(fullAt - now, .zero)
        guard missing > .zero else { return 0 }
        return min(Int((missing - .nanoseconds(1)) / rate.interval) + 1, rate.burst)
    }
}
