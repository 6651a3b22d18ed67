// What the owner loop knows of the log: its segments, the index, and everything that changes them
// once a record is written. The commit loop (CommitLoop.swift) writes, and calls in here with what
// became true; nothing here waits.

import EkidenMail
import EkidenRuntime

/// A request on its way into the log.
struct LogEntry: Sendable {
    enum Work: Sendable {
        case accept(PreparedMessage)
        case marks(MarkGroup, caused: [PreparedMessage])
        case operation(FrameKind, OperatorRecord)
        /// Extents of a message that moves to a new segment.
        case move(MovedMessage)
        case heartbeat(isLast: Bool)
    }

    var work: Work
    var waiter: Waiter = .none
    /// Where the message's previous marks were when it was first written.
    var previousMarks: LogPlace?

    /// Must be durable before it is done; marks alone may wait a little.
    var isDurable: Bool {
        if case .marks(_, let caused) = work { return !caused.isEmpty }
        return true
    }
}

enum Waiter: Sendable {
    case none
    case accept(UnsafeContinuation<SpoolRefusal?, Never>)
    case record(UnsafeContinuation<Recorded, Never>)
    case operation(UnsafeContinuation<OperatorRefusal?, Never>)
    case move(UnsafeContinuation<Bool, Never>)

    func succeed() {
        switch self {
        case .none: break
        case .accept(let c): c.resume(returning: nil)
        case .record(let c): c.resume(returning: .recorded)
        case .operation(let c): c.resume(returning: nil)
        case .move(let c): c.resume(returning: true)
        }
    }

    func refuse(_ refusal: SpoolRefusal) {
        switch self {
        case .none: break
        case .accept(let c): c.resume(returning: refusal)
        case .record(let c): c.resume(returning: .abandoned)
        case .operation(let c): c.resume(returning: .unavailable(refusal.text))
        case .move(let c): c.resume(returning: false)
        }
    }
}

/// A stored message read back, to be written again at the end of the log.
struct MovedMessage: Sendable {
    var record: MessageRecord
    var header: Bytes
    var body: Bytes
    var checksum: UInt32
    /// The newest words known for each recipient, for people.
    var marks: [RecipientMark]
}

/// An entry that has its place in the log.
struct PlacedEntry: Sendable {
    var entry: LogEntry
    var place: LogPlace
    var frameBytes: Int
}

/// `@unchecked Sendable`: everything but what is marked otherwise is touched on the owner loop
/// alone, by its tasks and calls.
final class SpoolLog: @unchecked Sendable {
    let disk: any Disk
    let owner: Loop
    let settings: SpoolSettings
    let events: any EventSink
    let hooks: SpoolHooks
    let index: SpoolIndex
    let supply: SegmentSupply
    /// Shared with all loops.
    let door: SpoolDoor
    let cache: ContentCache

    /// Older segments first; the last is the active one, if there is one.
    var segments: [LogSegment]
    var active: LogSegment?
    var sequence: UInt64
    var statistics = SpoolStatistics()
    /// Nothing is reclaimed eagerly before.
    var restsUntil = Instant(nanoseconds: 0)
    /// Large files of finished messages; removed once what finished them is durable.
    var largeToRemove: [QueueID] = []
    /// Large files of refused messages, whose records may yet turn up at a start while no preamble
    /// has cut them off, and would miss them.
    var largeRefused: [LargeName] = []

    // The commit loop's own.
    let wakeUp: Handle
    var moves: [LogEntry] = []
    var marks: [LogEntry] = []
    var durable: [LogEntry] = []
    /// Marks the kernel has and the disk perhaps not.
    var unsynced: [LogEntry] = []
    var syncBy = Instant.distantFuture
    var trouble: DiskFailure? {
        didSet {
            if (oldValue == nil) != (trouble == nil) { hooks.healthChanged(trouble == nil) }
        }
    }
    var nextProbe = Instant.distantFuture
    var probeInterval: Duration
    var candidate: LogSegment?
    /// A guard refuses new mail, and that was told.
    var guardsRefuse = false
    var isStopping = false
    var isDone = false
    var stopWaiter: UnsafeContinuation<Void, Never>?
    /// Wakes the reclaimer.
    let reclaimSignal: Handle
    let housekeepingTimer: Handle
    var runningTasks = 0
    var idleWaiter: UnsafeContinuation<Void, Never>?

    init(
        disk: any Disk,
        owner: Loop,
        settings: SpoolSettings,
        events: any EventSink,
        hooks: SpoolHooks,
        index: SpoolIndex,
        supply: SegmentSupply,
        door: SpoolDoor,
        segments: [LogSegment],
        sequence: UInt64
    ) {
        self.disk = disk
        self.owner = owner
        self.settings = settings
        self.events = events
        self.hooks = hooks
        self.index = index
        self.supply = supply
        self.door = door
        self.segments = segments
        self.sequence = sequence
        cache = door.cache
        probeInterval = settings.probeIntervalMin
        wakeUp = owner.makeHandle()
        reclaimSignal = owner.makeHandle()
        housekeepingTimer = owner.makeHandle()
    }

    func notice(_ level: EventLevel, _ text: String, id: QueueID? = nil) {
        events.emit(.notice(.init(level, "spool", text, id: id)), at: owner.wallNow())
    }

    func segment(_ number: UInt32) -> LogSegment? { segments.first { $0.number == number } }

    /// Background work of the spool; a stop waits for it.
    func spawn(_ body: @escaping @Sendable () async -> Void) {
        runningTasks += 1
        owner.spawn { [self] in
            await body()
            runningTasks -= 1
            if runningTasks == 0 { idleWaiter?.resume() }
            if runningTasks == 0 { idleWaiter = nil }
        }
    }

    /// Waits for the background work under way.
    func settle() async {
        if runningTasks > 0 { await withUnsafeContinuation { idleWaiter = $0 } }
    }

    /// Writes the footer of a closed segment; a failure only makes the next start read more.
    func writeFooter(_ segment: LogSegment) async {
        let footer = Footer(
            segment: segment.number,
            end: segment.end,
            lastSequence: segment.lastSequence,
            frames: segment.frames,
            isQueued: { index.contains($0) }
        )
        let mark = supply.names.mark()
        do throws(DiskFailure) {
            let file = try await createAnew(Footer.path(segment.number))
            let failure = await writeWhole(footer.encoded(), to: file)
            await disk.close(file)
            if let failure { throw failure }
            try await supply.names.sync(since: mark)
            segment.hasFooter = true
            segment.frames = []
        } catch {
            notice(.warning, "the footer of segment \(segment.number) could not be written")
        }
    }

    /// Makes the file, in place of one that a crash may have left.
    private func createAnew(_ path: String) async throws(DiskFailure) -> DiskFile {
        do throws(DiskFailure) {
            return try await disk.open(path, .create, lane: .bulk)
        } catch {
            if error.kind != .exists { throw error }
        }
        try await disk.remove(path)
        return try await disk.open(path, .create, lane: .bulk)
    }

    private func writeWhole(_ parts: [Bytes], to file: DiskFile) async -> DiskFailure? {
        do throws(DiskFailure) {
            try await disk.write(parts, to: file, at: 0, sync: true, written: nil)
            return nil
        } catch { return error }
    }

    // MARK: What became true

    /// Marks are with the kernel: they count from here on.
    func applyMarks(_ placed: PlacedEntry) {
        guard case .marks(let group, let caused) = placed.entry.work else { return }
        let effect = index.apply(group.marks, to: group.id, at: placed.place)
        if effect == .finished { finished(group.id) }
        for (part, message) in caused.enumerated() {
            accepted(message, placed, part: part, parts: caused.count)
        }
        placed.entry.waiter.succeed()
    }

    /// A durable entry's sync has ended well.
    func applyDurable(_ placed: PlacedEntry) {
        switch placed.entry.work {
        case .accept(let message):
            accepted(message, placed, part: 0, parts: 1)
            placed.entry.waiter.succeed()
        case .marks: applyMarks(placed)
        case .operation(let kind, let record): apply(kind, record, placed)
        case .move(let message):
            index.move(message.record.id, to: placed.place, frameBytes: placed.frameBytes)
            placed.entry.waiter.succeed()
        case .heartbeat: placed.entry.waiter.succeed()
        }
    }

    private func accepted(_ message: PreparedMessage, _ placed: PlacedEntry, part: Int, parts: Int)
    {
        index.insert(
            message.queued,
            at: placed.place,
            frameBytes: placed.frameBytes,
            part: part,
            parts: parts,
            isLarge: message.record.large != nil
        )
        cache.insert(message.record.id, message.content)
        statistics.acceptedMessages += 1
        door.setCounts(messages: index.count, bytes: index.queuedBytes)
        hooks.accepted(message.queued)
    }

    private func apply(_ kind: FrameKind, _ record: OperatorRecord, _ placed: PlacedEntry) {
        switch kind {
        case .hold: index.setHold(record.asHold, of: record.id)
        case .release: index.setHold(nil, of: record.id)
        case .removed:
            if index.applyRemoval(record, at: placed.place) == .finished { finished(record.id) }
        default: break
        }
        placed.entry.waiter.succeed()
    }

    private func finished(_ id: QueueID) {
        cache.remove(id)
        if door.forgetLarge(id) { largeToRemove.append(id) }
        door.setCounts(messages: index.count, bytes: index.queuedBytes)
        owner.signal(reclaimSignal)
    }

    // MARK: What was refused

    /// A message with a large body was not accepted: its file goes as soon as no record can name it.
    func refused(_ name: LargeName) {
        largeRefused.append(name)
        if active != nil { removeRefused() }
    }

    /// With a segment to write to, whatever failed before it is cut off. A stop leaves the rest to
    /// the next start.
    func removeRefused() {
        guard !largeRefused.isEmpty, !isStopping else { return }
        let names = largeRefused
        largeRefused = []
        spawn { [self] in
            for name in names { try? await disk.remove(name.path) }
        }
    }

    // MARK: Entries as frames

    /// The frame of an entry, as things stand now; nil when it has become pointless.
    func draft(_ entry: inout LogEntry, at place: LogPlace) -> FrameDraft? {
        switch entry.work {
        case .accept(let message): return message.draft
        case .marks(let group, let caused):
            let previous = entry.previousMarks ?? index.location(group.id)?.lastMarks ?? .none
            entry.previousMarks = previous
            let record = MarksRecord(
                id: group.id,
                previous: previous,
                marks: group.marks,
                caused: caused.map(\.record)
            )
            return FrameDraft(meta: record.encoded(), caused: caused)
        case .operation(let kind, let record): return FrameDraft(kind, meta: record.encoded())
        case .heartbeat(let isLast):
            let ceiling = isLast ? door.lastID : door.raiseCeiling(at: owner.wallNow())
            let record = ClockRecord(wall: believedTime(), idCeiling: ceiling)
            return FrameDraft(.heartbeat, meta: record.encoded())
        case .move(let moved):
            guard let now = index.message(moved.record.id) else { return nil }
            var record = moved.record
            record.hold = now.hold
            record.isReleased = now.isReleased
            record.marks = now.recipients.enumerated().map { index, status in
                Self.mark(index, status, words: moved.marks.last { $0.recipient == index })
            }
            return FrameDraft(
                .consolidated,
                meta: record.encoded(),
                header: moved.header,
                body: moved.body,
                checksum: moved.checksum
            )
        }
    }

    /// A recipient's state now, with the words of its newest mark.
    private static func mark(
        _ index: Int,
        _ status: RecipientStatus,
        words: RecipientMark?
    ) -> RecipientMark {
        RecipientMark(
            recipient: index,
            state: status.state,
            attempts: status.attempts,
            at: words?.at ?? WallTime(nanoseconds: 0),
            nextAttempt: status.nextAttempt,
            reason: status.reason,
            host: words?.host ?? "",
            words: words?.words ?? "",
            delayNoticeSent: status.delayNoticeSent
        )
    }

    /// The message an entry speaks of, and whether it brings others.
    static func subject(_ work: LogEntry.Work) -> (id: QueueID, hasCaused: Bool) {
        switch work {
        case .accept(let message): (message.record.id, false)
        case .marks(let group, let caused): (group.id, !caused.isEmpty)
        case .operation(_, let record): (record.id, false)
        case .move(let moved): (moved.record.id, false)
        case .heartbeat: (QueueID(number: 0), false)
        }
    }
}
