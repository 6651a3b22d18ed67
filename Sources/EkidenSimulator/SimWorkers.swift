// Slow work and files of the simulated world. Work is done in place, as a later event of the world,
// after a time drawn from the seed; so its order against everything else differs from seed to seed
// and from nothing else. Files are in memory; tests and trials write them.

import EkidenMail
import EkidenRuntime

/// `@unchecked Sendable`: used on the world's one thread alone.
package final class SimWorkers: Workers, @unchecked Sendable {
    private unowned let world: SimWorld
    private let random: SimRandom

    package init(_ world: SimWorld) {
        self.world = world
        // Of its own, so that a world without logins goes as it always went.
        random = SimRandom(seed: world.seed ^ 0x5d1f_72a6_83c9_0b4e)
    }

    package func submit(_ work: @escaping @Sendable () -> Void) {
        // Up to 20 ms: a password's hash, and some in line before it.
        world.schedule(after: .microseconds(Int64(random.below(20_000))), work)
    }
}

/// `@unchecked Sendable`: used on the world's one thread alone.
package final class SimFiles: Files, @unchecked Sendable {
    private struct File {
        var bytes: [UInt8]
        var stamp: FileStamp
    }

    private unowned let world: SimWorld
    /// By path; never iterated.
    private var files: [String: File] = [:]
    private var written: UInt64 = 0

    package init(_ world: SimWorld) { self.world = world }

    /// Replaces the file, as a rename does.
    package func write(_ path: String, _ bytes: [UInt8], mode: UInt16 = 0o640) {
        written += 1
        let stamp = FileStamp(
            modified: world.wall,
            byteCount: bytes.count,
            inode: written,
            mode: mode
        )
        files[path] = File(bytes: bytes, stamp: stamp)
    }

    package func remove(_ path: String) { files[path] = nil }

    package func read(_ path: String, maxBytes: Int) async throws(FileProblem) -> [UInt8] {
        let bytes = try file(path).bytes
        if bytes.count > maxBytes {
            throw FileProblem(path: path, text: "larger than \(maxBytes) bytes")
        }
        return bytes
    }

    package func stamp(_ path: String) async throws(FileProblem) -> FileStamp {
        try file(path).stamp
    }

    private func file(_ path: String) throws(FileProblem) -> File {
        guard let file = files[path] else {
            throw FileProblem(path: path, text: "No such file or directory")
        }
        return file
    }
}
