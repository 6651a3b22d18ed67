import EkidenMail
import Testing

@Suite struct TimeTests {
    @Test(arguments: [
        (0, "Thu, 1 Jan 1970 00:00:00 +0000"),
        (1_795_226_878, "Sat, 21 Nov 2026 02:07:58 +0000"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000"),
        (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 +0000"),
        (-1, "Wed, 31 Dec 1969 23:59:59 +0000"),
    ])
    func `dates are written as RFC 5322 wants them`(seconds: Int, text: String) {
        #expect(WallTime(seconds: Int64(seconds)).mailDate == text)
    }

    @Test func `timestamps have milliseconds and sort as text`() {
        let time = WallTime(seconds: 1_795_226_878) + .milliseconds(7)
        #expect(time.timestamp == "2026-11-21T02:07:58.007Z")
    }

    @Test func `never stays never`() {
        #expect(Instant.distantFuture + .seconds(1) == .distantFuture)
        #expect(Duration.seconds(Int64.max).wholeNanoseconds == .max)
        #expect(WallTime(nanoseconds: .max) + .seconds(1) == WallTime(nanoseconds: .max))
    }
}
