// Frames on their way to one write: heads and metas in one block of memory, header blocks and
// bodies by reference, so that no body byte is copied between the network and the disk.

import EkidenCrypto
import EkidenMail

/// A frame before it knows its place.
struct FrameDraft: Sendable {
    var kind: FrameKind
    var meta: Bytes
    /// Header blocks and bodies, in order.
    var extents: [Bytes] = []
    var headerBytes = 0
    var bodyBytes = 0
    var extentsChecksum: UInt32 = 0

    var frameBytes: Int {
        FrameHead.padded(FrameHead.byteCount + meta.count + headerBytes + bodyBytes)
    }

    init(_ kind: FrameKind, meta: Bytes) {
        self.kind = kind
        self.meta = meta
    }

    init(_ kind: FrameKind, meta: Bytes, header: Bytes, body: Bytes, checksum: UInt32) {
        self.init(kind, meta: meta)
        extents = [header, body]
        headerBytes = header.count
        bodyBytes = body.count
        extentsChecksum = checksum
    }

    /// Marks with the messages they cause.
    init(meta: Bytes, caused: [PreparedMessage]) {
        self.init(.marks, meta: meta)
        var sum = Checksum()
        for message in caused {
            for extent in [message.header, message.body] {
                extents.append(extent)
                sum.update(extent)
            }
            bodyBytes += message.header.count + message.body.count
        }
        extentsChecksum = caused.isEmpty ? 0 : sum.value
    }
}

struct FrameBatch: ~Copyable {
    private enum Part {
        case heads(Range<Int>)
        case bytes(Bytes)
    }

    private var heads = BytesBuilder(capacity: 4096)
    private var parts: [Part] = []
    private var headsStart = 0
    private(set) var byteCount = 0
    private(set) var frameCount = 0

    let generation: UInt32
    let start: Int
    let syncedUpTo: Int

    init(generation: UInt32, start: Int, syncedUpTo: Int) {
        self.generation = generation
        self.start = start
        self.syncedUpTo = syncedUpTo
    }

    /// Adds a frame; returns its place and where its meta will be in the block of heads.
    mutating func add(_ draft: FrameDraft, sequence: UInt64) -> (place: LogPlace, meta: Range<Int>)
    {
        let head = FrameHead(
            kind: draft.kind,
            generation: UInt64(generation),
            sequence: sequence,
            offset: UInt64(start + byteCount),
            syncedUpTo: UInt64(syncedUpTo),
            metaBytes: draft.meta.count,
            headerBytes: draft.headerBytes,
            bodyBytes: draft.bodyBytes,
            extentsChecksum: draft.extentsChecksum
        )
        let place = LogPlace(segment: generation, offset: start + byteCount)
        let at = heads.count
        let total = FrameHead.byteCount + draft.meta.count
        let room = heads.tail(total)
        if let base = room.baseAddress, let meta = draft.meta.pointer.baseAddress {
            (base + FrameHead.byteCount).copyMemory(from: meta, byteCount: draft.meta.count)
            head.seal(base)
        }
        heads.advance(total)
        if draft.extents.contains(where: { !$0.isEmpty }) {
            parts.append(.heads(headsStart..<heads.count))
            for extent in draft.extents where !extent.isEmpty { parts.append(.bytes(extent)) }
            headsStart = heads.count
        }
        let bare = total + draft.headerBytes + draft.bodyBytes
        for _ in bare..<head.frameBytes { heads.append(byte: 0) }
        byteCount += head.frameBytes
        frameCount += 1
        return (place, at + FrameHead.byteCount..<at + total)
    }

    /// The parts of the write, in order, and the block that holds all metas.
    consuming func finish() -> (parts: [Bytes], heads: Bytes) {
        if headsStart < heads.count { parts.append(.heads(headsStart..<heads.count)) }
        let described = parts
        let heads = self.heads.finish()
        let bytes = described.map { part in
            switch part {
            case .heads(let range): heads[range]
            case .bytes(let bytes): bytes
            }
        }
        return (bytes, heads)
    }
}

/// A new message, encoded and summed on its own loop, ready for the log.
struct PreparedMessage: Sendable {
    let record: MessageRecord
    let meta: Bytes
    let header: Bytes
    /// Empty when the body has its own file.
    let body: Bytes
    let checksum: UInt32
    let queued: QueuedMessage
    let content: Content

    init(record: MessageRecord, content: Content) {
        var content = content
        content.demands = record.envelope.demands
        self.record = record
        self.content = content
        meta = record.encoded()
        header = content.header
        if case .memory(let bytes) = content.body { body = bytes } else { body = Bytes() }
        var sum = Checksum()
        sum.update(header)
        sum.update(body)
        checksum = sum.value
        queued = QueuedMessage(record)
    }

    var draft: FrameDraft {
        FrameDraft(.accepted, meta: meta, header: header, body: body, checksum: checksum)
    }
}

extension QueuedMessage {
    /// As it stands in a record: new, or moved with the marks it had.
    init(_ record: MessageRecord) {
        var recipients = record.envelope.recipients.map { RecipientStatus(address: $0) }
        for mark in record.marks where recipients.indices.contains(mark.recipient) {
            recipients[mark.recipient].state = mark.state
            recipients[mark.recipient].attempts = mark.attempts
            recipients[mark.recipient].nextAttempt = mark.nextAttempt
            recipients[mark.recipient].reason = mark.reason
            recipients[mark.recipient].delayNoticeSent = mark.delayNoticeSent
        }
        self.init(
            id: record.id,
            sender: record.envelope.sender,
            recipients: recipients,
            byteCount: record.byteCount,
            arrived: record.envelope.arrived,
            hold: record.hold,
            hasDemands: !record.envelope.demands.isEmpty,
            origin: record.envelope.origin
        )
        isReleased = record.isReleased
    }
}
