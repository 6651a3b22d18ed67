// Tagged fields: how everything in a frame's meta is written, so that a later release can add
// fields and this one steps over those it does not know. One byte of version, then for each field
// a varint `number << 1 | isBytes`, then a varint value, or a varint length and that many bytes.

import EkidenMail

/// Numbers of fields; on disk. Never reused for something else.
enum FieldNumber: UInt64 {
    case id = 1
    case arrived = 2
    case sender = 3
    case recipient = 4
    case bodyDeclaration = 5
    case clientAddress = 6
    case clientPort = 7
    case helo = 8
    case inboundProtocol = 9
    case listener = 10
    case lines = 11
    case longestLine = 12
    case contentFlags = 13
    case headerBytes = 14
    case bodyBytes = 15
    case largeFile = 16
    case largeChecksums = 17
    case recipientStatus = 18
    case hold = 19
    case isDamaged = 20
    case login = 21
    case headerRoute = 22
    case isReleased = 23
    case demandFlags = 25
    case envelopeID = 26
    case recipientDemands = 27

    case previousSegment = 30
    case previousOffset = 31
    case mark = 32
    case caused = 33

    // Of a mark, a recipient's status, an operator's request.
    case index = 40
    case state = 41
    case attempts = 42
    case at = 43
    case next = 44
    case reason = 45
    case host = 46
    case words = 47
    case delayNoticeSent = 48
    case uid = 49
    case notify = 50
    case originalRecipient = 51

    // Of preambles, heartbeats and footers.
    case wall = 60
    case idCeiling = 61
    case segment = 62
    case end = 63
    case cut = 64
    case lastSequence = 65
    case entryCount = 66
}

struct FieldWriter: ~Copyable {
    static let version: UInt8 = 1
    var out: BytesBuilder

    init(capacity: Int = 256) {
        out = BytesBuilder(capacity: capacity)
        out.append(byte: Self.version)
    }

    private mutating func varint(_ value: UInt64) {
        let room = out.tail(10)
        var rest = value
        var count = 0
        while rest >= 0x80 {
            room[count] = UInt8(truncatingIfNeeded: rest) | 0x80
            rest >>= 7
            count += 1
        }
        room[count] = UInt8(rest)
        out.advance(count + 1)
    }

    mutating func put(_ field: FieldNumber, _ value: UInt64) {
        varint(field.rawValue << 1)
        varint(value)
    }

    mutating func put(_ field: FieldNumber, _ value: Int) {
        put(field, UInt64(bitPattern: Int64(value)))
    }

    mutating func put(_ field: FieldNumber, _ time: WallTime) {
        put(field, UInt64(bitPattern: time.nanoseconds))
    }

    mutating func put(_ field: FieldNumber, _ bytes: UnsafeRawBufferPointer) {
        varint(field.rawValue << 1 | 1)
        varint(UInt64(bytes.count))
        out.append(bytes)
    }

    mutating func put(_ field: FieldNumber, _ text: String) {
        var text = text
        text.withUTF8 { put(field, UnsafeRawBufferPointer($0)) }
    }

    mutating func put(_ field: FieldNumber, _ bytes: Bytes) { put(field, bytes.pointer) }

    consuming func finish() -> Bytes { out.finish() }
}

/// One field as read.
struct Field {
    let number: UInt64
    let value: UInt64
    let bytes: Bytes

    var known: FieldNumber? { FieldNumber(rawValue: number) }
    var int: Int { Int(truncatingIfNeeded: value) }
    var time: WallTime { WallTime(nanoseconds: Int64(bitPattern: value)) }
    var text: String { bytes.text }
}

/// The fields of a meta are not what they should be.
struct BadFields: Error, Equatable {
    let text: String
    init(_ text: String) { self.text = text }
}

struct FieldReader {
    private let bytes: Bytes
    private var position = 1

    /// Errors: no version byte, or one of a later release.
    init(_ bytes: Bytes) throws(BadFields) {
        guard !bytes.isEmpty else { throw BadFields("no fields") }
        guard bytes[0] == FieldWriter.version else { throw BadFields("unknown version") }
        self.bytes = bytes
    }

    private mutating func varint() throws(BadFields) -> UInt64 {
        let pointer = bytes.pointer
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while position < pointer.count {
            let byte = pointer[position]
            position += 1
            if shift == 63, byte > 1 { throw BadFields("number too large") }
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
            shift += 7
            if shift > 63 { throw BadFields("number too long") }
        }
        throw BadFields("ends within a number")
    }

    /// The next field; nil at the end.
    mutating func next() throws(BadFields) -> Field? {
        if position == bytes.count { return nil }
        let tag = try varint()
        let value = try varint()
        guard tag & 1 == 1 else { return Field(number: tag >> 1, value: value, bytes: Bytes()) }
        guard value <= UInt64(bytes.count - position) else { throw BadFields("field too long") }
        let start = position
        position += Int(value)
        return Field(number: tag >> 1, value: 0, bytes: bytes[start..<position])
    }
}
