// The spool's disk in the real world: plain system calls on threads that may block, completed back
// onto the caller's loop. One thread works for the log lane, so that an append never stands behind
// anything slow; a few work for the rest.

import CEkiden
import EkidenMail
import EkidenRuntime
import Glibc

package final class PosixDisk: Disk {
    private let root: String
    private let logLane: WorkQueue
    private let bulkLane: WorkQueue

    private static let bulkThreads = 3
    private static let zeroChunk = Bytes([UInt8](repeating: 0, count: 1 << 20))

    /// - Parameter root: the spool directory, which must exist.
    package init(root: String) {
        self.root = root
        logLane = WorkQueue(name: "disk-log", threads: 1)
        bulkLane = WorkQueue(name: "disk-bulk", threads: Self.bulkThreads)
    }

    /// Waits for what was asked and ends the threads.
    package func close() {
        logLane.close()
        bulkLane.close()
    }

    // DiskFile numbers carry the lane in their lowest bit.
    private func file(_ descriptor: Int32, _ lane: DiskLane) -> DiskFile {
        DiskFile(number: Int(descriptor) << 1 | (lane == .log ? 1 : 0))
    }
    private func descriptor(_ file: DiskFile) -> Int32 { Int32(file.number >> 1) }
    private func lane(_ file: DiskFile) -> WorkQueue { file.number & 1 == 1 ? logLane : bulkLane }

    private func full(_ path: String) -> String { path.isEmpty ? root : root + "/" + path }

    private func on<T: Sendable>(
        _ queue: WorkQueue,
        _ body: @escaping @Sendable () throws(DiskFailure) -> T
    ) async throws(DiskFailure) -> T {
        let result: Result<T, DiskFailure> = await withUnsafeContinuation { continuation in
            queue.submit {
                do throws(DiskFailure) {
                    continuation.resume(returning: .success(try body()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }

    // MARK: Files

    package func open(
        _ path: String,
        _ mode: DiskOpenMode,
        lane: DiskLane
    )
        async throws(DiskFailure) -> DiskFile
    {
        let name = full(path)
        let flags: Int32 =
            switch mode {
            case .read: O_RDONLY
            case .readWrite: O_RDWR
            case .create: O_RDWR | O_CREAT | O_EXCL
            }
        return try await on(bulkLane) { () throws(DiskFailure) in
            let descriptor = Glibc.open(name, flags | O_CLOEXEC, 0o600)
            if descriptor < 0 { throw failure("open", path) }
            // Opening a directory for writing fails by itself, for reading it doesn't.
            if mode == .read {
                var status = stat()
                if fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
                    Glibc.close(descriptor)
                    throw failure("open", path, code: EISDIR)
                }
            }
            return self.file(descriptor, lane)
        }
    }

    package func close(_ file: DiskFile) async {
        let descriptor = descriptor(file)
        _ = try? await on(lane(file)) { () throws(DiskFailure) in Glibc.close(descriptor) }
    }

    package func size(_ file: DiskFile) async throws(DiskFailure) -> Int {
        let descriptor = descriptor(file)
        return try await on(bulkLane) { () throws(DiskFailure) in
            var status = stat()
            if fstat(descriptor, &status) < 0 { throw failure("fstat", "") }
            return Int(status.st_size)
        }
    }

    package func write(
        _ parts: [Bytes],
        to file: DiskFile,
        at offset: Int,
        sync: Bool,
        written: (@Sendable () -> Void)?
    ) async throws(DiskFailure) {
        let descriptor = descriptor(file)
        try await on(lane(file)) { () throws(DiskFailure) in
            try Self.writeAll(parts, to: descriptor, at: offset)
            written?()
            if sync { try Self.syncNow(descriptor) }
        }
    }

    package func sync(_ file: DiskFile) async throws(DiskFailure) {
        let descriptor = descriptor(file)
        try await on(lane(file)) { () throws(DiskFailure) in try Self.syncNow(descriptor) }
    }

    package func read(
        _ file: DiskFile,
        at offset: Int,
        count: Int
    )
        async throws(DiskFailure) -> Bytes
    {
        let descriptor = descriptor(file)
        return try await on(bulkLane) { () throws(DiskFailure) in
            var builder = BytesBuilder(capacity: count)
            while builder.count < count {
                let room = builder.tail(count - builder.count)
                let n = pread(
                    descriptor,
                    room.baseAddress,
                    count - builder.count,
                    off_t(offset + builder.count)
                )
                if n < 0 {
                    if errno == EINTR { continue }
                    throw failure("pread", "")
                }
                if n == 0 { break }
                builder.advance(n)
            }
            return builder.finish()
        }
    }

    package func readIfCached(_ file: DiskFile, at offset: Int, count: Int) -> Bytes? {
        var builder = BytesBuilder(capacity: count)
        let room = builder.tail(count)
        let n = ekiden_pread_nowait(descriptor(file), room.baseAddress, count, Int64(offset))
        guard n == count else { return nil }
        builder.advance(n)
        return builder.finish()
    }

    package func preallocate(_ file: DiskFile, byteCount: Int) async throws(DiskFailure) {
        let descriptor = descriptor(file)
        try await on(bulkLane) { () throws(DiskFailure) in
            let result = posix_fallocate(descriptor, 0, off_t(byteCount))
            if result != 0 { throw failure("posix_fallocate", "", code: result) }
            // Zeros are written, not only promised: an append to a written block needs no journal
            // commit of its own. In slices, so that a sync of the log never waits for all of it.
            var offset = 0
            while offset < byteCount {
                let n = min(Self.zeroChunk.count, byteCount - offset)
                try Self.writeAll([Self.zeroChunk[0..<n]], to: descriptor, at: offset)
                offset += n
                if offset % (8 << 20) == 0 || offset == byteCount { try Self.syncNow(descriptor) }
            }
        }
    }

    private static func writeAll(
        _ parts: [Bytes],
        to descriptor: Int32,
        at offset: Int
    )
        throws(DiskFailure)
    {
        var offset = offset
        var index = 0
        var skip = 0
        while index < parts.count {
            // IOV_MAX is 1024 on Linux.
            let count = min(parts.count - index, 1024)
            let n = withUnsafeTemporaryAllocation(of: iovec.self, capacity: count) { vectors in
                for i in 0..<count {
                    let part = parts[index + i].pointer
                    let from = i == 0 ? skip : 0
                    vectors[i] = iovec(
                        iov_base: part.baseAddress.map {
                            UnsafeMutableRawPointer(mutating: $0 + from)
                        },
                        iov_len: part.count - from
                    )
                }
                return pwritev(descriptor, vectors.baseAddress, Int32(count), off_t(offset))
            }
            if n < 0 {
                if errno == EINTR { continue }
                throw failure("pwritev", "")
            }
            offset += n
            var rest = n
            while index < parts.count, rest >= parts[index].count - skip {
                rest -= parts[index].count - skip
                skip = 0
                index += 1
            }
            skip += rest
        }
        withExtendedLifetime(parts) {}
    }

    private static func syncNow(_ descriptor: Int32) throws(DiskFailure) {
        while fdatasync(descriptor) < 0 {
            if errno != EINTR { throw failure("fdatasync", "") }
        }
    }

    // MARK: Directories

    package func list(_ path: String) async throws(DiskFailure) -> [DiskEntry] {
        let name = full(path)
        return try await on(bulkLane) { () throws(DiskFailure) in
            guard let directory = opendir(name) else { throw failure("opendir", path) }
            defer { closedir(directory) }
            var entries: [DiskEntry] = []
            while let entry = readdir(directory) {
                let entryName = withUnsafeBytes(of: entry.pointee.d_name) {
                    String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
                }
                if entryName == "." || entryName == ".." { continue }
                var status = stat()
                if lstat(name + "/" + entryName, &status) < 0 { continue }
                let isDirectory = status.st_mode & S_IFMT == S_IFDIR
                entries.append(
                    DiskEntry(
                        name: entryName,
                        byteCount: isDirectory ? 0 : Int(status.st_size),
                        isDirectory: isDirectory
                    )
                )
            }
            return entries.sorted { $0.name < $1.name }
        }
    }

    package func makeDirectory(_ path: String) async throws(DiskFailure) {
        let name = full(path)
        try await on(bulkLane) { () throws(DiskFailure) in
            if mkdir(name, 0o700) < 0 { throw failure("mkdir", path) }
        }
    }

    package func rename(_ path: String, to new: String) async throws(DiskFailure) {
        let from = full(path)
        let to = full(new)
        try await on(bulkLane) { () throws(DiskFailure) in
            if Glibc.rename(from, to) < 0 { throw failure("rename", path) }
        }
    }

    package func remove(_ path: String) async throws(DiskFailure) {
        let name = full(path)
        try await on(bulkLane) { () throws(DiskFailure) in
            if unlink(name) < 0 { throw failure("unlink", path) }
        }
    }

    package func syncDirectory(_ path: String) async throws(DiskFailure) {
        let name = full(path)
        try await on(bulkLane) { () throws(DiskFailure) in
            let descriptor = Glibc.open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            if descriptor < 0 { throw failure("open", path) }
            defer { Glibc.close(descriptor) }
            if fsync(descriptor) < 0 { throw failure("fsync of directory", path) }
        }
    }

    package func lock(_ path: String) async throws(DiskFailure) -> DiskFile {
        let name = full(path)
        return try await on(bulkLane) { () throws(DiskFailure) in
            let descriptor = Glibc.open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
            if descriptor < 0 { throw failure("open", path) }
            if flock(descriptor, LOCK_EX | LOCK_NB) < 0 {
                let code = errno
                Glibc.close(descriptor)
                throw failure("flock", path, code: code)
            }
            return self.file(descriptor, .bulk)
        }
    }

    package func space() async throws(DiskFailure) -> DiskSpace {
        let name = full("")
        return try await on(bulkLane) { () throws(DiskFailure) in
            var status = statvfs()
            if statvfs(name, &status) < 0 { throw failure("statvfs", "") }
            return DiskSpace(
                freeBytes: Int(status.f_bavail) * Int(status.f_frsize),
                freeInodes: status.f_files == 0 ? .max : Int(status.f_favail)
            )
        }
    }
}

/// The present errno (or `code`) as a failure with its operation and path.
private func failure(_ operation: String, _ path: String, code: Int32? = nil) -> DiskFailure {
    let code = code ?? errno
    let kind: DiskFailure.Kind =
        switch code {
        case ENOSPC, EDQUOT: .noSpace
        case EIO: .inputOutput
        case ENOENT, ENOTDIR: .notFound
        case EEXIST: .exists
        case EWOULDBLOCK: .locked
        case EACCES, EPERM: .denied
        case EROFS: .readOnly
        default: .other
        }
    let what = path.isEmpty ? operation : operation + " " + path
    return DiskFailure(kind, "\(what): \(SystemError(code: code).text)")
}
