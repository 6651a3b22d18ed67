// A disk in memory and virtual time: the seam `Disk` for the simulated world. Operations of a lane
// take their turn, take their time, and may be told to fail or to be the last before a crash.

import EkidenMail
import EkidenRuntime

/// What a disk operation does, for counting and for making it fail.
package enum SimDiskOperation: String, Sendable, CaseIterable {
    case open, size, write, sync, read, preallocate, list, makeDirectory, rename, remove
    case syncDirectory, lock, space
}

/// How slow the disk is.
package struct SimDiskTiming: Sendable {
    package var operation = Duration.microseconds(10)
    package var sync = Duration.microseconds(200)
    package init() {}
}

/// `@unchecked Sendable`: used on the world's one thread.
package final class SimDisk: Disk, @unchecked Sendable {
    package let image: SimDiskImage
    private let world: SimWorld
    package var timing = SimDiskTiming()

    // Faults.
    /// The world halts at this operation, counted from 1; before or after its effect, by the seed.
    package var crashAtOperation: Int?
    /// Operations that fail once, by their number.
    package var failures: [Int: DiskFailure.Kind] = [:]
    /// Operations that fail until further notice.
    package var broken: [SimDiskOperation: DiskFailure.Kind] = [:]
    /// Bytes the file system holds; nil without limit.
    package var capacityBytes: Int?
    package var freeInodes = Int.max
    /// Whether `readIfCached` finds anything.
    package var hasWarmCache = true

    package private(set) var operationCount = 0
    package private(set) var syncCount = 0
    package private(set) var counts: [SimDiskOperation: Int] = [:]

    private struct Open {
        let path: String
        let inode: SimInode
        let lane: DiskLane
    }
    private var open: [Int: Open] = [:]
    /// Files open now.
    package var openCount: Int { open.count }
    private var nextNumber = 1
    private var locked: Set<String> = []
    private var logFree = Instant(nanoseconds: 0)
    private var bulkFree = Instant(nanoseconds: 0)

    package init(world: SimWorld, image: SimDiskImage = SimDiskImage()) {
        self.world = world
        self.image = image
    }

    // MARK: One operation

    /// Waits for the lane, takes `latency`, then does `body` unless told to fail or crash.
    private func perform<Value: Sendable>(
        _ operation: SimDiskOperation,
        _ path: String,
        lane: DiskLane = .bulk,
        _ body: @escaping () -> Result<Value, DiskFailure>
    ) async throws(DiskFailure) -> Value {
        let latency =
            operation == .sync || operation == .syncDirectory
            ? timing.sync : timing.operation
        let end = max(world.instant, lane == .log ? logFree : bulkFree) + latency
        if lane == .log { logFree = end } else { bulkFree = end }
        let result: Result<Value, DiskFailure> = await withUnsafeContinuation { continuation in
            world.schedule(at: end) { [self] in
                if let result = happen(operation, path, body) {
                    continuation.resume(returning: result)
                }
            }
        }
        return try result.get()
    }

    private func happen<Value>(
        _ operation: SimDiskOperation,
        _ path: String,
        _ body: () -> Result<Value, DiskFailure>
    ) -> Result<Value, DiskFailure>? {
        operationCount += 1
        counts[operation, default: 0] += 1
        if operationCount == crashAtOperation {
            if world.random.below(2) == 0 { _ = body() }
            world.halt()
            return nil
        }
        if let kind = failures[operationCount] ?? broken[operation] {
            return .failure(DiskFailure(kind, "\(operation.rawValue) \(path): made to fail"))
        }
        return body()
    }

    private func failure<Value>(
        _ kind: DiskFailure.Kind,
        _ operation: SimDiskOperation,
        _ path: String
    ) -> Result<Value, DiskFailure> {
        .failure(DiskFailure(kind, "\(operation.rawValue) \(path): \(kind.rawValue)"))
    }

    private func entry(_ file: DiskFile) -> Open {
        guard let entry = open[file.number] else { preconditionFailure("file is not open") }
        return entry
    }

    private func hasRoom(for bytes: Int) -> Bool {
        guard let capacityBytes else { return true }
        return bytes <= 0 || image.root.totalBytes + bytes <= capacityBytes
    }

    // MARK: Files

    package func open(
        _ path: String,
        _ mode: DiskOpenMode,
        lane: DiskLane
    ) async throws(DiskFailure) -> DiskFile {
        try await perform(.open, path) { [self] in
            let (directory, name) = image.parent(path)
            guard let directory else { return failure(.notFound, .open, path) }
            let inode: SimInode
            switch (mode, directory.current[name]) {
            case (.create, nil):
                if freeInodes == 0 { return failure(.noInodes, .open, path) }
                inode = SimInode()
                directory.change(.link(name, .file(inode)))
            case (.create, _): return failure(.exists, .open, path)
            case (_, .file(let found)): inode = found
            default: return failure(.notFound, .open, path)
            }
            let number = nextNumber
            nextNumber += 1
            open[number] = Open(path: path, inode: inode, lane: lane)
            return .success(DiskFile(number: number))
        }
    }

    package func close(_ file: DiskFile) async {
        if let entry = open.removeValue(forKey: file.number) { locked.remove(entry.path) }
    }

    package func size(_ file: DiskFile) async throws(DiskFailure) -> Int {
        let entry = entry(file)
        return try await perform(.size, entry.path, lane: entry.lane) {
            .success(entry.inode.current.count)
        }
    }

    package func write(
        _ parts: [Bytes],
        to file: DiskFile,
        at offset: Int,
        sync: Bool,
        written: (@Sendable () -> Void)?
    ) async throws(DiskFailure) {
        let entry = entry(file)
        try await perform(.write, entry.path, lane: entry.lane) {
            [self] () -> Result<Void, DiskFailure> in
            var bytes: [UInt8] = []
            for part in parts { bytes += part.array }
            guard hasRoom(for: offset + bytes.count - entry.inode.current.count)
            else { return failure(.noSpace, .write, entry.path) }
            entry.inode.write(bytes, at: offset)
            return .success(())
        }
        written?()
        if sync { try await self.sync(file) }
    }

    package func sync(_ file: DiskFile) async throws(DiskFailure) {
        let entry = entry(file)
        do {
            try await perform(.sync, entry.path, lane: entry.lane) {
                [self] () -> Result<Void, DiskFailure> in
                syncCount += 1
                entry.inode.sync()
                return .success(())
            }
        } catch {
            entry.inode.failSync()
            throw error
        }
    }

    package func read(
        _ file: DiskFile,
        at offset: Int,
        count: Int
    ) async throws(DiskFailure) -> Bytes {
        let entry = entry(file)
        return try await perform(.read, entry.path, lane: entry.lane) {
            .success(Self.slice(entry.inode, offset, count))
        }
    }

    private static func slice(_ inode: SimInode, _ offset: Int, _ count: Int) -> Bytes {
        let start = min(offset, inode.current.count)
        let end = min(start + count, inode.current.count)
        var copy = BytesBuilder(capacity: end - start)
        inode.current.withUnsafeBytes {
            copy.append(UnsafeRawBufferPointer(rebasing: $0[start..<end]))
        }
        return copy.finish()
    }

    package func readIfCached(_ file: DiskFile, at offset: Int, count: Int) -> Bytes? {
        hasWarmCache && broken[.read] == nil ? Self.slice(entry(file).inode, offset, count) : nil
    }

    package func preallocate(_ file: DiskFile, byteCount: Int) async throws(DiskFailure) {
        let entry = entry(file)
        try await perform(.preallocate, entry.path, lane: entry.lane) {
            [self] () -> Result<Void, DiskFailure> in
            guard hasRoom(for: byteCount - entry.inode.current.count)
            else { return failure(.noSpace, .preallocate, entry.path) }
            entry.inode.write([UInt8](repeating: 0, count: byteCount), at: 0)
            return .success(())
        }
        try await sync(file)
    }

    // MARK: Directories

    package func list(_ path: String) async throws(DiskFailure) -> [DiskEntry] {
        try await perform(.list, path) { [self] in
            guard let directory = image.directory(path) else {
                return failure(.notFound, .list, path)
            }
            return .success(
                directory.current.keys.sorted().map { name in
                    guard case .file(let inode) = directory.current[name] else {
                        return DiskEntry(name: name, byteCount: 0, isDirectory: true)
                    }
                    return DiskEntry(
                        name: name,
                        byteCount: inode.current.count,
                        isDirectory: false
                    )
                }
            )
        }
    }

    package func makeDirectory(_ path: String) async throws(DiskFailure) {
        try await perform(.makeDirectory, path) { [self] () -> Result<Void, DiskFailure> in
            let (directory, name) = image.parent(path)
            guard let directory else { return failure(.notFound, .makeDirectory, path) }
            guard directory.current[name] == nil else {
                return failure(.exists, .makeDirectory, path)
            }
            directory.change(.link(name, .directory(SimDirectory())))
            return .success(())
        }
    }

    package func rename(_ path: String, to new: String) async throws(DiskFailure) {
        try await perform(.rename, path) { [self] () -> Result<Void, DiskFailure> in
            let (directory, name) = image.parent(path)
            let (target, newName) = image.parent(new)
            guard let directory, let target, let node = directory.current[name] else {
                return failure(.notFound, .rename, path)
            }
            if directory === target {
                directory.change(.rename(name, to: newName, node))
            } else {
                target.change(.link(newName, node))
                directory.change(.unlink(name))
            }
            return .success(())
        }
    }

    package func remove(_ path: String) async throws(DiskFailure) {
        try await perform(.remove, path) { [self] () -> Result<Void, DiskFailure> in
            let (directory, name) = image.parent(path)
            guard let directory, directory.current[name] != nil else {
                return failure(.notFound, .remove, path)
            }
            directory.change(.unlink(name))
            return .success(())
        }
    }

    package func syncDirectory(_ path: String) async throws(DiskFailure) {
        try await perform(.syncDirectory, path) { [self] () -> Result<Void, DiskFailure> in
            guard let directory = image.directory(path) else {
                return failure(.notFound, .syncDirectory, path)
            }
            directory.sync()
            return .success(())
        }
    }

    package func lock(_ path: String) async throws(DiskFailure) -> DiskFile {
        if locked.contains(path) {
            throw DiskFailure(.locked, "lock \(path): held by another process")
        }
        let file: DiskFile
        do { file = try await open(path, .create, lane: .bulk) } catch {
            guard error.kind == .exists else { throw error }
            file = try await open(path, .readWrite, lane: .bulk)
        }
        locked.insert(path)
        return file
    }

    package func space() async throws(DiskFailure) -> DiskSpace {
        try await perform(.space, "") { [self] in
            let free = capacityBytes.map { max(0, $0 - image.root.totalBytes) } ?? 1 << 50
            return .success(DiskSpace(freeBytes: free, freeInodes: freeInodes))
        }
    }
}
