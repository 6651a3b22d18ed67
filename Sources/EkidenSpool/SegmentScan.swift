// Reads a whole segment frame by frame, believing only what its checksums prove, and asks the
// recovery table what to make of each place. Pure: bytes in, entries and findings out. Recovery and
// `spool verify` call it.

import EkidenCrypto
import EkidenMail

/// Something found in the log that an operator may want to know.
enum Finding: Equatable, Sendable {
    case tornTail(segment: UInt32, offset: Int)
    case damagedPlace(segment: UInt32, Range<Int>)
    case damagedMessage(QueueID, text: String)
    case lostSegment(UInt32)
    case damagedFooter(UInt32)
    case orphan(String)

    var sentence: String {
        switch self {
        case .tornTail(let segment, let offset):
            "segment \(segment) ends with a torn write at byte \(offset), which nobody was "
                + "told of"
        case .damagedPlace(let segment, let range):
            "segment \(segment) can't be read from byte \(range.lowerBound) to "
                + "\(range.upperBound), which had been synced: the disk lost or changed it"
        case .damagedMessage(let id, let text): "message \(id.text) is damaged: \(text)"
        case .lostSegment(let segment):
            "segment \(segment) should hold mail, and nothing in it can be read"
        case .damagedFooter(let segment): "the footer of segment \(segment) can't be read"
        case .orphan(let path): "\(path) belongs to no message"
        }
    }
}

struct SegmentScan: Sendable {
    let segment: UInt32
    var entries: [FrameEntry] = []
    /// Offsets of frames whose header block or body is damaged.
    var damagedFrames: Set<Int> = []
    var findings: [Finding] = []
    /// What counts of the segment.
    var end = 0
    var lastSequence: UInt64 = 0
    /// Bytes before this were durable for certain when the last frame was written.
    var vouchedUpTo = 0
    /// It holds a format this release does not know.
    var isNewer = false

    /// - Parameters:
    ///   - cut: the end that a later preamble names; nil when none does.
    init(_ bytes: Bytes, segment: UInt32, cut: Int?) {
        self.segment = segment
        let pointer = bytes.pointer
        var at = 0
        scan: while true {
            let found = Self.frame(pointer, at, segment)
            var condition = PlaceCondition(
                standing: cut.map { at < $0 ? .vouched : .beyondCut } ?? .unvouched,
                head: .damaged,
                extents: .intact,
                following: .nothing
            )
            if let head = found {
                condition.head = .intact
                let sum = Self.extentsSum(pointer, at, head)
                condition.extents = sum == head.extentsChecksum ? .intact : .damaged
            } else if at == 0, Self.isNewer(pointer) {
                condition.head = .newerVersion
            }
            var next: Int?
            if condition.head != .intact || condition.extents != .intact,
                condition.standing != .beyondCut
            {
                let start = found.map { at + $0.frameBytes } ?? at + 8
                let ahead = Self.lookAhead(pointer, from: start, segment)
                next = ahead.first
                if next != nil { condition.following = .frame }
                if ahead.syncedUpTo > at { condition.standing = .vouched }
            }
            switch RecoveryTable.verdict(condition) {
            case .apply:
                guard let head = found else { break scan }
                add(head, at, pointer)
                at += head.frameBytes
            case .hold:
                guard let head = found else { break scan }
                add(head, at, pointer)
                damagedFrames.insert(at)
                findings.append(.damagedPlace(segment: segment, at..<at + head.frameBytes))
                at += head.frameBytes
            case .skip:
                let limit = next ?? cut ?? pointer.count
                findings.append(.damagedPlace(segment: segment, at..<limit))
                at = limit
            case .cut:
                findings.append(.tornTail(segment: segment, offset: at))
                break scan
            case .end: break scan
            case .refuse:
                isNewer = true
                break scan
            }
        }
        end = cut.map { min(at, $0) } ?? at
    }

    private mutating func add(_ head: FrameHead, _ at: Int, _ pointer: UnsafeRawBufferPointer) {
        // A copy: the entry must not keep a whole segment in memory.
        var meta = BytesBuilder(capacity: head.metaBytes)
        let start = at + FrameHead.byteCount
        meta.append(UnsafeRawBufferPointer(rebasing: pointer[start..<start + head.metaBytes]))
        lastSequence = max(lastSequence, head.sequence)
        vouchedUpTo = max(vouchedUpTo, Int(clamping: head.syncedUpTo))
        entries.append(
            FrameEntry(
                place: LogPlace(segment: segment, offset: at),
                kind: head.kind,
                frameBytes: head.frameBytes,
                sequence: head.sequence,
                meta: meta.finish(),
                id: QueueID(number: 0)
            )
        )
    }

    /// The frame at `offset`, if its head and meta are intact and it was written for this place.
    static func frame(
        _ bytes: UnsafeRawBufferPointer,
        _ offset: Int,
        _ segment: UInt32
    ) -> FrameHead? {
        guard offset + FrameHead.byteCount <= bytes.count else { return nil }
        let place = UnsafeRawBufferPointer(rebasing: bytes[offset...])
        guard let head = try? FrameHead.parse(place), head.generation == UInt64(segment),
            head.offset == UInt64(offset), head.kind != .footer,
            head.frameBytes <= place.count, head.isIntact(place)
        else { return nil }
        return head
    }

    static func extentsSum(
        _ bytes: UnsafeRawBufferPointer,
        _ offset: Int,
        _ head: FrameHead
    ) -> UInt32 {
        if head.extentsBytes == 0 { return 0 }
        var sum = Checksum()
        let start = offset + head.extentsOffset
        sum.update(UnsafeRawBufferPointer(rebasing: bytes[start..<start + head.extentsBytes]))
        return sum.value
    }

    private static func isNewer(_ bytes: UnsafeRawBufferPointer) -> Bool {
        do { _ = try FrameHead.parse(bytes) } catch {
            if case .newerVersion(let version) = error { return version > FrameHead.version }
        }
        return false
    }

    /// The first intact frame at or after `start`, and the highest offset any of them vouches for.
    private static func lookAhead(
        _ bytes: UnsafeRawBufferPointer,
        from start: Int,
        _ segment: UInt32
    ) -> (first: Int?, syncedUpTo: Int) {
        var first: Int?
        var syncedUpTo = 0
        var at = FrameHead.padded(start)
        while at + FrameHead.byteCount <= bytes.count {
            let magic = bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)
            if UInt32(littleEndian: magic) == FrameHead.magic, let head = frame(bytes, at, segment)
            {
                if first == nil { first = at }
                syncedUpTo = max(syncedUpTo, Int(clamping: head.syncedUpTo))
                at += head.frameBytes
            } else {
                at += 8
            }
        }
        return (first, syncedUpTo)
    }

    /// True when any intact frame of this segment is in it.
    static func hasFrames(_ bytes: UnsafeRawBufferPointer, _ segment: UInt32) -> Bool {
        lookAhead(bytes, from: 0, segment).first != nil
    }
}
