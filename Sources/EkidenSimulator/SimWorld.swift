// The seeded world: one thread, virtual time, one to n loops whose turns are interleaved by the
// seed. Tests and `ekiden-sim` build their disk, network and names on `schedule`; the same seed
// gives the same run. Nothing here waits: when no loop has work, time jumps to the next event.

import EkidenMail
import EkidenRuntime
import Glibc

/// `@unchecked Sendable`: a world, its loops and everything built on them run on the one thread
/// that made it and calls `run`; a job enqueued by any other thread is a trap (`checkThread`).
package final class SimWorld: @unchecked Sendable {
    package let seed: UInt64
    package let random: SimRandom
    /// The loops that live: those of the first machine, and those of machines added later.
    package private(set) var loops: [Loop] = []
    package private(set) lazy var network = SimNetwork(world: self)
    package private(set) var instant = Instant(nanoseconds: 1_000_000_000)
    /// What the wall clock says beyond monotonic time; tests step it.
    package var wallOffset: Duration
    /// Jobs of a loop that are ready at once run in any order.
    package var shufflesReady = false
    /// Set by a simulated crash: nothing of this world moves any more.
    package private(set) var isHalted = false

    /// Number of the loop whose turn it is.
    var currentLoop: Int?
    /// Loops of processes that are not given the processor.
    private var frozen: [Loop] = []
    /// Loops of machines that died: never run again, but kept, since jobs may still name them.
    private var deadLoops: [Loop] = []
    private var loopsMade = 0
    private let thread = pthread_self()
    private var events = EventHeap()
    private var eventNumber = 0

    /// Wall time begins at 2026-11-21T02:00:00Z unless told otherwise.
    package init(seed: UInt64, loopCount: Int = 1, wall: WallTime = SimWorld.firstWallTime) {
        self.seed = seed
        random = SimRandom(seed: seed)
        wallOffset = .nanoseconds(wall.nanoseconds - 1_000_000_000)
        _ = addLoops(loopCount)
    }

    /// The loops of one more machine, numbered from 0 among themselves.
    package func addLoops(_ count: Int, at address: HostAddress = .v4(0x7f00_0001)) -> [Loop] {
        let added = (0..<count).map { index in
            let backend = SimLoopBackend(world: self, number: loopsMade + index, address: address)
            return Loop(index: index, backend: backend)
        }
        loopsMade += count
        loops += added
        return added
    }

    /// A machine or process dies: its loops never run again.
    package func removeLoops(_ gone: [Loop]) {
        loops.removeAll { loop in gone.contains { $0 === loop } }
        thaw(gone)
        deadLoops += gone
    }

    /// The process of these loops gets no processor, while the rest of the world goes on.
    package func freeze(_ loops: [Loop]) { frozen += loops }

    package func thaw(_ loops: [Loop]) {
        frozen.removeAll { loop in loops.contains { $0 === loop } }
    }

    private var movingLoops: [Loop] {
        if frozen.isEmpty { return loops }
        return loops.filter { loop in !frozen.contains { $0 === loop } }
    }

    /// Whatever enters from outside would come at another moment in the next run.
    func checkThread() {
        precondition(
            pthread_equal(thread, pthread_self()) != 0,
            "a job of the simulated world came from another thread"
        )
    }

    package static let firstWallTime = WallTime(seconds: 1_795_226_400)

    package var wall: WallTime { WallTime(nanoseconds: instant.nanoseconds) + wallOffset }

    /// Runs `body` outside any loop when virtual time gets to `at`; equal times in the order asked.
    package func schedule(at: Instant, _ body: @escaping () -> Void) {
        eventNumber += 1
        events.insert(SimEvent(at: max(at, instant), number: eventNumber, body: body))
    }

    package func schedule(after delay: Duration, _ body: @escaping () -> Void) {
        schedule(at: instant + delay, body)
    }

    /// The power is cut: no job and no event runs any more.
    package func halt() { isHalted = true }

    /// Lets go of loops and events, so that an abandoned world's memory can be freed.
    package func discard() {
        isHalted = true
        loops = []
        frozen = []
        deadLoops = []
        events = EventHeap()
    }

    /// One loop's turn, or one jump in time. False when nothing is left to happen, ever.
    package func step() -> Bool {
        if isHalted { return false }
        var busy: [Loop] = []
        for loop in movingLoops {
            currentLoop = number(of: loop)
            if loop.prepareToWait() == .zero { busy.append(loop) }
        }
        currentLoop = nil
        if busy.isEmpty { return advance() }
        turn(of: busy[Int(random.below(UInt64(busy.count)))])
        return true
    }

    private func number(of loop: Loop) -> Int? { (loop.backend as? SimLoopBackend)?.number }

    private func turn(of loop: Loop) {
        currentLoop = number(of: loop)
        loop.beginTurn()
        if shufflesReady { loop.shuffleReadyJobs(by: random) }
        // Small, uneven turns, so that loops interleave at many places.
        _ = loop.runJobs(limit: 1 + Int(random.below(24)))
        if !isHalted { loop.finishTurn() }
        currentLoop = nil
    }

    private func advance() -> Bool {
        var next: Instant? = events.first?.at
        for loop in movingLoops {
            currentLoop = number(of: loop)
            if let deadline = loop.nextDeadline { next = min(next ?? deadline, deadline) }
        }
        currentLoop = nil
        guard let next, next != .distantFuture else { return false }
        instant = max(instant, next)
        while let event = events.first, event.at <= instant, !isHalted {
            events.removeFirst()
            event.body()
        }
        return true
    }

    /// Steps until virtual time reaches `end` or nothing is left to happen.
    package func run(until end: Instant) {
        schedule(at: end) {}
        while instant < end, step() {}
    }

    package func run(for duration: Duration) { run(until: instant + duration) }

    /// Runs `body` as a task of loop 0 and steps the world until it returns.
    /// Errors: its own; `SimStuck` when the world halts or nothing more can happen before.
    package func run<Value: Sendable>(
        on index: Int = 0,
        _ body: @escaping @Sendable () async throws -> Value
    ) throws -> Value {
        let box = ResultBox<Value>()
        guard !isHalted else { throw SimStuck(isHalted: true) }
        loops[index].spawn {
            do { box.result = .success(try await body()) } catch { box.result = .failure(error) }
        }
        while box.result == nil, step() {}
        guard let result = box.result else { throw SimStuck(isHalted: isHalted) }
        return try result.get()
    }
}

/// The body given to `run` can't end: everybody waits for something that never comes, or the
/// world was halted.
package struct SimStuck: Error {
    package let isHalted: Bool
}

/// `@unchecked Sendable`: used on the world's thread alone.
private final class ResultBox<Value>: @unchecked Sendable {
    var result: Result<Value, any Error>?
}

private struct SimEvent {
    let at: Instant
    let number: Int
    let body: () -> Void

    func isBefore(_ other: SimEvent) -> Bool { (at, number) < (other.at, other.number) }
}

private struct EventHeap {
    private var entries: [SimEvent] = []
    var first: SimEvent? { entries.first }

    mutating func insert(_ event: SimEvent) {
        entries.append(event)
        var child = entries.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            if !entries[child].isBefore(entries[parent]) { break }
            entries.swapAt(child, parent)
            child = parent
        }
    }

    mutating func removeFirst() {
        guard let last = entries.popLast(), !entries.isEmpty else { return }
        entries[0] = last
        var parent = 0
        while true {
            var child = 2 * parent + 1
            if child >= entries.count { break }
            if child + 1 < entries.count, entries[child + 1].isBefore(entries[child]) { child += 1 }
            if !entries[child].isBefore(entries[parent]) { break }
            entries.swapAt(child, parent)
            parent = child
        }
    }
}
