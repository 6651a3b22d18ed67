// When a route is open: windows of the week, by the local clock.

import EkidenMail
import Testing

@testable import EkidenConfiguration

@Suite struct WeekScheduleTests {
    /// Saturday, 21 November 2026, 00:00.
    private static let saturday = WallTime(seconds: 1_795_219_200)

    private static func at(_ day: Int, _ hour: Int, _ minute: Int = 0) -> WallTime {
        saturday + .seconds(((day * 24 + hour) * 60 + minute) * 60 + 7)
    }

    private static func schedule(_ windows: String...) throws -> WeekSchedule {
        WeekSchedule(try windows.map { try #require(WeekWindow($0)) })
    }

    @Test(arguments: [
        "", "22:00", "22-06", "22:00-22:00", "24:00-06:00", "22:00-24:01",
        "7:5-8:00",
        "Foo 22:00-06:00", "Mon- 22:00-06:00", "Mon-Tue-Wed 1:00-2:00", "Mon 1:00-2:00 x",
        "1:00-2:00-3:00", ", 1:00-2:00",
    ])
    func `what is no time of the week is not taken`(text: String) {
        #expect(WeekWindow(text) == nil)
    }

    @Test func `midnight at the end is the end of the day`() {
        #expect(WeekWindow("22:00-00:00")?.end == 1440)
        #expect(WeekWindow("00:00-00:00").map { [$0.start, $0.end] } == [0, 1440])
    }

    @Test func `days may be left out, listed, and a range that goes round the week`() {
        #expect(WeekWindow("1:00-2:00")?.days == Set(0..<7))
        #expect(WeekWindow("mon,WED 01:00-02:00")?.days == [1, 3])
        #expect(WeekWindow("Fri-Mon 01:00-24:00")?.days == [5, 6, 0, 1])
    }

    @Test func `a window over midnight belongs to the day on which it begins`() throws {
        let nights = try Self.schedule("Sat 22:00-06:00")
        #expect(!nights.isOpen(at: Self.at(0, 5)))
        #expect(!nights.isOpen(at: Self.at(0, 21, 59)))
        #expect(nights.isOpen(at: Self.at(0, 22)))
        #expect(nights.isOpen(at: Self.at(1, 5, 59)))
        #expect(!nights.isOpen(at: Self.at(1, 6)))
        #expect(nights.nextChange(after: Self.at(0, 21, 59)) == Self.at(0, 22) + .seconds(-7))
        #expect(nights.nextChange(after: Self.at(0, 23)) == Self.at(1, 6) + .seconds(-7))
        #expect(nights.nextChange(after: Self.at(1, 6)) == Self.at(7, 22) + .seconds(-7))
    }

    @Test func `windows that touch are one`() throws {
        let days = try Self.schedule("Sat 08:00-12:00", "Sat 12:00-24:00", "Sun 00:00-01:00")
        #expect(days.nextChange(after: Self.at(0, 9)) == Self.at(1, 1) + .seconds(-7))
        let always = try Self.schedule("00:00-24:00")
        #expect(always.isOpen(at: Self.at(3, 3)) && always.nextChange(after: Self.at(3, 3)) == nil)
        let never = WeekSchedule([])
        #expect(!never.isOpen(at: Self.at(3, 3)) && never.nextChange(after: Self.at(3, 3)) == nil)
    }

    @Test func `asked minute by minute it is what its changes say`() throws {
        let schedule = try Self.schedule("Mon-Fri 07:30-09:00", "22:15-04:45", "Sat 23:00-24:00")
        var isOpen = schedule.isOpen(at: Self.saturday)
        var next = try #require(schedule.nextChange(after: Self.saturday))
        for minute in 1...10_080 {
            let now = Self.saturday + .seconds(minute * 60)
            if now == next {
                isOpen.toggle()
                next = try #require(schedule.nextChange(after: now))
            }
            #expect(schedule.isOpen(at: now) == isOpen, "minute \(minute)")
        }
    }
}
