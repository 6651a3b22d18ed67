import EkidenMail

/// When failed recipients are tried again, and for how long. Only the number of attempts and the
/// next time are stored with the mail, so a setting changed today applies to mail queued yesterday
/// from its next attempt on.
package struct RetrySettings: Sendable, Equatable {
    package var first: Duration = .seconds(300)
    package var factor = 2.0
    package var ceiling: Duration = .seconds(4 * 3600)
    /// Each wait is drawn within ± this share.
    package var jitter = 0.1
    package var lifetime: Duration = .seconds(5 * 86_400)
    package var nullSenderLifetime: Duration = .seconds(86_400)
    /// nil: no delay notices.
    package var delayNoticeAfter: Duration? = .seconds(4 * 3600)
    /// Waits of their own for some classes of failure.
    package var classes: [FailureClass: Waits] = [:]
    /// The wait when the fault was ours.
    package var ownFault: Duration = .seconds(60)
    /// The wait while a next hop waits to be mended; its mail comes forward as soon as it is.
    package var repair: Duration = .seconds(1800)
    /// Failures after which the fallback has the mail at once, those for good among them.
    package var fallbackOn: Set<FailureClass> = []
    /// Receives double bounces; nil: they are dropped, with an event.
    package var postmaster: Address?

    package init() {}

    package struct Waits: Sendable, Equatable {
        package var first: Duration
        package var ceiling: Duration
        package init(first: Duration, ceiling: Duration) {
            self.first = first
            self.ceiling = ceiling
        }
    }

    /// What holds for failures of that class.
    func waits(of failureClass: FailureClass) -> RetrySettings {
        guard let own = classes[failureClass] else { return self }
        var settings = self
        settings.first = own.first
        settings.ceiling = own.ceiling
        return settings
    }

    package func lifetime(of sender: ReversePath) -> Duration {
        sender.isNull ? nullSenderLifetime : lifetime
    }

    /// How long until the next attempt.
    /// - attempts: made so far, the one that just failed included; at least 1.
    /// - draw: 0 ..< 1.
    /// - Bounds: `first` … `ceiling`, each ± `jitter`.
    package func delay(attempts: Int, draw: Double) -> Duration {
        let limit = max(ceiling.inSeconds, first.inSeconds)
        let grown = first.inSeconds * Self.power(factor, max(attempts, 1) - 1)
        let seconds = min(grown, limit) * (1 + jitter * (2 * draw - 1))
        return .nanoseconds(Int64(max(seconds, 0) * 1e9))
    }

    /// By squaring, for there may be any number of attempts; no more than a duration could be.
    private static func power(_ base: Double, _ exponent: Int) -> Double {
        var (result, square, left) = (1.0, base, exponent)
        while left > 0 {
            if left & 1 == 1 { result *= square }
            square = min(square * square, 1e18)
            left >>= 1
        }
        return min(result, 1e18)
    }

    /// The same, with the last attempt no later than the end of the lifetime, though never sooner
    /// than a minute (or `first`, if that is shorter) from now.
    func delay(attempts: Int, draw: Double, untilEnd left: Duration?) -> Duration {
        let wait = delay(attempts: attempts, draw: draw)
        guard let left else { return wait }
        return min(wait, max(left, min(first, .seconds(60))))
    }
}
