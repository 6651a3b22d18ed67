// Who goes first among those who go to the same place, and how fast a stream may go.

import EkidenMail
import EkidenRuntime
import Testing

@testable import EkidenScheduler

@Suite struct StreamTests {
    /// One site with one connection.
    private func desk(_ change: (inout SchedulerSettings) -> Void = { _ in }) -> Desk {
        Desk {
            $0.windowInitial = 1
            $0.windowCeiling = 1
            change(&$0)
        }
    }

    private func add(
        _ desk: Desk,
        _ numbers: ClosedRange<UInt64>,
        to domain: String = "a.example",
        _ standing: Standing
    ) {
        for number in numbers {
            desk.scheduler.add(
                message(number, to: [domain]),
                standing: standing,
                route: byDomain,
                at: desk.now
            )
        }
        desk.collect()
        desk.resolveAll()
        #expect(desk.scheduler.brokenInvariant() == nil)
    }

    /// The order in which messages go over the one connection.
    private func order(_ desk: Desk, _ count: Int) throws -> [UInt64] {
        let session = try #require(desk.started.first)
        var order: [UInt64] = []
        while order.count < count, let job = desk.job(session.id) {
            order.append(job.message.number)
            #expect(desk.scheduler.brokenInvariant() == nil)
            desk.finish(session.id, job)
        }
        return order
    }

    @Test func `a sender's hundred letters do not stand before another's one`() throws {
        let desk = desk()
        add(desk, 1...100, Standing(share: 1))
        add(desk, 101...101, Standing(share: 2))
        add(desk, 102...103, Standing(share: 3))
        let order = try order(desk, 103)
        #expect(order.prefix(6) == [1, 101, 102, 2, 103, 3])
        #expect(order.count == 103 && Set(order).count == 103)
        // Each sender's own in the order they came.
        #expect(order.filter { $0 <= 100 } == Array(1...100))
    }

    @Test func `the rest of a list goes at once, but not before another's letter`() throws {
        let desk = desk()
        add(desk, 1...3, Standing(share: 1))
        add(desk, 4...4, Standing(share: 2))
        let session = try #require(desk.started.first)
        var order: [UInt64] = []
        for _ in 0..<6 {
            guard let job = desk.job(session.id) else { break }
            order.append(job.message.number)
            // The host takes the first message in three transactions.
            let isFirst = job.message.number == 1 && order.filter { $0 == 1 }.count < 3
            desk.finish(session.id, job, isFirst ? .again : .done)
            #expect(desk.scheduler.brokenInvariant() == nil)
        }
        #expect(order == [1, 4, 1, 1, 2, 3])
    }

    @Test func `next hops have their turn whatever is to go again at another`() throws {
        let desk = desk()
        for number in 1...3 as ClosedRange<UInt64> {
            desk.add(message(number, to: [number < 3 ? "a.example" : "b.example"]))
        }
        let one = site("a.example")
        for hop in desk.asked {
            let until = desk.now.instant + .seconds(3600)
            desk.scheduler.resolved(hop, .site(one, validUntil: until), at: desk.now)
        }
        desk.collect()
        let session = try #require(desk.started.first)
        var order: [UInt64] = []
        for _ in 0..<4 {
            guard let job = desk.job(session.id) else { break }
            order.append(job.message.number)
            desk.finish(session.id, job, order.count == 1 ? .again : .done)
        }
        #expect(order == [1, 3, 1, 2])
    }

    @Test func `nothing goes by a route that has closed, however many next hops it has`() throws {
        let desk = desk()
        let route = "ship"
        for number in 1...200 as ClosedRange<UInt64> {
            desk.scheduler.add(
                message(number, to: ["d\(number).example"]),
                route: { .routed($0.address.domain, by: route) },
                at: desk.now
            )
        }
        desk.collect()
        let until = desk.now.instant + .seconds(60)
        func answer(_ resolution: Resolution) {
            for hop in desk.asked { desk.scheduler.resolved(hop, resolution, at: desk.now) }
            desk.asked = []
            desk.collect()
        }
        answer(.site(site("mx.example"), validUntil: until))
        let session = try #require(desk.started.first)
        let job = try #require(desk.job(session.id))
        desk.pass(.seconds(60))
        desk.finish(session.id, job)
        #expect(desk.next(session.id) == .idle)
        let closed = Failure(
            scope: .site,
            isPermanent: false,
            reason: .routeClosed,
            step: .resolve,
            status: EnhancedStatus(4, 4, 1)
        )
        // The others are asked about in the turns to come, and none of them goes meanwhile.
        for _ in 0..<10 {
            answer(.failure(closed))
            desk.pass(.milliseconds(1))
            desk.turn()
            for session in desk.woken { #expect(desk.next(session) == .idle) }
            desk.woken = []
        }
        #expect(desk.failed.count == 199)
        #expect(desk.scheduler.brokenInvariant() == nil)
    }

    @Test func `urgent mail has four turns of five, retries of it as well`() throws {
        let desk = desk()
        add(desk, 1...10, Standing(share: 1))
        add(desk, 21...25, Standing(share: 2, isUrgent: true))
        desk.scheduler.add(
            message(26, to: ["a.example"], attempts: 2),
            standing: Standing(share: 3, isUrgent: true),
            route: byDomain,
            at: desk.now
        )
        desk.collect()
        let order = try order(desk, 16)
        #expect(order == [21, 26, 22, 23, 1, 24, 25, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    }

    @Test func `who has urgent mail gets the next connection that is free`() throws {
        let desk = desk { $0.connectionsMax = 1 }
        add(desk, 1...1, to: "a.example", Standing())
        let first = try #require(desk.started.first)
        let job = try #require(desk.job(first.id))
        for (index, domain) in ["b.example", "c.example", "d.example"].enumerated() {
            add(desk, 2 + UInt64(index)...2 + UInt64(index), to: domain, Standing())
        }
        add(desk, 9...9, to: "c.example", Standing(isUrgent: true))
        desk.finish(first.id, job)
        #expect(desk.next(first.id) == .end)
        desk.scheduler.sessionEnded(first.id, at: desk.now)
        desk.collect()
        #expect(desk.started.map(\.site.id.text) == ["mx:mx.a.example", "mx:mx.c.example"])
        #expect(desk.job(desk.started[1].id)?.message.number == 9)
    }

    // MARK: Rates

    private let slow = Standing(share: 7, stream: "slow")

    private func paced(_ interval: Duration, burst: Int) -> Desk {
        desk { $0.streams["slow"] = PaceSettings(interval: interval, burst: burst) }
    }

    /// Messages that are not waiting for their rate, by their numbers.
    private func free(_ desk: Desk, _ numbers: ClosedRange<UInt64>) -> [UInt64] {
        numbers.filter { number in
            desk.rows(number).contains { $0.because != .streamPaced }
        }
    }

    @Test func `a stream goes as fast as its rate, in order, wherever it goes`() {
        let desk = paced(.seconds(10), burst: 2)
        for number in 1...5 as ClosedRange<UInt64> {
            add(desk, number...number, to: "d\(number % 2).example", slow)
        }
        add(desk, 6...6, Standing())
        #expect(free(desk, 1...6) == [1, 2, 6])
        #expect(desk.scheduler.counts.waiting == 3)
        // The row says when, as far as is known now.
        let until = desk.rows(5).map { row -> Duration? in
            guard case .waiting(let until, .streamPaced) = row.place else { return nil }
            return until - desk.now.wall
        }
        #expect(until == [.seconds(30)])
        for last in 3...5 as ClosedRange<UInt64> {
            desk.pass(.milliseconds(9999))
            desk.turn()
            #expect(free(desk, 1...5) == Array(1...last - 1))
            desk.pass(.milliseconds(1))
            desk.turn()
            #expect(free(desk, 1...5) == Array(1...last))
            #expect(desk.scheduler.brokenInvariant() == nil)
        }
    }

    @Test func `what no host was reached for takes nothing from its stream`() throws {
        let desk = paced(.seconds(3600), burst: 1)
        add(desk, 1...2, slow)
        #expect(free(desk, 1...2) == [1])
        let session = try #require(desk.started.first)
        let job = try #require(desk.job(session.id))
        desk.finish(
            session.id,
            job,
            .retry(after: .seconds(300), because: .connectionRefused),
            .trouble(failure)
        )
        desk.pass(.milliseconds(1))
        desk.turn()
        #expect(free(desk, 2...2) == [2])
        #expect(desk.scheduler.brokenInvariant() == nil)
    }

    @Test func `what is taken out of its line before it went takes nothing from its stream`() {
        let desk = paced(.seconds(3600), burst: 1)
        add(desk, 1...2, slow)
        #expect(free(desk, 1...2) == [1])
        // To another next hop: it still has what it was let go with.
        _ = desk.scheduler.reroute(QueueID(number: 1), at: desk.now) { _, _ in
            NewHop(hop("b.example"), isFallback: true)
        }
        desk.collect()
        desk.pass(.milliseconds(1))
        desk.turn()
        #expect(free(desk, 1...2).count == 1)
        // Deleted: the other has it.
        for number in 1...2 as ClosedRange<UInt64> where free(desk, number...number) != [] {
            #expect(desk.scheduler.remove(QueueID(number: number), by: 0, at: desk.now) == .done)
            break
        }
        desk.pass(.milliseconds(1))
        desk.turn()
        #expect(free(desk, 1...2).count == 1)
        #expect(desk.scheduler.brokenInvariant() == nil)
    }

    @Test func `a list goes by its transactions, some of its recipients at a time`() {
        let desk = desk {
            $0.streams["slow"] = PaceSettings(interval: .seconds(1), burst: 1)
            $0.recipientsPerTransaction = 10
        }
        desk.scheduler.add(
            message(1, to: Array(repeating: "a.example", count: 25)),
            standing: slow,
            route: byDomain,
            at: desk.now
        )
        desk.collect()
        for free in [10, 20, 25] {
            let paced = desk.rows(1).filter { $0.because == .streamPaced }
            #expect(paced.count == 25 - free)
            #expect(desk.scheduler.brokenInvariant() == nil)
            desk.pass(.seconds(1))
            desk.turn()
        }
    }

    @Test func `who waits for the rate can be held, rerouted, deleted; a retry is no way around`()
        throws
    {
        let desk = paced(.seconds(60), burst: 1)
        add(desk, 1...5, slow)
        #expect(free(desk, 1...5) == [1])
        _ = desk.scheduler.retry(QueueID(number: 2), by: 0, at: desk.now)
        #expect(free(desk, 1...5) == [1])
        let hold = Hold(reason: .operatorHold, uid: 0, since: desk.now.wall)
        _ = desk.scheduler.hold(QueueID(number: 2), hold, at: desk.now)
        #expect(desk.rows(2)[0].place.isHeld)
        #expect(desk.scheduler.remove(QueueID(number: 3), by: 0, at: desk.now) == .done)
        _ = desk.scheduler.reroute(QueueID(number: 4), at: desk.now) { _, _ in
            NewHop(hop("b.example"))
        }
        #expect(desk.rows(4)[0].nextHop == hop("b.example"))
        #expect(desk.scheduler.brokenInvariant() == nil)
        desk.pass(.seconds(60))
        desk.turn()
        // What was rerouted has gone to the end of the line.
        #expect(free(desk, 4...5) == [5])
        _ = desk.scheduler.release(QueueID(number: 2), by: 0, at: desk.now)
        for _ in 0..<2 {
            desk.pass(.seconds(60))
            desk.turn()
        }
        #expect(free(desk, 2...5) == [2, 4, 5])
        #expect(desk.scheduler.brokenInvariant() == nil)
    }

    @Test func `a new rate, or none, holds for those who wait already`() {
        let desk = paced(.seconds(3600), burst: 1)
        add(desk, 1...4, slow)
        desk.scheduler.settings.streams["slow"] = PaceSettings(interval: .seconds(1), burst: 1)
        desk.scheduler.settingsChanged(at: desk.now)
        desk.pass(.seconds(1))
        desk.turn()
        #expect(free(desk, 1...4) == [1, 2])
        desk.scheduler.settings.streams = [:]
        desk.scheduler.settingsChanged(at: desk.now)
        desk.pass(.milliseconds(1))
        desk.turn()
        #expect(free(desk, 1...4) == [1, 2, 3, 4])
        #expect(desk.scheduler.brokenInvariant() == nil)
    }

    @Test func `messages that are told apart in another way stand elsewhere`() throws {
        let desk = paced(.seconds(3600), burst: 1)
        add(desk, 1...3, slow)
        add(desk, 4...5, Standing(share: 1))
        desk.scheduler.restand(QueueID(number: 3), as: Standing(share: 2), at: desk.now)
        desk.scheduler.restand(
            QueueID(number: 5),
            as: Standing(share: 1, isUrgent: true),
            at: desk.now
        )
        desk.collect()
        #expect(desk.scheduler.brokenInvariant() == nil)
        #expect(free(desk, 1...3) == [1, 3])
        #expect(try order(desk, 9) == [5, 1, 4, 3])
    }
}
