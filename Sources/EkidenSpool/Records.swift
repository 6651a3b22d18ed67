// The records of the log as values, and their fields on disk (docs/SPOOL.md). Pure: no I/O, no
// clock. Encoding and decoding stand side by side so that they can be read against each other.

import EkidenMail

/// The envelope and facts of a stored message, and where its body is.
struct MessageRecord: Equatable, Sendable {
    var id: QueueID
    var envelope: Envelope
    var facts: MessageFacts
    /// In the frame.
    var headerBytes: Int
    /// In the frame, or of the large file.
    var bodyBytes: Int
    var large: LargeName?
    /// Consolidated records alone: how each recipient stood.
    var marks: [RecipientMark] = []
    var hold: Hold?
    /// An operator released it once.
    var isReleased = false
    /// The body is lost; it is on hold, and its extents are empty.
    var isDamaged = false

    var byteCount: Int { headerBytes + bodyBytes }
    var inlineBodyBytes: Int { large == nil && !isDamaged ? bodyBytes : 0 }
}

/// A body's own file: its name is the number as a queue id's text, and every block of 256 KiB has
/// a CRC-32C.
struct LargeName: Equatable, Sendable {
    static let blockBytes = 262_144
    var number: UInt64
    var checksums: [UInt32]

    var path: String { Self.path(number) }
    static func path(_ number: UInt64) -> String { "large/" + QueueID(number: number).text }
}

extension MessageRecord {
    func encoded() -> Bytes {
        var w = FieldWriter(capacity: 192 + 48 * envelope.recipients.count)
        w.put(.id, id.number)
        w.put(.arrived, envelope.arrived)
        if case .address(let sender) = envelope.sender { w.put(.sender, sender.text) }
        for recipient in envelope.recipients { w.put(.recipient, recipient.text) }
        w.put(.bodyDeclaration, UInt64(envelope.body.rawValue))
        let client = envelope.client
        switch client.endpoint.address {
        case .v4(let bits): Self.putAddress(&w, [UInt64(bits)], bytesEach: 4)
        case .v6(let high, let low): Self.putAddress(&w, [high, low], bytesEach: 8)
        }
        w.put(.clientPort, UInt64(client.endpoint.port))
        w.put(.helo, client.helo)
        w.put(.inboundProtocol, UInt64(client.inboundProtocol.rawValue))
        w.put(.listener, client.listener)
        if let login = client.login { w.put(.login, login) }
        for route in envelope.headerRoutes { w.put(.headerRoute, route) }
        envelope.demands.put(&w)
        w.put(.lines, facts.lines)
        w.put(.longestLine, facts.longestLineBytes)
        w.put(
            .contentFlags,
            (facts.hasLeadingDot ? 1 : 0) | (facts.headerHasEightBit ? 2 : 0)
                | (facts.bodyHasEightBit ? UInt64(4) : 0)
        )
        w.put(.headerBytes, headerBytes)
        w.put(.bodyBytes, bodyBytes)
        if let large {
            w.put(.largeFile, large.number)
            var sums = BytesBuilder(capacity: large.checksums.count * 4)
            for sum in large.checksums {
                withUnsafeBytes(of: sum.littleEndian) { sums.append($0) }
            }
            w.put(.largeChecksums, sums.pointer)
        }
        for mark in marks { w.put(.recipientStatus, mark.encoded()) }
        if let hold { w.put(.hold, OperatorRecord(id: id, hold).encoded()) }
        if isReleased { w.put(.isReleased, UInt64(1)) }
        if isDamaged { w.put(.isDamaged, UInt64(1)) }
        return w.finish()
    }

    private static func putAddress(_ w: inout FieldWriter, _ words: [UInt64], bytesEach: Int) {
        var bytes = BytesBuilder(capacity: 16)
        for word in words {
            for shift in stride(from: bytesEach * 8 - 8, through: 0, by: -8) {
                bytes.append(byte: UInt8(truncatingIfNeeded: word >> UInt64(shift)))
            }
        }
        w.put(.clientAddress, bytes.pointer)
    }

    init(decoding bytes: Bytes) throws(BadFields) {
        var reader = try FieldReader(bytes)
        id = QueueID(number: 0)
        var client = ClientFacts(endpoint: Endpoint(.v4(0), 0))
        envelope = Envelope(
            sender: .null,
            recipients: [],
            client: client,
            arrived: WallTime(nanoseconds: 0)
        )
        facts = MessageFacts()
        headerBytes = 0
        bodyBytes = 0
        var address = HostAddress.v4(0)
        var port: UInt16 = 0
        while let field = try reader.next() {
            switch field.known {
            case .id: id = QueueID(number: field.value)
            case .arrived: envelope.arrived = field.time
            case .sender:
                guard let sender = Address(field.text) else { throw BadFields("sender") }
                envelope.sender = .address(sender)
            case .recipient:
                guard let recipient = Address(field.text) else { throw BadFields("recipient") }
                envelope.recipients.append(recipient)
            case .bodyDeclaration:
                envelope.body = BodyDeclaration(rawValue: UInt8(field.value & 255)) ?? .eightBitMIME
            case .clientAddress: address = Self.address(field.bytes)
            case .clientPort: port = UInt16(truncatingIfNeeded: field.value)
            case .helo: client.helo = field.text
            case .inboundProtocol:
                client.inboundProtocol =
                    InboundProtocol(rawValue: UInt8(field.value & 255)) ?? .smtp
            case .listener: client.listener = field.text
            case .login: client.login = field.text
            case .headerRoute: envelope.headerRoutes.append(field.text)
            case .demandFlags: envelope.demands.takeFlags(field.value)
            case .envelopeID: envelope.demands.envelopeID = field.text
            case .recipientDemands: try envelope.demands.takeRecipient(field.bytes)
            case .lines: facts.lines = field.int
            case .longestLine: facts.longestLineBytes = field.int
            case .contentFlags:
                facts.hasLeadingDot = field.value & 1 != 0
                facts.headerHasEightBit = field.value & 2 != 0
                facts.bodyHasEightBit = field.value & 4 != 0
            case .headerBytes: headerBytes = field.int
            case .bodyBytes: bodyBytes = field.int
            case .largeFile: large = LargeName(number: field.value, checksums: [])
            case .largeChecksums: large?.checksums = Self.checksums(field.bytes)
            case .recipientStatus: marks.append(try RecipientMark(decoding: field.bytes))
            case .hold: hold = try OperatorRecord(decoding: field.bytes).asHold
            case .isReleased: isReleased = field.value != 0
            case .isDamaged: isDamaged = field.value != 0
            default: break
            }
        }
        client.endpoint = Endpoint(address, port)
        envelope.client = client
        guard id.number != 0, !envelope.recipients.isEmpty, headerBytes >= 0, bodyBytes >= 0
        else { throw BadFields("a message without id or recipient") }
    }

    private static func address(_ bytes: Bytes) -> HostAddress {
        let word = { (range: Range<Int>) in
            range.reduce(UInt64(0)) { $0 << 8 | UInt64(bytes[$1]) }
        }
        switch bytes.count {
        case 4: return .v4(UInt32(truncatingIfNeeded: word(0..<4)))
        case 16: return .v6(high: word(0..<8), low: word(8..<16))
        default: return .v4(0)
        }
    }

    private static func checksums(_ bytes: Bytes) -> [UInt32] {
        stride(from: 0, to: bytes.count & ~3, by: 4).map {
            UInt32(littleEndian: bytes.pointer.loadUnaligned(fromByteOffset: $0, as: UInt32.self))
        }
    }
}

extension RecipientMark {
    func encoded() -> Bytes {
        var w = FieldWriter(capacity: 64 + host.utf8.count + words.utf8.count)
        w.put(.index, recipient)
        w.put(.state, UInt64(state.rawValue))
        w.put(.attempts, attempts)
        w.put(.at, at)
        if let nextAttempt { w.put(.next, nextAttempt) }
        w.put(.reason, reason.rawValue)
        if !host.isEmpty { w.put(.host, host) }
        if !words.isEmpty { w.put(.words, words) }
        if delayNoticeSent { w.put(.delayNoticeSent, UInt64(1)) }
        return w.finish()
    }

    init(decoding bytes: Bytes) throws(BadFields) {
        var reader = try FieldReader(bytes)
        var mark = RecipientMark(
            recipient: 0,
            state: .pending,
            attempts: 0,
            at: WallTime(nanoseconds: 0),
            reason: .accepted
        )
        while let field = try reader.next() {
            switch field.known {
            case .index: mark.recipient = field.int
            case .state:
                guard let state = RecipientState(rawValue: UInt8(truncatingIfNeeded: field.value))
                else { throw BadFields("state") }
                mark.state = state
            case .attempts: mark.attempts = field.int
            case .at: mark.at = field.time
            case .next: mark.nextAttempt = field.time
            // A reason of a later release: what it was is lost, that it waits is not.
            case .reason: mark.reason = Reason(rawValue: field.text) ?? .restarted
            case .host: mark.host = field.text
            case .words: mark.words = field.text
            case .delayNoticeSent: mark.delayNoticeSent = field.value != 0
            default: break
            }
        }
        self = mark
    }
}

/// Marks and the messages they cause, in one frame: the header blocks and bodies of the caused
/// messages follow each other in the frame's extents.
struct MarksRecord: Equatable, Sendable {
    var id: QueueID
    /// Where the message's previous marks are; zero when there are none.
    var previous = LogPlace.none
    var marks: [RecipientMark]
    var caused: [MessageRecord] = []

    func encoded() -> Bytes {
        var w = FieldWriter(capacity: 64 + 96 * marks.count)
        w.put(.id, id.number)
        if previous != .none {
            w.put(.previousSegment, UInt64(previous.segment))
            w.put(.previousOffset, UInt64(previous.offset8))
        }
        for mark in marks { w.put(.mark, mark.encoded()) }
        for message in caused { w.put(.caused, message.encoded()) }
        return w.finish()
    }

    init(id: QueueID, previous: LogPlace, marks: [RecipientMark], caused: [MessageRecord]) {
        self.id = id
        self.previous = previous
        self.marks = marks
        self.caused = caused
    }

    init(decoding bytes: Bytes) throws(BadFields) {
        var reader = try FieldReader(bytes)
        id = QueueID(number: 0)
        marks = []
        while let field = try reader.next() {
            switch field.known {
            case .id: id = QueueID(number: field.value)
            case .previousSegment: previous.segment = UInt32(truncatingIfNeeded: field.value)
            case .previousOffset: previous.offset8 = UInt32(truncatingIfNeeded: field.value)
            case .mark: marks.append(try RecipientMark(decoding: field.bytes))
            case .caused: caused.append(try MessageRecord(decoding: field.bytes))
            default: break
            }
        }
    }
}

/// A place in the log: segment number and offset in units of 8 bytes. Segment numbers begin at 1.
struct LogPlace: Equatable, Sendable, Comparable {
    var segment: UInt32
    var offset8: UInt32
    static let none = LogPlace(segment: 0, offset8: 0)

    init(segment: UInt32, offset8: UInt32) {
        self.segment = segment
        self.offset8 = offset8
    }

    init(segment: UInt32, offset: Int) {
        self.init(segment: segment, offset8: UInt32(offset / 8))
    }

    var offset: Int { Int(offset8) * 8 }

    static func < (a: LogPlace, b: LogPlace) -> Bool {
        (a.segment, a.offset8) < (b.segment, b.offset8)
    }
}

/// Hold, release and removal: who asked, when, and for which recipients (all, when none is named).
struct OperatorRecord: Equatable, Sendable {
    var id: QueueID
    var at: WallTime
    var uid: UInt32?
    var reason: Reason
    var recipients: [Int] = []

    init(id: QueueID, at: WallTime, uid: UInt32?, reason: Reason, recipients: [Int] = []) {
        self.id = id
        self.at = at
        self.uid = uid
        self.reason = reason
        self.recipients = recipients
    }

    init(id: QueueID, _ hold: Hold) {
        self.init(id: id, at: hold.since, uid: hold.uid, reason: hold.reason)
    }

    var asHold: Hold { Hold(reason: reason, uid: uid, since: at) }

    func encoded() -> Bytes {
        var w = FieldWriter(capacity: 64)
        w.put(.id, id.number)
        w.put(.at, at)
        if let uid { w.put(.uid, UInt64(uid)) }
        w.put(.reason, reason.rawValue)
        for recipient in recipients { w.put(.index, recipient) }
        return w.finish()
    }

    init(decoding bytes: Bytes) throws(BadFields) {
        var reader = try FieldReader(bytes)
        self.init(
            id: QueueID(number: 0),
            at: WallTime(nanoseconds: 0),
            uid: nil,
            reason: .operatorHold
        )
        while let field = try reader.next() {
            switch field.known {
            case .id: id = QueueID(number: field.value)
            case .at: at = field.time
            case .uid: uid = UInt32(truncatingIfNeeded: field.value)
            case .reason: reason = Reason(rawValue: field.text) ?? .operatorHold
            case .index: recipients.append(field.int)
            default: break
            }
        }
    }
}

/// Preambles and heartbeats: the time, and ids up to the ceiling may have been given out.
struct ClockRecord: Equatable, Sendable {
    var wall: WallTime
    var idCeiling: QueueID
    /// Preambles alone: segments still there of which only the part before an offset counts,
    /// because the rest was torn or its sync failed; and always the segment before this one.
    var cuts: [SegmentCut] = []

    func encoded() -> Bytes {
        var w = FieldWriter(capacity: 64 + 24 * cuts.count)
        w.put(.wall, wall)
        w.put(.idCeiling, idCeiling.number)
        for cut in cuts {
            var inner = FieldWriter(capacity: 24)
            inner.put(.segment, UInt64(cut.segment))
            inner.put(.end, cut.end)
            w.put(.cut, inner.finish())
        }
        return w.finish()
    }

    init(wall: WallTime, idCeiling: QueueID, cuts: [SegmentCut] = []) {
        self.wall = wall
        self.idCeiling = idCeiling
        self.cuts = cuts
    }

    init(decoding bytes: Bytes) throws(BadFields) {
        var reader = try FieldReader(bytes)
        self.init(wall: WallTime(nanoseconds: 0), idCeiling: QueueID(number: 0))
        while let field = try reader.next() {
            switch field.known {
            case .wall: wall = field.time
            case .idCeiling: idCeiling = QueueID(number: field.value)
            case .cut:
                var inner = try FieldReader(field.bytes)
                var cut = SegmentCut(segment: 0, end: 0)
                while let field = try inner.next() {
                    switch field.known {
                    case .segment: cut.segment = UInt32(truncatingIfNeeded: field.value)
                    case .end: cut.end = field.int
                    default: break
                    }
                }
                cuts.append(cut)
            default: break
            }
        }
    }
}

/// What counts of an earlier segment: everything before `end`, and all of that was synced.
struct SegmentCut: Equatable, Sendable {
    var segment: UInt32
    var end: Int
}
