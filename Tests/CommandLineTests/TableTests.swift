import EkidenControl
import EkidenMail
import Testing

@testable import ekiden

@Suite struct TableTests {
    private func table() -> Table {
        Table(
            columns: [
                Table.Column(title: "ID"),
                Table.Column(title: "SIZE", side: .right),
                Table.Column(title: "WORDS", isElastic: true),
            ],
            rows: [["a", "1", "short"], ["bb", "12345", "a long sentence that may be cut"]]
        )
    }

    @Test func columnsAreAligned() {
        #expect(
            table().lines(width: nil) == [
                "ID   SIZE  WORDS",
                "a       1  short",
                "bb  12345  a long sentence that may be cut",
            ]
        )
    }

    @Test func onlyElasticColumnsAreCutToTheTerminal() {
        #expect(
            table().lines(width: 26) == [
                "ID   SIZE  WORDS",
                "a       1  short",
                "bb  12345  a long sentenc…",
            ]
        )
        #expect(table().lines(width: 5).last?.hasPrefix("bb  12345  a long ") == true)
    }

    @Test func agesAndSizesAreShort() {
        let ages: [(Double, String)] = [
            (-5, "0s"), (0, "0s"), (59.9, "59s"), (60, "1m"), (3599, "59m"), (7200, "2h"),
            (86_400 * 3.5, "3d"),
        ]
        for (seconds, text) in ages { #expect(ageText(seconds: seconds) == text) }
        let sizes: [(Int, String)] = [
            (0, "0"), (1023, "1023"), (1024, "1.0K"), (4200, "4.1K"), (10_240, "10K"),
            (1_048_576, "1.0M"), (5_368_709_120, "5.0G"),
        ]
        for (bytes, text) in sizes { #expect(sizeText(bytes) == text) }
        #expect(fixed(1.005, 1) == "1.0")
        #expect(fixed(-0.04, 1) == "0.0")
        #expect(fixed(2.96, 1) == "3.0")
        #expect(fixed(7.5, 0) == "8")
    }

    @Test func textFromOutsideCantSteerTheTerminal() {
        #expect(printable("a\u{1b}[31mb\r\n\u{9b}c\u{7f}é") == "a?[31mb???c?é")
    }

    @Test func aCauseIsOneSentence() {
        let now = WallTime(seconds: 1000)
        let cause = CauseRow(
            reason: .connectionRefused,
            place: "mx.example",
            messages: 37,
            recipients: 40,
            next: WallTime(seconds: 1245),
            now: now
        )
        #expect(
            sentence(cause)
                == "37 messages wait for mx.example: the host refused the connection; next try in 4m"
        )
        let held = CauseRow(reason: .operatorHold, messages: 1, recipients: 1, now: now)
        #expect(sentence(held) == "1 message is held: an operator holds it")
        var sending = cause
        sending.isBeingSent = true
        #expect(sentence(sending) == "37 messages are being sent to mx.example")
    }

    @Test func actionsSayWhatWasDoneAndEndAccordingly() {
        #expect(actionResult(.delete, ControlEnd(count: 1)) == "1 message deleted")
        #expect(actionResult(.hold, ControlEnd(count: 2, failed: 1)) == "2 messages held, 1 not")
        #expect(actionStatus(ControlEnd(count: 2), named: true) == .success)
        #expect(actionStatus(ControlEnd(count: 1, failed: 1), named: true) == .partial)
        #expect(actionStatus(ControlEnd(failed: 1), named: true) == .notFound)
        #expect(actionStatus(ControlEnd(failed: 1), named: false) == .negative)
        #expect(actionStatus(ControlEnd(), named: true) == .notFound)
        #expect(actionStatus(ControlEnd(), named: false) == .success)
    }
}
