import EkidenMail
import EkidenRuntime
import Testing

@testable import EkidenSimulator

@Suite struct DeathTests {
    @Test func `A dead process's operations have no effect and never return`() throws {
        let (world, disk) = makeDisk()
        let returned = Box(0)
        let file = try world.run { try await disk.durable("f", filled(1, 512)) }
        // One is under way, nine wait behind it.
        for number in 0..<10 {
            world.loops[0].spawn { @Sendable in
                try? await disk.write(
                    [filled(9, 512)],
                    to: file,
                    at: 512 * (1 + number),
                    sync: true
                ) {
                    returned.value += 1
                }
                returned.value += 1
            }
        }
        world.run(for: .microseconds(5))
        let image = disk.die(.kill)
        #expect(image === disk.image && disk.isDead)
        let before = image.fingerprint
        #expect(image.bytes(of: "f").map { $0.count <= 1024 } == true, "at most the first")
        world.run(for: .seconds(10))
        #expect(image.fingerprint == before)
        #expect(returned.value == 0)
        // Asking a dead disk is waiting for ever.
        world.loops[0].spawn { @Sendable in
            _ = try? await disk.list("")
            returned.value += 1
        }
        world.run(for: .seconds(10))
        #expect(returned.value == 0)
        #expect(disk.openCount == 0)
    }

    @Test func `The operation under way at a death happens, or in part, or not`() throws {
        var lengths: Set<Int> = []
        for seed in 0..<100 as Range<UInt64> {
            let (world, disk) = makeDisk(seed: seed)
            let file = try world.run { try await disk.open("f", .create, lane: .log) }
            world.loops[0].spawn { @Sendable in
                try? await disk.write(filled(1, 100), to: file, at: 0)
            }
            world.run(for: .microseconds(5))
            lengths.insert(disk.die(.kill).bytes(of: "f")?.count ?? -1)
        }
        #expect(lengths.contains(0) && lengths.contains(100))
        #expect(lengths.contains { (1..<100).contains($0) })
    }

    @Test func `The next process goes on in the same world, on the same image`() throws {
        let (world, disk) = makeDisk()
        try world.run {
            _ = try await disk.lock("lock")
            let file = try await disk.open("f", .create, lane: .log)
            try await disk.write(Bytes("kept"), to: file, at: 0)
        }
        let beside = SimDisk(beside: disk)
        try world.run {
            #expect(
                await failureKind { () throws(DiskFailure) in _ = try await beside.lock("lock") }
                    == .locked
            )
        }
        let then = world.instant
        let next = SimDisk(world: world, image: disk.die(.kill))
        try world.run {
            _ = try await next.lock("lock")
            let file = try await next.open("f", .read, lane: .log)
            #expect(try await next.read(file, at: 0, count: 10).text == "kept")
            _ = try await beside.lock("f")
        }
        #expect(world.instant > then)
    }

    @Test func `What a kill left in the kernel's memory a power loss still loses`() throws {
        let (world, disk) = makeDisk()
        try world.run {
            let file = try await disk.open("f", .create, lane: .log)
            try await disk.write(filled(1, 512), to: file, at: 0)
        }
        let copy = disk.image.afterKill()
        #expect(copy.fingerprint == disk.image.fingerprint && !copy.isDurable)
        let next = SimDisk(world: world, image: disk.die(.kill))
        try world.run {
            let file = try await next.open("f", .readWrite, lane: .log)
            try await next.write(filled(2, 512), to: file, at: 512)
        }
        for image in [next.image, copy] {
            #expect(image.losses(50).contains { $0.files.isEmpty })
            #expect(image.losses(50).contains { ($0.bytes(of: "f")?.first ?? 0) == 1 })
        }
        // The next process's sync makes its predecessor's bytes durable too.
        try world.run {
            let file = try await next.open("f", .readWrite, lane: .log)
            try await next.sync(file)
            try await next.syncDirectory("")
        }
        #expect(next.image.isDurable)
        #expect(next.image.losses(50).allSatisfy { $0.fingerprint == next.image.fingerprint })
    }

    @Test func `A death by power loss gives another image`() throws {
        let (world, disk) = makeDisk()
        try world.run {
            _ = try await disk.durable("f", Bytes("x"))
            _ = try await disk.open("g", .create, lane: .bulk)
        }
        let image = disk.die(.powerLoss(SimRandom(seed: 1), .nothing))
        #expect(image.paths == ["f"])
        #expect(disk.image.paths == ["f", "g"])
        #expect(disk.die(.kill) === disk.image, "dying again changes nothing")
    }

    @Test(arguments: SimCrashMoment.allCases)
    func `A crash comes before, within or after its operation`(moment: SimCrashMoment) throws {
        var lengths: Set<Int> = []
        for seed in 0..<60 as Range<UInt64> {
            let (world, disk) = makeDisk(seed: seed)
            let crashed = Box(false)
            disk.crashAtOperation = 2
            disk.crashMoment = moment
            disk.whenCrashed = { crashed.value = true }
            world.loops[0].spawn { @Sendable in
                guard let file = try? await disk.open("f", .create, lane: .log) else { return }
                try? await disk.write(filled(1, 1000), to: file, at: 0)
                Issue.record("returned from the dead")
            }
            world.run(for: .seconds(1))
            #expect(crashed.value && disk.isDead && !world.isHalted)
            lengths.insert(disk.image.bytes(of: "f")?.count ?? -1)
        }
        switch moment {
        case .before: #expect(lengths == [0])
        case .midway: #expect(lengths.count > 30)
        case .after: #expect(lengths == [1000])
        }
    }

    @Test func `A crash halts the world when nobody else is asked`() throws {
        let (world, disk) = makeDisk()
        disk.crashAtOperation = 1
        #expect(throws: SimStuck.self) { try world.run { _ = try await disk.list("") } }
        #expect(world.isHalted && disk.isDead)
    }
}

@Suite struct ImageTests {
    private func image() throws -> SimDiskImage {
        let (world, disk) = makeDisk()
        try world.run {
            try await disk.makeDirectory("log")
            try await disk.makeDirectory("empty")
            let file = try await disk.durable("log/f", Bytes("content of some length"))
            try await disk.write(Bytes("more"), to: file, at: 100)
            _ = try await disk.open("log/g", .create, lane: .bulk)
        }
        return disk.image
    }

    @Test func `The fingerprint is the same in every process`() throws {
        #expect(SimDiskImage().fingerprint == 4_355_149_894_933_508_697)
        let fingerprint = try image().fingerprint
        #expect(fingerprint == 11_550_791_908_813_271_450)
    }

    @Test func `The fingerprint knows every name and every byte`() throws {
        var seen = [try image().fingerprint]
        let flipped = try image()
        flipped.flip("log/f", at: 103, mask: 1)
        seen.append(flipped.fingerprint)
        let removed = try image()
        removed.remove("log/g")
        seen.append(removed.fingerprint)
        let longer = try image()
        longer.put("log/g", [0])
        seen.append(longer.fingerprint)
        let moved = try image()
        let world = SimWorld(seed: 1)
        let disk = SimDisk(world: world, image: moved)
        try world.run { try await disk.rename("log/g", to: "log/h") }
        seen.append(moved.fingerprint)
        try world.run { try await disk.rename("log/h", to: "empty/h") }
        seen.append(moved.fingerprint)
        try world.run { try await disk.makeDirectory("h") }
        seen.append(moved.fingerprint)
        #expect(Set(seen).count == seen.count)
    }

    @Test func `A copy shares nothing and has the same fate`() throws {
        let image = try image()
        let copy = image.copy()
        #expect(copy.fingerprint == image.fingerprint)
        #expect(copy.losses(40).map(\.fingerprint) == image.losses(40).map(\.fingerprint))
        let before = image.fingerprint
        let world = SimWorld(seed: 2)
        let disk = SimDisk(world: world, image: copy)
        try world.run {
            let file = try await disk.open("log/f", .readWrite, lane: .log)
            try await disk.write(Bytes("changed"), to: file, at: 0, sync: true)
            try await disk.rename("log/g", to: "elsewhere")
            try await disk.syncDirectory("log")
            try await disk.syncDirectory("")
        }
        #expect(copy.isDurable && copy.fingerprint != before)
        #expect(image.fingerprint == before && !image.isDurable)
        #expect(
            image.losses(1, .nothing)[0].bytes(of: "log/f") == Array("content of some length".utf8)
        )
    }
}
