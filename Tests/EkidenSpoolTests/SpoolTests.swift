import EkidenMail
import EkidenRuntime
import EkidenSimulator
import Synchronization
import Testing

@testable import EkidenSpool

@Suite struct SpoolTests {
    @Test func `A message accepted is there after a clean restart, byte for byte`() throws {
        let first = TestWorld()
        let body = randomBytes(5000, SimRandom(seed: 5))
        let id = try first.world.run {
            let spool = try await first.open()
            let id = spool.nextID()
            try await spool.accept(
                message(id, to: ["b@example.net", "\"c d\"@Example.COM"], body: body)
            )
            #expect(spool.messageCount == 1)
            await spool.close()
            return id
        }
        let second = TestWorld(seed: 2, on: first)
        try second.world.run {
            let (spool, report) = try await second.openWithReport()
            #expect(report.messages == 1)
            #expect(report.segmentsScanned == 0, "a clean stop leaves footers")
            #expect(report.sentences.isEmpty)
            let queued = try #require(spool.message(id))
            #expect(
                queued.recipients.map(\.address.text) == ["b@example.net", "\"c d\"@Example.COM"]
            )
            #expect(queued.sender.text == "a@example.org")
            let content = try await spool.content(of: id)
            #expect(try await bodyBytes(content) == body)
            #expect(content.header.text == "Subject: \(id.text)\r\n\r\n")
            #expect(content.facts.lines == 3)
            let details = try await spool.details(of: id)
            #expect(
                details.envelope
                    == message(id, to: ["b@example.net", "\"c d\"@Example.COM"]).envelope
            )
            #expect(spool.nextID() > id)
            await spool.close()
        }
    }

    @Test func `Nothing is acknowledged before its sync has ended`() throws {
        let test = TestWorld()
        try test.world.run {
            let spool = try await test.open()
            await spool.log.supply.settle()
            let syncs = test.disk.syncCount
            let start = test.world.instant
            try await spool.accept(message(spool.nextID()))
            #expect(test.disk.syncCount == syncs + 1, "a lone message costs one sync")
            #expect(test.world.instant - start >= test.disk.timing.sync)
            await spool.close()
        }
    }

    @Test func `What is kept of a lone message for the footer is no larger than it must be`() throws
    {
        let test = TestWorld()
        try test.world.run {
            let spool = try await test.open()
            for _ in 0..<20 {
                let id = spool.nextID()
                try await spool.accept(message(id))
                _ = await spool.record(MarkGroup(id: id, marks: [mark(0, .pending)]))
            }
            // A mark is recorded when the kernel has it, which is before the write returns.
            await test.world.loops[0].sleep(for: .milliseconds(1))
            let frames = spool.log.active?.frames.dropFirst() ?? []
            #expect(frames.count == 40)
            #expect(frames.allSatisfy { !$0.meta.isEmpty && $0.meta.retainedBytes < 512 })
            await spool.close()
        }
    }

    @Test func `What comes in during a sync shares the next one`() throws {
        let test = TestWorld(loops: 3)
        let done = Shared(0)
        let spool = try test.world.run { try await test.open() }
        test.world.run(for: .milliseconds(50))
        let syncs = test.disk.syncCount
        for loop in test.world.loops {
            for _ in 0..<20 {
                loop.spawn { @Sendable in
                    try? await spool.accept(message(spool.nextID()))
                    done.change { $0 += 1 }
                }
            }
        }
        test.world.run(for: .milliseconds(50))
        #expect(done.value == 60)
        #expect(test.disk.syncCount - syncs <= 3)
    }

    @Test func `Marks return when the kernel has them and are durable within 20 ms`() throws {
        let test = TestWorld()
        try test.world.run {
            let spool = try await test.open()
            await spool.log.supply.settle()
            let id = spool.nextID()
            try await spool.accept(message(id, to: ["b@example.net", "c@example.net"]))
            let syncs = test.disk.syncCount
            #expect(
                await spool.record(MarkGroup(id: id, marks: [mark(0, .delivered)])) == .recorded
            )
            #expect(test.disk.syncCount == syncs)
            #expect(spool.message(id)?.recipients.map(\.state) == [.delivered, .pending])
            await test.world.loops[0].sleep(for: .milliseconds(21))
            #expect(test.disk.syncCount == syncs + 1)
            _ = await spool.record(MarkGroup(id: id, marks: [mark(1, .delivered)]))
            #expect(spool.message(id) == nil)
            #expect(spool.messageCount == 0)
            await spool.close()
        }
    }

    @Test func `Marks survive kill -9 as soon as they are recorded`() throws {
        let first = TestWorld()
        let ids = try first.world.run {
            let spool = try await first.open()
            let ids = [spool.nextID(), spool.nextID()]
            for id in ids { try await spool.accept(message(id)) }
            _ = await spool.record(MarkGroup(id: ids[0], marks: [mark(0, .delivered)]))
            _ = await spool.record(
                MarkGroup(id: ids[1], marks: [mark(0, .pending, words: "450 later")])
            )
            return ids
        }
        first.world.halt()
        let second = TestWorld(on: first)
        try second.world.run {
            let spool = try await second.open()
            #expect(spool.message(ids[0]) == nil)
            let recipient = try #require(spool.message(ids[1])?.recipients[0])
            #expect(recipient.attempts == 1)
            #expect(recipient.nextAttempt == SimWorld.firstWallTime + .seconds(300))
            let details = try await spool.details(of: ids[1])
            #expect(details.history.map(\.words) == ["450 later"])
            await spool.close()
        }
    }

    @Test func `A bounce and the outcome that causes it are one`() throws {
        let first = TestWorld()
        let bounceBody = Array("You have a bounce\r\n".utf8)
        let heard = Shared<[QueueID]>([])
        let hooks = SpoolHooks { queued in heard.change { $0.append(queued.id) } }
        let ids = try first.world.run {
            let spool = try await first.open(hooks: hooks)
            let id = spool.nextID()
            let bounces = [spool.nextID(), spool.nextID()]
            try await spool.accept(message(id))
            let group = MarkGroup(
                id: id,
                marks: [mark(0, .failed)],
                caused: bounces.map {
                    message($0, to: ["a@example.org"], from: nil, body: bounceBody)
                }
            )
            #expect(await spool.record(group) == .recorded)
            #expect(spool.messageCount == 2)
            #expect(heard.value == [id] + bounces)
            return bounces
        }
        first.world.halt()
        let second = TestWorld(on: first)
        try second.world.run {
            let spool = try await second.open()
            #expect(spool.messages(after: nil, limit: 10).map(\.id) == ids)
            for id in ids {
                #expect(try await bodyBytes(try await spool.content(of: id)) == bounceBody)
                #expect(spool.message(id)?.sender.isNull == true)
                #expect(try await spool.content(of: id).header.text.contains(id.text))
            }
            _ = await spool.record(MarkGroup(id: ids[0], marks: [mark(0, .delivered)]))
            await spool.close()
        }
        let third = TestWorld(on: second)
        try third.world.run {
            let spool = try await third.open()
            #expect(spool.messages(after: nil, limit: 10).map(\.id) == [ids[1]])
            await spool.close()
        }
    }

    @Test func `Hold, release and removal are durable when they return`() throws {
        let first = TestWorld()
        let ids = try first.world.run {
            let spool = try await first.open()
            var ids: [QueueID] = []
            for _ in 0..<4 {
                let id = spool.nextID()
                ids.append(id)
                try await spool.accept(message(id, to: ["b@example.net", "c@example.net"]))
            }
            try await spool.hold(ids[0], uid: 1000)
            try await spool.hold(ids[1], uid: nil, because: .routeHolds)
            try await spool.release(ids[1], uid: 0)
            try await spool.remove(ids[2], uid: 0)
            try await spool.remove(ids[3], recipients: [1], uid: 0)
            await #expect(throws: OperatorRefusal.notFound) { try await spool.hold(ids[2], uid: 0) }
            return ids
        }
        first.world.halt()
        let image = first.disk.image.afterPowerLoss(SimRandom(seed: 3))
        let second = TestWorld(image: image)
        try second.world.run {
            let spool = try await second.open()
            #expect(spool.message(ids[0])?.hold?.uid == 1000)
            #expect(spool.message(ids[0])?.hold?.reason == .operatorHold)
            #expect(spool.message(ids[1])?.hold == nil)
            #expect(spool.message(ids[1])?.isReleased == true)
            #expect(spool.message(ids[0])?.isReleased == false)
            // An operator's own hold and release say nothing of routes.
            try await spool.release(ids[0], uid: 0)
            #expect(spool.message(ids[0])?.isReleased == false)
            #expect(spool.message(ids[2]) == nil)
            #expect(spool.message(ids[3])?.recipients.map(\.state) == [.pending, .removed])
            await spool.close()
        }
    }

    @Test func `A large body has its own file and comes back block by block`() throws {
        let first = TestWorld { $0.largeMessageBytes = 10_000 }
        let body = randomBytes(700_001, SimRandom(seed: 9))
        let id = try first.world.run {
            let spool = try await first.open()
            let id = spool.nextID()
            try await spool.accept(message(id), arriving: body)
            let abandoned = spool.makeBody(for: spool.nextID())
            try await abandoned.append(Bytes(body))
            await abandoned.abandon()
            return id
        }
        first.world.halt()
        let large = first.disk.image.files.filter { $0.path.hasPrefix("large/") }
        #expect(large.map(\.path) == ["large/\(id.text)"])
        let second = TestWorld(image: first.disk.image.afterPowerLoss(SimRandom(seed: 4))) {
            $0.largeMessageBytes = 10_000
        }
        try second.world.run {
            let spool = try await second.open()
            let content = try await spool.content(of: id)
            #expect(content.body.byteCount == body.count)
            #expect(try await bodyBytes(content) == body)
            _ = await spool.record(MarkGroup(id: id, marks: [mark(0, .delivered)]))
            await second.world.loops[0].sleep(for: .milliseconds(50))
            #expect(second.disk.image.files.allSatisfy { !$0.path.hasPrefix("large/") })
            await spool.close()
        }
    }

    @Test func `Ids are never given out twice, even with the clock set back`() throws {
        let first = TestWorld()
        let last = try first.world.run {
            let spool = try await first.open()
            var last = spool.nextID()
            for _ in 0..<1000 { last = spool.nextID() }
            return last
        }
        first.world.halt()
        let second = TestWorld(on: first, wall: SimWorld.firstWallTime + .seconds(-7200))
        try second.world.run {
            let spool = try await second.open()
            #expect(spool.nextID() > last)
            #expect(spool.expiryPause != nil)
            spool.confirmClock()
            #expect(spool.expiryPause == nil)
            await spool.close()
        }
    }

    @Test func `Only one process has a spool`() throws {
        let test = TestWorld()
        try test.world.run {
            let spool = try await test.open()
            await #expect(throws: SpoolOpenFailure.locked) { try await test.open() }
            await spool.close()
            let again = try await test.open()
            await again.close()
        }
    }
}

@Suite struct SpoolLoopTests {
    @Test(arguments: [1, 2, 3, 4, 5])
    func `Everything may be asked from a loop that does not own it`(seed: UInt64) throws {
        let test = TestWorld(seed: seed, loops: 3) { $0.cacheBytes = 0 }
        test.disk.hasWarmCache = seed % 2 == 0
        let spool = try test.world.run { try await test.open() }
        let body = randomBytes(3000, SimRandom(seed: seed))
        let id = try test.world.run(on: 1) {
            let id = spool.nextID()
            try await spool.accept(message(id, to: ["b@example.net", "c@example.net"], body: body))
            try await spool.hold(id, uid: 7)
            for attempt in 1...3 {
                let group = MarkGroup(
                    id: id,
                    marks: [mark(0, .pending, attempts: attempt, words: "try \(attempt)")]
                )
                #expect(await spool.record(group) == .recorded)
            }
            #expect(try await bodyBytes(try await spool.content(of: id)) == body)
            return id
        }
        try test.world.run(on: 2) {
            let details = try await spool.details(of: id)
            #expect(details.history.map(\.words) == ["try 1", "try 2", "try 3"])
            try await spool.release(id, uid: 7)
            try await spool.remove(id, uid: 7)
            await #expect(throws: ContentUnavailable.self) { _ = try await spool.content(of: id) }
        }
        try test.world.run {
            #expect(spool.messageCount == 0)
            await spool.close()
        }
    }
}
