// One event loop: a thread, its run queue, its handles and its deadlines; and at the same time the
// task executor of everything that lives on it. Protocol code is straight-line `async`, runs on its
// loop and suspends there. What a loop can't do itself (poll, sockets, clocks) its backend does:
// epoll in EkidenLinux, a seeded world in the simulator. The code in this file is the same in both.

import EkidenMail
import Synchronization

/// Names a socket, listener, timer or signal of one loop. The generation tells a new user of an
/// index from the last one, so that a stale event never wakes a stranger.
package struct Handle: Sendable, Hashable, Comparable {
    package let index: Int32
    package let generation: UInt32

    package init(index: Int32, generation: UInt32) {
        self.index = index
        self.generation = generation
    }

    /// An order that is the same in every run, unlike a hash table's own.
    package static func < (a: Handle, b: Handle) -> Bool {
        (a.index, a.generation) < (b.index, b.generation)
    }
}

/// What a waiter waits for, and what has happened to a handle.
package struct Readiness: OptionSet, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Bytes, a connection, or the end of the stream can be read.
    package static let readable = Readiness(rawValue: 1)
    package static let writable = Readiness(rawValue: 2)
    /// Somebody called `signal`.
    package static let signalled = Readiness(rawValue: 4)
}

/// How a wait ended.
package enum Wake: Sendable {
    case ready
    case timedOut
    case cancelled
}

/// What a loop asks of its world. Called on the loop's thread only, but for `wake` and the clock.
/// Results of socket calls: a count ≥ 0, or a negated errno.
package protocol LoopBackend: AnyObject, Clock {
    /// True on the loop's own thread.
    var isCurrent: Bool { get }
    /// Ends the backend's wait; from any thread.
    func wake()

    /// Opens a stream socket for the handle and starts connecting; readiness `.writable` follows.
    func connect(_ handle: Handle, to: Endpoint, from: HostAddress?) -> Int
    /// The same to a socket in the file system, which connects at once or not at all.
    func connectUnix(_ handle: Handle, path: String) -> Int
    /// After `.writable`: 0 when connected, else the negated errno.
    func connectResult(_ handle: Handle) -> Int
    func listen(_ handle: Handle, on endpoint: Endpoint, backlog: Int) -> Int
    func accept(_ handle: Handle) -> Result<AcceptedSocket, SystemError>
    /// Makes an accepted socket, perhaps of another loop's listener, this loop's own.
    func adopt(_ socket: AcceptedSocket, as handle: Handle)
    /// Gives up an accepted socket that no loop adopted.
    func discard(_ socket: AcceptedSocket)
    func localEndpoint(_ handle: Handle) -> Endpoint?
    func receive(_ handle: Handle, into buffer: UnsafeMutableRawBufferPointer) -> Int
    func send(_ handle: Handle, _ parts: [UnsafeRawBufferPointer]) -> Int
    func shutdownSending(_ handle: Handle)
    func close(_ handle: Handle)
}

/// An errno with its name in words.
package struct SystemError: Error, Sendable, Equatable {
    package let code: Int32
    package init(code: Int32) { self.code = code }
}

/// A connection just accepted, not yet at home on a loop.
package struct AcceptedSocket: Sendable {
    /// The backend's own number for it: a descriptor in the real world.
    package let number: Int32
    package let peer: Endpoint
    package let local: Endpoint
    package init(number: Int32, peer: Endpoint, local: Endpoint) {
        self.number = number
        self.peer = peer
        self.local = local
    }
}

/// `@unchecked Sendable`: everything but `inbox` is touched only on the loop's own thread. Public
/// entries either check that (`preconditionCurrent`) or go through `inbox`, which is a `Mutex`.
package final class Loop: TaskExecutor, @unchecked Sendable {
    /// Number of this loop, from 0; loop 0 owns the spool's index and the scheduler.
    package let index: Int
    package let backend: any LoopBackend

    @exclusivity(unchecked) private var runQueue = JobRing()
    @exclusivity(unchecked) private var slots: UnsafeMutablePointer<Slot>
    @exclusivity(unchecked) private var slotCount: Int
    @exclusivity(unchecked) private var freeSlots: [Int32] = []
    @exclusivity(unchecked) private var timers = TimerHeap()
    @exclusivity(unchecked) private var turnInstant = Instant(nanoseconds: 0)
    @exclusivity(unchecked) private var pooledBuffers: [UnsafeMutableRawBufferPointer] = []
    @exclusivity(unchecked) private var endOfTurn: [@Sendable () -> Void] = []

    private let inbox = Mutex(Inbox())

    package init(index: Int, backend: any LoopBackend) {
        self.index = index
        self.backend = backend
        slotCount = 64
        slots = .allocate(capacity: slotCount)
        slots.initialize(repeating: Slot(), count: slotCount)
        freeSlots = (0..<Int32(slotCount)).reversed()
    }

    deinit {
        slots.deinitialize(count: slotCount)
        slots.deallocate()
        for buffer in pooledBuffers { buffer.deallocate() }
    }

    /// True on this loop's thread.
    package var isCurrent: Bool { backend.isCurrent }

    package func preconditionCurrent() {
        precondition(isCurrent, "called from outside loop \(index)")
    }

    /// The monotonic time at which this turn began; good enough for deadlines and free to read.
    package var turnTime: Instant { turnInstant }

    package func now() -> Instant { backend.now() }
    package func wallNow() -> WallTime { backend.wallNow() }
}

// MARK: - Jobs, and word from other threads

extension Loop {
    private enum Letter {
        case job(UnownedJob)
        case signal(Handle)
        case call(@Sendable () -> Void)
    }

    private struct Inbox: ~Copyable {
        var letters: [Letter] = []
        /// The loop waits (or is about to) and must be woken by whoever writes next.
        var isAsleep = false
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        if backend.isCurrent { runQueue.push(job) } else { post(.job(job)) }
    }

    /// Runs `body` on this loop soon, in the order posted; from any thread, this one included.
    package func call(_ body: @escaping @Sendable () -> Void) { post(.call(body)) }

    /// Runs `body` once when the jobs of this turn have run, before the loop waits again: the place
    /// to hand over what a turn gathered (letters to another loop, log lines) in one go.
    package func atEndOfTurn(_ body: @escaping @Sendable () -> Void) {
        preconditionCurrent()
        endOfTurn.append(body)
    }

    /// Sets `.signalled` on the handle; from any thread. A handle already gone is no error.
    package func signal(_ handle: Handle) {
        if backend.isCurrent { happened(.signalled, to: handle) } else { post(.signal(handle)) }
    }

    /// Starts concurrent work on this loop: the only way to (no `Task {}` anywhere else).
    package func spawn(_ body: @escaping @Sendable () async -> Void) {
        Task.detached(executorPreference: self, operation: body)
    }

    private func post(_ letter: Letter) {
        let mustWake = inbox.withLock { inbox in
            inbox.letters.append(letter)
            let asleep = inbox.isAsleep
            inbox.isAsleep = false
            return asleep
        }
        if mustWake { backend.wake() }
    }

    // What the world that drives the loop calls, on the loop's thread.

    /// Begins a turn: notes the time and takes the letters in. The time is the backend's.
    package func beginTurn() {
        turnInstant = backend.now()
        let letters = inbox.withLock { inbox in
            inbox.isAsleep = false
            let letters = inbox.letters
            inbox.letters = []
            return letters
        }
        for letter in letters {
            switch letter {
            case .job(let job): runQueue.push(job)
            case .signal(let handle): happened(.signalled, to: handle)
            case .call(let body): body()
            }
        }
        expireTimers()
    }

    /// Runs at most `limit` ready jobs; true if any are left.
    package func runJobs(limit: Int) -> Bool {
        let me = asUnownedTaskExecutor()
        var budget = limit
        while budget > 0, let job = runQueue.pop() {
            // "on:" alone; naming an isolation as well costs a re-enqueue at every switch.
            job.runSynchronously(on: me)
            budget -= 1
        }
        return !runQueue.isEmpty
    }

    /// Puts the ready jobs into any order: between tasks none is promised, and what leans on one
    /// shall be found out. For simulated worlds.
    package func shuffleReadyJobs(by random: some RandomSource) { runQueue.shuffle(by: random) }

    package func finishTurn() {
        while !endOfTurn.isEmpty {
            let bodies = endOfTurn
            endOfTurn.removeAll(keepingCapacity: true)
            for body in bodies { body() }
        }
    }

    /// How long the backend may wait now: nil without limit, zero when there is work already.
    /// After an answer other than zero any letter that arrives calls `backend.wake()`.
    package func prepareToWait() -> Duration? {
        if !runQueue.isEmpty { return .zero }
        let hasLetters = inbox.withLock { inbox in
            inbox.isAsleep = inbox.letters.isEmpty
            return !inbox.letters.isEmpty
        }
        if hasLetters { return .zero }
        guard let next = nextDeadline else { return nil }
        return max(next - backend.now(), .zero)
    }

    /// The earliest live deadline, if any.
    package var nextDeadline: Instant? {
        while let first = timers.first {
            let slot = slots + Int(first.handle.index)
            if slot.pointee.generation == first.handle.generation,
                slot.pointee.armed == first.at
            {
                return first.at
            }
            timers.removeFirst()
        }
        return nil
    }

    package var hasReadyJobs: Bool { !runQueue.isEmpty }
}

// MARK: - Handles

extension Loop {
    private struct Slot {
        var generation: UInt32 = 1
        var ready: Readiness = []
        var interest: Readiness = []
        var isOpen = false
        var isCancelled = false
        /// A stream that has been closed by its peer stays readable.
        var isHungUp = false
        var waiter: UnsafeContinuation<Wake, Never>?
        var deadline = Instant.distantFuture
        /// The heap entry that stands for this slot; `distantFuture` when there is none.
        var armed = Instant.distantFuture
    }

    package func makeHandle() -> Handle {
        preconditionCurrent()
        if freeSlots.isEmpty { growSlots() }
        let index = freeSlots.removeLast()
        slots[Int(index)].isOpen = true
        return Handle(index: index, generation: slots[Int(index)].generation)
    }

    /// Ends a handle: a waiter is woken as cancelled, late events and timers find nobody.
    package func releaseHandle(_ handle: Handle) {
        preconditionCurrent()
        guard let slot = slot(handle) else { return }
        let waiter = slot.pointee.waiter
        let generation = slot.pointee.generation &+ 1
        slot.pointee = Slot(generation: generation)
        freeSlots.append(handle.index)
        waiter?.resume(returning: .cancelled)
    }

    /// Every wait on the handle ends at once as `.cancelled`, now and from now on.
    package func cancel(_ handle: Handle) {
        preconditionCurrent()
        guard let slot = slot(handle) else { return }
        slot.pointee.isCancelled = true
        resume(slot, .cancelled)
    }

    /// The moment after which waits on the handle end as `.timedOut`; may move either way.
    package func setDeadline(_ handle: Handle, _ deadline: Instant) {
        guard let slot = slot(handle) else { return }
        slot.pointee.deadline = deadline
        if deadline < slot.pointee.armed {
            slot.pointee.armed = deadline
            timers.insert(TimerEntry(at: deadline, handle: handle))
        }
    }

    /// Waits until one of `interest` holds, the deadline passes, or the handle is cancelled.
    /// One waiter at a time.
    package func wait(_ handle: Handle, for interest: Readiness) async -> Wake {
        preconditionCurrent()
        guard let slot = slot(handle), !slot.pointee.isCancelled else { return .cancelled }
        if !slot.pointee.ready.isDisjoint(with: interest) { return .ready }
        if slot.pointee.deadline <= turnInstant { return .timedOut }
        return await withUnsafeContinuation { continuation in
            guard let slot = self.slot(handle) else {
                continuation.resume(returning: .cancelled)
                return
            }
            precondition(slot.pointee.waiter == nil, "two waiters on one handle")
            slot.pointee.waiter = continuation
            slot.pointee.interest = interest
        }
    }

    /// The backend saw something happen. Readiness stays until `clear`.
    package func happened(_ what: Readiness, to handle: Handle, hangUp: Bool = false) {
        guard let slot = slot(handle) else { return }
        slot.pointee.ready.formUnion(what)
        if hangUp { slot.pointee.isHungUp = true }
        if !slot.pointee.ready.isDisjoint(with: slot.pointee.interest) { resume(slot, .ready) }
    }

    /// Forgets readiness that was used up: the socket said it would block, the signal was taken.
    package func clear(_ what: Readiness, of handle: Handle) {
        guard let slot = slot(handle) else { return }
        slot.pointee.ready.subtract(what)
    }

    /// As `clear(.readable)`, unless the peer has closed, in which case the end is still to be read.
    package func clearReadableUnlessHungUp(_ handle: Handle) {
        guard let slot = slot(handle), !slot.pointee.isHungUp else { return }
        slot.pointee.ready.subtract(.readable)
    }

    private func slot(_ handle: Handle) -> UnsafeMutablePointer<Slot>? {
        let slot = slots + Int(handle.index)
        return slot.pointee.generation == handle.generation && slot.pointee.isOpen ? slot : nil
    }

    private func resume(_ slot: UnsafeMutablePointer<Slot>, _ wake: Wake) {
        guard let waiter = slot.pointee.waiter else { return }
        slot.pointee.waiter = nil
        slot.pointee.interest = []
        waiter.resume(returning: wake)
    }

    private func expireTimers() {
        while let first = timers.first, first.at <= turnInstant {
            timers.removeFirst()
            guard let slot = slot(first.handle), slot.pointee.armed == first.at else { continue }
            slot.pointee.armed = .distantFuture
            if slot.pointee.deadline <= turnInstant {
                resume(slot, .timedOut)
            } else if slot.pointee.deadline != .distantFuture {
                setDeadline(first.handle, slot.pointee.deadline)
            }
        }
    }

    private func growSlots() {
        let grown = UnsafeMutablePointer<Slot>.allocate(capacity: slotCount * 2)
        grown.moveInitialize(from: slots, count: slotCount)
        (grown + slotCount).initialize(repeating: Slot(), count: slotCount)
        slots.deallocate()
        slots = grown
        freeSlots = (Int32(slotCount)..<Int32(slotCount * 2)).reversed()
        slotCount *= 2
    }
}

// MARK: - Sleeping

extension Loop {
    /// Waits until `deadline`; from a task of this loop.
    package func sleep(until deadline: Instant) async {
        let handle = makeHandle()
        setDeadline(handle, deadline)
        _ = await wait(handle, for: [])
        releaseHandle(handle)
    }

    package func sleep(for duration: Duration) async { await sleep(until: now() + duration) }
}

// MARK: - Input buffers

extension Loop {
    /// Size of an input buffer: a large read moves much with one system call; idle connections hold
    /// none.
    package static let inputBufferBytes = 65_536
    private static let pooledBuffersMax = 256

    func takeBuffer() -> UnsafeMutableRawBufferPointer {
        pooledBuffers.popLast()
            ?? .allocate(byteCount: Self.inputBufferBytes, alignment: 16)
    }

    func giveBuffer(_ buffer: UnsafeMutableRawBufferPointer) {
        if pooledBuffers.count < Self.pooledBuffersMax {
            pooledBuffers.append(buffer)
        } else {
            buffer.deallocate()
        }
    }
}
