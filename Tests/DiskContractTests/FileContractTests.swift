import EkidenMail
import EkidenRuntime
import Synchronization
import Testing

@Suite struct FileContractTests {
    @Test(arguments: worlds)
    func `A file is made once, and opened only where there is one`(world: DiskWorld) async throws {
        try await world.run { disk in
            #expect(
                await kind { () throws(DiskFailure) in
                    _ = try await disk.open("f", .read, lane: .bulk)
                } == .notFound
            )
            #expect(
                await kind { () throws(DiskFailure) in
                    _ = try await disk.open("f", .readWrite, lane: .log)
                } == .notFound
            )
            #expect(
                await kind { () throws(DiskFailure) in
                    _ = try await disk.open("no/f", .create, lane: .log)
                } == .notFound
            )
            let file = try await disk.open("f", .create, lane: .log)
            #expect(
                await kind { () throws(DiskFailure) in
                    _ = try await disk.open("f", .create, lane: .bulk)
                } == .exists
            )
            // A file is no directory: a path through it leads nowhere.
            #expect(
                await kind { () throws(DiskFailure) in
                    _ = try await disk.open("f/g", .create, lane: .bulk)
                } == .notFound
            )
            let again = try await disk.open("f", .readWrite, lane: .bulk)
            try await disk.write("seen by both", to: file, at: 0)
            #expect(try await disk.read(again, at: 0, count: 100).text == "seen by both")
            await disk.close(file)
            #expect(try await disk.size(again) == 12)
            await disk.close(again)
        }
    }

    @Test(arguments: worlds)
    func `A directory is not opened as a file`(world: DiskWorld) async throws {
        try await world.run { disk in
            try await disk.makeDirectory("d")
            #expect(
                await kind { () throws(DiskFailure) in
                    _ = try await disk.open("d", .read, lane: .bulk)
                } == .other
            )
            #expect(
                await kind { () throws(DiskFailure) in
                    _ = try await disk.open("d", .readWrite, lane: .bulk)
                } == .other
            )
            #expect(
                await kind { () throws(DiskFailure) in
                    _ = try await disk.open("d", .create, lane: .bulk)
                } == .exists
            )
            #expect(await kind { () throws(DiskFailure) in _ = try await disk.lock("d") } == .other)
        }
    }

    @Test(arguments: worlds, [DiskLane.log, .bulk])
    func `Writes land at their offsets and holes read as zeros`(
        world: DiskWorld,
        lane: DiskLane
    ) async throws {
        try await world.run { disk in
            let file = try await disk.open("f", .create, lane: lane)
            #expect(try await disk.size(file) == 0)
            try await disk.write("end", to: file, at: 10_000)
            #expect(try await disk.size(file) == 10_003)
            try await disk.write("begin", to: file, at: 0)
            let all = try await disk.read(file, at: 0, count: 20_000)
            #expect(all.count == 10_003)
            #expect(all[0..<5].text == "begin")
            #expect(all[5..<10_000].pointer.allSatisfy { $0 == 0 })
            #expect(all[10_000..<10_003].text == "end")
            try await disk.write("BEG", to: file, at: 0)
            #expect(try await disk.read(file, at: 0, count: 5).text == "BEGin")
            #expect(try await disk.size(file) == 10_003)
            await disk.close(file)
        }
    }

    @Test(arguments: worlds)
    func `Parts are written one after another, empty and many ones too`(
        world: DiskWorld
    ) async throws {
        try await world.run { disk in
            let file = try await disk.open("f", .create, lane: .log)
            let parts = [Bytes(), Bytes("ab"), Bytes(), Bytes(), Bytes("c"), Bytes("def"), Bytes()]
            try await disk.write(parts, to: file, at: 1, sync: true, written: nil)
            #expect(try await disk.read(file, at: 1, count: 100).text == "abcdef")
            // More than one system call takes.
            let many = (0..<3000).map { Bytes(String($0 % 10)) }
            try await disk.write(many, to: file, at: 0, sync: false, written: nil)
            let back = try await disk.read(file, at: 0, count: 5000)
            #expect(back.count == 3000)
            #expect(back.text == (0..<3000).map { String($0 % 10) }.joined())
            await disk.close(file)
        }
    }

    @Test(arguments: worlds)
    func `Writing nothing changes nothing, not even the size`(world: DiskWorld) async throws {
        try await world.run { disk in
            let file = try await disk.open("f", .create, lane: .bulk)
            let calls = Mutex(0)
            try await disk.write([], to: file, at: 100, sync: true) { calls.withLock { $0 += 1 } }
            try await disk.write([Bytes(), Bytes()], to: file, at: 50, sync: false) {
                calls.withLock { $0 += 1 }
            }
            #expect(calls.withLock { $0 } == 2)
            #expect(try await disk.size(file) == 0)
            await disk.close(file)
        }
    }

    @Test(arguments: worlds)
    func `A file opened for reading is not written`(world: DiskWorld) async throws {
        try await world.run { disk in
            try await disk.put("f", "old")
            let file = try await disk.open("f", .read, lane: .bulk)
            let calls = Mutex(0)
            let failure = await kind { () throws(DiskFailure) in
                try await disk.write([Bytes("new")], to: file, at: 0, sync: false) {
                    calls.withLock { $0 += 1 }
                }
            }
            #expect(failure == .other)
            #expect(calls.withLock { $0 } == 0, "nothing was written")
            #expect(try await disk.read(file, at: 0, count: 10).text == "old")
            await disk.close(file)
        }
    }

    @Test(arguments: worlds)
    func `Reads are short only at the end, and empty behind it`(world: DiskWorld) async throws {
        try await world.run { disk in
            let file = try await disk.open("f", .create, lane: .log)
            try await disk.write("0123456789", to: file, at: 0)
            #expect(try await disk.read(file, at: 3, count: 4).text == "3456")
            #expect(try await disk.read(file, at: 3, count: 0).isEmpty)
            #expect(try await disk.read(file, at: 8, count: 100).text == "89")
            #expect(try await disk.read(file, at: 10, count: 1).isEmpty)
            #expect(try await disk.read(file, at: 4000, count: 10).isEmpty)
            await disk.close(file)
        }
    }

    @Test(arguments: worlds)
    func `What is cached is what a read would give, or nothing`(world: DiskWorld) async throws {
        try await world.run { disk in
            let file = try await disk.open("f", .create, lane: .log)
            try await disk.write("0123456789", to: file, at: 0)
            for (offset, count) in [(0, 10), (2, 3), (0, 0), (9, 1)] {
                if let cached = disk.readIfCached(file, at: offset, count: count) {
                    #expect(cached == (try await disk.read(file, at: offset, count: count)))
                }
            }
            // Never less than was asked for: who gets nothing asks again by `read`.
            #expect(disk.readIfCached(file, at: 8, count: 10) == nil)
            #expect(disk.readIfCached(file, at: 100, count: 1) == nil)
            await disk.close(file)
        }
    }

    @Test(arguments: worlds)
    func `written is called once, before the write returns`(world: DiskWorld) async throws {
        try await world.run { disk in
            let file = try await disk.open("f", .create, lane: .log)
            for sync in [false, true] {
                let calls = Mutex(0)
                try await disk.write([Bytes("x")], to: file, at: 0, sync: sync) {
                    calls.withLock { $0 += 1 }
                }
                #expect(calls.withLock { $0 } == 1)
            }
            await disk.close(file)
        }
    }

    @Test(arguments: worlds)
    func `Writes asked for together land in the order asked, in the log lane`(
        world: DiskWorld
    ) async throws {
        try await world.run { disk in
            let file = try await disk.open("f", .create, lane: .log)
            await withTaskGroup(of: Void.self) { group in
                for number in 0..<40 {
                    group.addTask {
                        try? await disk.write(String(number % 10), to: file, at: 0)
                    }
                }
            }
            // Children start in the order added, on the one loop.
            #expect(try await disk.read(file, at: 0, count: 1).text == "9")
            await disk.close(file)
        }
    }

    @Test(arguments: worlds)
    func `Preallocated bytes are zeros, also where something was`(world: DiskWorld) async throws {
        try await world.run { disk in
            let file = try await disk.open("f", .create, lane: .bulk)
            try await disk.write("something", to: file, at: 100)
            try await disk.preallocate(file, byteCount: 70_000)
            #expect(try await disk.size(file) == 70_000)
            let all = try await disk.read(file, at: 0, count: 80_000)
            #expect(all.count == 70_000)
            #expect(all.pointer.allSatisfy { $0 == 0 })
            // Never shorter.
            try await disk.preallocate(file, byteCount: 10)
            #expect(try await disk.size(file) == 70_000)
            #expect(
                await kind { () throws(DiskFailure) in
                    try await disk.preallocate(file, byteCount: 0)
                } == .other
            )
            await disk.close(file)
        }
    }

    @Test(arguments: worlds)
    func `A removed file stays readable and writable for who has it open`(
        world: DiskWorld
    ) async throws {
        try await world.run { disk in
            let file = try await disk.open("f", .create, lane: .bulk)
            try await disk.write("still here", to: file, at: 0)
            try await disk.remove("f")
            #expect(try await disk.read(file, at: 0, count: 100).text == "still here")
            try await disk.write("S", to: file, at: 0)
            try await disk.sync(file)
            #expect(try await disk.read(file, at: 0, count: 5).text == "Still")
            #expect(
                await kind { () throws(DiskFailure) in
                    _ = try await disk.open("f", .read, lane: .bulk)
                } == .notFound
            )
            try await disk.put("f", "another")
            #expect(try await disk.read(file, at: 0, count: 5).text == "Still")
            await disk.close(file)
            #expect(try await disk.text(of: "f") == "another")
        }
    }

    @Test(arguments: worlds)
    func `A lock is held against a second open, until it is closed`(
        world: DiskWorld
    ) async throws {
        try await world.run { disk in
            let first = try await disk.lock("lock")
            #expect(
                await kind { () throws(DiskFailure) in _ = try await disk.lock("lock") } == .locked
            )
            // A lock is advice: the file can be opened, and closing that lets go of nothing.
            let other = try await disk.open("lock", .readWrite, lane: .bulk)
            await disk.close(other)
            #expect(
                await kind { () throws(DiskFailure) in _ = try await disk.lock("lock") } == .locked
            )
            await disk.close(first)
            let again = try await disk.lock("lock")
            await disk.close(again)
            #expect(
                await kind { () throws(DiskFailure) in _ = try await disk.lock("no/lock") }
                    == .notFound
            )
        }
    }

    @Test(arguments: worlds)
    func `A lock goes with its file, not with the name`(world: DiskWorld) async throws {
        try await world.run { disk in
            let first = try await disk.lock("lock")
            try await disk.rename("lock", to: "old")
            let second = try await disk.lock("lock")
            #expect(
                await kind { () throws(DiskFailure) in _ = try await disk.lock("old") } == .locked
            )
            await disk.close(first)
            #expect(
                await kind { () throws(DiskFailure) in _ = try await disk.lock("lock") } == .locked
            )
            await disk.close(try await disk.lock("old"))
            await disk.close(second)
        }
    }

    @Test(arguments: worlds)
    func `Space is told in bytes and inodes`(world: DiskWorld) async throws {
        try await world.run { disk in
            let space = try await disk.space()
            #expect(space.freeBytes > 1 << 20)
            #expect(space.freeInodes > 0)
        }
    }
}
