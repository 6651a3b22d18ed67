import EkidenMail
import EkidenRuntime
import Testing

@testable import EkidenSimulator

@Suite struct DiskFaultTests {
    @Test func `A full disk takes what fits, says so, and has room again`() throws {
        let found = Box<Set<Int>>([])
        for seed in 0..<40 as Range<UInt64> {
            let (world, disk) = makeDisk(seed: seed)
            disk.capacityBytes = 1000
            try world.run {
                let file = try await disk.open("f", .create, lane: .bulk)
                try await disk.write(filled(1, 900), to: file, at: 0)
                #expect(try await disk.space().freeBytes == 100)
                let full = await failureKind { () throws(DiskFailure) in
                    try await disk.write(filled(2, 200), to: file, at: 900)
                }
                #expect(full == .noSpace)
                found.value.insert(try await disk.size(file))
                // What has its place already can be written over.
                try await disk.write(filled(3, 900), to: file, at: 0)
                let other = try await disk.open("g", .create, lane: .bulk)
                let again = await failureKind { () throws(DiskFailure) in
                    try await disk.preallocate(other, byteCount: 500)
                }
                #expect(again == .noSpace)
                // A file without a name holds its room until it is closed.
                try await disk.remove("f")
                #expect(try await disk.space().freeBytes <= 100)
                await disk.close(file)
                #expect(try await disk.space().freeBytes >= 900)
                try await disk.preallocate(other, byteCount: 900)
            }
        }
        let lengths = found.value
        #expect(lengths.count > 10)
        #expect(lengths.allSatisfy { (900...1000).contains($0) })
        #expect(lengths.contains { $0 > 900 })
    }

    @Test func `Inodes run out and come back`() throws {
        let (world, disk) = makeDisk()
        disk.freeInodes = 3
        try world.run {
            try await disk.makeDirectory("d")
            let file = try await disk.open("d/f", .create, lane: .bulk)
            let lock = try await disk.lock("lock")
            #expect(try await disk.space().freeInodes == 0)
            #expect(
                await failureKind { () throws(DiskFailure) in
                    _ = try await disk.open("g", .create, lane: .bulk)
                } == .noSpace
            )
            #expect(
                await failureKind { () throws(DiskFailure) in try await disk.makeDirectory("e") }
                    == .noSpace
            )
            #expect(
                await failureKind { () throws(DiskFailure) in _ = try await disk.lock("other") }
                    == .noSpace
            )
            try await disk.remove("d/f")
            #expect(disk.freeInodes == 0, "still open")
            await disk.close(file)
            #expect(disk.freeInodes == 1)
            _ = try await disk.open("g", .create, lane: .bulk)
            try await disk.rename("g", to: "lock")
            #expect(disk.freeInodes == 0, "still open")
            await disk.close(lock)
            #expect(disk.freeInodes == 1)
        }
    }

    @Test func `A write that fails may have written some first part`() throws {
        let found = Box<Set<Int>>([])
        for seed in 0..<60 as Range<UInt64> {
            let (world, disk) = makeDisk(seed: seed)
            let calls = Box(0)
            try world.run {
                let file = try await disk.open("f", .create, lane: .log)
                disk.broken[.write] = .inputOutput
                let failed = await failureKind { () throws(DiskFailure) in
                    try await disk.write(
                        [filled(1, 600), filled(1, 400)],
                        to: file,
                        at: 0,
                        sync: true
                    ) {
                        calls.value += 1
                    }
                }
                #expect(failed == .inputOutput)
                found.value.insert(try await disk.size(file))
            }
            #expect(calls.value == 0)
            #expect(disk.syncCount == 0)
            #expect(disk.failureCounts == [.write: 1])
        }
        let lengths = found.value
        #expect(lengths.count > 30)
        #expect(lengths.allSatisfy { (0...1000).contains($0) })
    }

    @Test func `written comes before the sync, also before one that fails`() throws {
        let (world, disk) = makeDisk()
        let syncs = Box(-1)
        try world.run {
            let file = try await disk.open("f", .create, lane: .log)
            disk.broken[.sync] = .inputOutput
            let failed = await failureKind { () throws(DiskFailure) in
                try await disk.write([Bytes("x")], to: file, at: 0, sync: true) {
                    syncs.value = disk.counts[.sync, default: 0]
                }
            }
            #expect(failed == .inputOutput)
        }
        #expect(syncs.value == 0 && disk.counts[.sync] == 1)
    }

    @Test func `Errors come by chance, of the kinds asked for`() throws {
        let (world, disk) = makeDisk()
        disk.faults.inputOutputOneIn = [.read: 4, .syncDirectory: 2]
        let failed = Box(0)
        try world.run {
            let file = try await disk.durableDespite("f")
            for _ in 0..<400 {
                let kind = await failureKind { () throws(DiskFailure) in
                    _ = try await disk.read(file, at: 0, count: 1)
                }
                if kind == .inputOutput { failed.value += 1 }
                try await disk.write(Bytes("x"), to: file, at: 0, sync: true)
            }
        }
        #expect((60...140).contains(failed.value))
        #expect(disk.failureCounts[.read] == failed.value)
        #expect(disk.failureCounts[.write] == nil)
    }

    @Test func `Bits rot at rest only, one at a time, for good, and not unless asked`() throws {
        let (world, disk) = makeDisk()
        let clean = [UInt8](repeating: 0, count: 1000)
        let flips = try world.run { () -> [Int] in
            let file = try await disk.durable("f", Bytes(clean))
            for _ in 0..<50 {
                #expect(try await disk.read(file, at: 0, count: 1000).array == clean)
            }
            disk.faults.rotOneIn = 1
            // The first half waits in memory: nothing there rots.
            try await disk.write(filled(0, 500), to: file, at: 0)
            var flips: [Int] = []
            for _ in 0..<20 {
                let bytes = try await disk.read(file, at: 0, count: 1000).array
                #expect(bytes[..<500].allSatisfy { $0 == 0 })
                flips.append(bytes.reduce(0) { $0 + $1.nonzeroBitCount })
            }
            disk.faults.rotOneIn = 0
            return flips
        }
        #expect(disk.rotCount > 3)
        for (before, after) in zip(flips, flips.dropFirst()) { #expect(abs(after - before) <= 1) }
        let rotten = try #require(disk.image.bytes(of: "f"))
        #expect(rotten != clean)
        #expect(disk.image.losses(1, .nothing)[0].bytes(of: "f") == rotten)
    }

    @Test func `Time is drawn from its range, and some take a hundred times as long`() throws {
        let (world, disk) = makeDisk()
        disk.timing.spread = 4
        disk.timing.slowOneIn = 20
        let taken = try world.run { () -> [Duration] in
            var taken: [Duration] = []
            for _ in 0..<400 {
                let start = world.instant
                try await disk.syncDirectory("")
                taken.append(world.instant - start)
            }
            return taken
        }
        let usual = taken.filter { $0 <= .microseconds(800) }
        #expect(usual.allSatisfy { $0 >= .microseconds(200) })
        #expect(Set(usual).count > 300)
        let slow = taken.filter { $0 > .microseconds(800) }
        #expect((8...40).contains(slow.count))
        #expect(slow.allSatisfy { $0 >= .milliseconds(20) && $0 <= .milliseconds(80) })
    }

    @Test func `A stuck operation holds its lane for minutes and no other`() throws {
        let (world, disk) = makeDisk()
        let order = Box<[String]>([])
        let files = try world.run {
            (
                try await disk.open("log", .create, lane: .log),
                try await disk.open("bulk", .create, lane: .bulk)
            )
        }
        disk.timing.stuckOneIn = 1
        let start = world.instant
        world.loops[0].spawn { @Sendable in
            try? await disk.write(Bytes("x"), to: files.0, at: 0)
            #expect(world.instant - start >= .seconds(60) && world.instant - start <= .seconds(301))
            order.value.append("stuck")
        }
        world.run(for: .milliseconds(1))
        disk.timing.stuckOneIn = 0
        world.loops[0].spawn { @Sendable in
            try? await disk.write(Bytes("y"), to: files.0, at: 1)
            order.value.append("behind")
        }
        world.loops[0].spawn { @Sendable in
            try? await disk.write(Bytes("z"), to: files.1, at: 0)
            order.value.append("beside")
            #expect(world.instant - start < .seconds(1))
        }
        world.run(for: .seconds(400))
        #expect(order.value == ["beside", "stuck", "behind"])
    }

    @Test func `Three threads do the bulk, and may overtake each other`() throws {
        var overtaken = false
        for seed in 0..<10 as Range<UInt64> {
            let (world, disk) = makeDisk(seed: seed)
            disk.timing.spread = 10
            let order = Box<[Int]>([])
            for number in 0..<30 {
                world.loops[0].spawn { @Sendable in
                    _ = try? await disk.list("")
                    order.value.append(number)
                }
            }
            world.run(for: .milliseconds(2))
            #expect(order.value.sorted() == Array(0..<30))
            overtaken = overtaken || order.value != Array(0..<30)
        }
        #expect(overtaken)
    }

    @Test func `Every operation is noted in a line`() throws {
        let (world, disk) = makeDisk()
        let lines = Box<[String]>([])
        disk.noted = { lines.value.append($0) }
        try world.run {
            try await disk.makeDirectory("log")
            let file = try await disk.open("log/f", .create, lane: .log)
            try await disk.write(
                [Bytes("ab"), Bytes("c")],
                to: file,
                at: 8,
                sync: true,
                written: nil
            )
            _ = try await disk.read(file, at: 0, count: 100)
            _ = try await disk.size(file)
            disk.failures[disk.operationCount + 1] = .inputOutput
            _ = await failureKind { () throws(DiskFailure) in try await disk.sync(file) }
            try await disk.preallocate(file, byteCount: 100)
            try await disk.rename("log/f", to: "log/g")
            try await disk.syncDirectory("log")
            _ = try await disk.list("log")
            try await disk.remove("log/g")
            _ = await failureKind { () throws(DiskFailure) in try await disk.remove("log/g") }
            _ = try await disk.lock("lock")
            _ = try await disk.space()
        }
        #expect(
            lines.value == [
                "makeDirectory log ok", "open log/f create ok", "write log/f @8 +3 ok",
                "sync log/f ok", "read log/f @0 +100 11", "size log/f 11", "sync log/f inputOutput",
                "preallocate log/f 100 ok", "sync log/f ok", "rename log/f to log/g ok",
                "syncDirectory log ok", "list log ok", "remove log/g ok", "remove log/g notFound",
                "lock lock ok", "space ok",
            ]
        )
    }
}

extension SimDisk {
    /// A file with a byte in it, however often its directory fails to sync.
    fileprivate func durableDespite(_ path: String) async throws(DiskFailure) -> DiskFile {
        let file = try await open(path, .create, lane: .log)
        try await write(Bytes("x"), to: file, at: 0, sync: true)
        return file
    }
}
