// A world for tests on one thread: loops that take turns, a clock that jumps to the next deadline
// when nothing is left to do, and name servers that say what they are told to.

import EkidenMail
import EkidenResolver
import EkidenRuntime
import Synchronization
import TestKit

/// `@unchecked Sendable`: everything happens on the test's own thread.
final class TestWorld: @unchecked Sendable {
    final class Backend: LoopBackend, @unchecked Sendable {
        unowned let world: TestWorld
        let index: Int

        init(_ world: TestWorld, _ index: Int) {
            self.world = world
            self.index = index
        }

        var isCurrent: Bool { world.current == index }
        func wake() {}
        func now() -> Instant { world.time }
        func wallNow() -> WallTime { WallTime(nanoseconds: world.time.nanoseconds) }

        func connect(_: Handle, to: Endpoint, from: HostAddress?) -> Int { -1 }
        func connectUnix(_: Handle, path: String) -> Int { -1 }
        func connectResult(_: Handle) -> Int { -1 }
        func listen(_: Handle, on: Endpoint, backlog: Int) -> Int { -1 }
        func accept(_: Handle) -> Result<AcceptedSocket, SystemError> {
            .failure(SystemError(code: 1))
        }
        func adopt(_: AcceptedSocket, as: Handle) {}
        func discard(_: AcceptedSocket) {}
        func localEndpoint(_: Handle) -> Endpoint? { nil }
        func receive(_: Handle, into: UnsafeMutableRawBufferPointer) -> Int { -1 }
        func send(_: Handle, _: [UnsafeRawBufferPointer]) -> Int { -1 }
        func shutdownSending(_: Handle) {}
        func close(_: Handle) {}
    }

    private(set) var loops: [Loop] = []
    fileprivate(set) var time = Instant(nanoseconds: 1_000_000_000_000)
    fileprivate var current: Int?

    init(loops count: Int = 1) {
        for i in 0..<count { loops.append(Loop(index: i, backend: Backend(self, i))) }
    }

    var loop: Loop { loops[0] }

    /// Lets everything run, and time pass, until nothing is left to wait for.
    func settle() {
        while true {
            var isBusy = false
            for loop in loops {
                current = loop.index
                loop.beginTurn()
                while loop.runJobs(limit: 100) {}
                loop.finishTurn()
                current = nil
            }
            for loop in loops where loop.prepareToWait() == .zero { isBusy = true }
            if isBusy { continue }
            guard let next = loops.compactMap(\.nextDeadline).min() else { return }
            time = max(time, next)
        }
    }

    func pass(_ duration: Duration) { time = time + duration }

    /// Runs `body` as a task of a loop to its end.
    func run<T: Sendable>(
        on index: Int = 0,
        _ body: @escaping @Sendable (Loop) async -> T
    ) -> T {
        let box = Box<T>()
        let loop = loops[index]
        loop.spawn { box.set(await body(loop)) }
        settle()
        guard let value = box.value else { preconditionFailure("the task never ended") }
        return value
    }
}

/// Where a task leaves its result.
final class Box<T: Sendable>: Sendable {
    private let content = Mutex<T?>(nil)
    func set(_ value: T) { content.withLock { $0 = value } }
    var value: T? { content.withLock { $0 } }
}

/// Name servers with a script.
final class ScriptedNames: NameTransport {
    enum Answer: Sendable {
        case records([RecordData], ttl: UInt32 = 300)
        case code(UInt8)
        /// NXDOMAIN or no data, with an SOA.
        case negative(exists: Bool, ttl: UInt32 = 300)
        case failure(NameTransportFailure)
        case packet([UInt8])
        /// Until the deadline.
        case silence
    }

    private struct State {
        var answers: [NameQuestion: Answer] = [:]
        var asked: [NameQuestion] = []
        var delay = Duration.milliseconds(10)
    }

    private let state = Mutex(State())

    var asked: [NameQuestion] { state.withLock { $0.asked } }
    func forgetAsked() { state.withLock { $0.asked = [] } }

    func set(_ name: String, _ type: UInt16, _ answer: Answer) {
        state.withLock { $0.answers[NameQuestion(name: name, type: type)] = answer }
    }

    /// An A record, and no AAAA.
    func host(_ name: String, _ text: String) {
        set(name, RecordType.a, .records([.address(address(text))]))
        set(name, RecordType.aaaa, .negative(exists: true))
    }

    func ask(
        _ question: NameQuestion,
        on loop: Loop,
        until deadline: Instant
    ) async throws(NameTransportFailure) -> [UInt8] {
        let (answer, delay) = state.withLock { state in
            state.asked.append(question)
            return (state.answers[question] ?? .negative(exists: false), state.delay)
        }
        if case .silence = answer {
            await loop.sleep(until: deadline)
            throw .timedOut
        }
        await loop.sleep(for: delay)
        var packet = PacketWriter(asking: question)
        switch answer {
        case .records(let records, let ttl):
            for record in records { packet.add(question.name, record, ttl: ttl) }
        case .code(let code): packet = PacketWriter(code: code, asking: question)
        case .negative(let exists, let ttl):
            packet = PacketWriter(code: exists ? 0 : 3, asking: question)
            packet.add(in: .authority, ".", .authority(minimumSeconds: ttl), ttl: ttl)
        case .failure(let failure): throw failure
        case .packet(let bytes): return bytes
        case .silence: break
        }
        return packet.bytes
    }
}

/// Seeded; never stuck on one value, for `below` draws again until it fits.
final class SeededRandom: RandomSource {
    private let state: Mutex<TestRandom>
    init(seed: UInt64) { state = Mutex(TestRandom(seed: seed)) }
    func next() -> UInt64 { state.withLock { $0.next() } }
}
