// One segment of the log as the running spool knows it, and the supply of fresh ones: the next
// segment is always made, or recycled, before it is needed, and a reserve that intake never uses
// stays aside for the day the disk is full.

import EkidenMail
import EkidenRuntime

/// `@unchecked Sendable`: touched on the owner loop alone.
final class LogSegment: @unchecked Sendable {
    let number: UInt32
    /// Only of the segment that is written to.
    var file: DiskFile?
    let byteCount: Int
    /// Where the next frame goes; when sealed, what counts.
    var end = 0
    /// Everything before is durable.
    var synced = 0
    var lastSequence: UInt64 = 0
    /// Made from the reserve: for marks, operators and bounces, not for intake.
    var isReserve: Bool
    /// Frames, for the footer; empty once that is written.
    var frames: [FrameEntry] = []
    var hasFooter = false
    /// It failed under us: only the part before `end` counts, and the next preamble says so.
    var isCut = false
    /// For reading what is stored; on the bulk lane, so that it never delays the log.
    var reader: DiskFile?
    /// Reads under way: the file must stay as it is.
    var pins = 0

    init(number: UInt32, file: DiskFile?, byteCount: Int, isReserve: Bool = false) {
        self.number = number
        self.file = file
        self.byteCount = byteCount
        self.isReserve = isReserve
    }

    var room: Int { byteCount - end }

    /// Keeps what the footer will say of a batch's frames. The metas are copied: the batch's block
    /// is larger than they are, many times so for a lone message, and they stay until the segment
    /// is full.
    func append(_ batch: [(entry: FrameEntry, meta: Range<Int>)], from heads: Bytes) {
        var metas = BytesBuilder(capacity: batch.reduce(0) { $0 + $1.meta.count })
        for (_, meta) in batch { metas.append(heads[meta]) }
        let kept = metas.finish()
        var start = 0
        for (entry, meta) in batch {
            var entry = entry
            entry.meta = kept[start..<start + meta.count]
            start += meta.count
            frames.append(entry)
            lastSequence = entry.sequence
        }
    }
}

/// `@unchecked Sendable`: touched on the owner loop alone.
final class SegmentSupply: @unchecked Sendable {
    private let disk: any Disk
    /// Whoever changes names under `log/` makes them durable by this alone.
    let names: DirectorySync
    private let owner: Loop
    private let segmentBytes: Int
    private var nextNumber: UInt32

    private(set) var next: LogSegment?
    private(set) var hasReserve: Bool
    /// Files under `log/` that are free to become segments.
    private(set) var spares: [String]
    /// Names of segments' files that are renamed, but not yet durably, by the segments' numbers.
    private var leaving: [UInt32: String] = [:]
    /// Why the last attempt to make a segment or the reserve failed.
    private(set) var failure: DiskFailure?
    private var isWorking = false
    private var isStopped = false
    private var waiters: [UnsafeContinuation<Void, Never>] = []
    /// Called when a shortage ends or begins.
    var changed: () -> Void = {}

    init(
        disk: any Disk,
        owner: Loop,
        segmentBytes: Int,
        nextNumber: UInt32,
        hasReserve: Bool,
        spares: [String]
    ) {
        self.disk = disk
        names = DirectorySync(disk: disk, owner: owner, path: "log")
        self.owner = owner
        self.segmentBytes = segmentBytes
        self.nextNumber = nextNumber
        self.hasReserve = hasReserve
        self.spares = spares
    }

    /// Files of segment size it holds.
    var fileCount: Int { spares.count + (next == nil ? 0 : 1) + (hasReserve ? 1 : 0) }
    /// Intake must stop: what is left is for draining.
    var isShort: Bool { failure != nil && (next == nil || !hasReserve) }
    var mayRollForIntake: Bool { next != nil || failure == nil }

    func stop() { isStopped = true }

    /// Starts making what is missing, unless that is under way.
    func refill() {
        guard !isWorking, !isStopped, next == nil || !hasReserve else { return }
        isWorking = true
        owner.spawn { [self] in
            await work()
            isWorking = false
            let resumed = waiters
            waiters = []
            for waiter in resumed { waiter.resume() }
            changed()
        }
    }

    /// Waits until no work is under way.
    func settle() async {
        if isWorking { await withUnsafeContinuation { waiters.append($0) } }
    }

    private func work() async {
        // On a full disk what comes free restores the reserve first.
        let reserveFirst = failure != nil && !spares.isEmpty
        do throws(DiskFailure) {
            if reserveFirst, !hasReserve { try await makeReserve() }
            if next == nil { next = try await makeSegment() }
            if !hasReserve { try await makeReserve() }
            failure = nil
        } catch {
            failure = error
        }
    }

    /// The next segment. With `usingReserve` the reserve is taken when there is nothing else.
    func take(usingReserve: Bool) async throws(DiskFailure) -> LogSegment {
        if next == nil {
            refill()
            await settle()
        }
        if let segment = next {
            next = nil
            refill()
            return segment
        }
        guard usingReserve, hasReserve else {
            throw failure ?? DiskFailure(.other, "the spool is stopping")
        }
        hasReserve = false
        let segment = try await adopt(SegmentName.reserve, isReserve: true)
        changed()
        return segment
    }

    /// Gives a file's room back to the supply; keeps at most one spare beyond what is missing.
    /// When it returns the segment's name is durably gone.
    ///
    /// The name goes by a rename, and when the sync behind it fails, by one more rename at the next
    /// try: a later sync proves nothing for a name an earlier one had failed on, but it does for
    /// what is renamed anew. A segment that came back after a crash would bring back the messages
    /// in it, while the marks that end them are gone with a younger one.
    func recycle(_ number: UInt32) async throws(DiskFailure) {
        let name = leaving[number] ?? SegmentName.segment(number)
        var spare = SegmentName.spare(number)
        if leaving[number] != nil {
            spare = SegmentName.spare(nextNumber)
            nextNumber += 1
        }
        let mark = names.mark()
        do throws(DiskFailure) { try await disk.rename(name, to: spare) } catch {
            guard error.kind == .notFound else { throw error }
            // Somebody took it away.
            leaving[number] = nil
            return try await names.sync(since: mark)
        }
        leaving[number] = spare
        try await names.sync(since: mark)
        leaving[number] = nil
        let missing = (next == nil ? 1 : 0) + (hasReserve ? 0 : 1)
        if spares.count < max(1, missing) {
            spares.append(spare)
            refill()
        } else {
            spares.append(spare)
            try? await dropSpare()
        }
    }

    /// Gives the room of a spare back to the file system. When that fails it stays at hand.
    func dropSpare() async throws(DiskFailure) {
        guard let spare = spares.popLast() else { return }
        do throws(DiskFailure) { try await disk.remove(spare) } catch {
            if error.kind != .notFound {
                spares.append(spare)
                throw error
            }
        }
    }

    private func makeSegment() async throws(DiskFailure) -> LogSegment {
        let number = nextNumber
        if let spare = spares.popLast() { return try await adopt(spare, isReserve: false) }
        nextNumber += 1
        let path = SegmentName.segment(number)
        try await preallocate(path)
        return try await open(number, isReserve: false)
    }

    /// Makes an existing file of segment size the next segment. Its name is durable before it is
    /// written to, and its number is new, so that no old frame in it looks alive. When that fails
    /// the file, whatever its name is by then, stays at hand as a spare.
    private func adopt(_ path: String, isReserve: Bool) async throws(DiskFailure) -> LogSegment {
        let number = nextNumber
        nextNumber += 1
        try await rename(path, to: SegmentName.segment(number))
        return try await open(number, isReserve: isReserve)
    }

    /// A file that can't be opened is a spare: were it forgotten, each try would leave one behind.
    private func open(_ number: UInt32, isReserve: Bool) async throws(DiskFailure) -> LogSegment {
        let name = SegmentName.segment(number)
        let file: DiskFile
        do { file = try await disk.open(name, .readWrite, lane: .log) } catch {
            spares.append(name)
            throw error
        }
        return LogSegment(
            number: number,
            file: file,
            byteCount: segmentBytes,
            isReserve: isReserve
        )
    }

    /// Renames a file of the supply, durably; when that fails it is a spare under either name.
    private func rename(_ path: String, to new: String) async throws(DiskFailure) {
        var name = path
        let mark = names.mark()
        do throws(DiskFailure) {
            if path == new {
                // The sync failed when it got that name, and a later one proves nothing for it.
                name = SegmentName.spare(nextNumber)
                nextNumber += 1
                do { try await disk.rename(path, to: name) } catch {
                    name = path
                    throw error
                }
            }
            try await disk.rename(name, to: new)
            name = new
            try await names.sync(since: mark)
        } catch {
            spares.append(name)
            throw error
        }
    }

    private func makeReserve() async throws(DiskFailure) {
        // Its own file first, if the directory's sync failed when it last had that name.
        let at = spares.firstIndex(of: SegmentName.reserve) ?? spares.indices.last
        if let at {
            try await rename(spares.remove(at: at), to: SegmentName.reserve)
        } else {
            try await preallocate(SegmentName.reserve)
        }
        hasReserve = true
    }

    /// A new file of segment size, zeros and all, with its name durable. A half-made one is removed.
    private func preallocate(_ path: String) async throws(DiskFailure) {
        // Made under another name first: a half-made file is never taken for a whole one.
        let making = path + ".new"
        do throws(DiskFailure) {
            let file: DiskFile
            do { file = try await disk.open(making, .create, lane: .bulk) } catch {
                guard error.kind == .exists else { throw error }
                file = try await disk.open(making, .readWrite, lane: .bulk)
            }
            do { try await disk.preallocate(file, byteCount: segmentBytes) } catch {
                await disk.close(file)
                throw error
            }
            await disk.close(file)
        } catch {
            try? await disk.remove(making)
            throw error
        }
        try await rename(making, to: path)
    }
}
