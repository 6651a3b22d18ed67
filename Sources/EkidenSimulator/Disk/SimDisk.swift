// A disk in memory and virtual time: the seam `Disk` for the simulated world, as one process sees
// it. Operations take their turn and their time, and may be told to fail or to be the last before a
// crash. When the process dies, its image goes on: the next process gets a new `SimDisk` on it.

import EkidenMail
import EkidenRuntime

/// `@unchecked Sendable`: used on the world's one thread.
package final class SimDisk: Disk, @unchecked Sendable {
    package let image: SimDiskImage
    let world: SimWorld
    let random: SimRandom
    let lanes: SimDiskLanes
    let locks: SimDiskLocks

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

    /// Called when an operation has ended, before its result is told.
    package var ended: ((SimDiskOperation) -> Void)?

    package private(set) var operationCount = 0
    package internal(set) var syncCount = 0
    package private(set) var counts: [SimDiskOperation: Int] = [:]
    /// Operations that were made to fail, for a summary of the faults injected.
    package private(set) var failureCounts: [SimDiskOperation: Int] = [:]
    /// Bits flipped by `faults.rotOneIn`.
    package internal(set) var rotCount = 0

    struct Open {
        let path: String
        let inode: SimInode
        let lane: DiskLane
        let isWritable: Bool
    }
    var open: [Int: Open] = [:]
    /// Files open now.
    package var openCount: Int { open.count }
    var nextNumber = 1

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
        // Closing lets go of the locks, as the kernel does.
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
        try await onThread(of: lane) { [self] job, end in
            step(job, operation, path, detail, failed: failed, body, then: end)
        }
    }

    /// Steps on a thread of `lane`, which is free again when the last one calls `end`.
    func onThread<Value: Sendable>(
        of lane: DiskLane,
        _ steps:
            @escaping (SimDiskJob, _ end: @escaping (Result<Value, DiskFailure>) -> Void) -> Void
    ) async throws(DiskFailure) -> Value {
        let result: Result<Value, DiskFailure> = await withUnsafeContinuation { continuation in
            lanes.submit(lane) { job in
                steps(job) { result in
                    continuation.resume(returning: result)
                    job.finish()
                }
            }
        }
        return try result.get()
    }

    func step<Value>(
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
            ended?(operation)
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

    func entry(_ file: DiskFile) -> Open {
        guard let entry = open[file.number] else { preconditionFailure("file is not open") }
        return entry
    }

    func forget(_ file: DiskFile) {
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
    var freeBytes: Int {
        guard let capacityBytes else { return 1 << 50 }
        var used = image.root.totalBytes
        var seen: Set<Int> = []
        for entry in open.values
        where entry.inode.linkCount == 0 && seen.insert(entry.inode.number).inserted {
            used += entry.inode.current.count
        }
        return max(0, capacityBytes - used)
    }
}
