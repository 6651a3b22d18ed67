import EkidenMail
import EkidenResolver
import EkidenRuntime
import TestKit
import Testing

private let mxOfExample = NameQuestion(name: "example.test", type: RecordType.mx)

@Suite struct AnswerTests {
    @Test func `records of every type in use come out flat`() throws {
        var packet = PacketWriter(id: 7, asking: mxOfExample)
        packet.add("Example.TEST", .exchange(preference: 10, name: "MX1.Example.test"), ttl: 60)
        packet.add("example.test", .address(address("192.0.2.1")))
        packet.add("example.test", .address(address("2001:db8::1")))
        packet.add("example.test", .alias("other.test"))
        packet.add("example.test", .other(type: 16))
        packet.add(in: .authority, "test", .authority(minimumSeconds: 900), ttl: 1800)
        let answer = try #require(Answer(packet.bytes))
        #expect(answer.id == 7)
        #expect(answer.code == .noError)
        #expect(!answer.isTruncated)
        #expect(answer.question == mxOfExample)
        #expect(
            answer.answers.map(\.data) == [
                .exchange(preference: 10, name: "mx1.example.test"),
                .address(address("192.0.2.1")), .address(address("2001:db8::1")),
                .alias("other.test"), .other(type: 16),
            ]
        )
        #expect(answer.answers[0].owner == "example.test")
        #expect(answer.answers[0].ttlSeconds == 60)
        #expect(answer.authorities[0].data == .authority(minimumSeconds: 900))
    }

    @Test func `compressed names are unpacked`() throws {
        var packet = PacketWriter(asking: mxOfExample)
        // "example.test" begins at 12; "test" at 20.
        packet.add(
            PacketWriter.pointer(to: 12),
            type: RecordType.mx,
            data: [0, 5] + [3, 0x6d, 0x78, 0x31] + PacketWriter.pointer(to: 20)
        )
        let answer = try #require(Answer(packet.bytes))
        #expect(answer.answers[0].owner == "example.test")
        #expect(answer.answers[0].data == .exchange(preference: 5, name: "mx1.test"))
    }

    @Test func `the root is a dot, and odd bytes in names are escaped`() throws {
        var packet = PacketWriter(asking: mxOfExample)
        packet.add("example.test", .exchange(preference: 0, name: "."))
        packet.add(
            PacketWriter.name("example.test"),
            type: RecordType.mx,
            data: [0, 1, 4, 0x61, 0x2e, 0x0a, 0xff, 0]
        )
        let answer = try #require(Answer(packet.bytes))
        #expect(answer.answers[0].data == .exchange(preference: 0, name: "."))
        #expect(answer.answers[1].data == .exchange(preference: 1, name: #"a\.\010\255"#))
        #expect(!HostName.isValid(#"a\.\010\255"#))
    }

    @Test(arguments: [
        (UInt8(0), ResponseCode.noError), (2, .serverFailure), (3, .nameError), (5, .refused),
        (9, .other(9)),
    ])
    func `the response code is read`(number: UInt8, code: ResponseCode) {
        let packet = PacketWriter(code: number, asking: mxOfExample)
        #expect(Answer(packet.bytes)?.code == code)
    }

    @Test func `an OPT record adds the upper bits of the response code`() {
        var packet = PacketWriter(asking: mxOfExample)
        packet.add(in: .additional, [0], type: 41, class: 1232, ttl: 0x0100_0000, data: [])
        #expect(Answer(packet.bytes)?.code == .other(16))
    }

    @Test func `truncation is told`() {
        #expect(
            Answer(PacketWriter(isTruncated: true, asking: mxOfExample).bytes)?.isTruncated == true
        )
    }

    @Test func `a time to live with its top bit set is zero`() throws {
        var packet = PacketWriter(asking: mxOfExample)
        packet.add("example.test", .address(address("192.0.2.1")), ttl: 0x8000_0001)
        #expect(try #require(Answer(packet.bytes)).answers[0].ttlSeconds == 0)
    }

    @Test func `records of other classes are left out, also with data that fits no type`() throws {
        var packet = PacketWriter(asking: mxOfExample)
        packet.add(PacketWriter.name("example.test"), type: RecordType.a, class: 3, data: [1])
        #expect(try #require(Answer(packet.bytes)).answers.isEmpty)
    }

    @Test(arguments: [
        (RecordType.a, [UInt8]([1, 2, 3])), (RecordType.a, [1, 2, 3, 4, 5]),
        (RecordType.aaaa, [1, 2, 3, 4]), (RecordType.mx, [0]), (RecordType.mx, [0, 10]),
        (RecordType.mx, [0, 10, 0, 0]), (RecordType.cname, []),
        (RecordType.cname, [5, 0x61]), (RecordType.mx, [0, 10, 0xff, 0xff]),
    ])
    func `a record with malformed data spoils the packet`(type: UInt16, data: [UInt8]) {
        var packet = PacketWriter(asking: mxOfExample)
        packet.add(PacketWriter.name("example.test"), type: type, data: data)
        #expect(Answer(packet.bytes) == nil)
    }

    @Test func `compression loops and pointers out of the packet are refused`() {
        for target in [0x3ff0, 12, 30] {
            var packet = PacketWriter(asking: nil)
            packet.append(PacketWriter.pointer(to: target) + [0, 1, 0, 1])
            packet.patch(5, 1)
            #expect(Answer(packet.bytes) == nil, "pointer to \(target)")
        }
        // Two pointers at each other, in the data of an MX record.
        var packet = PacketWriter(asking: mxOfExample)
        let at = packet.bytes.count + 14 + 10 + 2
        packet.add(
            PacketWriter.name("example.test"),
            type: RecordType.mx,
            data: [0, 1] + PacketWriter.pointer(to: at + 2) + PacketWriter.pointer(to: at)
        )
        #expect(Answer(packet.bytes) == nil)
    }

    @Test func `questions, trailing bytes, stumps and floods are no answers`() {
        var question = PacketWriter(asking: mxOfExample)
        question.patch(2, 0x01)
        #expect(Answer(question.bytes) == nil)
        var trailing = PacketWriter(asking: mxOfExample)
        trailing.append([0])
        #expect(Answer(trailing.bytes) == nil)
        #expect(Answer([]) == nil)
        #expect(Answer([UInt8](repeating: 0xff, count: 65_536)) == nil)
        let whole = PacketWriter(asking: mxOfExample).bytes
        for count in 0..<whole.count { #expect(Answer(Array(whole[..<count])) == nil) }
    }

    @Test func `junk never traps`() {
        var random = TestRandom(seed: 4711)
        var packet = PacketWriter(asking: mxOfExample)
        packet.add("example.test", .exchange(preference: 10, name: "mx1.example.test"))
        packet.add(
            PacketWriter.pointer(to: 12),
            type: RecordType.cname,
            data: PacketWriter.pointer(to: 12)
        )
        packet.add(in: .authority, "test", .authority(minimumSeconds: 900))
        packet.add(in: .additional, [0], type: 41, class: 1232, ttl: 0, data: [])
        var understood = 0
        for _ in 0..<30_000 {
            var bytes = packet.bytes
            for _ in 0...random.below(6) {
                bytes[random.below(bytes.count)] = UInt8(random.below(256))
            }
            if random.below(4) == 0 { bytes.removeLast(random.below(bytes.count)) }
            if Answer(bytes) != nil { understood += 1 }
            var inquiry = Inquiry(mxOfExample)
            _ = inquiry.take(bytes)
        }
        for _ in 0..<5_000 {
            let bytes = (0..<random.below(200)).map { _ in UInt8(random.below(256)) }
            _ = Answer(bytes)
        }
        // Some changes hurt nothing; a parser that refuses everything would not be tested here.
        #expect(understood > 100)
    }
}

@Suite struct HostNameTests {
    @Test(arguments: [
        "a", "mx1.example.com", "under_score.example", "3com.com", "xn--bcher-kva.example",
    ])
    func `these may be hosts`(name: String) { #expect(HostName.isValid(name)) }

    @Test(arguments: [
        "", ".", "a..b", ".a", "-a.example", "a-.example", "192.0.2.1", "a b", "a\\.b", "ä.example",
        "a.example/", String(repeating: "a", count: 64) + ".example",
        Array(repeating: "abcdefg", count: 33).joined(separator: "."),
    ])
    func `these may not`(name: String) { #expect(!HostName.isValid(name)) }

    @Test func `a name is within its own zone, its parents and the root, no other`() {
        #expect(HostName.isWithin("a.example", zone: "a.example"))
        #expect(HostName.isWithin("a.example", zone: "example"))
        #expect(HostName.isWithin("a.example", zone: "."))
        #expect(!HostName.isWithin("aexample", zone: "example"))
        #expect(!HostName.isWithin("example", zone: "a.example"))
    }
}
