import EkidenMail
import EkidenSimulator
import Testing

@testable import EkidenSpool

@Suite struct FormatTests {
    static let envelope = Envelope(
        sender: .address(address("a@example.org")),
        recipients: [address("b@example.net")],
        body: .eightBitMIME,
        client: ClientFacts(
            endpoint: Endpoint(.v4(0xc000_0201), 4660),
            helo: "c.example",
            inboundProtocol: .esmtp,
            listener: "relay"
        ),
        arrived: WallTime(nanoseconds: 0x0102_0304_0506_0708)
    )

    static var record: MessageRecord {
        var facts = MessageFacts()
        facts.lines = 2
        facts.longestLineBytes = 10
        facts.hasLeadingDot = true
        return MessageRecord(
            id: QueueID(number: 0x1122_3344_5566),
            envelope: envelope,
            facts: facts,
            headerBytes: 7,
            bodyBytes: 4
        )
    }

    static func hex(_ bytes: some Sequence<UInt8>) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    // The bytes of docs/SPOOL.md. If this test fails the format has changed: old spools would not
    // be read any more.
    @Test func `The bytes of an accepted frame are what they always were`() {
        let header = Bytes("A: b\r\n\r\n"[...].utf8.prefix(7))
        let body = Bytes("hi\r\n")
        let content = Content(header: header, body: .memory(body), facts: MessageFacts())
        let prepared = PreparedMessage(record: Self.record, content: content)
        var batch = FrameBatch(generation: 3, start: 4096, syncedUpTo: 4000)
        _ = batch.add(prepared.draft, sequence: 77)
        let bytes = batch.finish().parts.flatMap(\.array)
        #expect(bytes.count == 168)
        #expect(
            Self.hex(bytes[..<64])
                == "454b444e01020000" + "0300000000000000" + "4d00000000000000"
                + "0010000000000000" + "a00f000000000000" + Self.hex(bytes[40..<64])
        )
        #expect(Self.hex(bytes[40..<56]) == Self.golden.lengths)
        #expect(Self.hex(bytes[56..<64]) == Self.golden.sums)
        #expect(Self.hex(bytes[64...]) == Self.golden.rest)
    }

    static let golden = (
        lengths: "5a000000070000000400000000000000",
        sums: "9b4c96d8ee4f0bcb",
        rest: "0102e6aa919aa3a40404888e98a8c0e0808101070d61406578616d706c652e6f"
            + "7267090d62406578616d706c652e6e65740a010d04c00002010eb4241109632e"
            + "6578616d706c651201150572656c61791602180a1a011c071e04413a20620d0a"
            + "0d68690d0a000000"
    )

    @Test func `Every record reads back as it was written`() throws {
        var record = Self.record
        #expect(try MessageRecord(decoding: record.encoded()) == record)
        record.large = LargeName(number: 99, checksums: [1, 0xffff_ffff, 3])
        record.hold = Hold(reason: .operatorHold, uid: 1000, since: WallTime(seconds: 5))
        record.marks = [mark(0, .pending, attempts: 4, words: "450 4.2.1 later")]
        record.envelope.sender = .null
        record.envelope.client.endpoint = Endpoint(.v6(high: 0x2001_0db8_0000_0000, low: 1), 25)
        #expect(try MessageRecord(decoding: record.encoded()) == record)
        let marks = MarksRecord(
            id: record.id,
            previous: LogPlace(segment: 4, offset: 4096),
            marks: [mark(0, .failed), mark(7, .delivered)],
            caused: [Self.record, record]
        )
        #expect(try MarksRecord(decoding: marks.encoded()) == marks)
        let operation = OperatorRecord(
            id: record.id,
            at: WallTime(seconds: 9),
            uid: nil,
            reason: .damaged,
            recipients: [0, 5]
        )
        #expect(try OperatorRecord(decoding: operation.encoded()) == operation)
        let clock = ClockRecord(
            wall: WallTime(seconds: 1),
            idCeiling: record.id,
            cuts: [SegmentCut(segment: 2, end: 88)]
        )
        #expect(try ClockRecord(decoding: clock.encoded()) == clock)
    }

    @Test func `What a sender asked for is kept with the message, and moves with it`() throws {
        var record = Self.record
        var demands = SenderDemands()
        demands.smtpUTF8 = true
        demands.waivesTLS = true
        demands.returned = .headers
        demands.envelopeID = "QQ+2B314"
        demands.recipients = [
            RecipientDemands(), RecipientDemands(notify: []), RecipientDemands(),
            RecipientDemands(notify: [.success, .delay], originalRecipient: "rfc822;x@y"),
        ]
        record.envelope.demands = demands
        let read = try MessageRecord(decoding: record.encoded())
        #expect(read == record && QueuedMessage(read).hasDemands)
        demands = SenderDemands()
        demands.requiresTLS = true
        demands.returned = .full
        record.envelope.demands = demands
        #expect(try MessageRecord(decoding: record.encoded()) == record)
        #expect(!QueuedMessage(Self.record).hasDemands)
    }

    @Test func `How a message came in is kept with it, for its routes`() throws {
        var record = Self.record
        #expect(QueuedMessage(record).origin == Origin(listener: record.envelope.client.listener))
        record.envelope.client.login = "letters@example.org"
        record.envelope.headerRoutes = ["bulk", "archive"]
        record.isReleased = true
        let read = try MessageRecord(decoding: record.encoded())
        #expect(read == record)
        let queued = QueuedMessage(read)
        #expect(queued.origin.login == "letters@example.org" && queued.isReleased)
        #expect(queued.origin.headerRoutes == ["bulk", "archive"])
        let index = SpoolIndex()
        index.insert(queued, at: LogPlace(segment: 1, offset8: 0), frameBytes: 100)
        #expect(index.message(queued.id) == queued)
    }

    @Test func `Fields of a later release are stepped over`() throws {
        let known = Self.record.encoded()
        var builder = BytesBuilder()
        builder.append(known)
        // Field 1000 with a number, field 1001 with three bytes.
        builder.append(contentsOf: [0xd0, 0x0f, 0x05, 0xd3, 0x0f, 0x03, 1, 2, 3])
        #expect(try MessageRecord(decoding: builder.finish()) == Self.record)
    }

    @Test func `Random and mangled fields never trap`() {
        let random = SimRandom(seed: 42)
        let good = MarksRecord(
            id: Self.record.id,
            previous: .none,
            marks: [mark(0, .pending)],
            caused: [Self.record]
        ).encoded().array
        for _ in 0..<3000 {
            var bytes = good
            for _ in 0...random.below(4) where bytes.count > 1 {
                let at = Int(random.below(UInt64(bytes.count)))
                switch random.below(3) {
                case 0: bytes[at] = UInt8(truncatingIfNeeded: random.next())
                case 1: bytes.remove(at: at)
                default: bytes.removeLast(min(at, bytes.count - 1))
                }
            }
            _ = try? MarksRecord(decoding: Bytes(bytes))
            _ = try? MessageRecord(decoding: Bytes(bytes))
            _ = try? ClockRecord(decoding: Bytes(bytes))
            _ = try? OperatorRecord(decoding: Bytes(bytes))
            _ = Footer(decoding: Bytes(bytes), segment: 1)
            _ = SegmentScan(Bytes(bytes), segment: 1, cut: nil)
        }
    }

    @Test func `A frame of another place, segment or time is not believed`() {
        var batch = FrameBatch(generation: 3, start: 128, syncedUpTo: 0)
        _ = batch.add(FrameDraft(.heartbeat, meta: Self.record.encoded()), sequence: 1)
        let frame = batch.finish().parts.flatMap(\.array)
        let file = [UInt8](repeating: 0, count: 128) + frame + [UInt8](repeating: 0, count: 512)
        func believed(_ bytes: [UInt8], at offset: Int, segment: UInt32) -> Bool {
            bytes.withUnsafeBytes { SegmentScan.frame($0, offset, segment) != nil }
        }
        #expect(believed(file, at: 128, segment: 3))
        #expect(!believed(file, at: 128, segment: 4))
        #expect(!believed(Array(file[8...]), at: 120, segment: 3))
        for at in 128..<128 + FrameHead.byteCount + 40 {
            var changed = file
            changed[at] ^= 1
            #expect(!believed(changed, at: 128, segment: 3), "byte \(at) is not covered")
        }
    }

    @Test func `A footer reads back, and a changed one is refused`() throws {
        let entries = (0..<5).map { number in
            FrameEntry(
                place: LogPlace(segment: 9, offset: 8 * number),
                kind: .accepted,
                frameBytes: 100,
                sequence: UInt64(number),
                meta: Self.record.encoded(),
                id: QueueID(number: UInt64(number + 1))
            )
        }
        let footer = Footer(segment: 9, end: 4096, lastSequence: 4, frames: entries) {
            $0.number % 2 == 1
        }
        let file = footer.encoded().flatMap(\.array)
        let back = try #require(Footer(decoding: Bytes(file), segment: 9))
        #expect(back.end == 4096)
        #expect(back.entries.map(\.place.offset) == [0, 16, 32])
        #expect(back.finished.map(\.number) == [2, 4])
        #expect(Footer(decoding: Bytes(file), segment: 8) == nil)
        for at in file.indices where at < 64 || at % 7 == 0 {
            var changed = file
            changed[at] ^= 0x10
            let padding = at >= file.count - 8
            #expect(padding || Footer(decoding: Bytes(changed), segment: 9) == nil, "byte \(at)")
        }
    }
}
