import EkidenMail
import EkidenResolver
import EkidenRuntime
import Testing

@testable import EkidenSimulator

/// Many seeds: junk never stops the production code, and a seed is a seed.
@Suite struct SimNameJunkTests {
    private static let junk: [SimNameFault] = [
        .randomBytes, .cutPacket, .trailingBytes, .bitFlips, .lyingCounts, .notAResponse,
        .malformedData, .pointerLoop, .strayRecords, .wrongRecords, .wrongQuestion, .badVersion,
        .endlessAliases, .truncated,
    ]

    @Test func `twenty thousand junk packets are read without harm`() throws {
        let world = SimWorld(seed: 1)
        let names = SimNames(world: world, random: SimRandom(seed: 1))
        names.zones.setMX("d.test", [(10, "mx1.d.test"), (20, "mx2.d.test")])
        names.zones.setAlias("alias.test", to: "d.test")
        let counts = try world.run { () -> (read: Int, packets: Int) in
            let asked = ["d.test", "alias.test", "gone.test", "mx1.d.test"]
            var counts = (read: 0, packets: 0)
            for number in 0..<20_000 {
                names.faults.clear()
                names.faults.set(Self.junk[number % Self.junk.count])
                let question = NameQuestion(name: asked[number / 50 % 4], type: SimRecordType.mx)
                let packet = try await names.ask(
                    question,
                    on: world.loops[0],
                    until: .distantFuture
                )
                counts.packets += 1
                if Answer(packet) != nil { counts.read += 1 }
                var inquiry = Inquiry(question)
                _ = inquiry.take(packet)
            }
            return counts
        }
        #expect(counts.packets == 20_000)
        // Both kinds were among them.
        #expect(counts.read > 4000 && counts.read < 16_000, "\(counts.read)")
    }

    @Test func `junk in all answers for days leaves the resolver in order`() throws {
        let setting = NamesWorld(cacheEntries: 16)
        setting.addGoodDomain("d.test")
        setting.names.noted = nil
        for fault in Self.junk { setting.names.faults.set(fault, chance: 0.1) }
        for number in 0..<3000 {
            _ = try setting.resolve(number % 3 == 0 ? "d.test" : "d\(number).test")
            setting.world.run(for: .seconds(60))
        }
        #expect(setting.names.questionCount > 3000)
        setting.names.faults.clear()
        setting.world.run(for: .seconds(90_000))
        #expect(try setting.resolve("d.test").brief == "mx1.d.test mx2.d.test")
        #expect(setting.resolver.statistics.underWay == 0)
    }

    /// Times, questions, faults and packets of a busy world.
    private static func trace(seed: UInt64) throws -> [String] {
        let setting = NamesWorld(seed: seed, loopCount: 3, cacheEntries: 8)
        for fault in SimNameFault.allCases { setting.names.faults.set(fault, chance: 0.05) }
        for number in 0..<20 { setting.addGoodDomain("d\(number).test") }
        let resolver = setting.resolver
        for number in 0..<60 {
            let loop = setting.world.loops[number % 3]
            loop.spawn {
                let hop = NextHop.domain(Domain("d\(number % 25).test"))
                _ = await resolver.resolve(hop, on: loop, until: loop.now() + .seconds(30))
            }
        }
        setting.world.run(for: .seconds(120))
        return setting.trace
    }

    @Test func `the same seed gives the same packets, another seed others`() throws {
        for seed in 0..<8 as Range<UInt64> {
            let first = try Self.trace(seed: seed)
            #expect(first.count > 50)
            #expect(try Self.trace(seed: seed) == first)
            #expect(try Self.trace(seed: seed + 100) != first)
        }
    }
}
