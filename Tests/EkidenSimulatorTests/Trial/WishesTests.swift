// The oracles of what clients ask for by DSN and SMTPUTF8 can fail.

import EkidenMail
import EkidenRuntime
import Testing

@testable import EkidenSimulator

@Suite struct WishesTests {
    /// The first letter of any world that has such wishes, accepted as A1.
    private func town(
        is8BitOrSecured: Bool = false,
        _ isSuch: (Letter) -> Bool
    ) throws -> (town: Town, letter: Letter, recipient: String) {
        for seed in UInt64(1)...200 {
            let plan = TrialPlan(seed: seed)
            guard !plan.readsMayFail,
                let letter = plan.letters.first(where: {
                    $0.sender != nil && isSuch($0)
                        && (is8BitOrSecured || !$0.wishes.isEightBit && !$0.wishes.requiresTLS)
                })
            else { continue }
            let town = try Town(plan)
            let recipient =
                letter.recipients.first { letter.wishes.notify[$0] != nil } ?? letter.recipients[0]
            town.ledger.acknowledge("A1", letter, [recipient], at: town.world.instant)
            return (town, letter, recipient)
        }
        throw Missing()
    }

    private struct Missing: Error {}

    private func notified(_ notify: LetterWishes.Notify) -> (Letter) -> Bool {
        { letter in
            let first = letter.recipients.first { letter.wishes.notify[$0] != nil }
            return first.map { letter.wishes.notify[$0] == notify } ?? false
        }
    }

    @Test func `every wish is somebody's, and most letters have none`() {
        var plain = 0
        var seen: Set<String> = []
        for letter in (UInt64(1)...20).flatMap({ TrialPlan(seed: $0).letters }) {
            if letter.wishes.isPlain { plain += 1 }
            if letter.wishes.isInternational { seen.insert("utf8") }
            if let returned = letter.wishes.returned { seen.insert(returned) }
            seen.formUnion(letter.wishes.notify.values.map(\.rawValue))
        }
        #expect(seen.count == 3 + LetterWishes.Notify.allCases.count)
        #expect(plain > 1000)
    }

    @Test func `a host that knows DSN and does not hear it is found, and one that hears too much`()
        throws
    {
        let (town, letter, recipient) = try town {
            self.notified(.never)($0) && !$0.wishes.isInternational
        }
        var heard = HeardParameters()
        heard.offersDSN = true
        heard.mail = letter.wishes.mailParameters
        heard.recipients[recipient] = letter.wishes.parameters(of: recipient)
        heard.offersUTF8 = true
        town.checkParameters(letter, heard, [recipient])
        #expect(town.ledger.violations == [])
        heard.recipients[recipient] = " NOTIFY=SUCCESS ORCPT=rfc822;list-\(recipient)"
        town.checkParameters(letter, heard, [recipient])
        #expect(town.ledger.violations.count == 1)
        heard.recipients[recipient] = letter.wishes.parameters(of: recipient)
        heard.offersDSN = false
        town.checkParameters(letter, heard, [recipient])
        #expect(town.ledger.violations.count >= 2)
    }

    @Test func `UTF-8 that comes to a host that does not know it is found`() throws {
        let (town, letter, recipient) = try town {
            $0.wishes.isInternational && $0.wishes.notify.isEmpty && $0.wishes.returned == nil
                && $0.wishes.envelopeID == nil
        }
        var heard = HeardParameters()
        heard.mail = " SMTPUTF8 BODY=8BITMIME"
        heard.offersUTF8 = true
        heard.offersEightBit = true
        town.checkParameters(letter, heard, [recipient])
        #expect(town.ledger.violations == [])
        heard.offersUTF8 = false
        town.checkParameters(letter, heard, [recipient])
        heard.offersUTF8 = true
        heard.mail = " BODY=8BITMIME"
        town.checkParameters(letter, heard, [recipient])
        #expect(town.ledger.violations.count == 2)
    }

    @Test func `8-bit text that is not declared, and mail that requires TLS, are found`() throws {
        let (town, letter, recipient) = try town(is8BitOrSecured: true) {
            $0.wishes.isEightBit && $0.wishes.requiresTLS && !$0.wishes.isInternational
                && $0.wishes.notify.isEmpty && $0.wishes.returned == nil
                && $0.wishes.envelopeID == nil
        }
        town.ledger.securedKeys = []
        var heard = HeardParameters()
        heard.mail = " BODY=8BITMIME"
        heard.offersEightBit = true
        town.checkParameters(letter, heard, [recipient])
        #expect(town.ledger.violations == [])
        heard.offersEightBit = false
        town.checkParameters(letter, heard, [recipient])
        heard.mail = ""
        town.checkParameters(letter, heard, [recipient])
        #expect(town.ledger.violations.count == 2)
        heard.mail = " BODY=8BITMIME"
        heard.offersEightBit = true
        town.ledger.securedKeys = [letter.key]
        town.checkParameters(letter, heard, [recipient])
        #expect(town.ledger.violations.count == 3 && town.isHopeless("d0.test", for: letter))
    }

    @Test(arguments: [
        (LetterWishes.Notify.never, "failed", 1), (.never, "delayed", 1), (.success, "failed", 1),
        (.failure, "failed", 0), (.failure, "delayed", 1), (.failureAndDelay, "delayed", 0),
        (.delay, "relayed", 1), (.success, "relayed", 0), (.failure, "delivered", 1),
    ])
    func `a report nobody asked for is found`(
        notify: LetterWishes.Notify,
        action: String,
        violations: Int
    ) throws {
        let (town, letter, recipient) = try town(notified(notify))
        let place = Place(id: "A1", recipient: recipient)
        let report =
            "Original-Envelope-Id: \(letter.wishes.envelopeID ?? "")\r\n"
            + "Original-Recipient: rfc822;list-\(recipient)\r\n"
            + "Content-Type: text/rfc822-headers\r\n"
        town.checkWishes(place, action, report)
        #expect(town.ledger.violations.count == violations, "\(town.ledger.violations)")
    }

    @Test func `a report without the client's names, or with more than the header, is found`()
        throws
    {
        let (town, _, recipient) = try town { letter in
            letter.wishes.returned == "HDRS" && letter.wishes.envelopeID != nil
                && self.notified(.failure)(letter)
        }
        let place = Place(id: "A1", recipient: recipient)
        town.checkWishes(place, "failed", "Action: failed\r\n")
        #expect(town.ledger.violations.count == 3, "\(town.ledger.violations)")
    }

    @Test func `who asked to hear of success and does not is found`() throws {
        for (toldDSN, isGood) in [(false, false), (true, true)] {
            let (town, _, recipient) = try town(notified(.success))
            let place = Place(id: "A1", recipient: recipient)
            town.ledger.arrivals[place] = [
                HostTransaction(
                    host: "mx0.test",
                    takenAt: town.world.instant,
                    boot: 1,
                    toldDSN: toldDSN
                )
            ]
            town.judge()
            #expect(town.ledger.violations.isEmpty == isGood, "\(town.ledger.violations)")
        }
    }

    @Test func `what failed in silence is excused where the log says so, and nowhere else`() throws
    {
        for isLogged in [false, true] {
            let (town, _, recipient) = try town { letter in
                guard self.notified(.never)(letter),
                    let first = letter.recipients.first(where: { letter.wishes.notify[$0] != nil })
                else { return false }
                // Of a domain that could take it.
                return first.hasSuffix("@d0.test") && !letter.wishes.isInternational
            }
            let place = Place(id: "A1", recipient: recipient)
            if isLogged { town.ledger.failedByLog.insert(place) }
            town.judge()
            #expect(town.ledger.violations.isEmpty == isLogged, "\(town.ledger.violations)")
        }
    }
}
