// How a simulated disk misbehaves: how slow it is, what fails and how often, when it dies. Nothing
// of this is on unless asked for. What is fair and why is said at each switch; what a crash leaves
// is in `SimPowerLoss.swift`.

import EkidenMail
import EkidenRuntime

/// What a disk operation does, for counting and for making it fail.
package enum SimDiskOperation: String, Sendable, CaseIterable {
    case open, size, write, sync, read, preallocate, list, makeDirectory, rename, remove
    case syncDirectory, lock, space

    var isSync: Bool { self == .sync || self == .syncDirectory }
}

/// How slow the disk is. Fair: `Disk` promises nothing about time, so any duration is.
package struct SimDiskTiming: Sendable {
    /// The least an operation takes, and the least a sync takes.
    package var operation = Duration.microseconds(10)
    package var sync = Duration.microseconds(200)
    /// An operation takes between its least and this many times as long, drawn evenly.
    package var spread = 1
    /// One operation in so many takes 100 times as long (a busy disk, a long journal commit);
    /// 0: none.
    package var slowOneIn = 0
    package static let slowFactor = 100
    /// One operation in so many is stuck for a time in `stuckFor` (a controller that resets, a path
    /// that fails over); those behind it in its lane wait. 0: none.
    package var stuckOneIn = 0
    package var stuckFor = Duration.seconds(60)...Duration.seconds(300)

    package init() {}

    func latency(of operation: SimDiskOperation, _ random: SimRandom) -> Duration {
        let least = operation.isSync ? sync : self.operation
        var latency = least
        if spread > 1 { latency += Self.drawn(least * (spread - 1), random) }
        if Self.happens(slowOneIn, random) { latency = latency * Self.slowFactor }
        if Self.happens(stuckOneIn, random) {
            latency += stuckFor.lowerBound
            latency += Self.drawn(stuckFor.upperBound - stuckFor.lowerBound, random)
        }
        return latency
    }

    private static func drawn(_ most: Duration, _ random: SimRandom) -> Duration {
        .nanoseconds(Int64(random.below(UInt64(max(0, most.wholeNanoseconds)) + 1)))
    }

    static func happens(_ oneIn: Int, _ random: SimRandom) -> Bool {
        oneIn > 0 && random.below(UInt64(oneIn)) == 0
    }
}

/// What fails, by chance and until further notice. (`SimDisk.failures` and `broken` fail what they
/// name without chance.)
package struct SimDiskFaults: Sendable {
    /// One operation of that kind in so many fails with EIO. Fair for each of them: `Disk` says so.
    /// A write that fails may have written any first part of its bytes (POSIX write: EIO says
    /// nothing of the bytes). Of the writes before a sync that fails nothing is known any more.
    package var inputOutputOneIn: [SimDiskOperation: Int] = [:]
    /// One failed sync in so many is followed by the kernel dropping its pages at once: reads then
    /// see what the medium has, which is any of the sectors. Fair: Linux marks the pages clean when
    /// writing them failed, and may drop clean pages at any time.
    package var forgetsOneIn = 0
    /// One read in so many finds a bit of the durable bytes it reads flipped, for good. Beyond what
    /// `Disk` allows: a relay may report such damage and hold the message, never be silent about it.
    package var rotOneIn = 0

    package init() {}
}

/// When, within the operation it comes at, a crash hits.
package enum SimCrashMoment: Sendable, CaseIterable {
    /// The operation has no effect.
    case before
    /// Some first part of a write's bytes is the kernel's; other operations are whole or not at all.
    case midway
    /// The operation is done but nobody heard of it.
    case after
}

/// How a process ends.
package enum SimDeath {
    /// `kill -9`: what the kernel has stays, synced or not.
    case kill
    /// The power fails: see `SimPowerLoss`; drawn when nil.
    case powerLoss(SimRandom, SimPowerLoss? = nil)
}
