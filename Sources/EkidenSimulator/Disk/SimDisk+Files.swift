// The operations of a simulated disk on files: opening, writing, syncing, reading, locking. Their
// errors are those of Linux, which the contract tests hold it to.

import EkidenMail
import EkidenRuntime

extension SimDisk {
    package func open(
        _ path: String,
        _ mode: DiskOpenMode,
        lane: DiskLane
    ) async throws(DiskFailure) -> DiskFile {
        try await perform(.open, path, " \(mode)") { [self] _ in
            let (directory, name) = image.parent(path)
            guard let directory else { return failure(.notFound, .open, path) }
            let inode: SimInode
            switch (mode, image.node(path)) {
            case (.create, nil):
                // Linux says ENOSPC for both kinds of full.
                if freeInodes == 0 { return failure(.noSpace, .open, path) }
                inode = make(name, in: directory)
            case (.create, _): return failure(.exists, .open, path)
            case (_, .file(let found)): inode = found
            case (_, .directory): return failure(.other, .open, path)
            case (_, nil): return failure(.notFound, .open, path)
            }
            return .success(register(inode, path, lane, isWritable: mode != .read))
        }
    }

    func make(_ name: String, in directory: SimDirectory) -> SimInode {
        let inode = SimInode(number: image.number())
        if freeInodes != .max { freeInodes -= 1 }
        image.change(
            inode.number,
            [SimChange.Edit(directory: directory, name: name, node: .file(inode))]
        )
        return inode
    }

    private func register(
        _ inode: SimInode,
        _ path: String,
        _ lane: DiskLane,
        isWritable: Bool
    ) -> DiskFile {
        let number = nextNumber
        nextNumber += 1
        open[number] = Open(path: path, inode: inode, lane: lane, isWritable: isWritable)
        return DiskFile(number: number)
    }

    package func close(_ file: DiskFile) async {
        let lane = entry(file).lane
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            lanes.submit(lane) { [self] job in
                job.step(.zero, effect: { _ in }) { [self] in
                    forget(file)
                    continuation.resume()
                    job.finish()
                }
            }
        }
    }

    package func size(_ file: DiskFile) async throws(DiskFailure) -> Int {
        let entry = entry(file)
        return try await perform(.size, entry.path) { _ in .success(entry.inode.current.count) }
    }

    package func write(
        _ parts: [Bytes],
        to file: DiskFile,
        at offset: Int,
        sync: Bool,
        written: (@Sendable () -> Void)?
    ) async throws(DiskFailure) {
        let entry = entry(file)
        var bytes: [UInt8] = []
        for part in parts { bytes += part.array }
        let all = bytes
        try await onThread(of: entry.lane) { [self] job, end in
            step(
                job,
                .write,
                entry.path,
                " @\(offset) +\(all.count)",
                failed: { [self] in _ = put(all, offset, entry, .write, .part) },
                { [self] in put(all, offset, entry, .write, $0) },
                then: { [self] result in
                    guard case .success = result else { return end(result) }
                    written?()
                    if sync { self.sync(entry, job, end) } else { end(result) }
                }
            )
        }
    }

    /// The bytes become the kernel's: all of them, or those that fit, or some first part.
    private func put(
        _ bytes: [UInt8],
        _ offset: Int,
        _ entry: Open,
        _ operation: SimDiskOperation,
        _ extent: SimExtent
    ) -> Result<Void, DiskFailure> {
        if !entry.isWritable { return failure(.other, operation, entry.path) }
        let fits = min(bytes.count, max(0, entry.inode.current.count + freeBytes - offset))
        var count = fits
        if extent == .part || fits < bytes.count {
            count = Int(random.below(UInt64(fits) + 1))
        }
        let put = count == bytes.count ? bytes : Array(bytes[..<count])
        entry.inode.write(put, at: offset, number: image.number())
        if fits < bytes.count { return failure(.noSpace, operation, entry.path) }
        return .success(())
    }

    package func sync(_ file: DiskFile) async throws(DiskFailure) {
        let entry = entry(file)
        try await onThread(of: entry.lane) { [self] job, end in sync(entry, job, end) }
    }

    private func sync(
        _ entry: Open,
        _ job: SimDiskJob,
        _ end: @escaping (Result<Void, DiskFailure>) -> Void
    ) {
        step(
            job,
            .sync,
            entry.path,
            "",
            failed: { [self] in
                entry.inode.failSync()
                if SimDiskTiming.happens(faults.forgetsOneIn, random) { entry.inode.evict(random) }
            },
            { [self] _ in
                syncCount += 1
                entry.inode.sync()
                return .success(())
            },
            then: end
        )
    }

    package func read(
        _ file: DiskFile,
        at offset: Int,
        count: Int
    ) async throws(DiskFailure) -> Bytes {
        let entry = entry(file)
        return try await perform(.read, entry.path, " @\(offset) +\(count)") { [self] _ in
            if SimDiskTiming.happens(faults.rotOneIn, random) { rot(entry.inode, offset, count) }
            return .success(Self.slice(entry.inode, offset, count))
        }
    }

    /// Flips a bit of what the medium has in the range, if it has anything there.
    private func rot(_ inode: SimInode, _ offset: Int, _ count: Int) {
        let end = min(offset + count, inode.current.count)
        guard offset < end else { return }
        let at = offset + Int(random.below(UInt64(end - offset)))
        guard inode.isAtRest(at) else { return }
        let mask = UInt8(1) << UInt8(random.below(8))
        inode.current[at] ^= mask
        inode.durable[at] ^= mask
        rotCount += 1
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
        guard hasWarmCache, broken[.read] == nil, !isDead else { return nil }
        let inode = entry(file).inode
        return offset + count <= inode.current.count ? Self.slice(inode, offset, count) : nil
    }

    package func preallocate(_ file: DiskFile, byteCount: Int) async throws(DiskFailure) {
        let entry = entry(file)
        try await onThread(of: .bulk) { [self] job, end in
            step(
                job,
                .preallocate,
                entry.path,
                " \(byteCount)",
                failed: { [self] in _ = zero(entry, byteCount, .part) },
                { [self] in zero(entry, byteCount, $0) },
                then: { [self] result in
                    guard case .success = result else { return end(result) }
                    self.sync(entry, job, end)
                }
            )
        }
    }

    private func zero(_ entry: Open, _ count: Int, _ extent: SimExtent) -> Result<Void, DiskFailure>
    {
        // posix_fallocate(3): EINVAL.
        if count <= 0 { return failure(.other, .preallocate, entry.path) }
        return put([UInt8](repeating: 0, count: count), 0, entry, .preallocate, extent)
    }

    /// The exclusive lock of flock(2): it belongs to the open file, so a second open of the same
    /// process meets it as another process does.
    package func lock(_ path: String) async throws(DiskFailure) -> DiskFile {
        try await perform(.lock, path) { [self] _ in
            let (directory, name) = image.parent(path)
            guard let directory else { return failure(.notFound, .lock, path) }
            let inode: SimInode
            switch image.node(path) {
            case .file(let found): inode = found
            case .directory: return failure(.other, .lock, path)
            case nil:
                if freeInodes == 0 { return failure(.noSpace, .lock, path) }
                inode = make(name, in: directory)
            }
            if locks.isHeld(inode) { return failure(.locked, .lock, path) }
            let file = register(inode, path, .bulk, isWritable: true)
            locks.take(inode, file, self)
            return .success(file)
        }
    }

    package func space() async throws(DiskFailure) -> DiskSpace {
        try await perform(.space, "") { [self] _ in
            .success(DiskSpace(freeBytes: freeBytes, freeInodes: freeInodes))
        }
    }
}
