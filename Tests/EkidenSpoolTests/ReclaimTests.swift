import EkidenMail
import EkidenRuntime
import EkidenSimulator
import Testing

@testable import EkidenSpool

@Suite struct ReclaimTests {
    @Test func `Space stays below twice the live bytes and four segments`() throws {
        let test = TestWorld { $0.segmentBytes = 65_536 }
        let worst = Shared(0)
        let kept = try test.world.run {
            let spool = try await test.open()
            var kept: [QueueID] = []
            // Every twentieth message stays and is deferred again and again.
            for number in 0..<1200 {
                let id = spool.nextID()
                let body = [UInt8](repeating: UInt8(number & 255), count: 1500)
                try await spool.accept(message(id, body: body))
                if number % 20 == 0 {
                    kept.append(id)
                } else {
                    _ = await spool.record(MarkGroup(id: id, marks: [mark(0, .delivered)]))
                }
                let old = kept[number % kept.count]
                let attempts = 1 + (spool.message(old)?.recipients[0].attempts ?? 0)
                _ = await spool.record(
                    MarkGroup(id: old, marks: [mark(0, .pending, attempts: attempts)])
                )
                if number % 10 == 0 {
                    await test.world.loops[0].sleep(for: .milliseconds(20))
                    let s = spool.statistics
                    let over = s.logBytes - 2 * s.liveBytes - 4 * 65_536
                    worst.change { $0 = max($0, over) }
                }
            }
            await test.world.loops[0].sleep(for: .seconds(1))
            let s = spool.statistics
            #expect(s.logBytes <= 2 * s.liveBytes + 4 * 65_536)
            #expect(s.messages == kept.count)
            let log = test.disk.image.files.filter { $0.path.hasPrefix("log/") }
                .filter { !$0.path.hasSuffix("footer") }.reduce(0) { $0 + $1.byteCount }
            #expect(log == s.logBytes)
            for id in kept {
                let details = try await spool.details(of: id)
                let attempts = try #require(spool.message(id)?.recipients[0].attempts)
                #expect(details.history.last?.attempts == attempts)
            }
            return kept
        }
        #expect(worst.value <= 65_536, "one segment more while a new one begins")
        test.world.halt()
        let second = TestWorld(image: test.disk.image.afterPowerLoss(SimRandom(seed: 1)))
        try second.world.run {
            let spool = try await second.open()
            #expect(spool.messages(after: nil, limit: .max).map(\.id) == kept)
            await spool.close()
        }
    }

    /// Two segments are more than twice the mail in them when that nearly fills one; moving it all
    /// to the end of the log again and again would never change that.
    @Test(arguments: 1...60)
    func `Moving comes to an end`(_ seed: Int) throws {
        let test = TestWorld(seed: UInt64(seed)) { $0.cacheBytes = 0 }
        try test.world.run {
            let spool = try await test.open()
            let loop = test.world.loops[0]
            let random = SimRandom(seed: UInt64(seed))
            let most = random.int(in: 50_000...58_000)
            var liveBytes = 0
            var kept = 0
            while liveBytes < most {
                let id = spool.nextID()
                let body = [UInt8](repeating: 65, count: random.int(in: 2_000...16_000))
                try await spool.accept(message(id, body: body))
                if random.below(3) != 0 {
                    _ = await spool.record(MarkGroup(id: id, marks: [mark(0, .delivered)]))
                } else {
                    liveBytes += body.count
                    kept += 1
                }
            }
            await loop.sleep(for: .seconds(5))
            let settled = spool.statistics
            await loop.sleep(for: .seconds(60))
            #expect(spool.statistics.messages == kept)
            #expect(spool.statistics.framesWritten - settled.framesWritten < 10)
            #expect(settled.logBytes <= 2 * settled.liveBytes + 4 * 65_536)
            await spool.close()
        }
    }

    @Test func `Damage found while moving leaves the message on hold, never nowhere`() throws {
        let test = TestWorld { $0.cacheBytes = 0 }
        try test.world.run {
            let spool = try await test.open()
            let id = spool.nextID()
            try await spool.accept(message(id, body: [UInt8](repeating: 65, count: 3000)))
            let place = try #require(spool.log.index.location(id)).place
            test.disk.image.flip(SegmentName.segment(place.segment), at: place.offset + 2000)
            await #expect(throws: ContentUnavailable.self) { try await spool.content(of: id) }
            for _ in 0..<200 {
                let other = spool.nextID()
                try await spool.accept(message(other, body: [UInt8](repeating: 66, count: 3000)))
                _ = await spool.record(MarkGroup(id: other, marks: [mark(0, .delivered)]))
            }
            await test.world.loops[0].sleep(for: .seconds(2))
            #expect(spool.log.index.location(id)?.place.segment != place.segment)
            #expect(spool.message(id)?.hold?.reason == .damaged)
            #expect(spool.message(id)?.byteCount ?? 0 > 3000)
            await spool.close()
        }
        #expect(test.disk.image.files.contains { $0.path.hasPrefix("damaged/") })
        let second = TestWorld(on: test)
        try second.world.run {
            let spool = try await second.open()
            #expect(spool.messages(after: nil, limit: 9).map { $0.hold?.reason } == [.damaged])
            await spool.close()
        }
    }

    /// A look at a segment may begin while moves of an earlier one are still being written: the last
    /// of them had become pointless, and nobody waited for the others.
    @Test(arguments: 1...30)
    func `Messages delivered while others move damage none of them`(_ seed: Int) throws {
        let test = TestWorld(seed: UInt64(seed)) {
            $0.cacheBytes = 0
            $0.reclaimsEagerly = true
        }
        // Reading takes its time, too.
        test.disk.hasWarmCache = false
        test.disk.timing.operation = .microseconds(100)
        test.disk.timing.sync = .milliseconds(2)
        test.disk.timing.spread = 4
        try test.world.run {
            let spool = try await test.open()
            let loop = test.world.loops[0]
            let random = SimRandom(seed: UInt64(seed))
            var queued: [QueueID] = []
            for _ in 0..<400 {
                let id = spool.nextID()
                let body = [UInt8](repeating: 65, count: 200 + Int(random.below(1500)))
                try await spool.accept(message(id, body: body))
                queued.append(id)
                while queued.count > 30 {
                    // The newest often is the last of a group that moves.
                    let at = queued.count - 1 - Int(random.below(UInt64(queued.count)))
                    let done = queued.remove(at: at)
                    // Marks that bring a bounce count once they are synced, with the batch before.
                    let bounce = spool.nextID()
                    loop.spawn { @Sendable in
                        let failed = MarkGroup(
                            id: done,
                            marks: [mark(0, .failed)],
                            caused: [message(bounce, from: nil)]
                        )
                        _ = await spool.record(failed)
                        let sent = MarkGroup(id: bounce, marks: [mark(0, .delivered)])
                        _ = await spool.record(sent)
                    }
                }
                if random.below(3) == 0 {
                    await loop.sleep(for: .microseconds(Int64(random.below(9000))))
                }
            }
            await loop.sleep(for: .seconds(3))
            for id in queued {
                #expect(spool.message(id)?.hold == nil)
                _ = try await spool.content(of: id)
            }
            await spool.close()
        }
        #expect(!test.disk.image.files.contains { $0.path.hasPrefix("damaged/") })
        #expect(test.events.notices.filter { $0.contains("have changed") } == [])
    }

    @Test func `A clock that is not believed is not believed after the next start either`() throws {
        let first = TestWorld()
        let id = try first.world.run {
            let spool = try await first.open()
            let id = spool.nextID()
            try await spool.accept(message(id))
            first.world.wallOffset += .seconds(10 * 86_400)
            #expect(spool.expiryPause != nil)
            // Heartbeats and preambles are written while it is so.
            await first.world.loops[0].sleep(for: .seconds(200))
            await spool.close()
            return id
        }
        let second = TestWorld(image: first.disk.image, wall: first.world.wall)
        try second.world.run {
            let spool = try await second.open()
            #expect(spool.message(id) != nil)
            #expect(spool.expiryPause != nil)
            await second.world.loops[0].sleep(for: .seconds(3700))
            #expect(spool.expiryPause == nil)
            await spool.close()
        }
    }

    @Test func `The clock must agree for an hour before it is believed again`() {
        let start = SimWorld.firstWallTime
        let zero = Instant(nanoseconds: 0)
        var watch = ClockWatch(newestRecord: nil, wall: start, now: zero)
        #expect(watch.pause == nil)
        #expect(ClockWatch(newestRecord: start, wall: start + .seconds(-1), now: zero).pause != nil)
        #expect(
            ClockWatch(newestRecord: start, wall: start + .seconds(86_300), now: zero).pause == nil
        )
        watch = ClockWatch(newestRecord: start, wall: start + .seconds(90_000), now: zero)
        #expect(watch.pause != nil)
        for minute in 1..<60 {
            let passed = Duration.seconds(60 * minute)
            #expect(
                watch.tick(wall: start + .seconds(90_000) + passed, now: zero + passed) == .none
            )
        }
        let hour = Duration.seconds(3600)
        #expect(watch.tick(wall: start + .seconds(90_000) + hour, now: zero + hour) == .resumed)
        #expect(watch.pause == nil)
        // A leap of two days while running.
        let leap = start + .seconds(90_000 + 172_800) + hour
        if case .paused = watch.tick(wall: leap, now: zero + hour + .seconds(1)) {
        } else {
            Issue.record("a leap of two days was believed")
        }
        watch.confirm(wall: leap)
        #expect(watch.pause == nil)
    }

    @Test func `A leap is not written down bit by bit, however often the clock is looked at`() {
        let start = SimWorld.firstWallTime
        var now = Instant(nanoseconds: 0)
        var wall = start + .seconds(5 * 86_400)
        var watch = ClockWatch(newestRecord: start, wall: wall, now: now)
        for _ in 0..<20_000 {
            now = now + .milliseconds(1)
            wall = wall + .milliseconds(1)
            #expect(watch.tick(wall: wall, now: now) == .none)
        }
        #expect(watch.believed(wall) <= start + .seconds(21))
        #expect(
            ClockWatch(newestRecord: watch.believed(wall), wall: wall, now: now).pause != nil
        )
    }
}
