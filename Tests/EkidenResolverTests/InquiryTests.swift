import EkidenMail
import EkidenResolver
import EkidenRuntime
import Testing

private func question(_ name: String, _ type: UInt16 = RecordType.mx) -> NameQuestion {
    NameQuestion(name: name, type: type)
}

/// What one packet leads to for the MX question of a.test.
private func step(code: UInt8 = 0, _ fill: (inout PacketWriter) -> Void) -> Inquiry.Step {
    var packet = PacketWriter(code: code, asking: question("a.test"))
    fill(&packet)
    var inquiry = Inquiry(question("A.test."))
    return inquiry.take(packet.bytes)
}

private func failureText(_ step: Inquiry.Step) -> String? {
    if case .done(.failed(let failure), nil) = step { failure.text } else { nil }
}

@Suite struct InquiryTests {
    private let mx = RecordData.exchange(preference: 10, name: "mx.test")

    @Test func `it asks for the folded name`() {
        #expect(Inquiry(question("A.Test.")).firstStep == .ask(question("a.test")))
    }

    @Test func `records of the name count, in any case, and the least time to live holds`() {
        let result = step {
            $0.add("A.TEST", mx, ttl: 500)
            $0.add("a.test", .exchange(preference: 20, name: "mx2.test"), ttl: 400)
        }
        #expect(
            result
                == .done(
                    .records([mx, .exchange(preference: 20, name: "mx2.test")]),
                    ttlSeconds: 400
                )
        )
    }

    @Test func `unrelated records do not count`() {
        let result = step {
            $0.add("b.test", mx)
            $0.add("a.test", .address(address("192.0.2.1")))
            $0.add("sub.a.test", mx)
            $0.add(in: .authority, "a.test", mx)
            $0.add(in: .authority, "test", .authority(minimumSeconds: 60))
        }
        #expect(result == .done(.noData, ttlSeconds: 60))
    }

    @Test func `aliases within the packet are followed in any order of records`() {
        let result = step {
            $0.add("c.test", mx, ttl: 900)
            $0.add("b.test", .alias("C.test"), ttl: 30)
            $0.add("a.test", .alias("b.test"), ttl: 600)
        }
        #expect(result == .done(.records([mx]), ttlSeconds: 30))
    }

    @Test func `an alias that leads out of the packet is asked for`() {
        var inquiry = Inquiry(question("a.test"))
        var first = PacketWriter(asking: question("a.test"))
        first.add("a.test", .alias("b.other"), ttl: 50)
        #expect(inquiry.take(first.bytes) == .ask(question("b.other")))
        var second = PacketWriter(asking: question("b.other"))
        second.add("b.other", mx, ttl: 70)
        #expect(inquiry.take(second.bytes) == .done(.records([mx]), ttlSeconds: 50))
    }

    @Test func `an alias whose target has no such record is no data, or no name`() {
        #expect(
            step {
                $0.add("a.test", .alias("b.other"), ttl: 50)
                $0.add(in: .authority, "other", .authority(minimumSeconds: 40), ttl: 60)
            } == .done(.noData, ttlSeconds: 40)
        )
        #expect(
            step(code: 3) {
                $0.add("a.test", .alias("b.other"), ttl: 50)
                $0.add(in: .authority, "other", .authority(minimumSeconds: 400), ttl: 600)
            } == .done(.noName, ttlSeconds: 50)
        )
    }

    @Test func `alias loops are a failure for now`() throws {
        let result = step {
            $0.add("a.test", .alias("b.test"))
            $0.add("b.test", .alias("a.test"))
        }
        #expect(try #require(failureText(result)).contains("loop"))
        let toItself = step { $0.add("a.test", .alias("a.test")) }
        #expect(try #require(failureText(toItself)).contains("loop"))
    }

    @Test func `chains are bounded, within a packet and over many`() throws {
        let inOne = step {
            $0.add("a.test", .alias("n0.test"))
            for i in 0..<20 { $0.add("n\(i).test", .alias("n\(i + 1).test")) }
        }
        #expect(try #require(failureText(inOne)).contains("in a row"))
        var inquiry = Inquiry(question("n0.test"))
        var asked = 0
        while true {
            var packet = PacketWriter(asking: question("n\(asked).test"))
            packet.add("n\(asked).test", .alias("n\(asked + 1).test"))
            let step = inquiry.take(packet.bytes)
            guard case .ask = step else {
                #expect(failureText(step) != nil)
                break
            }
            asked += 1
        }
        #expect(asked == Inquiry.aliasesMax)
    }

    @Test func `an alias to something that is no host name leads nowhere`() {
        #expect(step { $0.add("a.test", .alias("."), ttl: 9) } == .done(.noName, ttlSeconds: 9))
    }

    @Test func `negative answers take their time from the SOA that speaks for the name`() {
        let table: [(code: UInt8, zone: String, minimum: UInt32, ttl: UInt32, UInt32?)] = [
            (3, "test", 100, 200, 100), (3, "test", 200, 100, 100), (3, ".", 200, 100, 100),
            (3, "other", 100, 200, nil), (0, "a.test", 0, 10, 0),
        ]
        for (code, zone, minimum, ttl, expected) in table {
            let result = step(code: code) {
                $0.add(in: .authority, zone, .authority(minimumSeconds: minimum), ttl: ttl)
            }
            #expect(result == .done(code == 3 ? .noName : .noData, ttlSeconds: expected))
        }
        #expect(step(code: 3) { _ in } == .done(.noName, ttlSeconds: nil))
        #expect(step { _ in } == .done(.noData, ttlSeconds: nil))
    }

    @Test func `a referral is not "no data"`() throws {
        let result = step { $0.add(in: .authority, "test", .other(type: RecordType.ns)) }
        #expect(try #require(failureText(result)).contains("referred"))
    }

    @Test(arguments: [
        (UInt8(2), "SERVFAIL"), (5, "REFUSED"), (1, "FORMERR"), (4, "NOTIMP"), (11, "RCODE11"),
    ])
    func `server errors are failures that name the code`(code: UInt8, name: String) throws {
        let text = try #require(failureText(step(code: code) { $0.add("a.test", mx) }))
        #expect(text == "name server answered \(name) (MX of a.test)")
    }

    @Test func `answers to other questions, half answers and junk are failures`() throws {
        for other in [question("b.test"), question("a.test", RecordType.a)] {
            var inquiry = Inquiry(question("a.test"))
            var packet = PacketWriter(asking: other)
            packet.add("a.test", mx)
            #expect(try #require(failureText(inquiry.take(packet.bytes))).contains("another"))
        }
        var inquiry = Inquiry(question("a.test"))
        var half = PacketWriter(isTruncated: true, asking: question("a.test"))
        half.add("a.test", mx)
        #expect(try #require(failureText(inquiry.take(half.bytes))).contains("whole answer"))
        #expect(try #require(failureText(inquiry.take([1, 2, 3]))).contains("no DNS answer"))
    }

    @Test func `an IPv4 address mapped into AAAA answers the AAAA question`() {
        var inquiry = Inquiry(question("h.test", RecordType.aaaa))
        var packet = PacketWriter(asking: question("h.test", RecordType.aaaa))
        packet.add(
            PacketWriter.name("h.test"),
            type: RecordType.aaaa,
            data: [UInt8](repeating: 0, count: 10) + [0xff, 0xff, 192, 0, 2, 1]
        )
        #expect(
            inquiry.take(packet.bytes)
                == .done(.records([.address(address("192.0.2.1"))]), ttlSeconds: 300)
        )
    }
}
