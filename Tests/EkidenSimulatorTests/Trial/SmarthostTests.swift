import EkidenMail
import EkidenRuntime
import Testing

@testable import EkidenSimulator

/// What the oracles of a smarthost find, and what they let pass.
@Suite struct SmarthostTests {
    private static let seeds = (UInt64(1)...200).filter { TrialPlan(seed: $0).smarthost != nil }

    private func town() throws -> Town { try Town(TrialPlan(seed: try #require(Self.seeds.first))) }

    @Test func `worlds have all kinds of secrets and of trouble`() {
        #expect((30...110).contains(Self.seeds.count))
        let smarthosts = Self.seeds.compactMap { TrialPlan(seed: $0).smarthost }
        #expect(Set(smarthosts.map(\.source)).count == 3)
        #expect(Set(smarthosts.flatMap { $0.troubles.map(\.trouble) }).count == 5)
        for smarthost in smarthosts {
            for (one, next) in zip(smarthost.troubles, smarthost.troubles.dropFirst()) {
                #expect(one.from < one.to && one.to < next.from)
            }
        }
    }

    @Test
    func `mail of its domain that comes elsewhere is found, but for a route that asks for more`()
        throws
    {
        let town = try town()
        let domain = try #require(town.plan.smarthost?.domain)
        let recipients = ["ok0.k1@\(domain)"]
        func transaction(_ host: String) -> HostTransaction {
            HostTransaction(host: host, takenAt: town.world.instant, boot: 1)
        }
        let letter = try #require(town.plan.letters.first { !$0.isBulk })
        town.checkSmarthost(letter, recipients, transaction(TrialSmarthost.host))
        #expect(town.ledger.violations == [])
        town.checkSmarthost(letter, recipients, transaction("mx0.test"))
        #expect(town.ledger.violations.count == 1)
        var bulk = letter
        bulk.isBulk = true
        town.checkSmarthost(bulk, recipients, transaction("mx0.test"))
        #expect(town.ledger.violations.count == 1)
    }

    @Test func `logins that are tried again and again are found, those of each connection are not`()
        throws
    {
        let town = try town()
        let door = try #require(town.smarthost?.door)
        let most = 2 * town.plan.connectionsMax + 8
        for _ in 0..<most { town.loginFailed(at: door, boot: 1) }
        town.world.run(for: SmartDoor.window + .seconds(1))
        for _ in 0..<most { town.loginFailed(at: door, boot: 1) }
        // A start knows nothing of those before it.
        town.loginFailed(at: door, boot: 2)
        #expect(town.ledger.violations == [])
        for _ in 1..<most { town.loginFailed(at: door, boot: 2) }
        #expect(town.ledger.violations.isEmpty)
        town.loginFailed(at: door, boot: 2)
        #expect(town.ledger.violations.count == 1)
    }

    @Test func `its secret in the log is found`() throws {
        let town = try town()
        town.checkSecrecy("deferred because=login-failed")
        #expect(town.ledger.violations == [])
        town.checkSecrecy(
            "deferred because=login-failed with \(town.smarthost?.door?.secret ?? "")"
        )
        #expect(town.ledger.violations.count == 1)
    }

    @Test func `the right secret is the one it has now`() throws {
        for source in TrialSmarthost.Source.allCases {
            let door = SmartDoor(source)
            let words =
                source == .password
                ? "\0relay\0\(door.secret)" : "user=relay\u{1}auth=Bearer \(door.secret)\u{1}\u{1}"
            #expect(door.isRight(Array(words.utf8)))
            door.renew()
            #expect(!door.isRight(Array(words.utf8)))
            door.follow()
            #expect(door.secret == "secret-2")
        }
    }
}
