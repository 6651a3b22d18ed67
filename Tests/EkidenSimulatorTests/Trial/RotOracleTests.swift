import EkidenMail
import Testing

@testable import EkidenSimulator

@Suite struct RotOracleTests {
    /// A world in which bits rot, and one message that has no end.
    private func town() throws -> (Town, Letter) {
        let seed = try #require((1...100).first { TrialPlan(seed: $0).rotOneIn > 0 })
        let town = try Town(TrialPlan(seed: seed))
        let letter = try #require(
            town.plan.letters.first {
                $0.sender != nil && !$0.body.isEmpty && $0.wishes.isPlain
            }
        )
        town.ledger.acknowledge("A1", letter, letter.recipients, at: town.world.instant)
        return (town, letter)
    }

    @Test func `what rot took without a word is found`() throws {
        let (town, letter) = try town()
        town.judge()
        #expect(town.ledger.violations.count == letter.recipients.count)
    }

    @Test(arguments: [
        (
            Event.Notice(.warning, "spool", "message A1 is damaged: its stored bytes have changed"),
            true
        ),
        (
            Event.Notice(.warning, "spool", "message A2 is damaged: its stored bytes have changed"),
            false
        ),
        (Event.Notice(.warning, "spool", "segment 3 can't be read from byte 0 to 9"), true),
        (Event.Notice(.warning, "spool", "the footer of segment 7 can't be read"), false),
    ])
    func `what the log tells of is lost by right, and nothing else`(
        notice: Event.Notice,
        isTold: Bool
    ) throws {
        let (town, _) = try town()
        town.ledger.damage.heed(.notice(notice))
        town.judge()
        #expect(town.ledger.violations.isEmpty == isTold)
    }

    @Test func `a rotten byte that is sent is found`() throws {
        let (town, letter) = try town()
        var bytes = Array("Received: from a by b\r\n\tid A1;\r\n\tSat\r\n".utf8) + letter.body
        bytes[bytes.count - 1] ^= 4
        let transaction = HostTransaction(host: "mx0.test", takenAt: town.world.instant, boot: 1)
        town.arrived(bytes, from: letter.sender ?? "", to: letter.recipients, transaction)
        #expect(town.ledger.violations.contains { $0.contains("another body") })
    }

    @Test func `one world in fifteen rots, and a diet can leave it out`() {
        let rotten = (1...300).filter { TrialPlan(seed: $0).rotOneIn > 0 }
        #expect((10...30).contains(rotten.count))
        var diet = Diet()
        diet.without = ["rot"]
        #expect(rotten.allSatisfy { TrialPlan(seed: $0, diet: diet).rotOneIn == 0 })
    }
}
