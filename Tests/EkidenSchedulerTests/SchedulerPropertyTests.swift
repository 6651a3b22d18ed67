// Method: a random but seeded composition drives the scheduler through every call it has, in any
// order, with every kind of answer. After each step the invariants hold and every recipient that
// was added and not finished is in exactly one place. At the end the faults stop, and everything
// drains.

import EkidenMail
import Testing

@testable import EkidenScheduler

@Suite struct SchedulerPropertyTests {
    @Test(arguments: 1...40)
    func nothingIsLostOrInTwoPlacesWhateverHappens(seed: Int) {
        let world = World(seed: UInt64(seed))
        for step in 0..<400 {
            world.step()
            // Now and then: the check costs far more than the step.
            guard step % 8 == 0 else { continue }
            if let broken = world.broken() {
                Issue.record("seed \(seed) step \(step): \(broken)")
                return
            }
        }
        world.drain()
        #expect(world.broken() == nil)
        #expect(world.desk.scheduler.counts.total == 0, "seed \(seed): everything drains")
        #expect(world.desk.scheduler.messageCount == 0)
        #expect(world.pending.isEmpty)
    }

    @Test func theSameSeedGivesTheSameDecisions() {
        func run() -> [String] {
            let world = World(seed: 42)
            for _ in 0..<500 { world.step() }
            return world.trace
        }
        let first = run()
        #expect(first.count > 50)
        #expect(first == run())
    }
}

private final class World {
    let random: TestRandom
    let desk: Desk
    var trace: [String] = []
    var nextID: UInt64 = 1
    /// Recipients not finished, by message.
    var pending: [UInt64: Set<Int>] = [:]
    var sessions: [SessionID] = []
    var busy: [(id: SessionID, job: Job)] = []
    var isQuiet = false

    init(seed: UInt64) {
        random = TestRandom(seed)
        let ceiling = 1 + random.below(6)
        desk = Desk {
            $0.connectionsMax = ceiling
            $0.turnGroups = 5
            $0.recipientsPerTransaction = 4
            $0.idleHopsMax = 3
            $0.idleSitesMax = 2
        }
    }

    func step() {
        switch random.below(20) {
        case 0...3: add()
        case 4...6: answer()
        case 7...10: ask()
        case 11...13: finish()
        case 14: fail()
        case 15: desk.pass(.seconds(random.below(200)))
        case 16: act()
        case 17: endSession()
        default: desk.scheduler.tick(at: desk.now)
        }
        take()
    }

    private func take() {
        desk.collect()
        for (id, site) in desk.started {
            trace.append("start \(id.number) \(site.id.text)")
            sessions.append(id)
        }
        desk.started = []
        for id in desk.woken { trace.append("wake \(id.number)") }
        desk.woken = []
        for id in desk.ended {
            trace.append("end \(id.number)")
            sessions.removeAll { $0 == id }
            desk.scheduler.sessionEnded(id, at: desk.now)
        }
        let hadEnded = !desk.ended.isEmpty
        desk.ended = []
        if hadEnded { take() }
    }

    private func add() {
        let large = random.below(8) == 0
        let domains = (0..<(1 + random.below(large ? 30 : 3))).map { _ in
            "d\(random.below(6)).example"
        }
        let wait: WallTime? =
            random.below(3) == 0 ? desk.now.wall + .seconds(random.below(400)) : nil
        let hold: Hold? =
            random.below(12) == 0
            ? Hold(reason: .operatorHold, uid: 1, since: desk.now.wall) : nil
        pending[nextID] = Set(domains.indices)
        desk.scheduler.add(
            message(
                nextID,
                to: domains,
                attempts: wait == nil ? 0 : 1,
                nextAttempt: wait,
                hold: hold
            ),
            standing: standing(),
            route: byDomain,
            at: desk.now
        )
        nextID += 1
    }

    private func standing() -> Standing {
        Standing(
            share: UInt32(random.below(3)),
            isUrgent: random.below(5) == 0,
            stream: random.below(3) == 0 ? "slow" : nil
        )
    }

    private func answer() {
        guard !desk.asked.isEmpty else { return }
        let hop = desk.asked.remove(at: random.below(desk.asked.count))
        if !isQuiet, random.below(5) == 0 {
            desk.scheduler.resolved(hop, .failure(failure), at: desk.now)
        } else {
            let until = desk.now.instant + .seconds(1 + random.below(300))
            desk.scheduler.resolved(
                hop,
                .site(site("s\(random.below(4))"), validUntil: until),
                at: desk.now
            )
        }
    }

    private func ask() {
        let free = sessions.filter { id in !busy.contains { $0.id == id } }
        guard !free.isEmpty else { return }
        let id = free[random.below(free.count)]
        switch desk.scheduler.nextJob(for: id, at: desk.now) {
        case .job(let job):
            trace.append("job \(job.message.number) \(job.recipients) \(job.site.id.text)")
            #expect(Set(job.recipients).isSubset(of: pending[job.message.number] ?? []))
            #expect(Set(job.recipients).count == job.recipients.count)
            #expect(job.recipients.count <= 4)
            busy.append((id, job))
        case .idle: trace.append("idle \(id.number)")
        case .end:
            sessions.removeAll { $0 == id }
            desk.scheduler.sessionEnded(id, at: desk.now)
        }
    }

    private func dispositions(_ job: Job) -> [Disposition] {
        let same = random.below(2) == 0 ? random.below(4) : nil
        return job.recipients.map { recipient in
            switch isQuiet ? 0 : same ?? random.below(4) {
            case 0, 1:
                pending[job.message.number]?.remove(recipient)
                if pending[job.message.number]?.isEmpty == true {
                    pending[job.message.number] = nil
                }
                return .done
            case 2: return .retry(after: .seconds(100), because: .peerDeferred)
            default: return .again
            }
        }
    }

    private func finish() {
        guard !busy.isEmpty else { return }
        let (id, job) = busy.remove(at: random.below(busy.count))
        var health = SiteHealth.alive
        var dispositions: [Disposition]
        if !isQuiet, random.below(2) == 0 {
            health = random.below(4) == 0 ? .unknown : .trouble(failure)
            dispositions = job.recipients.map { _ in
                .retry(after: .seconds(300), because: .connectionRefused)
            }
        } else {
            dispositions = self.dispositions(job)
        }
        let failed = [HostAddress.v4(UInt32(random.below(5)))]
        desk.scheduler.finished(
            id,
            job.id,
            JobEnd(dispositions: dispositions, health: health, failedAddresses: failed),
            at: desk.now
        )
    }

    private func fail() {
        guard !desk.failed.isEmpty else { return }
        let (job, _) = desk.failed.remove(at: random.below(desk.failed.count))
        let all =
            random.below(4) == 0
            ? dispositions(job).map { $0 == .again ? .retry(after: .zero, because: .resolved) : $0 }
            : job.recipients.map { _ in
                Disposition.retry(after: .seconds(250), because: .connectionRefused)
            }
        desk.scheduler.settled(job.id, all, at: desk.now)
    }

    private func act() {
        let id = QueueID(number: 1 + UInt64(random.below(Int(nextID))))
        let name = SiteID("mx:mx.s\(random.below(4))")
        switch random.below(13) {
        case 11: desk.scheduler.restand(id, as: standing(), at: desk.now)
        case 12:
            desk.scheduler.settings.streams["slow"] =
                random.below(4) == 0
                ? nil
                : PaceSettings(interval: .seconds(1 + random.below(9)), burst: 1 + random.below(3))
            desk.scheduler.settingsChanged(at: desk.now)
        case 0, 1:
            let hold = Hold(reason: .operatorHold, uid: 5, since: desk.now.wall)
            _ = desk.scheduler.hold(id, hold, at: desk.now)
        case 2, 3: _ = desk.scheduler.release(id, by: 5, at: desk.now)
        case 4: _ = desk.scheduler.retry(id, by: 5, at: desk.now)
        case 5:
            if desk.scheduler.remove(id, by: 5, at: desk.now) == .done { pending[id.number] = nil }
        case 6: _ = desk.scheduler.suspend(name, by: 5, for: .seconds(90), at: desk.now)
        case 7: _ = desk.scheduler.resume(name, at: desk.now)
        case 8, 9: reroute(id)
        default:
            let pause: Reason? = desk.scheduler.pause == nil ? .spoolUnavailable : nil
            desk.scheduler.setPause(pause, at: desk.now)
        }
    }

    private func reroute(_ id: QueueID) {
        let someFly = desk.scheduler.reroute(id, at: desk.now) { _, _ in
            let hop = NextHop.domain(Domain("d\(random.below(6)).example"))
            return random.below(3) == 0 ? nil : NewHop(hop, isFallback: random.below(2) == 0)
        }
        trace.append("reroute \(id.number)")
        #expect(someFly == (desk.scheduler.inFlight(id) > 0))
    }

    private func endSession() {
        guard !sessions.isEmpty else { return }
        let id = sessions.remove(at: random.below(sessions.count))
        busy.removeAll { $0.id == id }
        desk.scheduler.sessionEnded(id, at: desk.now)
    }

    func broken() -> String? {
        if let broken = desk.scheduler.brokenInvariant() { return broken }
        if desk.scheduler.counts.total != pending.values.reduce(0, { $0 + $1.count }) {
            return "recipients lost or invented"
        }
        for (number, recipients) in pending {
            let rows = desk.rows(number)
            if rows.map(\.recipient) != recipients.sorted() {
                return "message \(number) has \(rows.map(\.recipient)), not \(recipients.sorted())"
            }
            for row in rows {
                if case .waiting(let until, _) = row.place, until == WallTime(nanoseconds: .max) {
                    return "a recipient waits without a time"
                }
            }
        }
        return nil
    }

    /// No more faults; sessions work as fast as they can.
    func drain() {
        isQuiet = true
        desk.scheduler.setPause(nil, at: desk.now)
        for number in pending.keys.sorted() {
            _ = desk.scheduler.release(QueueID(number: number), by: 0, at: desk.now)
        }
        for _ in 0..<3000 where desk.scheduler.counts.total > 0 {
            desk.scheduler.tick(at: desk.now)
            take()
            while !desk.asked.isEmpty { answer() }
            take()
            while !desk.failed.isEmpty { fail() }
            for _ in 0..<8 {
                ask()
                take()
                finish()
                take()
            }
            desk.pass(.seconds(5))
        }
    }
}
