// Times of the week: when a route that is open only at times is open. A value without a clock; what it
// is asked about are local times, as the clock on the wall shows them.

import EkidenMail

/// A time of some days: `Mon-Fri 22:00-06:00`. One that ends before it begins goes on into the next
/// day.
package struct WeekWindow: Sendable, Hashable {
    /// 0 is Sunday; at least one.
    package let days: Set<Int>
    /// Minutes after midnight: 0..<1440, 1...1440.
    package let start: Int
    package let end: Int
    /// As it was written.
    package let text: String

    private static let names = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
    private static let dayMinutes = 1440
    fileprivate static let weekMinutes = 7 * dayMinutes

    /// nil: not of that form.
    package init?(_ text: String) {
        let parts = text.split(separator: " ")
        guard (1...2).contains(parts.count), let time = parts.last else { return nil }
        var days = Set(0..<7)
        if parts.count == 2 {
            guard let named = Self.days(parts[0]) else { return nil }
            days = named
        }
        let ends = time.split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2, let start = Self.minutes(ends[0]),
            let last = Self.minutes(ends[1]), start < Self.dayMinutes
        else { return nil }
        // Midnight at the end is that of the day's end.
        let end = last == 0 ? Self.dayMinutes : last
        guard start != end else { return nil }
        self.days = days
        self.start = start
        self.end = end
        self.text = text
    }

    /// `Mon-Fri,Sun`
    private static func days(_ text: Substring) -> Set<Int>? {
        var days: Set<Int> = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = part.split(separator: "-", omittingEmptySubsequences: false)
            let numbers = ends.compactMap { names.firstIndex(of: String($0).asciiLowercased) }
            guard numbers.count == ends.count, let first = numbers.first, let last = numbers.last,
                numbers.count <= 2
            else { return nil }
            var day = first
            days.insert(day)
            while day != last {
                day = (day + 1) % 7
                days.insert(day)
            }
        }
        return days
    }

    /// `06:00`; 24:00 is the end of the day.
    private static func minutes(_ text: Substring) -> Int? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ (1...2).contains($0.utf8.count) }),
            parts[1].utf8.count == 2, parts.allSatisfy({ $0.utf8.allSatisfy(\.isDigit) }),
            let hour = Int(parts[0]), let minute = Int(parts[1]), minute < 60
        else { return nil }
        let sum = hour * 60 + minute
        return sum <= dayMinutes ? sum : nil
    }

    /// Its parts as minutes of the week from Sunday 00:00; the last may reach into the next one.
    fileprivate var spans: [Range<Int>] {
        days.sorted().map { day in
            let first = day * Self.dayMinutes + start
            let length = end > start ? end - start : end + Self.dayMinutes - start
            return first..<first + length
        }
    }
}

/// All times at which something is open; none: never.
package struct WeekSchedule: Sendable, Equatable {
    package let windows: [WeekWindow]

    package init(_ windows: [WeekWindow]) { self.windows = windows }

    /// At a local time.
    package func isOpen(at local: WallTime) -> Bool { isOpen(minute: Self.minute(local)) }

    /// When that changes next, by the local clock; nil: never.
    package func nextChange(after local: WallTime) -> WallTime? {
        let now = Self.minute(local)
        let isOpen = isOpen(minute: now)
        let week = WeekWindow.weekMinutes
        let edges = windows.flatMap(\.spans).flatMap { [$0.lowerBound, $0.upperBound] }
        let waits = edges.map { (($0 - now) % week + week) % week }.filter { $0 > 0 }
        for wait in waits.sorted() where self.isOpen(minute: (now + wait) % week) != isOpen {
            return WallTime(seconds: local.seconds / 60 * 60 + Int64(wait) * 60)
        }
        return nil
    }

    private func isOpen(minute: Int) -> Bool {
        windows.flatMap(\.spans).contains {
            $0.contains(minute) || $0.contains(minute + WeekWindow.weekMinutes)
        }
    }

    /// Of the week, from Sunday 00:00.
    private static func minute(_ local: WallTime) -> Int {
        let time = CivilTime(local)
        return (time.weekday * 24 + time.hour) * 60 + time.minute
    }
}
