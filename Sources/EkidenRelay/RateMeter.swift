// Counts what happens while it passes on to the log, for the rates in `ekiden status`.

import EkidenControl
import EkidenMail
import EkidenRuntime
import Synchronization

/// Messages a second over the last minute, in buckets of a second; failures by their class.
final class RateMeter: EventSink {
    private struct Bucket {
        var second: Int64 = -1
        var accepted = 0
        var delivered = 0
        var deferred = 0
        var bounced = 0
    }

    private static let seconds = 60
    private let clock: any Clock
    private let events: any EventSink
    private let began: Instant
    /// By class, since the start.
    private let classes = Mutex([FailureClass: FailureCount]())
    private let buckets = Mutex([Bucket](repeating: Bucket(), count: RateMeter.seconds))

    init(clock: any Clock, events: any EventSink) {
        self.clock = clock
        self.events = events
        began = clock.now()
    }

    func emit(_ event: Event, at time: WallTime) {
        switch event {
        case .accepted: count(\.accepted)
        case .attempt(let attempt):
            if let failureClass = attempt.failureClass { count(failureClass, attempt.status) }
            switch attempt.status {
            case .delivered: count(\.delivered)
            case .deferred: count(\.deferred)
            case .bounced, .expired: count(\.bounced)
            case .discarded: break
            }
        case .rejected, .login, .moved, .site, .notice: break
        }
        events.emit(event, at: time)
    }

    private func count(_ failureClass: FailureClass, _ status: Event.Attempt.Status) {
        classes.withLock { classes in
            var known = classes[failureClass] ?? FailureCount(failureClass)
            switch status {
            case .deferred: known.deferred += 1
            case .bounced, .expired: known.bounced += 1
            case .delivered, .discarded: return
            }
            classes[failureClass] = known
        }
    }

    /// In the order of the classes.
    var failures: [FailureCount] {
        classes.withLock { classes in FailureClass.allCases.compactMap { classes[$0] } }
    }

    private func count(_ kind: WritableKeyPath<Bucket, Int>) {
        let second = clock.now().nanoseconds / 1_000_000_000
        buckets.withLock { buckets in
            let index = Int(second % Int64(Self.seconds))
            if buckets[index].second != second { buckets[index] = Bucket(second: second) }
            buckets[index][keyPath: kind] += 1
        }
    }

    func perSecond(at now: Instant) -> StatusReport.Rates {
        let second = now.nanoseconds / 1_000_000_000
        let span = min(Double(Self.seconds), max((now - began).inSeconds, 1))
        let recent = buckets.withLock { buckets in
            buckets.filter { $0.second > second - Int64(Self.seconds) }
        }
        var rates = StatusReport.Rates()
        rates.accepted = Double(recent.reduce(0) { $0 + $1.accepted }) / span
        rates.delivered = Double(recent.reduce(0) { $0 + $1.delivered }) / span
        rates.deferred = Double(recent.reduce(0) { $0 + $1.deferred }) / span
        rates.bounced = Double(recent.reduce(0) { $0 + $1.bounced }) / span
        return rates
    }
}
