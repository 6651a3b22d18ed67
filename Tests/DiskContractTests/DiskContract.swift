// What every `Disk` does, said once and held against both worlds: the real disk on a temporary
// directory, the simulated one in virtual time. Where a test here fails in one world only, the
// simulated world has become a different one, and nothing it proves counts.

import EkidenLinux
import EkidenMail
import EkidenRuntime
import EkidenSimulator
import Foundation
import Synchronization
import Testing

enum DiskWorld: String, CaseIterable, Sendable {
    case real, simulated

    /// Runs `body` as a task of a loop of the world, with an empty disk.
    func run(_ body: @escaping @Sendable (any Disk) async throws -> Void) async throws {
        switch self {
        case .simulated:
            let world = SimWorld(seed: 11)
            let disk = SimDisk(world: world)
            disk.timing.spread = 5
            try world.run { try await body(disk) }
        case .real:
            let path = FileManager.default.temporaryDirectory
                .appending(path: "ekiden-disk-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: path, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: path) }
            let disk = PosixDisk(root: path.path)
            let loops = try LinuxLoops(count: 1)
            let result = await Task.detached(executorPreference: loops.loops[0]) {
                do { return Result<Void, any Error>.success(try await body(disk)) } catch {
                    return .failure(error)
                }
            }.value
            disk.close()
            loops.stop()
            try result.get()
        }
    }
}

/// The kind of failure `body` ends with; nil when it works.
func kind(
    _ body: () async throws(DiskFailure) -> Void
) async -> DiskFailure.Kind? {
    do throws(DiskFailure) { try await body() } catch { return error.kind }
    return nil
}

extension Disk {
    func write(_ text: String, to file: DiskFile, at offset: Int) async throws(DiskFailure) {
        try await write([Bytes(text)], to: file, at: offset, sync: false, written: nil)
    }

    /// Makes a file with that content and closes it.
    func put(_ path: String, _ text: String) async throws(DiskFailure) {
        let file = try await open(path, .create, lane: .bulk)
        try await write(text, to: file, at: 0)
        await close(file)
    }

    func text(of path: String) async throws(DiskFailure) -> String {
        let file = try await open(path, .read, lane: .bulk)
        let bytes = try await read(file, at: 0, count: 1000)
        await close(file)
        return bytes.text
    }
}

let worlds = DiskWorld.allCases
