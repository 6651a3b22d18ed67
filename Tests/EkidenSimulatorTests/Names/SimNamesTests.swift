import EkidenMail
import EkidenResolver
import EkidenRuntime
import Testing

@testable import EkidenSimulator

/// Zones without faults: what the production resolver makes of each kind of record.
@Suite struct SimNamesTests {
    private static let seeds: Range<UInt64> = 0..<40

    /// A zone and what `d.test` then leads to.
    private struct Row: Sendable {
        let name: String
        let outcome: String
        let change: @Sendable (inout SimZones) -> Void

        init(
            _ name: String,
            _ outcome: String,
            _ change: @escaping @Sendable (inout SimZones) -> Void
        ) {
            self.name = name
            self.outcome = outcome
            self.change = change
        }
    }

    private static let table: [Row] = [
        Row("MX in order of preference, whatever the order told", "a.d.test b.d.test c.d.test") {
            $0.setMX("d.test", [(30, "c.d.test"), (5, "a.d.test"), (10, "b.d.test")])
            for host in ["a", "b", "c"] { $0.setAddresses("\(host).d.test", [.v4(0xc000_0201)]) }
        },
        Row("no MX, an address", "d.test") { $0.setAddresses("d.test", [.v4(0xc000_0201)]) },
        Row("no MX, an address of the sixth kind", "d.test") {
            $0.setAddresses("d.test", [.v6(high: 0x2001_0db8_0000_0000, low: 1)])
        },
        Row("null MX", "permanent null-mx 5.1.10") { $0.setNullMX("d.test") },
        Row("no such name", "permanent domain-not-found 5.1.2") { _ in },
        Row("denied, with names below", "permanent domain-not-found 5.1.2") {
            $0.setDenied("d.test")
            $0.setAddresses("mx.d.test", [.v4(0xc000_0201)])
        },
        Row("no data", "permanent no-address 5.4.4") { $0.setBare("d.test") },
        Row("names below alone", "permanent no-address 5.4.4") {
            $0.setAddresses("mx.d.test", [.v4(0xc000_0201)])
        },
        Row("MX without address", "permanent no-address 5.4.4") {
            $0.setMX("d.test", [(10, "bare.test"), (20, "gone.test")])
            $0.setBare("bare.test")
        },
        Row("MX without address beside one with", "bare.test mx.test") {
            $0.setMX("d.test", [(10, "bare.test"), (20, "mx.test")])
            $0.setBare("bare.test")
            $0.setAddresses("mx.test", [.v4(0xc000_0201)])
        },
        Row("MX to an alias", "alias.test") {
            $0.setMX("d.test", [(10, "alias.test")])
            $0.setAlias("alias.test", to: "mx.test")
            $0.setAddresses("mx.test", [.v4(0xc000_0201)])
        },
        Row("the domain is an alias", "mx.test") {
            $0.setAlias("d.test", to: "real.test")
            $0.setMX("real.test", [(10, "mx.test")])
            $0.setAddresses("mx.test", [.v4(0xc000_0201)])
        },
        Row("an alias of nothing", "permanent domain-not-found 5.1.2") {
            $0.setAlias("d.test", to: "gone.test")
        },
        Row("twelve aliases", "mx.test") { addChain(12, to: &$0) },
        Row("thirteen aliases", "temporary name-server-failure 4.4.3") { addChain(13, to: &$0) },
        Row("forty aliases", "temporary name-server-failure 4.4.3") { addChain(40, to: &$0) },
        Row("an alias of itself", "temporary name-server-failure 4.4.3") {
            $0.setAlias("d.test", to: "d.test")
        },
        Row("a loop of three", "temporary name-server-failure 4.4.3") {
            $0.setAlias("d.test", to: "e.test")
            $0.setAlias("e.test", to: "f.test")
            $0.setAlias("f.test", to: "d.test")
        },
        Row("an address for an MX target", "permanent no-address 5.4.4") {
            $0.setMX("d.test", [(10, "192.0.2.1")])
        },
        Row("the relay itself is best", "permanent mail-loop 5.4.6") {
            $0.setMX("d.test", [(10, "relay.test"), (20, "mx.test")])
            $0.setAddresses("mx.test", [.v4(0xc000_0201)])
        },
        Row("the relay itself is second", "mx.test") {
            $0.setMX("d.test", [(10, "mx.test"), (20, "relay.test"), (30, "other.test")])
            $0.setAddresses("mx.test", [.v4(0xc000_0201)])
            $0.setAddresses("other.test", [.v4(0xc000_0201)])
        },
    ]

    private static func addChain(_ count: Int, to zones: inout SimZones) {
        for i in 0..<count {
            let target = i == count - 1 ? "real.test" : "c\(i + 1).test"
            zones.setAlias(i == 0 ? "d.test" : "c\(i).test", to: target)
        }
        zones.setMX("real.test", [(10, "mx.test")])
        zones.setAddresses("mx.test", [.v4(0xc000_0201)])
    }

    @Test func `each kind of zone leads where the relay promises, however it is told`() throws {
        for row in Self.table {
            for seed in Self.seeds {
                let setting = NamesWorld(seed: seed) { $0.ownNames = ["relay.test"] }
                row.change(&setting.names.zones)
                setting.names.varies = seed != 0
                let outcome = try setting.resolve("D.test.")
                #expect(outcome.brief == row.outcome, "\(row.name), seed \(seed)")
                // Whatever makes the failures temporary, none took a time-out to be found.
                #expect(setting.trace.allSatisfy { !$0.hasSuffix("timed out") })
            }
        }
    }

    @Test func `addresses of both families arrive as they are`() throws {
        for seed in Self.seeds {
            let setting = NamesWorld(seed: seed)
            let all = ["192.0.2.1", "192.0.2.77", "2001:db8::1", "2001:db8:1:2:3:4:5:6"]
            setting.names.zones.setAddresses("mx.test", all.map(address))
            setting.names.zones.setAlias("alias.test", to: "mx.test")
            for host in ["mx.test", "alias.test"] {
                let found = try setting.addresses(of: host)
                #expect(found.brief == all.map(address).sorted().map(\.text).joined(separator: " "))
            }
        }
    }

    @Test func `times to live reach the relay, within its bounds`() throws {
        let table: [(told: Int, kept: Int64)] = [
            (0, 5), (4, 5), (120, 120), (86_400, 86_400), (90_000, 86_400),
            // RFC 2181 §8: up to 2³¹−1; beyond it counts as zero.
            (0x7fff_ffff, 86_400), (0x8000_0000, 5), (0xffff_ffff, 5),
        ]
        for (told, kept) in table {
            let setting = NamesWorld()
            setting.addGoodDomain("d.test")
            setting.names.zones.setMX("d.test", [(10, "mx1.d.test")], ttl: told)
            setting.names.faults.latency = .zero ... .zero
            let began = setting.world.instant
            guard case .site(_, let validUntil) = try setting.resolve("d.test") else {
                Issue.record("no site for a TTL of \(told)")
                continue
            }
            #expect(validUntil - began == .seconds(kept), "a TTL of \(told)")
        }
    }

    @Test func `what does not exist is believed as long as the SOA says`() throws {
        let setting = NamesWorld()
        setting.names.zones.setAuthority("test", negativeTTLSeconds: 30)
        let gone = "permanent domain-not-found 5.1.2"
        #expect(try setting.resolve("d.test").brief == gone)
        setting.addGoodDomain("d.test")
        setting.world.run(for: .seconds(29))
        #expect(try setting.resolve("d.test").brief == gone)
        setting.world.run(for: .seconds(2))
        #expect(try setting.resolve("d.test").brief == "mx1.d.test mx2.d.test")
    }

    @Test func `zones change at any moment, also between a question and its answer`() throws {
        let setting = NamesWorld()
        setting.addGoodDomain("d.test")
        setting.names.zones.setMX("d.test", [(10, "mx1.d.test")], ttl: 5)
        setting.names.faults.latency = .seconds(1) ... .seconds(1)
        // Asked before the change, answered after it.
        setting.world.schedule(after: .milliseconds(500)) {
            setting.names.zones.setMX("d.test", [(10, "mx2.d.test")], ttl: 5)
        }
        #expect(try setting.resolve("d.test").brief == "mx1.d.test")
        setting.world.run(for: .seconds(6))
        #expect(try setting.resolve("d.test").brief == "mx2.d.test")
        setting.names.zones.remove("d.test")
        setting.world.run(for: .seconds(6))
        #expect(try setting.resolve("d.test").brief == "permanent no-address 5.4.4")
        setting.names.zones.remove("mx1.d.test")
        setting.names.zones.remove("mx2.d.test")
        setting.world.run(for: .seconds(120))
        #expect(try setting.resolve("d.test").brief == "permanent domain-not-found 5.1.2")
    }

    @Test func `of hundreds of MX records the relay takes fifty, the best first`() throws {
        for seed in Self.seeds.prefix(8) {
            let setting = NamesWorld(seed: seed)
            let hosts = (0..<300).map { (preference: 1000 - $0, host: "mx\($0).d.test") }
            setting.names.zones.setMX("d.test", hosts)
            for (_, host) in hosts { setting.names.zones.setAddresses(host, [.v4(0xc000_0201)]) }
            let best = (250..<300).reversed().map { "mx\($0).d.test" }
            #expect(try setting.resolve("d.test").brief == best.joined(separator: " "))
        }
    }

    @Test func `an answer over 65535 bytes is cut, says so, and is no answer`() throws {
        let setting = NamesWorld()
        let label = String(repeating: "x", count: 55)
        let hosts = (0..<1500).map { (preference: 10, host: "\(label)\($0).test") }
        setting.names.zones.setMX("d.test", hosts)
        let packet = try setting.ask("d.test", SimRecordType.mx).get()
        #expect(packet.count <= SimPacketWriter.packetBytesMax)
        #expect(packet.count > 60_000)
        #expect(Answer(packet)?.isTruncated == true)
        #expect(try setting.resolve("d.test").failure?.isPermanent == false)
    }

    @Test func `names that fit no question are not asked`() throws {
        let setting = NamesWorld()
        let long = Array(repeating: "abcdefg", count: 32).joined(separator: ".")
        let odd = [
            "", "a..test", ".test", "a b.test", "ä.test", "a\\.test",
            String(repeating: "a", count: 64) + ".test", long,
        ]
        for name in odd {
            let answer = try setting.ask(name, SimRecordType.mx)
            #expect(answer == .failure(.unaskable), "\(name)")
        }
        let longest = String(long.prefix(253))
        for name in [longest, ".", "A_b-3.test", "a.test."] {
            let answer = try setting.ask(name, SimRecordType.mx).get()
            #expect(Answer(answer) != nil, "\(name)")
        }
    }

    @Test func `every packet repeats its question and is read as it was meant`() throws {
        var sizes: Set<Int> = []
        var hasCapitals = false
        for seed in 0..<200 as Range<UInt64> {
            let setting = NamesWorld(seed: seed)
            setting.addGoodDomain("example.test")
            let packet = try setting.ask("example.test", SimRecordType.mx).get()
            let answer = try #require(Answer(packet))
            #expect(answer.question == NameQuestion(name: "example.test", type: SimRecordType.mx))
            #expect(answer.code == .noError)
            let told = answer.answers.map { "\($0.owner) \($0.ttlSeconds) \($0.data)" }.sorted()
            let meant = [(10, "mx1"), (20, "mx2")].map { preference, host in
                let data = RecordData.exchange(
                    preference: UInt16(preference),
                    name: "\(host).example.test"
                )
                return "example.test 300 \(data)"
            }
            #expect(told == meant.sorted())
            sizes.insert(packet.count)
            hasCapitals = hasCapitals || packet.contains { (0x41...0x5a).contains($0) }
        }
        // Compression, additional records, an OPT record, letters in either case.
        #expect(sizes.count > 6)
        #expect(hasCapitals)
    }
}
