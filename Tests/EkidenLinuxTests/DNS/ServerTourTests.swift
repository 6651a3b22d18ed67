import EkidenMail
import EkidenRuntime
import Testing

@testable import EkidenLinux

private func server(_ number: UInt32, _ port: UInt16 = 53) -> Endpoint {
    Endpoint(.v4(0xc000_0200 | number), port)
}

private func plan(_ count: UInt32, attempts: Int) -> ServerPlan {
    ServerPlan(
        servers: (0..<count).map { server($0) },
        timeout: .seconds(2),
        attempts: attempts,
        rotates: false
    )
}

@Suite struct ServerTourTests {
    @Test func `servers are asked in order, round after round, more patiently each time`() {
        var tour = ServerTour(plan(2, attempts: 3))
        var stops: [ServerTour.Stop] = []
        while let stop = tour.next() {
            stops.append(stop)
            tour.note(.silent)
        }
        #expect(stops.map(\.server) == [0, 1, 0, 1, 0, 1].map { server($0) })
        #expect(stops.map(\.patience) == [2, 2, 4, 4, 8, 8].map { .seconds($0) })
        #expect(stops.allSatisfy { $0.pause == .zero })
        #expect(tour.wasSilence)
    }

    @Test func `a server that fails is not asked again`() {
        var tour = ServerTour(plan(3, attempts: 2))
        var asked: [Endpoint] = []
        while let stop = tour.next() {
            asked.append(stop.server)
            tour.note(stop.server == server(1) ? .failed : .silent)
        }
        #expect(asked == [0, 1, 2, 0, 2].map { server($0) })
    }

    @Test func `a round in which nobody was waited for is followed by a pause`() {
        var tour = ServerTour(plan(1, attempts: 3))
        var pauses: [Duration] = []
        while let stop = tour.next() {
            pauses.append(stop.pause)
            tour.note(.unreachable)
        }
        #expect(pauses == [.zero, .milliseconds(100), .milliseconds(200)])
        #expect(!tour.wasSilence)
    }

    @Test func `patience has a bound`() {
        var long = plan(1, attempts: 5)
        long.timeout = .seconds(20)
        var tour = ServerTour(long)
        var patience: [Duration] = []
        while let stop = tour.next() {
            patience.append(stop.patience)
            tour.note(.silent)
        }
        #expect(patience == [20, 30, 30, 30, 30].map { .seconds($0) })
    }
}

@Suite struct ResolverFileTests {
    @Test func `servers and options are read, the rest is passed over`() {
        let plan = ResolverFile.parse(
            Array(
                """
                # a comment
                domain example.test
                search a b
                nameserver 192.0.2.1
                nameserver\t2001:db8::1%eth0
                nameserver fe80::1%eth0
                nameserver 192.0.2.1
                nameserver
                nameserver nonsense
                options ndots:2 timeout:99 attempts:4 rotate edns0
                nameserver 192.0.2.3
                nameserver 192.0.2.4\r
                """.utf8
            )
        )
        #expect(
            plan.servers.map(\.text) == ["192.0.2.1:53", "[2001:db8::1]:53", "192.0.2.3:53"]
        )
        #expect(plan.timeout == .seconds(30))
        #expect(plan.attempts == 4)
        #expect(plan.rotates)
    }

    @Test(arguments: ["", "nameserver 0.0.0.0", "options timeout:0 attempts:-1 timeout: rotate:1"])
    func `without a server the local machine is asked, without options the defaults hold`(
        text: String
    ) {
        let plan = ResolverFile.parse(Array(text.utf8))
        #expect(plan.servers.map(\.text) == ["127.0.0.1:53"])
        #expect(plan.timeout == .seconds(2))
        #expect(plan.attempts == 3)
        #expect(!plan.rotates)
    }

    @Test func `junk never traps`() {
        var state: UInt64 = 77
        let words = [
            "nameserver", "options", " ", "\t", "\n", "timeout:", "1", ":", "fe80::", "%", "é",
        ]
        for _ in 0..<3_000 {
            var text = ""
            for _ in 0..<12 {
                state ^= state << 13
                state ^= state >> 7
                state ^= state << 17
                text += words[Int(state % UInt64(words.count))]
            }
            #expect(!ResolverFile.parse(Array(text.utf8)).servers.isEmpty)
        }
    }
}

@Suite struct QuestionPacketTests {
    @Test func `a question is a header, the name, type and class, and an OPT record`() throws {
        let packet = try #require(
            QuestionPacket(
                NameQuestion(name: "A.test", type: 15),
                id: 0xabcd,
                withExtension: true
            )
        )
        let expected: [UInt8] =
            [0xab, 0xcd, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 1]
            + [1, 0x41, 4, 0x74, 0x65, 0x73, 0x74, 0, 0, 15, 0, 1]
            + [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]
        #expect(packet.bytes == expected)
        let plain = try #require(
            QuestionPacket(
                NameQuestion(name: "A.test", type: 15),
                id: 0xabcd,
                withExtension: false
            )
        )
        #expect(plain.bytes.count == 24)
        #expect(plain.bytes[11] == 0)
    }

    @Test func `junk is no answer and never traps`() throws {
        let packet = try #require(
            QuestionPacket(NameQuestion(name: "a.test", type: 15), id: 1, withExtension: true)
        )
        let good = TestNameServer.reply(to: packet.bytes)
        #expect(good.withUnsafeBytes { packet.judge($0) } == .answer)
        for count in 0..<TestNameServer.questionEnd(good) {
            #expect(Array(good[..<count]).withUnsafeBytes { packet.judge($0) } == nil)
        }
        var state: UInt64 = 3
        for _ in 0..<20_000 {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            var bytes = good
            bytes[Int(state % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: state >> 32)
            _ = bytes.withUnsafeBytes { packet.judge($0) }
        }
    }
}
