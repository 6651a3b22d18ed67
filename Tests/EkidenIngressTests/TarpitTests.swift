import EkidenMail
import EkidenRuntime
import Testing

@testable import EkidenIngress

@Suite struct TarpitTests {
    @Test func `errors beyond the free ones cost twice as much each time, up to the bound`() {
        let tarpit = Tarpit(freeErrors: 2, delay: .seconds(1))
        let delays = (1...9).map { tarpit.delay(beforeError: $0) }
        #expect(delays[..<2].allSatisfy { $0 == nil })
        #expect(delays[2...].map { $0 } == [1, 2, 4, 8, 16, 30, 30].map { .seconds($0) })
        #expect(tarpit.delay(beforeError: .max) == Tarpit.delayMax)
        #expect(
            Tarpit(freeErrors: 0, delay: .seconds(30)).delay(beforeError: 1000) == Tarpit.delayMax
        )
    }
}
