// Reads the whole log and says what is in it, changing nothing: recovery acts on the result, and
// `spool verify` and `spool export` only tell it. Segments are taken oldest first, so that what is
// recorded later wins as it did when it was written.

import EkidenMail
import EkidenRuntime

/// `@unchecked Sendable`: made by one task and handed on.
final class LogSurvey: @unchecked Sendable {
    let disk: any Disk
    let index = SpoolIndex()
    var segments: [LogSegment] = []
    var findings: [Finding] = []
    /// Segment files made and never used, and spares; with their sizes.
    var spares: [(path: String, byteCount: Int)] = []
    var reserveBytes: Int?
    /// Half-made files and footers without a segment.
    var leftovers: [String] = []
    var lostSegments: [UInt32] = []
    /// Ends of segments that can be read, but of which nobody says that they are durable: a killed
    /// process may have left them in the kernel's memory alone.
    var unvouched: [(segment: UInt32, bytes: Range<Int>)] = []
    var highestNumber: UInt32 = 0
    var sequence: UInt64 = 0
    var newestWall: WallTime?
    var lastID = QueueID(number: 0)
    var scannedCount = 0
    /// Messages whose bytes are not what was stored.
    var damaged: [QueueID: String] = [:]
    /// Bodies with their own file, of messages still queued.
    var large: [QueueID: (name: LargeName, byteCount: Int)] = [:]
    var orphans: [String] = []
    var logIsDamaged = false

    private var cuts: [UInt32: Int] = [:]
    private var footers: [UInt32: Footer] = [:]
    private var damagedFooters: Set<UInt32> = []

    init(disk: any Disk) { self.disk = disk }

    /// - Parameter checksBodies: scan every segment and read every body, footers or not.
    func run(checksBodies: Bool = false) async throws(SpoolOpenFailure) {
        do throws(DiskFailure) {
            let sizes = try await listLog()
            for number in sizes.keys.sorted() { try await readAhead(number) }
            for number in sizes.keys.sorted() {
                if let newer = try await take(number, sizes[number] ?? 0, checksBodies) {
                    throw newer
                }
            }
            for number in cuts.keys.sorted() where sizes[number] == nil && isMissed(number) {
                lostSegments.append(number)
                findings.append(.lostSegment(number))
                logIsDamaged = true
            }
            try await surveyLarge(checksBodies)
        } catch {
            if error.text.hasPrefix(Self.newerMark) {
                throw .unknownFormat(String(error.text.dropFirst(Self.newerMark.count)))
            }
            throw .disk(error)
        }
    }

    private static let newerMark = "newer format: "

    /// A segment that a preamble names and that isn't there was reclaimed, unless younger ones than
    /// it and older ones than it are both there.
    private func isMissed(_ number: UInt32) -> Bool {
        segments.contains { $0.number < number } && (cuts[number] ?? 0) > 0
    }

    private func listLog() async throws(DiskFailure) -> [UInt32: Int] {
        var sizes: [UInt32: Int] = [:]
        var footerNumbers: [UInt32] = []
        for entry in try await disk.list("log") where !entry.isDirectory {
            let path = "log/" + entry.name
            guard let (number, suffix) = SegmentName.parse(entry.name) else {
                if path == SegmentName.reserve {
                    reserveBytes = entry.byteCount
                } else if entry.name.hasSuffix(".new") {
                    leftovers.append(path)
                }
                continue
            }
            highestNumber = max(highestNumber, number)
            switch suffix {
            case "segment": sizes[number] = entry.byteCount
            case "spare": spares.append((path, entry.byteCount))
            case "footer": footerNumbers.append(number)
            default: break
            }
        }
        for number in footerNumbers {
            guard sizes[number] != nil else {
                leftovers.append(Footer.path(number))
                continue
            }
            // One that can't be read is worth no more than one that is wrong: the segment has it all.
            if let bytes = try? await readAll(Footer.path(number)) {
                footers[number] = Footer(decoding: bytes, segment: number)
            }
            if footers[number] == nil { damagedFooters.insert(number) }
        }
        return sizes
    }

    func readAll(_ path: String) async throws(DiskFailure) -> Bytes {
        let file = try await disk.open(path, .read, lane: .bulk)
        let result: Result<Bytes, DiskFailure>
        do throws(DiskFailure) {
            let size = try await disk.size(file)
            result = .success(try await disk.read(file, at: 0, count: size))
        } catch { result = .failure(error) }
        await disk.close(file)
        return try result.get()
    }

    /// The cuts that a segment's preamble names, before any segment is judged.
    private func readAhead(_ number: UInt32) async throws(DiskFailure) {
        var meta: Bytes?
        if let footer = footers[number] {
            meta = footer.entries.first { $0.kind == .preamble }?.meta
        } else {
            let file = try await disk.open(SegmentName.segment(number), .read, lane: .bulk)
            let result: Result<Bytes, DiskFailure>
            do { result = .success(try await disk.read(file, at: 0, count: 65_536)) } catch {
                result = .failure(error)
            }
            await disk.close(file)
            let start = try result.get()
            if let head = SegmentScan.frame(start.pointer, 0, number), head.kind == .preamble {
                meta = start[FrameHead.byteCount..<FrameHead.byteCount + head.metaBytes]
            }
        }
        guard let meta, let record = try? ClockRecord(decoding: meta) else { return }
        for cut in record.cuts {
            cuts[cut.segment] = min(cuts[cut.segment] ?? .max, cut.end)
        }
    }

    /// One segment; the failure says that it is of a newer format.
    private func take(
        _ number: UInt32,
        _ byteCount: Int,
        _ scansAll: Bool
    ) async throws(DiskFailure) -> DiskFailure? {
        let footer = footers[number]
        var bytes: Bytes?
        if footer == nil || scansAll { bytes = try await readAll(SegmentName.segment(number)) }
        let condition = SegmentCondition(
            footer: footer != nil
                ? .intact : damagedFooters.contains(number) ? .damaged : .missing,
            hasFrames: bytes.map { SegmentScan.hasFrames($0.pointer, number) } ?? true,
            isNamed: (cuts[number] ?? 0) > 0
        )
        if damagedFooters.contains(number) { findings.append(.damagedFooter(number)) }
        var verdict = RecoveryTable.verdict(condition)
        if scansAll, verdict == .readFooter { verdict = .scan }
        let segment = LogSegment(number: number, file: nil, byteCount: byteCount)
        switch verdict {
        case .readFooter:
            guard let footer else { return nil }
            apply(footer.entries, damagedFrames: [], to: segment)
            for id in footer.finished { finish(id) }
            segment.end = footer.end
            segment.hasFooter = true
            segment.lastSequence = footer.lastSequence
        case .scan:
            guard let bytes else { return nil }
            let scan = SegmentScan(bytes, segment: number, cut: footer?.end ?? cuts[number])
            if scan.isNewer { return DiskFailure(.other, Self.newerMark + "segment \(number)") }
            scannedCount += 1
            findings += scan.findings
            let isTorn = scan.findings.contains { if case .tornTail = $0 { true } else { false } }
            segment.isCut = isTorn || cuts[number] != nil
            if scan.findings.contains(where: { if case .damagedPlace = $0 { true } else { false } })
            {
                logIsDamaged = true
            }
            segment.frames = apply(scan.entries, damagedFrames: scan.damagedFrames, to: segment)
            for id in footer?.finished ?? [] { finish(id) }
            segment.end = scan.end
            segment.lastSequence = scan.lastSequence
            if footer == nil, cuts[number] == nil, scan.vouchedUpTo < scan.end {
                unvouched.append((number, scan.vouchedUpTo..<scan.end))
            }
        case .lost:
            lostSegments.append(number)
            findings.append(.lostSegment(number))
            logIsDamaged = true
            return nil
        case .spare:
            if let bytes, SegmentScan(bytes, segment: number, cut: nil).isNewer {
                return DiskFailure(.other, Self.newerMark + "segment \(number)")
            }
            spares.append((SegmentName.segment(number), byteCount))
            return nil
        }
        segment.synced = segment.end
        sequence = max(sequence, segment.lastSequence)
        segments.append(segment)
        return nil
    }

    // MARK: Records

    @discardableResult
    private func apply(
        _ entries: [FrameEntry],
        damagedFrames: Set<Int>,
        to segment: LogSegment
    ) -> [FrameEntry] {
        var frames: [FrameEntry] = []
        for var entry in entries {
            do throws(BadFields) {
                try apply(&entry, isDamaged: damagedFrames.contains(entry.place.offset))
                frames.append(entry)
            } catch {
                let start = entry.place.offset
                findings.append(
                    .damagedPlace(segment: segment.number, start..<start + entry.frameBytes)
                )
                logIsDamaged = true
            }
        }
        return frames
    }

    private func apply(_ entry: inout FrameEntry, isDamaged: Bool) throws(BadFields) {
        switch entry.kind {
        case .preamble, .heartbeat:
            let record = try ClockRecord(decoding: entry.meta)
            newestWall = max(newestWall ?? record.wall, record.wall)
            lastID = max(lastID, record.idCeiling)
        case .accepted, .consolidated:
            let record = try MessageRecord(decoding: entry.meta)
            entry.id = record.id
            insert(record, entry, part: 0, parts: 1, isDamaged: isDamaged)
        case .marks:
            let record = try MarksRecord(decoding: entry.meta)
            entry.id = record.id
            entry.hasCaused = !record.caused.isEmpty
            if index.apply(record.marks, to: record.id, at: entry.place) == .finished {
                finish(record.id)
            }
            for (part, message) in record.caused.enumerated() {
                insert(
                    message,
                    entry,
                    part: part,
                    parts: record.caused.count,
                    isDamaged: isDamaged
                )
            }
        case .hold:
            let record = try OperatorRecord(decoding: entry.meta)
            entry.id = record.id
            index.setHold(record.asHold, of: record.id)
        case .release:
            let record = try OperatorRecord(decoding: entry.meta)
            entry.id = record.id
            index.setHold(nil, of: record.id)
        case .removed:
            let record = try OperatorRecord(decoding: entry.meta)
            entry.id = record.id
            if index.applyRemoval(record, at: entry.place) == .finished { finish(record.id) }
        case .footer: break
        }
    }

    private func insert(
        _ record: MessageRecord,
        _ entry: FrameEntry,
        part: Int,
        parts: Int,
        isDamaged: Bool
    ) {
        let queued = QueuedMessage(record)
        lastID = max(lastID, record.id)
        guard queued.recipients.contains(where: { $0.state == .pending }) else { return }
        index.insert(
            queued,
            at: entry.place,
            frameBytes: entry.frameBytes,
            part: part,
            parts: parts,
            isLarge: record.large != nil
        )
        if let name = record.large { large[record.id] = (name, record.bodyBytes) }
        if isDamaged || record.isDamaged {
            note(record.id, "its stored bytes have changed")
        } else {
            damaged[record.id] = nil
        }
    }

    private func finish(_ id: QueueID) {
        index.remove(id)
        damaged[id] = nil
        large[id] = nil
    }

    private func note(_ id: QueueID, _ text: String) { damaged[id] = text }

    // MARK: Large files

    private func surveyLarge(_ checksBodies: Bool) async throws(DiskFailure) {
        var sizes: [String: Int] = [:]
        let entries = try await disk.list("large")
        for entry in entries { sizes["large/" + entry.name] = entry.byteCount }
        var named: Set<String> = []
        for id in large.keys.sorted() {
            guard let (name, byteCount) = large[id] else { continue }
            named.insert(name.path)
            let size = sizes[name.path]
            var file = LargeCondition.File.whole
            if size == nil { file = .missing } else if size ?? 0 < byteCount { file = .short }
            if file == .whole, checksBodies {
                let reader = LargeBodyReader(disk: disk, name: name, byteCount: byteCount)
                if await reader.check() != nil { file = .short }
            }
            let condition = LargeCondition(file: file, isNamed: true, logIsDamaged: logIsDamaged)
            if RecoveryTable.verdict(condition) == .hold {
                note(id, "its body in \(name.path) is \(file == .missing ? "missing" : "damaged")")
            }
        }
        for entry in entries where !named.contains("large/" + entry.name) {
            let condition = LargeCondition(
                file: .whole,
                isNamed: false,
                logIsDamaged: logIsDamaged
            )
            if RecoveryTable.verdict(condition) == .remove {
                orphans.append("large/" + entry.name)
            } else {
                findings.append(.orphan("large/" + entry.name))
            }
        }
        for id in damaged.keys.sorted() {
            findings.append(.damagedMessage(id, text: damaged[id] ?? ""))
        }
    }
}
