// The one task that writes the log. Everything that came in while the last sync ran is written and
// synced together; a lone message waits for one sync and nothing else. When a write or sync fails
// the segment is given up, nothing of it is assumed, intake is refused at once, and marks wait until
// a probe finds the disk well again: nothing is sent whose outcome can't be recorded.

import EkidenMail
import EkidenRuntime
import Synchronization

/// Marks of one write. They count as soon as the kernel has them, which the disk's thread says, or
/// when the write has returned, whichever is seen first.
///
/// `@unchecked Sendable`: `placed` is touched on the owner loop alone.
private final class MarkBatch: @unchecked Sendable {
    private let isWithKernel = Atomic<Bool>(false)
    private var placed: [PlacedEntry]

    init(_ placed: [PlacedEntry]) { self.placed = placed }

    func noteWritten() { isWithKernel.store(true, ordering: .releasing) }
    var wasWritten: Bool { isWithKernel.load(ordering: .acquiring) }

    /// On the owner loop; each entry comes out once.
    func take() -> [PlacedEntry] {
        let all = placed
        placed = []
        return all
    }
}

extension SpoolLog {
    /// Runs until the spool is closed.
    func commitLoop() async {
        while true {
            let taken = door.takeAll()
            marks += taken.marks
            durable += taken.durable
            if active == nil {
                if isStopping { break }
                refuseWaiting()
                if owner.now() >= nextProbe { await probe() } else { await pause(until: nextProbe) }
                continue
            }
            if !moves.isEmpty || !marks.isEmpty || !durable.isEmpty {
                await writeBatch()
            } else if owner.now() >= syncBy {
                await syncActive()
            } else if isStopping {
                break
            } else {
                await pause(until: syncBy)
            }
        }
        await finishWriting()
    }

    private func pause(until deadline: Instant) async {
        owner.setDeadline(wakeUp, deadline)
        _ = await owner.wait(wakeUp, for: .signalled)
        owner.clear(.signalled, of: wakeUp)
    }

    // MARK: Writing

    private func writeBatch() async {
        guard let segment = active else { return }
        var batch = FrameBatch(
            generation: segment.number,
            start: segment.end,
            syncedUpTo: segment.synced
        )
        var frames: [(entry: FrameEntry, meta: Range<Int>)] = []
        let refusesIntake = segment.isReserve
        // Moved messages carry the state of before this batch, so they stand before its marks.
        let moved = take(&moves, into: &batch, &frames)
        var marked: [PlacedEntry] = []
        var synced: [PlacedEntry] = []
        if moves.isEmpty { marked = take(&marks, into: &batch, &frames) }
        if moves.isEmpty, marks.isEmpty {
            if refusesIntake { refuseAccepts(shortage) }
            synced = take(&durable, into: &batch, &frames)
        }
        guard batch.frameCount > 0 else {
            if !moves.isEmpty || !marks.isEmpty || !durable.isEmpty { await rollOver() }
            return
        }
        let byteCount = batch.byteCount
        let start = segment.end
        let isDurable = !moved.isEmpty || !synced.isEmpty
        let (parts, heads) = batch.finish()
        let markBatch = MarkBatch(marked)
        let hasMarks = !marked.isEmpty
        statistics.batches += 1
        statistics.framesWritten += frames.count
        guard let file = segment.file else { return }
        do {
            try await disk.write(parts, to: file, at: start, sync: isDurable) { [self] in
                markBatch.noteWritten()
                if hasMarks {
                    owner.call { [self] in
                        for placed in markBatch.take() { applyMarks(placed) }
                    }
                }
            }
        } catch {
            giveBack(moved, markBatch, marked, synced)
            fail(segment, error)
            return
        }
        for placed in markBatch.take() { applyMarks(placed) }
        segment.end = start + byteCount
        segment.append(frames, from: heads)
        unsynced += marked.map {
            var e = $0.entry; e.waiter = .none; return e
        }
        if isDurable {
            for placed in moved + synced { applyDurable(placed) }
            didSync(segment)
        } else if syncBy == .distantFuture {
            syncBy = owner.now() + settings.markSyncDelay
        }
    }

    /// Moves entries from the front of `list` into the batch as far as they fit.
    private func take(
        _ list: inout [LogEntry],
        into batch: inout FrameBatch,
        _ frames: inout [(entry: FrameEntry, meta: Range<Int>)]
    ) -> [PlacedEntry] {
        guard let segment = active else { return [] }
        var placed: [PlacedEntry] = []
        var used = 0
        while used < list.count, batch.frameCount < settings.batchEntriesMax {
            let place = LogPlace(segment: segment.number, offset: segment.end + batch.byteCount)
            guard let draft = draft(&list[used], at: place) else {
                list[used].waiter.succeed()
                used += 1
                continue
            }
            let isFirst = batch.frameCount == 0
            guard draft.frameBytes <= segment.room - batch.byteCount,
                isFirst || batch.byteCount + draft.frameBytes <= settings.batchBytesMax
            else { break }
            sequence += 1
            let (at, meta) = batch.add(draft, sequence: sequence)
            let subject = Self.subject(list[used].work)
            let frame = FrameEntry(
                place: at,
                kind: draft.kind,
                frameBytes: draft.frameBytes,
                sequence: sequence,
                meta: Bytes(),
                id: subject.id,
                hasCaused: subject.hasCaused
            )
            frames.append((frame, meta))
            placed.append(
                PlacedEntry(entry: list[used], place: at, frameBytes: draft.frameBytes)
            )
            used += 1
        }
        list.removeFirst(used)
        return placed
    }

    private func syncActive() async {
        guard let segment = active, let file = segment.file else { return }
        do { try await disk.sync(file) } catch {
            fail(segment, error)
            return
        }
        didSync(segment)
    }

    private func didSync(_ segment: LogSegment) {
        statistics.syncs += 1
        segment.synced = segment.end
        unsynced = []
        syncBy = .distantFuture
        if !largeToRemove.isEmpty {
            let ids = largeToRemove
            largeToRemove = []
            // Not synced: a name that comes back with a crash is removed by the next start.
            spawn { [self] in
                for id in ids { try? await disk.remove(LargeName.path(id.number)) }
            }
        }
    }

    // MARK: Segments

    /// The active segment has no room for what comes next.
    private func rollOver() async {
        guard let segment = active else { return }
        if segment.frames.count <= 1 {
            // Not even an empty segment has room: this one frame can't be stored.
            refuseOversized(segment)
            return
        }
        if segment.synced < segment.end {
            await syncActive()
            guard active === segment else { return }
        }
        let isForIntakeAlone = moves.isEmpty && marks.isEmpty && durable.allSatisfy(\.isIntake)
        let mayUseReserve = !isForIntakeAlone
        do {
            let next = try await supply.take(usingReserve: mayUseReserve)
            try await open(next)
        } catch {
            if isForIntakeAlone, error.kind == .noSpace || error.kind == .noInodes {
                refuseAccepts(shortage)
                updateRefusal()
                return
            }
            // Marks have nowhere to go: as bad as a disk that fails.
            stopUsing(segment, error)
            return
        }
        retire(segment)
    }

    /// Makes a fresh segment the active one, once its preamble is durable.
    private func open(_ next: LogSegment) async throws(DiskFailure) {
        candidate = next
        guard let file = next.file else { throw DiskFailure(.other, "segment without a file") }
        var cuts = segments.filter(\.isCut).map { SegmentCut(segment: $0.number, end: $0.end) }
        if let last = segments.last, !last.isCut {
            cuts.append(SegmentCut(segment: last.number, end: last.synced))
        }
        let preamble = ClockRecord(
            wall: believedTime(),
            idCeiling: door.raiseCeiling(at: owner.wallNow()),
            cuts: cuts
        )
        var batch = FrameBatch(generation: next.number, start: 0, syncedUpTo: 0)
        sequence += 1
        let draft = FrameDraft(.preamble, meta: preamble.encoded())
        let (place, meta) = batch.add(draft, sequence: sequence)
        let byteCount = batch.byteCount
        let (parts, heads) = batch.finish()
        try await disk.write(parts, to: file, at: 0, sync: true, written: nil)
        statistics.syncs += 1
        next.end = byteCount
        next.synced = byteCount
        next.lastSequence = sequence
        next.frames = [
            FrameEntry(
                place: place,
                kind: .preamble,
                frameBytes: byteCount,
                sequence: sequence,
                meta: heads[meta],
                id: QueueID(number: 0)
            )
        ]
        candidate = nil
        segments.append(next)
        active = next
        removeRefused()
        updateRefusal()
    }

    /// Opens the log for writing; once, at start.
    func openFirst() async throws(DiskFailure) {
        try await open(try await supply.take(usingReserve: true))
    }

    /// A full segment: closed for writing, and given its footer in the background.
    private func retire(_ segment: LogSegment) {
        let file = segment.file
        segment.file = nil
        spawn { [self] in
            if let file { await disk.close(file) }
            await writeFooter(segment)
        }
        owner.signal(reclaimSignal)
    }

    // MARK: A bad disk

    private func fail(_ segment: LogSegment, _ error: DiskFailure) {
        // Nothing after the last good sync is assumed. Marks that were only with the kernel are
        // written again; frames of refused messages are cut off by the next preamble.
        segment.end = segment.synced
        segment.frames.removeAll { $0.place.offset >= segment.synced }
        segment.isCut = true
        marks = unsynced + marks
        unsynced = []
        syncBy = .distantFuture
        retire(segment)
        stopUsing(segment, error)
    }

    private func stopUsing(_ segment: LogSegment, _ error: DiskFailure) {
        active = nil
        if segment.file != nil { retire(segment) }
        if trouble == nil {
            notice(
                .error,
                "outcomes and new mail can't be recorded, so nothing is accepted or sent until "
                    + "the disk is well: \(error.text)"
            )
        }
        trouble = error
        nextProbe = owner.now() + probeInterval
        updateRefusal()
        refuseWaiting()
    }

    /// After a failed write: marks wait, everything that can be refused is.
    private func giveBack(
        _ moved: [PlacedEntry],
        _ markBatch: MarkBatch,
        _ marked: [PlacedEntry],
        _ synced: [PlacedEntry]
    ) {
        if markBatch.wasWritten {
            for placed in markBatch.take() { applyMarks(placed) }
            marks =
                marked.map {
                    var e = $0.entry; e.waiter = .none; return e
                } + marks
        } else {
            marks = markBatch.take().map(\.entry) + marks
        }
        durable = synced.map(\.entry) + durable
        moves = moved.map(\.entry) + moves
    }

    private func probe() async {
        do {
            let segment: LogSegment
            if let candidate {
                segment = candidate
            } else {
                segment = try await supply.take(usingReserve: true)
            }
            try await open(segment)
        } catch {
            trouble = error
            probeInterval = min(probeInterval + probeInterval, settings.probeIntervalMax)
            nextProbe = owner.now() + probeInterval
            updateRefusal()
            return
        }
        trouble = nil
        probeInterval = settings.probeIntervalMin
        nextProbe = .distantFuture
        updateRefusal()
        notice(.warning, "the disk is well again; mail is accepted and sent as before")
    }

    private var shortage: SpoolRefusal {
        var cause = "the disk is full"
        if let failure = supply.failure, failure.kind != .noSpace, failure.kind != .noInodes {
            // Such as too many open files.
            cause = "no room can be made: \(failure.text)"
        }
        return SpoolRefusal(.full, cause + "; what is left is kept for mail already here")
    }

    /// What `admit` answers from now on.
    func updateRefusal() {
        if let active, active.isReserve, supply.hasReserve, supply.next != nil {
            active.isReserve = false
        }
        let before = door.refusal
        let refusal: SpoolRefusal?
        if isStopping {
            refusal = SpoolRefusal(.unavailable, "the relay is stopping")
        } else if let trouble {
            let isFull = trouble.kind == .noSpace || trouble.kind == .noInodes
            refusal = SpoolRefusal(isFull ? .full : .unavailable, trouble.text)
        } else if supply.isShort || active?.isReserve == true {
            refusal = shortage
        } else {
            refusal = nil
        }
        door.setRefusal(refusal)
        guard trouble == nil, !isStopping, (before == nil) != (refusal == nil) else { return }
        if let refusal, refusal.kind == .full {
            notice(.warning, "no new mail is accepted: \(refusal.text)")
        } else if before?.kind == .full, refusal == nil {
            notice(.info, "there is room for new mail again")
        }
    }

    private func refuseAccepts(_ refusal: SpoolRefusal) {
        for entry in durable where entry.isIntake { entry.waiter.refuse(refusal) }
        durable.removeAll(where: \.isIntake)
    }

    /// Everything that must not wait for a disk to recover.
    private func refuseWaiting() {
        let refusal = door.refusal ?? SpoolRefusal(.unavailable, "the disk is not well")
        for entry in moves + durable {
            if case .marks = entry.work { continue }
            entry.waiter.refuse(refusal)
        }
        moves = []
        durable.removeAll { if case .marks = $0.work { false } else { true } }
    }

    private func refuseOversized(_ segment: LogSegment) {
        let refusal = SpoolRefusal(.unavailable, "larger than a segment of the log")
        if !moves.isEmpty {
            moves.removeFirst().waiter.refuse(refusal)
        } else if !marks.isEmpty {
            marks.removeFirst().waiter.refuse(refusal)
        } else if !durable.isEmpty {
            durable.removeFirst().waiter.refuse(refusal)
        }
    }

    // MARK: Stopping

    private func finishWriting() async {
        let refusal = SpoolRefusal(.unavailable, "the relay is stopping")
        for entry in moves + marks + durable { entry.waiter.refuse(refusal) }
        tellUnrecorded(marks)
        moves = []
        marks = []
        durable = []
        if let segment = active, let file = segment.file {
            await writeLastHeartbeat(segment, file)
            await disk.close(file)
            segment.file = nil
            await writeFooter(segment)
        }
        isDone = true
        stopWaiter?.resume()
        stopWaiter = nil
    }

    /// Outcomes that were told to be recorded when the kernel had them, and whose sync then failed:
    /// nobody waits for them any more, and the next start may not find them.
    private func tellUnrecorded(_ entries: [LogEntry]) {
        for entry in entries {
            guard case .none = entry.waiter, case .marks(let group, _) = entry.work else {
                continue
            }
            let delivered = group.marks.count { $0.state == .delivered }
            guard delivered > 0 else { continue }
            notice(
                .error,
                "the disk did not keep what became of it before the relay stopped: "
                    + "\(delivered) \(delivered == 1 ? "delivery" : "deliveries") of it may be "
                    + "made twice",
                id: group.id
            )
        }
    }

    private func writeLastHeartbeat(_ segment: LogSegment, _ file: DiskFile) async {
        var entry = LogEntry(work: .heartbeat(isLast: true))
        let place = LogPlace(segment: segment.number, offset: segment.end)
        guard let draft = draft(&entry, at: place), draft.frameBytes <= segment.room else { return }
        var batch = FrameBatch(
            generation: segment.number,
            start: segment.end,
            syncedUpTo: segment.synced
        )
        sequence += 1
        let (at, meta) = batch.add(draft, sequence: sequence)
        let (parts, heads) = batch.finish()
        do {
            try await disk.write(parts, to: file, at: segment.end, sync: true, written: nil)
            segment.frames.append(
                FrameEntry(
                    place: at,
                    kind: .heartbeat,
                    frameBytes: draft.frameBytes,
                    sequence: sequence,
                    meta: heads[meta],
                    id: QueueID(number: 0)
                )
            )
            segment.end += draft.frameBytes
            segment.synced = segment.end
            segment.lastSequence = sequence
        } catch {
            notice(.warning, "the last heartbeat could not be written: \(error.text)")
        }
    }
}

extension LogEntry {
    /// Mail from outside, which may not use the reserve.
    var isIntake: Bool { if case .accept = work { true } else { false } }
}
