import EkidenMail
import EkidenRuntime
import Testing

@testable import EkidenSimulator

@Suite struct PowerLossTests {
    /// A durable file of 4 KiB of 1; then eight unsynced writes of 512 bytes, of 2, at every second
    /// sector of the next 8 KiB, and one of 2 KiB at 12 KiB, of 3.
    private func scene() throws -> SimDiskImage {
        let (world, disk) = makeDisk()
        try world.run {
            let file = try await disk.durable("f", filled(1, 4096))
            for number in 0..<8 {
                try await disk.write(filled(2, 512), to: file, at: 4096 + 1024 * number)
            }
            try await disk.write(filled(3, 2048), to: file, at: 12_288)
        }
        return disk.image
    }

    private func sectors(_ image: SimDiskImage) throws -> [UInt8] {
        let bytes = try #require(image.bytes(of: "f"))
        return stride(from: 0, to: bytes.count, by: 512).map { bytes[$0] }
    }

    @Test func `Nothing means what was synced, everything what was written`() throws {
        let image = try scene()
        for survivor in image.losses(20, .nothing) {
            #expect(survivor.bytes(of: "f") == [UInt8](repeating: 1, count: 4096))
            #expect(survivor.isDurable)
        }
        for survivor in image.losses(20, .everything) {
            #expect(survivor.fingerprint == image.fingerprint)
            #expect(survivor.isDurable)
        }
        #expect(!image.isDurable)
    }

    @Test func `A prefix keeps writes in their order and tears the last`() throws {
        let image = try scene()
        var lengths: Set<Int> = []
        var tears: Set<Int> = []
        for survivor in image.losses(300, .prefix) {
            let kept = try sectors(survivor)
            #expect(kept[..<8].allSatisfy { $0 == 1 })
            let small = (0..<8).map { kept.count > 8 + 2 * $0 && kept[8 + 2 * $0] == 2 }
            let first = small.firstIndex(of: false) ?? 8
            #expect(small[first...].allSatisfy { !$0 })
            lengths.insert(first)
            let large = kept.count { $0 == 3 }
            if large > 0 { #expect(first == 8) }
            tears.insert(large)
        }
        #expect(lengths == Set(0...8))
        #expect(tears == Set(0...4))
    }

    @Test func `A prefix is one moment for all files and names`() throws {
        let (world, disk) = makeDisk()
        try world.run {
            let a = try await disk.durable("a", Bytes())
            let b = try await disk.durable("b", Bytes())
            for number in 0..<6 {
                try await disk.write(filled(1, 512), to: number % 2 == 0 ? a : b, at: 512 * number)
                _ = try await disk.open("n\(number)", .create, lane: .bulk)
            }
        }
        var moments: Set<Int> = []
        for survivor in disk.image.losses(200, .prefix) {
            let happened = (0..<6).flatMap { number -> [Bool] in
                let bytes = survivor.bytes(of: number % 2 == 0 ? "a" : "b") ?? []
                return [
                    bytes.count > 512 * number && bytes[512 * number] == 1,
                    survivor.bytes(of: "n\(number)") != nil,
                ]
            }
            let first = happened.firstIndex(of: false) ?? 12
            #expect(happened[first...].allSatisfy { !$0 }, "\(happened)")
            moments.insert(first)
        }
        #expect(moments.count > 8)
    }

    @Test func `A mixture leaves holes, tears, single losses and sizes without bytes`() throws {
        let image = try scene()
        var hole = false
        var torn = false
        var allButOne = false
        var sizeAlone = false
        for survivor in image.losses(400, .mixture) {
            let kept = try sectors(survivor)
            #expect(kept[..<8].allSatisfy { $0 == 1 }, "durable bytes stay")
            for (index, value) in kept.enumerated() where index >= 24 {
                #expect([0, 3].contains(value))
            }
            let small = (0..<8).map { kept.count > 8 + 2 * $0 && kept[8 + 2 * $0] == 2 }
            let large = kept.count { $0 == 3 }
            if let lost = small.firstIndex(of: false), small[lost...].contains(true) { hole = true }
            if (1...3).contains(large) { torn = true }
            if small.count(where: { !$0 }) == 1, large == 4 { allButOne = true }
            if large == 0, kept.count == 28 { sizeAlone = true }
        }
        #expect(hole && torn && allButOne && sizeAlone, "\([hole, torn, allButOne, sizeAlone])")
    }

    @Test func `All manners are drawn, the same by the same seed`() throws {
        let image = try scene()
        let first = image.losses(60).map(\.fingerprint)
        #expect(image.losses(60).map(\.fingerprint) == first)
        #expect(Set(first).count > 10)
        #expect(
            Set((0..<60 as Range<UInt64>).map { SimPowerLoss.draw(SimRandom(seed: $0)) }).count == 4
        )
        #expect(!image.isDurable, "the image itself is left alone")
    }

    @Test func `Sectors are the file's, and never half new`() throws {
        let (world, disk) = makeDisk()
        try world.run {
            let file = try await disk.durable("f", filled(1, 2048))
            try await disk.write(filled(2, 1000), to: file, at: 300)
        }
        var kept: Set<[UInt8]> = []
        for survivor in disk.image.losses(200) {
            let bytes = try #require(survivor.bytes(of: "f"))
            let pieces = [300..<512, 512..<1024, 1024..<1300].map { Set(bytes[$0]) }
            #expect(pieces.allSatisfy { $0.count == 1 })
            kept.insert(pieces.compactMap(\.first))
            #expect(bytes[..<300].allSatisfy { $0 == 1 } && bytes[1300...].allSatisfy { $0 == 1 })
        }
        #expect(kept.count == 8, "every subset of the three sectors")
    }

    @Test func `A recycled file shows its old bytes where new ones were lost`() throws {
        let (world, disk) = makeDisk()
        try world.run {
            let file = try await disk.durable("7.spare", filled(7, 4096))
            try await disk.rename("7.spare", to: "9.segment")
            try await disk.syncDirectory("")
            try await disk.write(filled(9, 1024), to: file, at: 0, sync: true)
            try await disk.write(filled(9, 1024), to: file, at: 1024)
        }
        var seen: Set<[UInt8]> = []
        for survivor in disk.image.losses(100) {
            let kept = try #require(survivor.bytes(of: "9.segment"))
            seen.insert(stride(from: 0, to: 4096, by: 512).map { kept[$0] })
        }
        #expect(seen.contains([9, 9, 7, 7, 7, 7, 7, 7]))
        #expect(seen.contains([9, 9, 7, 9, 7, 7, 7, 7]))
        #expect(seen.contains([9, 9, 9, 9, 7, 7, 7, 7]))
    }
}

@Suite struct FailedSyncTests {
    @Test func `Bytes written again and synced are durable whatever failed before`() throws {
        let (world, disk) = makeDisk()
        try world.run {
            let file = try await disk.durable("f", filled(1, 3072))
            disk.broken[.sync] = .inputOutput
            _ = await failureKind { () throws(DiskFailure) in
                try await disk.write(filled(2, 2048), to: file, at: 0, sync: true)
            }
            disk.broken = [:]
            // The second sector anew; what lies around it stays in doubt.
            try await disk.write(filled(3, 512), to: file, at: 512, sync: true)
        }
        var doubtful: Set<UInt8> = []
        for survivor in disk.image.losses(100) {
            let bytes = try #require(survivor.bytes(of: "f"))
            #expect(bytes[512..<1024].allSatisfy { $0 == 3 })
            doubtful.formUnion(bytes[..<512])
            doubtful.formUnion(bytes[1024..<2048])
            #expect(bytes[2048...].allSatisfy { $0 == 1 })
        }
        #expect(doubtful == [1, 2])
    }

    @Test func `The kernel may forget what a failed sync left, and the medium has any of it`()
        throws
    {
        var seen: Set<[UInt8]> = []
        for seed in 0..<60 as Range<UInt64> {
            let (world, disk) = makeDisk(seed: seed)
            disk.faults.forgetsOneIn = 1
            let bytes = try world.run { () -> [UInt8] in
                let file = try await disk.durable("f", filled(1, 512))
                disk.broken[.sync] = .inputOutput
                _ = await failureKind { () throws(DiskFailure) in
                    try await disk.write(filled(2, 1024), to: file, at: 0, sync: true)
                }
                disk.broken = [:]
                let bytes = try await disk.read(file, at: 0, count: 4096).array
                try await disk.sync(file)
                return bytes
            }
            #expect(bytes.count == 1024, "the size is known")
            seen.insert([bytes[0], bytes[512]])
            for survivor in disk.image.losses(5) where disk.image.isDurable {
                #expect(survivor.bytes(of: "f")?.first == bytes[0])
            }
        }
        #expect(seen == [[1, 0], [1, 2], [2, 0], [2, 2]])
    }

    @Test func `Without that switch, and until the caches are dropped, reads see what was written`()
        throws
    {
        let (world, disk) = makeDisk()
        try world.run {
            let file = try await disk.durable("f", filled(1, 512))
            disk.failures[disk.operationCount + 2] = .inputOutput
            _ = await failureKind { () throws(DiskFailure) in
                try await disk.write(filled(2, 512), to: file, at: 0, sync: true)
            }
            #expect(try await disk.read(file, at: 0, count: 1).array == [2])
        }
        let values = (0..<30 as Range<UInt64>).map { seed in
            let copy = disk.image.copy()
            copy.dropCaches(SimRandom(seed: seed))
            return copy.bytes(of: "f")?.first
        }
        #expect(Set(values) == [1, 2])
        #expect(disk.image.bytes(of: "f")?.first == 2)
    }

    @Test func `After a failed sync of a directory a later one proves nothing for its names`()
        throws
    {
        let (world, disk) = makeDisk()
        try world.run {
            _ = try await disk.open("before", .create, lane: .bulk)
            disk.broken[.syncDirectory] = .inputOutput
            _ = await failureKind { () throws(DiskFailure) in try await disk.syncDirectory("") }
            disk.broken = [:]
            _ = try await disk.open("after", .create, lane: .bulk)
            _ = try await disk.open("again", .create, lane: .bulk)
            try await disk.syncDirectory("")
            // A new change of the same file does prove it.
            try await disk.rename("before", to: "other")
        }
        let names = disk.image.losses(60).map { Set($0.paths) }
        #expect(names.allSatisfy { $0.isSuperset(of: ["after", "again"]) })
        #expect(
            Set(names.map { $0.subtracting(["after", "again"]) }) == [[], ["before"], ["other"]]
        )
        try world.run { try await disk.syncDirectory("") }
        #expect(disk.image.losses(20).allSatisfy { $0.paths == ["after", "again", "other"] })
    }
}

@Suite struct LostNamesTests {
    @Test(arguments: ["", "b/"])
    func `A rename leaves one name, the old or the new`(target: String) throws {
        let (world, disk) = makeDisk()
        try world.run {
            try await disk.makeDirectory("b")
            try await disk.syncDirectory("")
            _ = try await disk.durable("old", filled(1, 10))
            _ = try await disk.durable(target + "new", filled(2, 10))
            try await disk.rename("old", to: target + "new")
        }
        var seen: Set<[String]> = []
        for survivor in disk.image.losses(100) {
            seen.insert(survivor.paths)
            let content = survivor.bytes(of: target + "new")?.first
            #expect(content == (survivor.paths.contains("old") ? 2 : 1), "\(survivor.paths)")
        }
        #expect(seen == [[target + "new"], [target + "new", "old"].sorted()])
    }

    @Test func `Names made, removed and renamed are each kept or lost`() throws {
        let (world, disk) = makeDisk()
        try world.run {
            for name in ["kept", "removed", "renamed"] {
                _ = try await disk.durable(name, Bytes("x"))
            }
            _ = try await disk.open("made", .create, lane: .bulk)
            try await disk.remove("removed")
            try await disk.rename("renamed", to: "anew")
        }
        let seen = Set(disk.image.losses(300, .mixture).map { Set($0.paths) })
        // Three changes that have nothing to do with each other: every subset.
        #expect(seen.count == 8)
        #expect(seen.allSatisfy { $0.contains("kept") })
    }

    @Test func `No change survives without those it builds on`() throws {
        let (world, disk) = makeDisk()
        try world.run {
            let first = try await disk.durable("a", Bytes("1"))
            try await disk.rename("a", to: "b")
            try await disk.rename("b", to: "c")
            let second = try await disk.open("a", .create, lane: .bulk)
            try await disk.write(Bytes("2"), to: second, at: 0, sync: true)
            await disk.close(first)
        }
        let seen = Set(
            disk.image.losses(300).map { image in
                image.files.map { "\($0.path)\(image.bytes(of: $0.path) ?? [])" }
            }
        )
        #expect(
            seen == [["a[49]"], ["b[49]"], ["c[49]"], ["a[50]", "b[49]"], ["a[50]", "c[49]"]]
        )
    }

    @Test func `A directory that is lost takes all in it along`() throws {
        let (world, disk) = makeDisk()
        try world.run {
            try await disk.makeDirectory("d")
            let file = try await disk.open("d/f", .create, lane: .bulk)
            try await disk.write(Bytes("x"), to: file, at: 0, sync: true)
            try await disk.syncDirectory("d")
        }
        #expect(Set(disk.image.losses(50).map(\.paths)) == [[], ["d/f"]])
        try world.run { try await disk.syncDirectory("") }
        #expect(Set(disk.image.losses(50).map(\.paths)) == [["d/f"]])
    }

    @Test func `A synced directory holds what moved there, and where it came from lost it`() throws
    {
        for synced in ["a", "b"] {
            let (world, disk) = makeDisk()
            try world.run {
                try await disk.makeDirectory("a")
                try await disk.makeDirectory("b")
                try await disk.syncDirectory("")
                let file = try await disk.open("a/f", .create, lane: .bulk)
                try await disk.write(Bytes("x"), to: file, at: 0, sync: true)
                _ = try await disk.open("a/other", .create, lane: .bulk)
                try await disk.rename("a/f", to: "b/f")
                try await disk.syncDirectory(synced)
            }
            let seen = Set(disk.image.losses(60).map(\.paths))
            #expect(
                seen == (synced == "a" ? [["a/other", "b/f"]] : [["b/f"], ["a/other", "b/f"]])
            )
        }
    }
}
