// A message's frame, read back and checked.

import EkidenCrypto
import EkidenMail
import EkidenRuntime

struct StoredMessage: Sendable {
    var record: MessageRecord
    var header: Bytes
    /// Empty when the body has its own file.
    var body: Bytes
    /// Over header block and body, as a frame of its own would have it.
    var checksum: UInt32

    /// From the bytes of a whole frame. `part` counts the messages of a marks frame.
    /// Errors: the bytes are not that frame any more.
    init(frame: Bytes, at place: LogPlace, part: Int) throws(ContentUnavailable) {
        let pointer = frame.pointer
        guard let head = try? FrameHead.parse(pointer), head.isIntact(pointer),
            head.generation == UInt64(place.segment), head.offset == UInt64(place.offset),
            head.extentsOffset + head.extentsBytes <= frame.count
        else { throw ContentUnavailable("its frame has changed on the disk", isDamage: true) }
        guard SegmentScan.extentsSum(pointer, 0, head) == head.extentsChecksum else {
            throw ContentUnavailable("its bytes have changed on the disk", isDamage: true)
        }
        let meta = frame[FrameHead.byteCount..<head.extentsOffset]
        var start = head.extentsOffset
        do throws(BadFields) {
            if head.kind == .marks {
                let messages = try MarksRecord(decoding: meta).caused
                guard part < messages.count else { throw BadFields("no such message") }
                for message in messages[..<part] {
                    start += message.headerBytes + message.inlineBodyBytes
                }
                record = messages[part]
            } else {
                record = try MessageRecord(decoding: meta)
            }
        } catch { throw ContentUnavailable("its envelope can't be read", isDamage: true) }
        let bodyStart = start + (record.isDamaged ? 0 : record.headerBytes)
        let end = bodyStart + record.inlineBodyBytes
        guard end <= frame.count else {
            throw ContentUnavailable("its frame is too short", isDamage: true)
        }
        header = frame[start..<bodyStart]
        body = frame[bodyStart..<end]
        var sum = Checksum()
        sum.update(header)
        sum.update(body)
        checksum = sum.value
    }

    func content(_ disk: any Disk) throws(ContentUnavailable) -> Content {
        if record.isDamaged {
            throw ContentUnavailable("its bytes were lost earlier", isDamage: true)
        }
        guard let large = record.large else {
            return Content(
                header: header,
                body: .memory(body),
                facts: record.facts,
                demands: record.envelope.demands
            )
        }
        let reader = LargeBodyReader(disk: disk, name: large, byteCount: record.bodyBytes)
        return Content(
            header: header,
            body: .stored(reader, byteCount: record.bodyBytes),
            facts: record.facts,
            demands: record.envelope.demands
        )
    }
}
