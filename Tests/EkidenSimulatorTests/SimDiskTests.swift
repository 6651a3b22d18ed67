import EkidenMail
import EkidenRuntime
import Testing

@testable import EkidenSimulator

@Suite struct SimDiskTests {
    /// Interleaving, virtual time and disk of one seed, as text.
    private static func trace(seed: UInt64) -> [String] {
        let world = SimWorld(seed: seed, loopCount: 3)
        let disk = SimDisk(world: world)
        let lines = Lines()
        for loop in world.loops {
            for number in 0..<4 {
                loop.spawn { @Sendable in
                    for step in 0..<5 {
                        await loop.sleep(for: .microseconds(10 * (number % 2)))
                        _ = try? await disk.list("")
                        lines.add("\(loop.index) \(number) \(step) \(world.instant.nanoseconds)")
                    }
                }
            }
        }
        world.run(for: .seconds(1))
        return lines.all
    }

    @Test func `The same seed gives the same run, another seed another`() {
        let first = Self.trace(seed: 7)
        #expect(first.count == 60)
        #expect(Self.trace(seed: 7) == first)
        #expect(Self.trace(seed: 8) != first)
    }

    @Test func `Power loss keeps what was synced and any sectors of the rest`() throws {
        let world = SimWorld(seed: 1)
        let disk = SimDisk(world: world)
        try world.run {
            try await disk.makeDirectory("d")
            try await disk.syncDirectory("")
            let file = try await disk.open("d/f", .create, lane: .log)
            let old = Bytes([UInt8](repeating: 1, count: 4096))
            try await disk.write([old], to: file, at: 0, sync: true, written: nil)
            try await disk.syncDirectory("d")
            let new = Bytes([UInt8](repeating: 2, count: 2048))
            try await disk.write([new], to: file, at: 1024, sync: false, written: nil)
            _ = try await disk.open("d/unsynced", .create, lane: .log)
        }
        var kept = Set<Int>()
        var names = Set<Bool>()
        for seed in 0..<200 as Range<UInt64> {
            let image = disk.image.afterPowerLoss(SimRandom(seed: seed))
            let bytes = try #require(image.bytes(of: "d/f"))
            #expect(bytes[..<1024].allSatisfy { $0 == 1 })
            #expect(bytes[3072...].allSatisfy { $0 == 1 })
            for sector in stride(from: 1024, to: 3072, by: 512) {
                #expect(Set(bytes[sector..<sector + 512]).count == 1, "a sector is whole")
            }
            kept.insert(bytes.count { $0 == 2 } / 512)
            names.insert(image.bytes(of: "d/unsynced") != nil)
        }
        #expect(kept == [0, 1, 2, 3, 4])
        #expect(names == [false, true])
    }

    @Test func `After a failed sync a later one proves nothing`() throws {
        let world = SimWorld(seed: 1)
        let disk = SimDisk(world: world)
        try world.run {
            let file = try await disk.open("f", .create, lane: .log)
            try await disk.syncDirectory("")
            disk.broken[.sync] = .inputOutput
            await #expect(throws: DiskFailure.self) {
                try await disk.write([Bytes("x")], to: file, at: 0, sync: true, written: nil)
            }
            disk.broken = [:]
            try await disk.sync(file)
        }
        let survived = (0..<50 as Range<UInt64>).map {
            disk.image.afterPowerLoss(SimRandom(seed: $0)).bytes(of: "f") == [120]
        }
        #expect(survived.contains(false))
        #expect(survived.contains(true))
    }
}

/// `@unchecked Sendable`: used on the world's one thread.
private final class Lines: @unchecked Sendable {
    var all: [String] = []
    func add(_ line: String) { all.append(line) }
}
