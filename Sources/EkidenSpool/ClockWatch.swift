// May the wall clock be believed? A clock that was set wrong must not make five days pass in a
// second and bounce the whole queue. A pure value; the owner loop tells it the time now and then.

import EkidenMail

struct ClockWatch: Equatable, Sendable {
    /// The wall clock must agree with the monotonic one this long to be believed again.
    static let agreementNeeded = Duration.seconds(3600)
    /// More than this between the last heartbeat and a start is worth a question.
    static let gapMax = Duration.seconds(24 * 3600)
    /// Slewing and slow turns stay below it.
    static let stepMin = Duration.seconds(30)

    /// Why expiry is paused; nil when it isn't.
    private(set) var pause: String?
    private var agreesSince: Instant
    private var lastWall: WallTime
    private var lastInstant: Instant
    /// Latest wall time ever recorded; the clock must not be behind it.
    private var newestRecord: WallTime

    /// `newestRecord` is the log's last word on the time; nil in a new spool.
    init(newestRecord: WallTime?, wall: WallTime, now: Instant) {
        self.newestRecord = newestRecord ?? wall
        agreesSince = now
        lastWall = wall
        lastInstant = now
        guard let newestRecord else { return }
        if wall < newestRecord {
            pause =
                "the clock says \(wall.timestamp), but the spool was written at "
                + "\(newestRecord.timestamp)"
        } else if wall - newestRecord > Self.gapMax {
            pause =
                "the clock says \(wall.timestamp), and the last sign of life in the spool is "
                + "of \(newestRecord.timestamp)"
        }
    }

    /// The latest time that is certain: what the log may record. A clock that is not believed must
    /// not be believed after the next start, for having written down what it says.
    func believed(_ wall: WallTime) -> WallTime { pause == nil ? wall : newestRecord }

    enum Change: Equatable { case none, paused(String), resumed }

    /// To be called at least every few minutes.
    mutating func tick(wall: WallTime, now: Instant) -> Change {
        let passed = now - lastInstant
        let step = (wall - lastWall) - passed
        lastWall = wall
        lastInstant = now
        if step < .zero - Self.stepMin || step > Self.stepMin {
            agreesSince = now
            // A step back, or a leap of more than a day, while running.
            let isSuspicious = wall < newestRecord || step > Self.gapMax
            if isSuspicious, pause == nil {
                let text = "the clock jumped by \(step.wholeNanoseconds / 1_000_000_000) seconds"
                pause = text
                return .paused(text)
            }
        }
        // While the clock is not believed, only what has passed is certain: a little more with each
        // tick would soon come to all of the leap.
        let grace = pause == nil ? Self.stepMin : .zero
        newestRecord = max(newestRecord, min(wall, newestRecord + passed + grace))
        if pause != nil, now - agreesSince >= Self.agreementNeeded {
            pause = nil
            newestRecord = wall
            return .resumed
        }
        return .none
    }

    /// An operator says that the clock is right.
    mutating func confirm(wall: WallTime) {
        pause = nil
        newestRecord = wall
    }
}
