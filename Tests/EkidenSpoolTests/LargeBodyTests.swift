import EkidenMail
import EkidenRuntime
import EkidenSimulator
import Testing

@testable import EkidenSpool

@Suite struct LargeBodyTests {
    /// What memory and what the disk hold of bodies around the sizes where blocks end.
    @Test(arguments: [10_001, 262_143, 262_144, 262_145, 524_288, 700_001])
    func `Fresh from memory and read back, a body is the same, whatever part is asked for`(
        size: Int
    ) throws {
        let test = TestWorld { $0.largeMessageBytes = 10_000 }
        let body = randomBytes(size, SimRandom(seed: UInt64(size)))
        try test.world.run {
            let spool = try await test.open()
            let id = spool.nextID()
            try await spool.accept(message(id), arriving: body)
            let fresh = try await spool.content(of: id)
            spool.door.cache.remove(id)
            let readsBefore = test.disk.counts[.open, default: 0]
            #expect(try await bodyBytes(fresh) == body)
            #expect(test.disk.counts[.open, default: 0] == readsBefore, "fresh, yet read")
            let stored = try await spool.content(of: id)
            #expect(try await bodyBytes(stored) == body)
            #expect(test.disk.counts[.open, default: 0] > readsBefore, "stored, yet not read")
            let ranges = [(0, 1), (size - 1, 9), (262_100, 100), (5, 600_000), (size, 4)]
            for (offset, count) in ranges {
                for content in [fresh, stored] {
                    guard case .stored(let reader, _) = content.body else {
                        Issue.record("not in a file of its own")
                        continue
                    }
                    let part = try await reader.read(at: offset, count: count).array
                    let expected = body[min(offset, size)..<min(offset + count, size)]
                    #expect(part == Array(expected), "\(offset) + \(count)")
                }
            }
            await spool.close()
        }
    }

    @Test func `Memory for fresh bodies is bounded, and all of it comes back`() throws {
        let test = TestWorld {
            $0.largeMessageBytes = 10_000
            $0.cacheBytes = 1 << 20
        }
        try test.world.run {
            let spool = try await test.open()
            let body = Bytes([UInt8](repeating: 0x61, count: 600_000))
            var intakes: [(QueueID, BodyIntake)] = []
            for _ in 0..<8 {
                let id = spool.nextID()
                let intake = spool.makeBody(for: id)
                try await intake.append(body)
                intakes.append((id, intake))
                #expect(spool.freshMemory.byteCount <= test.settings.cacheBytes)
            }
            #expect(spool.freshMemory.byteCount > 0)
            await intakes[0].1.abandon()
            var sent: [Content] = []
            for (id, intake) in intakes.dropFirst() {
                let new = try await message(id).with(intake)
                try await spool.accept(new)
                #expect(try await bodyBytes(new.content) == body.array)
                sent.append(new.content)
            }
            intakes = []
            // Some are still being sent when the cache has made room for others.
            for _ in 0..<8 {
                let id = spool.nextID()
                try await spool.accept(message(id), arriving: body.array)
                sent.append(try await spool.content(of: id))
                spool.door.cache.remove(id)
            }
            let held = sent.reduce(0) { sum, content in
                guard case .stored(let reader as LargeBodyReader, _) = content.body else {
                    return sum
                }
                return sum + reader.retainedBytes - reader.name.checksums.count * 4
            }
            #expect(held > 0 && held <= test.settings.cacheBytes)
            #expect(held == spool.freshMemory.byteCount)
            for content in sent {
                guard case .stored(let reader as LargeBodyReader, _) = content.body else {
                    continue
                }
                spool.door.cache.remove(QueueID(number: reader.name.number))
            }
            sent = []
            #expect(spool.freshMemory.byteCount == 0)
            #expect(spool.door.cache.byteCount <= test.settings.cacheBytes)
            await spool.close()
        }
    }

    @Test func `Names made while a directory syncs share the next sync`() throws {
        let test = TestWorld { $0.largeMessageBytes = 10_000 }
        try test.world.run {
            try await test.disk.makeDirectory("large")
            let names = DirectorySync(disk: test.disk, owner: test.world.loops[0], path: "large")
            let before = test.disk.counts[.syncDirectory, default: 0]
            let tickets = (0..<10).map { _ in names.begin(since: names.mark()) }
            for ticket in tickets { try await names.wait(for: ticket) }
            #expect(test.disk.counts[.syncDirectory, default: 0] - before == 2)
            try await names.wait(for: names.begin(since: names.mark()))
            #expect(test.disk.counts[.syncDirectory, default: 0] - before == 3)
        }
    }

    @Test func `A name whose sync failed stays unsure though the next sync succeeds`() throws {
        let test = TestWorld()
        try test.world.run {
            try await test.disk.makeDirectory("large")
            let names = DirectorySync(disk: test.disk, owner: test.world.loops[0], path: "large")
            test.disk.broken[.syncDirectory] = .inputOutput
            let unsure = names.begin(since: names.mark())
            await #expect(throws: DiskFailure.self) { try await names.wait(for: unsure) }
            test.disk.broken = [:]
            try await names.wait(for: names.begin(since: names.mark()))
            await #expect(throws: DiskFailure.self) { try await names.wait(for: unsure) }
        }
    }

    @Test func `A name made while a sync is under way that fails is unsure, too`() throws {
        let test = TestWorld()
        try test.world.run {
            try await test.disk.makeDirectory("large")
            let names = DirectorySync(disk: test.disk, owner: test.world.loops[0], path: "large")
            test.disk.broken[.syncDirectory] = .inputOutput
            let first = names.begin(since: names.mark())
            let mark = names.mark()
            let second = names.begin(since: mark)
            await #expect(throws: DiskFailure.self) { try await names.wait(for: first) }
            test.disk.broken = [:]
            await #expect(throws: DiskFailure.self) { try await names.wait(for: second) }
            // Made before a sync that failed, and asked for only when that had ended.
            await #expect(throws: DiskFailure.self) { try await names.sync(since: mark) }
            try await names.sync(since: names.mark())
        }
    }
}
