// Two clocks, two types. An `Instant` says how long until; a `WallTime` says what the calendar
// says. They never mix: waits are computed on the monotonic clock, ages and dates on the wall
// clock, and only the spool (which outlives a boot) carries wall times across a restart.

/// A moment on the monotonic clock of this boot.
/// - Units: nanoseconds since an arbitrary origin. Never stored on disk.
@frozen
@usableFromInline
package struct Instant: Sendable, Hashable, Comparable {
    @usableFromInline package let nanoseconds: Int64

    @inlinable
    package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    @inlinable
    package static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }

    /// Saturates instead of trapping, so that "never" (`distantFuture`) stays never.
    @inlinable
    package static func + (a: Instant, b: Duration) -> Instant {
        let (sum, overflow) = a.nanoseconds.addingReportingOverflow(b.wholeNanoseconds)
        return Instant(nanoseconds: overflow ? .max : sum)
    }

    @inlinable
    package static func - (a: Instant, b: Instant) -> Duration {
        .nanoseconds(a.nanoseconds - b.nanoseconds)
    }

    /// A moment that never comes: no deadline.
    @inlinable package static var distantFuture: Instant { Instant(nanoseconds: .max) }
}

extension Duration {
    /// The whole duration in nanoseconds, saturated to ±292 years.
    @inlinable
    package var wholeNanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return seconds < 0 ? .min : .max }
        let (sum, overflowed) = scaled.addingReportingOverflow(attoseconds / 1_000_000_000)
        return overflowed ? (seconds < 0 ? .min : .max) : sum
    }

    /// The duration in seconds, as a fraction; for logs and statistics only.
    package var inSeconds: Double { Double(wholeNanoseconds) / 1e9 }
}

/// A moment on the calendar.
/// - Units: nanoseconds since 1970-01-01T00:00:00Z (about ±292 years).
@frozen
@usableFromInline
package struct WallTime: Sendable, Hashable, Comparable {
    @usableFromInline package let nanoseconds: Int64

    @inlinable
    package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    package init(seconds: Int64) { self.nanoseconds = seconds * 1_000_000_000 }

    @inlinable
    package static func < (a: WallTime, b: WallTime) -> Bool { a.nanoseconds < b.nanoseconds }

    @inlinable
    package static func + (a: WallTime, b: Duration) -> WallTime {
        let (sum, overflow) = a.nanoseconds.addingReportingOverflow(b.wholeNanoseconds)
        return WallTime(nanoseconds: overflow ? .max : sum)
    }

    @inlinable
    package static func - (a: WallTime, b: WallTime) -> Duration {
        let (difference, overflow) = a.nanoseconds.subtractingReportingOverflow(b.nanoseconds)
        return .nanoseconds(overflow ? (a < b ? .min : .max) : difference)
    }

    /// Whole seconds since the epoch, rounded down.
    package var seconds: Int64 {
        let quotient = nanoseconds / 1_000_000_000
        return nanoseconds % 1_000_000_000 < 0 ? quotient - 1 : quotient
    }

    package var milliseconds: Int64 { nanoseconds / 1_000_000 }
}

/// Calendar fields of a wall time in UTC (proleptic Gregorian).
package struct CivilTime: Sendable, Equatable {
    package let year: Int
    /// 1…12
    package let month: Int
    /// 1…31
    package let day: Int
    package let hour: Int
    package let minute: Int
    package let second: Int
    package let millisecond: Int
    /// 0 is Sunday.
    package let weekday: Int

    package init(_ time: WallTime) {
        let seconds = time.seconds
        var days = seconds / 86_400
        var rest = seconds % 86_400
        if rest < 0 {
            rest += 86_400
            days -= 1
        }
        hour = Int(rest / 3600)
        minute = Int(rest % 3600 / 60)
        second = Int(rest % 60)
        millisecond = Int((time.nanoseconds - seconds * 1_000_000_000) / 1_000_000)
        weekday = Int(((days + 4) % 7 + 7) % 7)

        // Days to civil date, by eras of 400 years that begin on 1 March.
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra =
            (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        day = Int(dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
        month = Int(shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9)
        year = Int(yearOfEra + era * 400) + (month <= 2 ? 1 : 0)
    }
}

private let weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]

extension CivilTime {
    /// `Mon 2026-11-23 22:00`.
    package var minuteText: String {
        "\(weekdays[weekday]) \(digits(year, 4))-\(digits(month, 2))-\(digits(day, 2)) "
            + "\(digits(hour, 2)):\(digits(minute, 2))"
    }
}

extension WallTime {
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// The date-time of RFC 5322 §3.3, always in UTC: `Sat, 21 Nov 2026 02:07:58 +0000`.
    package var mailDate: String {
        let t = CivilTime(self)
        return "\(weekdays[t.weekday]), \(t.day) \(Self.months[t.month - 1]) "
            + "\(digits(t.year, 4)) \(digits(t.hour, 2)):\(digits(t.minute, 2)):"
            + "\(digits(t.second, 2)) +0000"
    }

    /// RFC 3339 in UTC with milliseconds: `2026-11-21T02:07:58.123Z`; the log's form.
    package var timestamp: String {
        let t = CivilTime(self)
        return "\(digits(t.year, 4))-\(digits(t.month, 2))-\(digits(t.day, 2))T"
            + "\(digits(t.hour, 2)):\(digits(t.minute, 2)):\(digits(t.second, 2))."
            + "\(digits(t.millisecond, 3))Z"
    }
}

private func digits(_ value: Int, _ width: Int) -> String {
    let text = String(value)
    return text.utf8.count >= width
        ? text : String(repeating: "0", count: width - text.utf8.count) + text
}
