// Gives room back, oldest segment first. Nothing older than the oldest segment exists, so its marks
// speak of nothing but messages in it; what is still queued of these moves to the end of the log as
// one consolidated record each, and only when those are durable does the segment go.

import EkidenMail
import EkidenRuntime

extension SpoolLog {
    /// Moved in one go at most.
    private static let moveBytesMax = 1 << 20
    private static let slotsPerLook = 8192

    /// Bytes of all files of the log.
    var logBytes: Int { (segments.count + supply.fileCount) * settings.segmentBytes }

    /// How room comes back.
    private enum Step {
        case reclaim(LogSegment)
        /// A file of the supply that nothing waits for.
        case dropSpare
    }

    /// Runs until the spool is closed.
    func reclaimLoop() async {
        while !isStopping {
            owner.setDeadline(reclaimSignal, .distantFuture)
            if let step = nextStep() {
                let isDone =
                    switch step {
                    case .reclaim(let oldest): await reclaim(oldest)
                    case .dropSpare: await dropSpare()
                    }
                restsUntil = owner.now() + settings.eagerReclaimRest
                if isDone { continue }
                owner.setDeadline(reclaimSignal, owner.now() + settings.guardInterval)
            }
            _ = await owner.wait(reclaimSignal, for: .signalled)
            owner.clear(.signalled, of: reclaimSignal)
        }
    }

    private func nextStep() -> Step? {
        guard let oldest = segments.first, oldest !== active, oldest !== segments.last
        else { return nil }
        let live = index.liveBytes[oldest.number] ?? 0
        if live == 0 { return .reclaim(oldest) }
        guard let active, trouble == nil else { return nil }
        // Surely into the segment at hand: then the log is one segment shorter.
        let fits = live + live / 4 < active.room
        // On a full disk nothing else is moved.
        if supply.isShort || active.isReserve {
            return supply.next != nil || fits ? .reclaim(oldest) : nil
        }
        if settings.reclaimsEagerly, owner.now() >= restsUntil { return .reclaim(oldest) }
        // docs/SPOOL.md: space used stays below twice the live bytes and four segments.
        let isOver =
            logBytes + settings.segmentBytes
            > 2 * index.totalLiveBytes + 4 * settings.segmentBytes
        guard isOver else { return nil }
        // Were the spare counted, two segments would be too many for mail that nearly fills one,
        // and moving it would not change that. Without it more than half of the segments' bytes
        // are dead when there are too many, so that moving makes them fewer.
        return fits || supply.spares.isEmpty ? .reclaim(oldest) : .dropSpare
    }

    /// False when it can't be done now.
    private func dropSpare() async -> Bool {
        do throws(DiskFailure) { try await supply.dropSpare() } catch {
            notice(.warning, "a spare segment could not be removed: \(error.text)")
            return false
        }
        return true
    }

    /// False when it can't be done now.
    private func reclaim(_ segment: LogSegment) async -> Bool {
        if index.liveBytes[segment.number] ?? 0 > 0 {
            guard await moveMessages(of: segment) else { return false }
        }
        guard index.liveBytes[segment.number] ?? 0 == 0, segments.first === segment,
            segment !== active, segment !== segments.last
        else { return false }
        // Reads under way end soon; new ones don't begin, since no message is here any more.
        while segment.pins > 0 { await owner.sleep(for: .milliseconds(5)) }
        guard segments.first === segment else { return false }
        if let reader = segment.reader {
            segment.reader = nil
            await disk.close(reader)
        }
        do {
            // Until its name is durably gone nothing younger may go: that has its marks.
            try await supply.recycle(segment.number)
        } catch {
            notice(.warning, "segment \(segment.number) could not be reclaimed: \(error.text)")
            return false
        }
        segments.removeFirst()
        index.forgetSegment(segment.number)
        try? await disk.remove(Footer.path(segment.number))
        updateRefusal()
        return true
    }

    private func moveMessages(of segment: LogSegment) async -> Bool {
        var cursor: UInt32 = 0
        while cursor < index.slotCount, !isStopping {
            let ids = index.ids(in: segment.number, from: &cursor, limit: Self.slotsPerLook)
            var at = 0
            while at < ids.count {
                var bytes = 0
                var group: [MovedMessage] = []
                while at < ids.count, bytes < Self.moveBytesMax, group.count < 64 {
                    // A move that an earlier look began may have ended while this one read and
                    // waited: the message is elsewhere then, and the place not of this file.
                    guard let location = index.location(ids[at]),
                        location.place.segment == segment.number
                    else {
                        at += 1
                        continue
                    }
                    guard let moved = await read(ids[at], location, segment) else { return false }
                    group.append(moved)
                    bytes += Int(location.frameBytes)
                    at += 1
                }
                guard await write(group) else { return false }
            }
        }
        return !isStopping
    }

    /// All of them, or false.
    private func write(_ group: [MovedMessage]) async -> Bool {
        if isStopping { return false }
        var allMoved = true
        for (number, moved) in group.enumerated() {
            let isLast = number == group.count - 1
            if !isLast {
                moves.append(LogEntry(work: .move(moved)))
                continue
            }
            // Moved in order, so the last one's turn is everybody's.
            allMoved = await withUnsafeContinuation { continuation in
                moves.append(LogEntry(work: .move(moved), waiter: .move(continuation)))
                owner.signal(wakeUp)
            }
        }
        return allMoved
    }

    private func read(
        _ id: QueueID,
        _ location: SpoolIndex.Slot,
        _ segment: LogSegment
    ) async -> MovedMessage? {
        segment.pins += 1
        defer { segment.pins -= 1 }
        do throws(ContentUnavailable) {
            let frame = try await readFrame(location.place, Int(location.frameBytes), segment)
            do throws(ContentUnavailable) {
                let stored = try StoredMessage(
                    frame: frame,
                    at: location.place,
                    part: Int(location.part)
                )
                return MovedMessage(
                    record: stored.record,
                    header: stored.header,
                    body: stored.body,
                    checksum: stored.checksum,
                    marks: await newestMarks(location, stored.record)
                )
            } catch { return await damaged(id, location, frame) }
        } catch {
            notice(.warning, "segment \(segment.number) can't be read: \(error.text)", id: id)
            return nil
        }
    }

    /// The words of each recipient's newest mark, so that the operator still reads them.
    private func newestMarks(
        _ location: SpoolIndex.Slot,
        _ record: MessageRecord
    ) async -> [RecipientMark] {
        record.marks + (await history(from: location.lastMarks))
    }

    /// What can be named of a message whose bytes are lost: it is held, and a copy is kept.
    private func damaged(
        _ id: QueueID,
        _ location: SpoolIndex.Slot,
        _ frame: Bytes
    ) async -> MovedMessage? {
        guard let known = index.message(id) else { return nil }
        let path = "damaged/" + id.text
        if let file = try? await disk.open(path, .create, lane: .bulk) {
            try? await disk.write([frame], to: file, at: 0, sync: true, written: nil)
            await disk.close(file)
            try? await disk.syncDirectory("damaged")
        }
        notice(.error, "its stored bytes have changed; what is left is in \(path)", id: id)
        index.setHold(Hold(reason: .damaged, uid: nil, since: owner.wallNow()), of: id)
        let envelope = Envelope(
            sender: known.sender,
            recipients: known.recipients.map(\.address),
            client: ClientFacts(endpoint: Endpoint(.v4(0), 0), inboundProtocol: .local),
            arrived: known.arrived
        )
        var record = MessageRecord(
            id: id,
            envelope: envelope,
            facts: MessageFacts(),
            headerBytes: 0,
            bodyBytes: known.byteCount
        )
        record.isDamaged = true
        return MovedMessage(record: record, header: Bytes(), body: Bytes(), checksum: 0, marks: [])
    }
}
