import EkidenMail
import EkidenResolver
import EkidenRuntime
import Testing

@testable import EkidenSimulator

/// Each fault through the production resolver: the outcome that its name promises.
@Suite struct SimNameFaultTests {
    private static let seeds: Range<UInt64> = 0..<24

    @Test(arguments: SimNameFault.allCases.filter(\.isFailure))
    func `a failing name server makes mail wait, whatever the answer would be`(
        fault: SimNameFault
    ) throws {
        let reason: Reason = fault == .timeout ? .nameServerTimeout : .nameServerFailure
        for seed in Self.seeds {
            let setting = NamesWorld(seed: seed)
            setting.addGoodDomain("good.test")
            setting.names.zones.setNullMX("null.test")
            setting.names.zones.setBare("bare.test")
            setting.names.zones.setAlias("alias.test", to: "good.test")
            setting.names.faults.set(fault)
            for domain in ["good.test", "null.test", "bare.test", "gone.test", "alias.test"] {
                let failure = try setting.resolve(domain).failure
                #expect(failure?.isPermanent == false, "\(domain), seed \(seed)")
                #expect(failure?.reason == reason, "\(domain), seed \(seed)")
                #expect(failure?.status == EnhancedStatus(4, 4, 3), "\(domain), seed \(seed)")
            }
            #expect(setting.names.count(of: fault) == setting.names.questionCount)
            // Switched off, it is forgotten as soon as the failure is.
            setting.names.faults.set(fault, chance: 0)
            #expect(setting.names.faults.isEmpty)
            setting.world.run(for: .seconds(6))
            #expect(try setting.resolve("good.test").brief == "mx1.good.test mx2.good.test")
        }
    }

    @Test(
        arguments: SimNameFault.allCases.filter { !$0.isFailure && !$0.canMislead && $0 != .slow }
    )
    func `an odd answer that says the truth leads to the truth`(fault: SimNameFault) throws {
        var outcomes: Set<String> = []
        for seed in Self.seeds {
            let setting = NamesWorld(seed: seed)
            setting.addGoodDomain("good.test")
            setting.names.zones.setNullMX("null.test")
            setting.names.zones.setAddresses("plain.test", [.v4(0xc000_0201)])
            setting.names.zones.setAlias("alias.test", to: "good.test")
            setting.names.zones.setBare("bare.test")
            setting.names.faults.set(fault)
            let table = [
                ("null.test", "permanent null-mx 5.1.10"), ("plain.test", "plain.test"),
                ("bare.test", "permanent no-address 5.4.4"),
                ("gone.test", "permanent domain-not-found 5.1.2"),
            ]
            for (domain, outcome) in table {
                #expect(try setting.resolve(domain).brief == outcome, "\(domain), seed \(seed)")
            }
            for domain in ["good.test", "alias.test"] {
                let outcome = try setting.resolve(domain)
                #expect(outcome.failure == nil, "\(domain), seed \(seed)")
                outcomes.insert(outcome.brief)
                // The real host is among those offered, at its place or by an alias's name.
                #expect(outcome.brief.contains("mx1.good.test"), "\(domain), seed \(seed)")
            }
            let found = try setting.addresses(of: "mx1.good.test")
            #expect(found.brief == "192.0.2.1 2001:db8::1", "seed \(seed)")
        }
        switch fault {
        case .changingExchanges:
            #expect(outcomes == ["mx1.good.test mx2.good.test", "mx1.good.test"])
        case .aliasedExchange:
            let wanted = ["simulated-alias.mx1.good.test mx2.good.test"]
            #expect(outcomes.isSuperset(of: wanted) && outcomes.count == 2)
        case .deadExchange: #expect(outcomes.contains { $0.contains("bare.invalid") })
        case .manyExchanges:
            #expect(outcomes.allSatisfy { $0.split(separator: " ").count == 50 })
        default: #expect(outcomes == ["mx1.good.test mx2.good.test"])
        }
    }

    @Test(arguments: SimNameFault.allCases.filter(\.canMislead))
    func `an answer that misleads ends somehow, and is told apart`(fault: SimNameFault) throws {
        var outcomes: Set<String> = []
        for seed in 0..<300 as Range<UInt64> {
            let setting = NamesWorld(seed: seed)
            setting.addGoodDomain("good.test")
            setting.names.faults.set(fault)
            let outcome = try setting.resolve("good.test")
            outcomes.insert(outcome.failure.map { $0.isPermanent ? "bounce" : "wait" } ?? "site")
        }
        #expect(outcomes.contains("bounce"), "\(outcomes)")
    }

    @Test func `a slow answer is an answer, past the deadline it is a time-out`() throws {
        let setting = NamesWorld()
        setting.addGoodDomain("d.test")
        setting.names.faults.set(.slow)
        setting.names.faults.slowLatency = .seconds(3) ... .seconds(4)
        let began = setting.world.instant
        #expect(try setting.resolve("d.test").failure == nil)
        // One wait for the MX set and one for the addresses, which are asked for together.
        let took = setting.world.instant - began
        #expect(took >= .seconds(6) && took <= .seconds(8))

        setting.resolver.flush()
        setting.names.faults.slowLatency = .seconds(30) ... .seconds(40)
        let again = setting.world.instant
        #expect(try setting.resolve("d.test").failure?.reason == .nameServerTimeout)
        // The settings' `questionTimeout`.
        #expect(setting.world.instant - again == .seconds(20))
    }

    @Test func `one mail host nobody can look up holds a domain up and does not cut it off`() throws
    {
        let setting = NamesWorld()
        setting.addGoodDomain("d.test")
        setting.names.faults.set(.timeout, for: .name("mx1.d.test"))
        let began = setting.world.instant
        #expect(try setting.resolve("d.test").brief == "mx1.d.test mx2.d.test")
        // The settings' `questionTimeout`, and the MX question before.
        #expect(setting.world.instant - began <= .seconds(21))
    }

    @Test(arguments: SimNameFault.allCases)
    func `a question ends by its deadline, whatever it meets`(fault: SimNameFault) throws {
        let setting = NamesWorld()
        setting.addGoodDomain("d.test")
        setting.names.faults.set(fault)
        for time in [Duration.seconds(-1), .zero, .milliseconds(10), .seconds(3), .seconds(60)] {
            let deadline = setting.world.instant + max(time, .zero)
            let answer = try setting.ask("d.test", SimRecordType.mx, within: time)
            #expect(setting.world.instant <= deadline)
            let mustFail = time <= .zero || fault == .timeout
            #expect(!mustFail || answer == .failure(.timedOut))
            if fault == .timeout { #expect(setting.world.instant == deadline) }
        }
    }

    @Test func `faults meet the questions of their scope, as often as told`() throws {
        let setting = NamesWorld(cacheEntries: 1)
        for domain in ["a.test", "b.a.test", "c.test", "xa.test"] {
            setting.names.zones.setMX(domain, [(10, "mx.\(domain)")])
            setting.names.zones.setAddresses("mx.\(domain)", [.v4(0xc000_0201)])
        }
        var faults = SimNameFaults()
        faults.set(.serverFailure, for: .zone("A.test"), type: SimRecordType.mx)
        faults.set(.refused, for: .name("c.test"))
        setting.names.faults = faults
        for (domain, hasFailed) in [
            ("a.test", true), ("b.a.test", true), ("c.test", true), ("xa.test", false),
        ] {
            #expect(try (setting.resolve(domain).failure != nil) == hasFailed, "\(domain)")
        }
        // A name below one that is in scope by itself is not.
        #expect(try setting.addresses(of: "mx.c.test").brief == "192.0.2.1")

        faults.clear()
        faults.set(.serverFailure, chance: 0.25)
        setting.names.faults = faults
        var failed = 0
        for _ in 0..<1000 {
            let packet = try setting.ask("xa.test", SimRecordType.mx).get()
            if Answer(packet)?.code == .serverFailure { failed += 1 }
        }
        #expect((190...310).contains(failed))
        faults.set(.serverFailure, chance: 0.5)
        #expect(faults.draw(NameQuestion(name: "a", type: 1), SimRandom(seed: 0)).count <= 1)
    }

    @Test func `all faults at once, but for those that mislead, never lead astray`() throws {
        var sites = 0
        for seed in 0..<100 as Range<UInt64> {
            let setting = NamesWorld(seed: seed, loopCount: 1 + Int(seed % 4), cacheEntries: 4)
            setting.addGoodDomain("good.test")
            setting.names.zones.setNullMX("null.test")
            setting.names.zones.setBare("bare.test")
            for fault in SimNameFault.allCases where !fault.canMislead {
                setting.names.faults.set(fault, chance: fault.isFailure ? 0.03 : 0.2)
            }
            let table: [(String, Reason?)] = [
                ("good.test", nil), ("null.test", .nullExchange), ("bare.test", .noAddress),
                ("gone.test", .domainNotFound), ("good.test", nil), ("good.test", nil),
            ]
            for (domain, reason) in table {
                setting.resolver.flush()
                let outcome = try setting.resolve(domain)
                if let failure = outcome.failure {
                    let isTrue = !failure.isPermanent || failure.reason == reason
                    #expect(isTrue, "\(domain), seed \(seed): \(failure.oneLine)")
                } else {
                    sites += 1
                    #expect(outcome.brief.contains("mx1.good.test"), "\(domain), seed \(seed)")
                }
            }
            #expect(setting.names.questionCount >= table.count)
        }
        #expect((60...250).contains(sites), "\(sites)")
    }
}
