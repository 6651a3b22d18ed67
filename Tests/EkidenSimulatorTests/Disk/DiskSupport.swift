import EkidenMail
import EkidenRuntime

@testable import EkidenSimulator

/// A world with one disk.
func makeDisk(seed: UInt64 = 1) -> (SimWorld, SimDisk) {
    let world = SimWorld(seed: seed)
    return (world, SimDisk(world: world))
}

func filled(_ byte: UInt8, _ count: Int) -> Bytes { Bytes([UInt8](repeating: byte, count: count)) }

extension SimDisk {
    func write(
        _ bytes: Bytes,
        to file: DiskFile,
        at offset: Int,
        sync: Bool = false
    )
        async throws(DiskFailure)
    {
        try await write([bytes], to: file, at: offset, sync: sync, written: nil)
    }

    /// A file with that content, all of it durable.
    func durable(_ path: String, _ bytes: Bytes) async throws(DiskFailure) -> DiskFile {
        let file = try await open(path, .create, lane: .log)
        try await write(bytes, to: file, at: 0, sync: true)
        var directory = path.split(separator: "/").dropLast()
        try await syncDirectory(directory.joined(separator: "/"))
        while directory.popLast() != nil {
            try await syncDirectory(directory.joined(separator: "/"))
        }
        return file
    }
}

extension SimDiskImage {
    var paths: [String] { files.map(\.path) }

    /// What power losses of `count` seeds leave.
    func losses(_ count: UInt64, _ kind: SimPowerLoss? = nil) -> [SimDiskImage] {
        (0..<count).map { afterPowerLoss(SimRandom(seed: $0), kind) }
    }
}

/// What a world's tasks and the test share.
///
/// `@unchecked Sendable`: used on the world's one thread.
final class Box<Value>: @unchecked Sendable {
    var value: Value
    init(_ value: Value) { self.value = value }
}

func failureKind(_ body: () async throws(DiskFailure) -> Void) async -> DiskFailure.Kind? {
    do throws(DiskFailure) { try await body() } catch { return error.kind }
    return nil
}
