// The spool: where a message rests between the 250 that took it and the outcome that ends it.
// Ingress, Outcome and operators put records in; the scheduler and Delivery read. What is promised
// when each call returns stands at the call; how it is kept is in docs/SPOOL.md.

import EkidenMail
import EkidenRuntime

package final class Spool: Sendable {
    let log: SpoolLog
    let door: SpoolDoor
    private let owner: Loop
    private let disk: any Disk
    private let settings: SpoolSettings
    private let lock: DiskFile
    private let largeNames: DirectorySync
    /// For the blocks of large bodies that are in memory: while they come in, wait and are sent.
    let freshMemory: MemoryShare

    private init(log: SpoolLog, lock: DiskFile) {
        self.log = log
        self.lock = lock
        door = log.door
        owner = log.owner
        disk = log.disk
        settings = log.settings
        largeNames = DirectorySync(disk: disk, owner: owner, path: "large")
        freshMemory = MemoryShare(bytesMax: settings.cacheBytes)
    }

    /// Opens the spool, from a task of the loop that will own it: takes the lock, reads the log,
    /// repairs what a crash left, and begins a new segment. Done before mail is accepted.
    package static func open(
        disk: any Disk,
        owner: Loop,
        settings: SpoolSettings = SpoolSettings(),
        events: any EventSink,
        hooks: SpoolHooks = SpoolHooks()
    ) async throws(SpoolOpenFailure) -> (spool: Spool, report: RecoveryReport) {
        owner.preconditionCurrent()
        let lock: DiskFile
        do throws(DiskFailure) {
            for directory in ["log", "large", "damaged"] {
                do { try await disk.makeDirectory(directory) } catch {
                    if error.kind != .exists { throw error }
                }
            }
            try await disk.syncDirectory("")
            lock = try await disk.lock("lock")
        } catch { throw error.kind == .locked ? .locked : .disk(error) }
        do {
            let survey = LogSurvey(disk: disk)
            try await survey.run()
            let log = try await start(survey, disk, owner, settings, events, hooks)
            let spool = Spool(log: log, lock: lock)
            let recovery = Recovery(disk: disk, settings: settings, survey: survey)
            let report = recovery.report(survey.index)
            for sentence in report.sentences { log.notice(.warning, sentence) }
            log.begin(damaged: survey.damaged)
            return (spool, report)
        } catch {
            await disk.close(lock)
            throw error
        }
    }

    private static func start(
        _ survey: LogSurvey,
        _ disk: any Disk,
        _ owner: Loop,
        _ settings: SpoolSettings,
        _ events: any EventSink,
        _ hooks: SpoolHooks
    ) async throws(SpoolOpenFailure) -> SpoolLog {
        do throws(DiskFailure) {
            let recovery = Recovery(disk: disk, settings: settings, survey: survey)
            let (spares, hasReserve) = try await recovery.run()
            let supply = SegmentSupply(
                disk: disk,
                owner: owner,
                segmentBytes: settings.segmentBytes,
                nextNumber: survey.highestNumber + 1,
                hasReserve: hasReserve,
                spares: spares
            )
            let log = SpoolLog(
                disk: disk,
                owner: owner,
                settings: settings,
                events: events,
                hooks: hooks,
                index: survey.index,
                supply: supply,
                door: SpoolDoor(
                    settings: settings,
                    lastID: survey.lastID,
                    clock: ClockWatch(
                        newestRecord: survey.newestWall,
                        wall: owner.wallNow(),
                        now: owner.now()
                    )
                ),
                segments: survey.segments,
                sequence: survey.sequence
            )
            for id in survey.large.keys { log.door.noteLarge(id) }
            log.door.setCounts(messages: log.index.count, bytes: log.index.queuedBytes)
            log.door.setSpace(try await disk.space())
            supply.changed = { [weak log] in log?.updateRefusal() }
            try await log.openFirst()
            return log
        } catch { throw .disk(error) }
    }

    // MARK: Taking mail, from any loop

    /// A new name; never given out twice by this spool.
    package func nextID() -> QueueID { door.nextID(at: owner.wallNow()) }

    /// Whether a message of about that size could be accepted now. Cheap, no I/O: ask at MAIL.
    package func admit(byteCount: Int) throws(SpoolRefusal) {
        try door.admit(byteCount: byteCount)
    }

    /// A place for the body of the message that will be accepted under `id`.
    package func makeBody(for id: QueueID) -> BodyIntake {
        BodyIntake(
            disk: disk,
            names: largeNames,
            memory: freshMemory,
            inlineMax: settings.inlineBodyBytesMax,
            id: id
        )
    }

    /// Returns when the message is on stable storage: now, and not before, say 250.
    /// Errors: it was not accepted; its body's file, if it had one, is the spool's to remove.
    package func accept(_ message: NewMessage) async throws(SpoolRefusal) {
        if let refusal = door.refusal {
            if let name = message.largeName { await onOwner { $0.refused(name) } }
            throw refusal
        }
        let prepared = try await prepare(message, inlineMax: settings.inlineBodyBytesMax)
        let refusal: SpoolRefusal? = await withUnsafeContinuation { continuation in
            let entry = LogEntry(work: .accept(prepared), waiter: .accept(continuation))
            if !push(entry) { continuation.resume(returning: Self.stopping) }
        }
        guard let refusal else { return }
        if let name = prepared.record.large {
            _ = door.forgetLarge(message.id)
            await onOwner { $0.refused(name) }
        }
        throw refusal
    }

    private static let stopping = SpoolRefusal(.unavailable, "the relay is stopping")

    /// False when the spool is closed.
    private func push(_ entry: LogEntry) -> Bool {
        guard let mustSignal = door.push(entry) else { return false }
        if mustSignal { owner.signal(log.wakeUp) }
        return true
    }

    /// Encodes and sums on the caller's loop; a body too large for the log goes to its own file.
    private func prepare(
        _ message: NewMessage,
        inlineMax: Int
    ) async throws(SpoolRefusal) -> PreparedMessage {
        var content = message.content
        var isOurs = false
        if case .memory(let bytes) = content.body { isOurs = bytes.count <= inlineMax }
        if message.largeName != nil { isOurs = true }
        if !isOurs { content = try await spill(message) }
        var record = MessageRecord(
            id: message.id,
            envelope: message.envelope,
            facts: content.facts,
            headerBytes: content.header.count,
            bodyBytes: content.body.byteCount
        )
        if case .stored(let reader as LargeBodyReader, _) = content.body {
            record.large = reader.name
            door.noteLarge(message.id)
        }
        return PreparedMessage(record: record, content: content)
    }

    private func spill(_ message: NewMessage) async throws(SpoolRefusal) -> Content {
        let intake = makeBody(for: message.id)
        do throws(SpoolRefusal) {
            switch message.content.body {
            case .memory(let bytes): try await intake.append(bytes)
            case .stored(let reader, let byteCount):
                var at = 0
                while at < byteCount {
                    let bytes: Bytes
                    do { bytes = try await reader.read(at: at, count: LargeName.blockBytes) } catch
                    {
                        throw SpoolRefusal(.unavailable, error.text)
                    }
                    if bytes.isEmpty { throw SpoolRefusal(.unavailable, "its body ended early") }
                    try await intake.append(bytes)
                    at += bytes.count
                }
            }
            return Content(
                header: message.content.header,
                body: try await intake.finish(),
                facts: message.content.facts
            )
        } catch {
            await intake.abandon()
            throw error
        }
    }

    // MARK: Outcomes, from any loop

    /// Records outcomes for recipients of one message. Marks alone: returns when the kernel has
    /// them, and they are durable within 20 ms. With messages they cause (bounce, delay notice):
    /// returns when all of it is durable; after any crash all of it is there or none.
    /// On a bad disk it waits until the disk is well; only a stop ends it earlier.
    package func record(_ group: MarkGroup) async -> Recorded {
        var caused: [PreparedMessage] = []
        for message in group.caused {
            // Half a segment still fits; larger ones need a file, and patience on a full disk.
            while true {
                do throws(SpoolRefusal) {
                    caused.append(
                        try await prepare(message, inlineMax: settings.segmentBytes / 4)
                    )
                    break
                } catch {
                    if await onOwner({ $0.isStopping }) { return .abandoned }
                    await pauseOnOwner()
                }
            }
        }
        let causedNow = caused
        return await withUnsafeContinuation { continuation in
            let work = LogEntry.Work.marks(group, caused: causedNow)
            if !push(LogEntry(work: work, waiter: .record(continuation))) {
                continuation.resume(returning: .abandoned)
            }
        }
    }

    private func pauseOnOwner() async {
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            owner.call { [owner, settings] in
                owner.spawn {
                    await owner.sleep(for: settings.probeIntervalMin)
                    continuation.resume()
                }
            }
        }
    }

    // MARK: Operators, from any loop; durable when these return

    /// - Parameter reason: `operatorHold`, or `damaged` when the relay itself holds it.
    package func hold(
        _ id: QueueID,
        uid: UInt32?,
        because reason: Reason = .operatorHold
    ) async throws(OperatorRefusal) {
        try await operate(.hold, id, uid, reason)
    }

    package func release(_ id: QueueID, uid: UInt32?) async throws(OperatorRefusal) {
        try await operate(.release, id, uid, .operatorRelease)
    }

    /// Removes recipients by their index; all that are left when nil. Whoever delivers must not be
    /// at it: the composition sees to that.
    package func remove(
        _ id: QueueID,
        recipients: [Int]? = nil,
        uid: UInt32?
    ) async throws(OperatorRefusal) {
        if let recipients, recipients.isEmpty { return }
        try await operate(.removed, id, uid, .operatorDelete, recipients ?? [])
    }

    private func operate(
        _ kind: FrameKind,
        _ id: QueueID,
        _ uid: UInt32?,
        _ reason: Reason,
        _ recipients: [Int] = []
    ) async throws(OperatorRefusal) {
        guard await onOwner({ $0.index.contains(id) }) else { throw .notFound }
        let record = OperatorRecord(
            id: id,
            at: owner.wallNow(),
            uid: uid,
            reason: reason,
            recipients: recipients
        )
        let refusal: OperatorRefusal? = await withUnsafeContinuation { continuation in
            let entry = LogEntry(work: .operation(kind, record), waiter: .operation(continuation))
            if !push(entry) { continuation.resume(returning: .unavailable(Self.stopping.text)) }
        }
        if let refusal { throw refusal }
    }

    // MARK: Reading, from any loop

    /// Header block and body: from memory, else read and checked. A large body is read by its
    /// `BodyReader`. Errors: `isDamage` says that trying again is of no use: put it on hold.
    package func content(of id: QueueID) async throws(ContentUnavailable) -> Content {
        if let content = door.cache.content(id) { return content }
        let result = await onOwnerTask { log -> Result<Content, ContentUnavailable> in
            do throws(ContentUnavailable) {
                return .success(try await log.stored(id).content(log.disk))
            } catch { return .failure(error) }
        }
        return try result.get()
    }

    /// Envelope and everything recorded about the message, read from the log.
    package func details(of id: QueueID) async throws(ContentUnavailable) -> MessageDetails {
        let result = await onOwnerTask { log -> Result<MessageDetails, ContentUnavailable> in
            do throws(ContentUnavailable) {
                let stored = try await log.stored(id)
                let newer = await log.history(from: log.index.location(id)?.lastMarks ?? .none)
                let older = stored.record.marks.filter { $0.attempts > 0 || $0.state.isFinal }
                return .success(
                    MessageDetails(
                        envelope: stored.record.envelope,
                        facts: stored.record.facts,
                        byteCount: stored.record.byteCount,
                        history: older + newer
                    )
                )
            } catch { return .failure(error) }
        }
        return try result.get()
    }

    private func onOwner<Value: Sendable>(
        _ body: @escaping @Sendable (SpoolLog) -> Value
    ) async -> Value {
        if owner.isCurrent { return body(log) }
        return await withUnsafeContinuation { continuation in
            owner.call { [log] in continuation.resume(returning: body(log)) }
        }
    }

    /// As `onOwner`, for work that waits.
    private func onOwnerTask<Value: Sendable>(
        _ body: @escaping @Sendable (SpoolLog) async -> Value
    ) async -> Value {
        if owner.isCurrent { return await body(log) }
        return await withUnsafeContinuation { continuation in
            owner.call { [log, owner] in
                owner.spawn { continuation.resume(returning: await body(log)) }
            }
        }
    }

    // MARK: On the owner loop alone

    package var messageCount: Int { onTheOwner.index.count }

    package func message(_ id: QueueID) -> QueuedMessage? { onTheOwner.index.message(id) }

    /// Up to `limit` queued messages with ids above `id` (nil: from the first), in order of id.
    package func messages(after id: QueueID?, limit: Int) -> [QueuedMessage] {
        onTheOwner.index.messages(after: id ?? QueueID(number: 0), limit: limit)
    }

    package var statistics: SpoolStatistics {
        let log = onTheOwner
        var statistics = log.statistics
        statistics.messages = log.index.count
        statistics.queuedBytes = log.index.queuedBytes
        statistics.liveBytes = log.index.totalLiveBytes
        statistics.segments = log.segments.count
        statistics.logBytes = log.logBytes
        statistics.cachedBytes = door.cache.byteCount
        statistics.isHealthy = log.trouble == nil
        statistics.refusal = door.presentRefusal?.text
        return statistics
    }

    /// Why nothing may expire now, since the clock is not to be trusted; nil when it is.
    /// Looked at afresh each time; from any loop.
    package var expiryPause: String? { log.expiryPause }

    /// An operator says that the clock is right.
    package func confirmClock() {
        onTheOwner.confirmClock()
    }

    private var onTheOwner: SpoolLog {
        owner.preconditionCurrent()
        return log
    }

    /// Ends it: what is under way is finished and synced, the segment closed with its footer. From
    /// a task of the owner loop, after intake and delivery have ended. On a bad disk, calls that
    /// wait end as `.abandoned`.
    package func close() async {
        await log.stop()
        await disk.close(lock)
    }
}
