// A segment's footer: the metas of its frames that are still needed, in a file beside it, so that
// a start reads footers and not bodies. Written when a segment is sealed, and again whenever it is
// found missing; always whole, never changed, so a damaged one is simply made anew.

import EkidenCrypto
import EkidenMail
import EkidenRuntime

/// One frame as a footer and the scanner tell it.
struct FrameEntry: Sendable {
    var place: LogPlace
    var kind: FrameKind
    var frameBytes: Int
    var sequence: UInt64
    var meta: Bytes
    /// The message it speaks of; number 0 for none.
    var id: QueueID
    /// Marks that cause messages: needed as long as those are.
    var hasCaused = false
}

struct Footer: Sendable {
    var segment: UInt32
    /// What counts of the segment.
    var end: Int
    var lastSequence: UInt64
    var entries: [FrameEntry]
    /// Messages that have frames here and are finished.
    var finished: [QueueID]

    static func path(_ segment: UInt32) -> String { SegmentName.path(segment, "footer") }

    private static let entryBytes = 32

    /// The whole file: one frame of kind `footer`.
    func encoded() -> [Bytes] {
        var fields = FieldWriter()
        fields.put(.segment, UInt64(segment))
        fields.put(.end, end)
        fields.put(.lastSequence, lastSequence)
        fields.put(.entryCount, entries.count)
        let meta = fields.finish()
        var body = BytesBuilder(capacity: 65_536)
        for entry in entries {
            Self.append(UInt64(entry.place.offset), &body)
            Self.append(UInt64(entry.frameBytes), &body)
            Self.append(entry.sequence, &body)
            Self.append(UInt64(entry.kind.rawValue) << 32 | UInt64(entry.meta.count), &body)
            body.append(entry.meta)
        }
        for id in finished { Self.append(id.number, &body) }
        let bytes = body.finish()
        var sum = Checksum()
        sum.update(bytes)
        var draft = FrameDraft(.footer, meta: meta)
        draft.extents = [bytes]
        draft.bodyBytes = bytes.count
        draft.extentsChecksum = sum.value
        var batch = FrameBatch(generation: segment, start: 0, syncedUpTo: 0)
        _ = batch.add(draft, sequence: lastSequence)
        return batch.finish().parts
    }

    private static func append(_ value: UInt64, _ out: inout BytesBuilder) {
        withUnsafeBytes(of: value.littleEndian) { out.append($0) }
    }

    /// nil when it isn't a whole, intact footer of that segment.
    init?(decoding file: Bytes, segment: UInt32) {
        guard let head = try? FrameHead.parse(file.pointer), head.kind == .footer,
            head.generation == UInt64(segment), head.isIntact(file.pointer),
            head.extentsOffset + head.bodyBytes <= file.count
        else { return nil }
        let body = file[head.extentsOffset..<head.extentsOffset + head.bodyBytes]
        var sum = Checksum()
        sum.update(body)
        guard sum.value == head.extentsChecksum,
            var fields = try? FieldReader(file[FrameHead.byteCount..<head.extentsOffset])
        else { return nil }
        self.segment = segment
        end = 0
        lastSequence = 0
        entries = []
        finished = []
        var entryCount = 0
        while let field = try? fields.next() {
            switch field.known {
            case .end: end = field.int
            case .lastSequence: lastSequence = field.value
            case .entryCount: entryCount = field.int
            default: break
            }
        }
        var at = 0
        for _ in 0..<entryCount {
            guard at + Self.entryBytes <= body.count else { return nil }
            let word = { (index: Int) in
                UInt64(
                    littleEndian: body.pointer.loadUnaligned(
                        fromByteOffset: at + index * 8,
                        as: UInt64.self
                    )
                )
            }
            let metaBytes = Int(word(3) & 0xffff_ffff)
            guard let kind = FrameKind(rawValue: UInt8(truncatingIfNeeded: word(3) >> 32)),
                at + Self.entryBytes + metaBytes <= body.count
            else { return nil }
            entries.append(
                FrameEntry(
                    place: LogPlace(segment: segment, offset: Int(word(0))),
                    kind: kind,
                    frameBytes: Int(word(1)),
                    sequence: word(2),
                    meta: body[at + Self.entryBytes..<at + Self.entryBytes + metaBytes],
                    id: QueueID(number: 0)
                )
            )
            at += Self.entryBytes + metaBytes
        }
        while at + 8 <= body.count {
            let number = body.pointer.loadUnaligned(fromByteOffset: at, as: UInt64.self)
            finished.append(QueueID(number: UInt64(littleEndian: number)))
            at += 8
        }
    }

    /// Keeps what is still needed of a segment: frames of finished messages go, their ids stay.
    init(
        segment: UInt32,
        end: Int,
        lastSequence: UInt64,
        frames: [FrameEntry],
        isQueued: (QueueID) -> Bool
    ) {
        self.segment = segment
        self.end = end
        self.lastSequence = lastSequence
        entries = []
        finished = []
        for entry in frames {
            if entry.id.number == 0 || entry.hasCaused || isQueued(entry.id) {
                entries.append(entry)
            } else if finished.last != entry.id {
                finished.append(entry.id)
            }
        }
    }
}

/// Names of the files under `log/`.
enum SegmentName {
    static let reserve = "log/reserve"

    static func path(_ number: UInt32, _ suffix: String) -> String {
        let digits = String(number)
        return "log/" + String(repeating: "0", count: 10 - digits.count) + digits + "." + suffix
    }

    static func segment(_ number: UInt32) -> String { path(number, "segment") }
    static func spare(_ number: UInt32) -> String { path(number, "spare") }

    /// The number and suffix of `0000000012.segment`; nil for any other name.
    static func parse(_ name: String) -> (number: UInt32, suffix: String)? {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].utf8.count == 10, let number = UInt32(parts[0]),
            number > 0
        else { return nil }
        return (number, String(parts[1]))
    }
}
