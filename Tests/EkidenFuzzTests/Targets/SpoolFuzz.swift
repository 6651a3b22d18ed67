// What the spool reads back. Checksums keep most damage from the decoders; here they get it.

import EkidenMail

@testable import EkidenSpool

enum SpoolFuzz {
    static func records(_ input: [UInt8]) {
        let input = FuzzInput(input)
        let bytes = Bytes(input.bytes)
        switch input.choice % 5 {
        case 0: check(bytes, MessageRecord.init(decoding:)) { $0.encoded() }
        case 1: check(bytes, MarksRecord.init(decoding:)) { $0.encoded() }
        case 2: check(bytes, RecipientMark.init(decoding:)) { $0.encoded() }
        case 3: check(bytes, OperatorRecord.init(decoding:)) { $0.encoded() }
        default: check(bytes, ClockRecord.init(decoding:)) { $0.encoded() }
        }
    }

    /// What is understood is understood the same when it is written again.
    private static func check<Record>(
        _ bytes: Bytes,
        _ decode: (Bytes) throws -> Record,
        _ encode: (Record) -> Bytes
    ) {
        guard let record = try? decode(bytes) else { return }
        let once = encode(record)
        guard let again = try? decode(once) else {
            return demand(false, "a record that can't be read back")
        }
        demand(encode(again).array == once.array, "read back it is another record")
    }

    /// A segment as a start reads it; the checksum of each head that stands in its place is mended,
    /// so that what is behind it is looked at.
    static func segment(_ input: [UInt8]) {
        var bytes = input
        var at = 0
        while at + FrameHead.byteCount <= bytes.count {
            bytes.withUnsafeMutableBytes { raw in
                let rest = UnsafeMutableRawBufferPointer(rebasing: raw[at...])
                guard var head = try? FrameHead.parse(UnsafeRawBufferPointer(rest)),
                    head.extentsOffset <= rest.count, let base = rest.baseAddress
                else { return }
                head.generation = 1
                head.offset = UInt64(at)
                head.seal(base)
            }
            at += 8
        }
        let scan = SegmentScan(Bytes(bytes), segment: 1, cut: nil)
        demand(scan.end <= bytes.count, "a segment that ends behind its bytes")
        for entry in scan.entries {
            demand(
                entry.place.offset + entry.frameBytes <= FrameHead.padded(bytes.count),
                "a frame that ends behind its segment"
            )
        }
    }
}
