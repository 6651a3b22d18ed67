// A disk in memory and virtual time: the seam `Disk` for the simulated world, as one process sees
// it. Operations take their turn and their time, and may be told to fail or to be the last before a
// crash. When the process dies, its image goes on: the next process gets a new `SimDisk` on it.

import EkidenMail
import EkidenRuntime

/// `@unchecked Sendable`: used on the world's one thread.
package final class SimDisk: Disk, @unchecked Sendable {
    package let image: SimDiskImage
    let world: SimWorld
    private let random: SimRandom
    private let lanes: SimDiskLanes
    private let locks: SimDiskLocks

    package var timing = SimDiskTiming()
    package var faults = SimDiskFaults()

    /// The process dies at this operation, counted from 1.
    package var crashAtOperation: Int?
    /// Where in the operation; drawn when nil.
    package var crashMoment: SimCrashMoment?
    /// Called when the process died at `crashAtOperation`; the world halts when nil.
    package var whenCrashed: (() -> Void)?
    /// Operations that fail once, by their number.
    package var failures: [Int: DiskFailure.Kind] = [:]
    /// Operations that fail until further notice.
    package var broken: [SimDiskOperation: DiskFailure.Kind] = [:]
    /// Bytes the file system holds, holes counted as bytes; nil without limit. What does not fit
    /// fails as `noSpace`; of a write, as POSIX says, the part that fits may be written.
    package var capacityBytes: Int?
    /// Files and directories that can still be made; each made takes one, each gone gives it back.
    package var freeInodes = Int.max
    /// Whether `readIfCached` finds anything.
    package var hasWarmCache = true
    /// Gets a line for each operation when it ends: what, path, offset and count, result.
    package var noted: ((String) -> Void)?

    package private(set) var operationCount = 0
    package private(set) var syncCount = 0
    package private(set) var counts: [SimDiskOperation: Int] = [:]
    /// Operations that were made to fail, for a summary of the faults injected.
    package private(set) var failureCounts: [SimDiskOperation: Int] = [:]
    /// Bits flipped by `faults.rotOneIn`.
    package private(set) var rotCount = 0

    struct Open {
        let path: String
        let inode: SimInode
        let lane: DiskLane
        let isWritable: Bool
    }
    private var open: [Int: Open] = [:]
    /// Files open now.
    package var openCount: Int { open.count }
    private var nextNumber = 1

    /// The disk of a new process on `image`; whatever process had the image before is gone, and
    /// with it its locks.
    package init(world: SimWorld, image: SimDiskImage = SimDiskImage(), random: SimRandom? = nil) {
        self.world = world
        self.image = image
        self.random = random ?? SimRandom(seed: world.random.next())
        lanes = SimDiskLanes(world: world)
        locks = SimDiskLocks()
    }

    /// The disk of a second process beside `other`, on the same image, with `other` alive: one sees
    /// the other's locks.
    package init(beside other: SimDisk) {
        world = other.world
        image = other.image
        random = SimRandom(seed: world.random.next())
        lanes = SimDiskLanes(world: world)
        locks = other.locks
    }

    // MARK: Death

    /// Nothing this disk was asked for has an effect any more, and nobody hears of it.
    package var isDead: Bool { lanes.isDead }

    /// The process ends, now, whatever is under way: operations waiting for a thread never happen,
    /// those in the kernel happen, happen in part or don't. Locks are let go.
    /// - Returns: the image the next process finds: the same one after `kill -9`, a new one after a
    ///   power loss.
    @discardableResult
    package func die(_ death: SimDeath) -> SimDiskImage {
        end()
        switch death {
        case .kill: return image
        case .powerLoss(let random, let kind): return image.afterPowerLoss(random, kind)
        }
    }

    private func end() {
        if isDead { return }
        lanes.die(random)
        locks.release(all: self)
        for number in open.keys.sorted() { forget(DiskFile(number: number)) }
    }

    // MARK: One operation

    /// One operation on a thread of `lane`. `failed` is what it does though it is made to fail.
    func perform<Value: Sendable>(
        _ operation: SimDiskOperation,
        _ path: String,
        _ detail: String = "",
        lane: DiskLane = .bulk,
        failed: @escaping () -> Void = {},
        _ body: @escaping (SimExtent) -> Result<Value, DiskFailure>
    ) async throws(DiskFailure) -> Value {
        let result: Result<Value, DiskFailure> = await withUnsafeContinuation { continuation in
            lanes.submit(lane) { [self] job in
                step(job, operation, path, detail, failed: failed, body) { result in
                    continuation.resume(returning: result)
                    job.finish()
                }
            }
        }
        return try result.get()
    }

    private func step<Value>(
        _ job: SimDiskJob,
        _ operation: SimDiskOperation,
        _ path: String,
        _ detail: String,
        failed: @escaping () -> Void = {},
        _ body: @escaping (SimExtent) -> Result<Value, DiskFailure>,
        then: @escaping (Result<Value, DiskFailure>) -> Void
    ) {
        job.step(timing.latency(of: operation, random), effect: { _ = body($0) }) { [self] in
            operationCount += 1
            counts[operation, default: 0] += 1
            if operationCount == crashAtOperation {
                crash(operation, path, detail) { _ = body($0) }
                return
            }
            var result: Result<Value, DiskFailure>
            if let kind = fault(operation) {
                failureCounts[operation, default: 0] += 1
                failed()
                result = .failure(DiskFailure(kind, "\(operation.rawValue) \(path): made to fail"))
            } else {
                result = body(.whole)
            }
            note(operation, path, detail, result)
            then(result)
        }
    }

    private func fault(_ operation: SimDiskOperation) -> DiskFailure.Kind? {
        if let kind = failures[operationCount] ?? broken[operation] { return kind }
        let oneIn = faults.inputOutputOneIn[operation] ?? 0
        return SimDiskTiming.happens(oneIn, random) ? .inputOutput : nil
    }

    private func crash(
        _ operation: SimDiskOperation,
        _ path: String,
        _ detail: String,
        _ body: (SimExtent) -> Void
    ) {
        let moments = SimCrashMoment.allCases
        let moment = crashMoment ?? moments[Int(random.below(UInt64(moments.count)))]
        switch moment {
        case .before: break
        case .midway where operation == .write || operation == .preallocate: body(.part)
        case .midway: if random.below(2) == 0 { body(.whole) }
        case .after: body(.whole)
        }
        if let noted { noted("\(operation.rawValue) \(path)\(detail) crash \(moment)") }
        end()
        if let whenCrashed { whenCrashed() } else { world.halt() }
    }

    private func note<Value>(
        _ operation: SimDiskOperation,
        _ path: String,
        _ detail: String,
        _ result: Result<Value, DiskFailure>
    ) {
        guard let noted else { return }
        var line = operation.rawValue
        if !path.isEmpty { line += " " + path }
        line += detail
        switch result {
        case .success(let value as Int): line += " \(value)"
        case .success(let bytes as Bytes): line += " \(bytes.count)"
        case .success: line += " ok"
        case .failure(let failure): line += " \(failure.kind.rawValue)"
        }
        noted(line)
    }

    func failure<Value>(
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

    private func forget(_ file: DiskFile) {
        locks.release(file, self)
        guard let entry = open.removeValue(forKey: file.number) else { return }
        giveBackInode(entry.inode)
    }

    /// A file is gone when it has no name and nobody has it open.
    func giveBackInode(_ inode: SimInode) {
        guard freeInodes != .max, inode.linkCount == 0 else { return }
        if !open.values.contains(where: { $0.inode === inode }) { freeInodes += 1 }
    }

    /// Bytes that still fit; files without a name count while they are open.
    private var freeBytes: Int {
        guard let capacityBytes else { return 1 << 50 }
        var used = image.root.totalBytes
        var seen: Set<Int> = []
        for entry in open.values
        where entry.inode.linkCount == 0 && seen.insert(entry.inode.number).inserted {
            used += entry.inode.current.count
        }
        return max(0, capacityBytes - used)
    }

    // MARK: Files

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

    private func make(_ name: String, in directory: SimDirectory) -> SimInode {
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
        let result: Result<Void, DiskFailure> = await withUnsafeContinuation { continuation in
            lanes.submit(entry.lane) { [self] job in
                let end = { (result: Result<Void, DiskFailure>) in
                    continuation.resume(returning: result)
                    job.finish()
                }
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
        try result.get()
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
        let result: Result<Void, DiskFailure> = await withUnsafeContinuation { continuation in
            lanes.submit(entry.lane) { [self] job in
                sync(entry, job) { result in
                    continuation.resume(returning: result)
                    job.finish()
                }
            }
        }
        try result.get()
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
        let result: Result<Void, DiskFailure> = await withUnsafeContinuation { continuation in
            lanes.submit(.bulk) { [self] job in
                let end = { (result: Result<Void, DiskFailure>) in
                    continuation.resume(returning: result)
                    job.finish()
                }
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
        try result.get()
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

/// Who holds which lock, among the processes of one machine.
final class SimDiskLocks {
    private var held: [Int: (file: DiskFile, owner: ObjectIdentifier)] = [:]

    func isHeld(_ inode: SimInode) -> Bool { held[inode.number] != nil }

    func take(_ inode: SimInode, _ file: DiskFile, _ owner: SimDisk) {
        held[inode.number] = (file, ObjectIdentifier(owner))
    }

    func release(_ file: DiskFile, _ owner: SimDisk) {
        let owner = ObjectIdentifier(owner)
        held = held.filter { $0.value.file != file || $0.value.owner != owner }
    }

    func release(all owner: SimDisk) {
        let owner = ObjectIdentifier(owner)
        held = held.filter { $0.value.owner != owner }
    }
}
