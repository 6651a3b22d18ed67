// Questions asked once: answers are kept for their time, and whoever asks what is being asked
// already waits for that answer. One cache serves all loops; its state is a value behind a
// `Mutex` that is never held across an await.

import EkidenMail
import EkidenRuntime
import Synchronization

/// Counted since the start; for status and metrics.
package struct CacheStatistics: Sendable, Equatable {
    package var entries = 0
    /// Questions under way.
    package var underWay = 0
    package var hits: UInt64 = 0
    /// Askers who joined a question under way.
    package var joined: UInt64 = 0
    /// Questions that had to be asked.
    package var asked: UInt64 = 0
    /// Of those, the ones that came to nothing for now.
    package var failed: UInt64 = 0
    package var evictions: UInt64 = 0

    package init() {}
}

package final class NameCache: Sendable {
    /// Questions under way at a time; further ones fail at once, for now.
    package static let questionsUnderWayMax = 10_000

    /// An answer at hand, or one that is being waited for.
    package enum Promise: Sendable {
        case known(Finding)
        case awaited(Flight)
    }

    private struct State {
        var table: CacheTable
        var flights: [NameQuestion: Flight] = [:]
        var statistics = CacheStatistics()
        var isStopped = false
    }

    private let transport: any NameTransport
    private let state: Mutex<State>

    package init(transport: any NameTransport, capacity: Int) {
        self.transport = transport
        state = Mutex(State(table: CacheTable(capacity: capacity)))
    }

    /// Looks the question up, and if need be starts asking it on `loop`, without waiting: so
    /// several can be under way together. `timeout` bounds the asking, whoever waits for it.
    package func begin(
        _ question: NameQuestion,
        policy: LifetimePolicy,
        timeout: Duration,
        on loop: Loop
    ) -> Promise {
        let now = loop.turnTime
        let (promise, mustAsk) = state.withLock { state -> (Promise, Flight?) in
            if state.isStopped { return (.known(Self.stopped(now)), nil) }
            if let finding = state.table.find(question, at: now) {
                state.statistics.hits += 1
                return (.known(finding), nil)
            }
            if let flight = state.flights[question] {
                state.statistics.joined += 1
                return (.awaited(flight), nil)
            }
            if state.flights.count >= Self.questionsUnderWayMax {
                return (.known(Self.tooMany(now)), nil)
            }
            let flight = Flight(question)
            state.flights[question] = flight
            state.statistics.asked += 1
            return (.awaited(flight), flight)
        }
        if let flight = mustAsk {
            loop.spawn {
                let (lookup, ttl) = await self.ask(question, on: loop, until: now + timeout)
                self.finish(flight, lookup, policy.lifetime(of: lookup, stated: ttl), on: loop)
            }
        }
        return promise
    }

    /// Waits for what `begin` promised. Past `deadline` the answer is "not in time", while the
    /// question goes on for others and for the cache.
    package func settle(
        _ promise: Promise,
        on loop: Loop,
        until deadline: Instant
    ) async -> Finding {
        switch promise {
        case .known(let finding): return finding
        case .awaited(let flight):
            if let finding = await flight.landing(on: loop, until: deadline) { return finding }
            let failure = Self.timedOut(flight.question)
            return Finding(.failed(failure), validUntil: loop.turnTime)
        }
    }

    /// Forgets everything; questions under way still answer those who wait, and are not kept.
    package func flush() {
        state.withLock { state in
            state.table.removeAll()
            state.flights = [:]
        }
    }

    /// Ends all waiting, now and from now on, with `Reason.stopping`.
    package func stop(at now: Instant) {
        let flights = state.withLock { state in
            state.isStopped = true
            let flights = state.flights
            state.flights = [:]
            return flights
        }
        // In an order of names: a table's own order differs from run to run.
        let sorted = flights.values.sorted {
            ($0.question.name, $0.question.type) < ($1.question.name, $1.question.type)
        }
        for flight in sorted { flight.land(Self.stopped(now)) }
    }

    package var statistics: CacheStatistics {
        state.withLock { state in
            var statistics = state.statistics
            statistics.entries = state.table.count
            statistics.underWay = state.flights.count
            statistics.evictions = state.table.evictions
            return statistics
        }
    }

    // MARK: Asking

    private func ask(
        _ question: NameQuestion,
        on loop: Loop,
        until deadline: Instant
    ) async -> (Lookup, UInt32?) {
        var inquiry = Inquiry(question)
        var step = inquiry.firstStep
        while true {
            switch step {
            case .done(let lookup, let ttlSeconds): return (lookup, ttlSeconds)
            case .ask(let next):
                do throws(NameTransportFailure) {
                    let packet = try await transport.ask(next, on: loop, until: deadline)
                    step = inquiry.take(packet)
                } catch {
                    switch error {
                    case .unaskable: return (.unaskable, nil)
                    case .timedOut: return (.failed(Self.timedOut(question)), nil)
                    case .unavailable(let why):
                        return (.failed(LookupFailure(.nameServerFailure, why)), nil)
                    }
                }
            }
        }
    }

    private func finish(_ flight: Flight, _ lookup: Lookup, _ lifetime: Duration, on loop: Loop) {
        let now = loop.turnTime
        let finding = Finding(lookup, validUntil: now + lifetime)
        state.withLock { state in
            if case .failed = lookup { state.statistics.failed += 1 }
            // After a flush the flight is no longer the table's: its answer may be an old one.
            guard state.flights[flight.question] === flight else { return }
            state.flights[flight.question] = nil
            state.table.insert(finding, for: flight.question, at: now)
        }
        flight.land(finding)
    }

    private static func timedOut(_ question: NameQuestion) -> LookupFailure {
        let subject = "\(RecordType.text(question.type)) of \(question.name)"
        return LookupFailure(.nameServerTimeout, "no name server answered in time (\(subject))")
    }

    private static func stopped(_ now: Instant) -> Finding {
        let failure = LookupFailure(.stopping, Reason.stopping.sentence)
        return Finding(.failed(failure), validUntil: now)
    }

    private static func tooMany(_ now: Instant) -> Finding {
        let text = "more than \(questionsUnderWayMax) names are being looked up already"
        return Finding(.failed(LookupFailure(.nameServerFailure, text)), validUntil: now)
    }
}

/// One question under way and those who wait for it, each on a loop of their own.
package final class Flight: Sendable {
    package let question: NameQuestion

    private struct State {
        var finding: Finding?
        var waiters: [(loop: Loop, handle: Handle)] = []
    }

    private let state = Mutex(State())

    init(_ question: NameQuestion) { self.question = question }

    /// Waits for the answer; nil when the deadline comes first.
    func landing(on loop: Loop, until deadline: Instant) async -> Finding? {
        let handle = loop.makeHandle()
        defer { loop.releaseHandle(handle) }
        loop.setDeadline(handle, deadline)
        let finding = state.withLock { state -> Finding? in
            if state.finding == nil { state.waiters.append((loop, handle)) }
            return state.finding
        }
        if let finding { return finding }
        _ = await loop.wait(handle, for: .signalled)
        // Whatever woke us: an answer that is there is an answer.
        return state.withLock { $0.finding }
    }

    /// Gives the answer to all who wait; the first one counts.
    func land(_ finding: Finding) {
        let waiters = state.withLock { state in
            if state.finding == nil { state.finding = finding }
            let waiters = state.waiters
            state.waiters = []
            return waiters
        }
        for waiter in waiters { waiter.loop.signal(waiter.handle) }
    }
}
