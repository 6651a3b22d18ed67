// Reading stored frames while the spool runs: from memory if the kernel has them, else by the disk's
// bulk lane. A segment that is read from is pinned, so that it is not recycled meanwhile.

import EkidenMail
import EkidenRuntime

extension SpoolLog {
    /// Files kept open for reading.
    private static let readersMax = 32
    private static let historyMarksMax = 1000

    /// The bytes of one frame; from a task of the owner loop, with the segment pinned.
    func readFrame(
        _ place: LogPlace,
        _ count: Int,
        _ segment: LogSegment
    ) async throws(ContentUnavailable) -> Bytes {
        do throws(DiskFailure) {
            let file = try await reader(segment)
            if let bytes = disk.readIfCached(file, at: place.offset, count: count),
                bytes.count == count
            {
                return bytes
            }
            return try await disk.read(file, at: place.offset, count: count)
        } catch { throw ContentUnavailable(error.text, isDamage: false) }
    }

    private func reader(_ segment: LogSegment) async throws(DiskFailure) -> DiskFile {
        if let reader = segment.reader { return reader }
        let file = try await disk.open(SegmentName.segment(segment.number), .read, lane: .bulk)
        if let reader = segment.reader {
            await disk.close(file)
            return reader
        }
        segment.reader = file
        let open = segments.filter { $0.reader != nil }
        if open.count > Self.readersMax,
            let idle = open.first(where: { $0.pins == 0 && $0 !== segment }),
            let reader = idle.reader
        {
            idle.reader = nil
            await disk.close(reader)
        }
        return file
    }

    /// A message as it is stored; from a task of the owner loop.
    func stored(_ id: QueueID) async throws(ContentUnavailable) -> StoredMessage {
        guard let location = index.location(id), let segment = segment(location.place.segment)
        else { throw ContentUnavailable("it is not in the queue any more", isDamage: false) }
        segment.pins += 1
        defer { segment.pins -= 1 }
        let frame = try await readFrame(location.place, Int(location.frameBytes), segment)
        return try StoredMessage(frame: frame, at: location.place, part: Int(location.part))
    }

    /// The marks at `place` and those before them, oldest first, as far back as the log goes.
    func history(from place: LogPlace) async -> [RecipientMark] {
        var groups: [[RecipientMark]] = []
        var place = place
        var count = 0
        while place != .none, count < Self.historyMarksMax, let segment = segment(place.segment) {
            segment.pins += 1
            let record = await marksRecord(place, segment)
            segment.pins -= 1
            guard let record, record.previous < place else { break }
            groups.append(record.marks)
            count += record.marks.count
            place = record.previous
        }
        return groups.reversed().flatMap { $0 }
    }

    private func marksRecord(_ place: LogPlace, _ segment: LogSegment) async -> MarksRecord? {
        let count = min(4096, max(0, segment.byteCount - place.offset))
        guard var bytes = try? await readFrame(place, count, segment),
            let head = try? FrameHead.parse(bytes.pointer),
            head.generation == UInt64(place.segment), head.kind == .marks
        else { return nil }
        if head.extentsOffset > bytes.count {
            guard let more = try? await readFrame(place, head.extentsOffset, segment)
            else { return nil }
            bytes = more
        }
        guard head.extentsOffset <= bytes.count, head.isIntact(bytes.pointer) else { return nil }
        return try? MarksRecord(decoding: bytes[FrameHead.byteCount..<head.extentsOffset])
    }
}
