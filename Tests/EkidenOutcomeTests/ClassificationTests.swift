import EkidenMail
import Testing

@testable import EkidenOutcome

@Suite struct ClassificationTests {
    /// Row by row: a failure that the row is for, whether it was the last host, and the action.
    static let rows: [(row: String, failure: Failure, last: Bool, action: FailureAction)] = [
        ("our own fault", failure(.ours, permanent: false, .stopping), true, .stop),
        ("our own fault", failure(.ours, permanent: true, .damaged), false, .stop),
        (
            "no reply to the final dot",
            failure(.host, permanent: false, .connectionLost, step: .endOfData), false, .deferAll
        ),
        (
            "no reply to the final dot",
            failure(.message, permanent: false, .replyTimedOut, step: .endOfData), true, .deferAll
        ),
        (
            "too many recipients for one transaction",
            failure(.recipient, permanent: false, .tooManyRecipients), false, .againNow
        ),
        (
            "too many recipients for one transaction",
            failure(.recipient, permanent: false, .tooManyRecipients), true, .againNow
        ),
        (
            "login at the next hop failed",
            failure(.site, permanent: false, .loginFailed, step: .login), false, .awaitRepair
        ),
        (
            "login at the next hop failed",
            failure(.site, permanent: false, .loginUnavailable, step: .login), true, .awaitRepair
        ),
        (
            "a route's host refuses us",
            failure(.site, permanent: false, .routeRefused, step: .recipient), false, .deferAll
        ),
        (
            "a route discards it",
            failure(.site, permanent: true, .routeDiscards, step: .resolve), true, .discard
        ),
        (
            "its route is closed for now",
            failure(.site, permanent: false, .routeClosed, step: .resolve), true, .awaitOpening
        ),
        (
            "a route holds it",
            failure(.site, permanent: false, .routeHolds, step: .resolve), true, .hold
        ),
        (
            "next hop refused for good",
            failure(.site, permanent: true, .routeBounces, step: .resolve), true, .bounceRecipients
        ),
        (
            "next hop refused for good",
            failure(.site, permanent: true, .domainNotFound, step: .resolve), true,
            .bounceRecipients
        ),
        (
            "next hop refused for good",
            failure(.site, permanent: true, .nullExchange, step: .resolve), true, .bounceRecipients
        ),
        (
            "next hop refused for good",
            failure(.site, permanent: true, .mailLoop, step: .resolve), true, .bounceRecipients
        ),
        (
            "next hop not reached",
            failure(.site, permanent: false, .nameServerFailure, step: .resolve), true, .deferAll
        ),
        (
            "next hop not reached",
            failure(.site, permanent: false, .connectionTimedOut, step: .connect), false, .deferAll
        ),
        (
            "host can't take such a message, others may",
            failure(.message, permanent: true, .eightBitUnsupported, step: .mail), false, .nextHost
        ),
        (
            "host can't take such a message, others may",
            failure(.recipient, permanent: true, .utf8Unsupported, step: .recipient), false,
            .nextHost
        ),
        (
            "recipient refused for good",
            failure(.recipient, permanent: true, .utf8Unsupported, step: .recipient), true,
            .bounceRecipients
        ),
        (
            "message refused for good",
            failure(.message, permanent: true, .eightBitUnsupported, step: .mail), true,
            .bounceRecipients
        ),
        (
            "host failed, others are left",
            failure(.host, permanent: false, .connectionRefused, step: .connect), false, .nextHost
        ),
        (
            "host failed, others are left",
            failure(.host, permanent: true, .greetingRefused, step: .greeting), false, .nextHost
        ),
        (
            "last host refused in greeting or hello",
            failure(.host, permanent: true, .greetingRefused, step: .greeting), true,
            .bounceRecipients
        ),
        (
            "last host failed",
            failure(.host, permanent: false, .greetingRefused, step: .greeting), true, .deferAll
        ),
        (
            "last host failed",
            failure(.host, permanent: false, .connectionLost, step: .data), true, .deferAll
        ),
        (
            "message refused for good",
            failure(.message, permanent: true, .peerRejected, step: .endOfData), false,
            .bounceRecipients
        ),
        (
            "message deferred, others are left",
            failure(.message, permanent: false, step: .mail), false, .nextHost
        ),
        (
            "message deferred", failure(.message, permanent: false, step: .endOfData), true,
            .deferRecipients
        ),
        ("recipient refused for good", noSuchUser, false, .bounceRecipients),
        ("recipient deferred, others are left", tryLater, false, .nextHost),
        ("recipient deferred", tryLater, true, .deferRecipients),
    ]

    @Test(arguments: rows.indices)
    func everyRowDecidesWhatItIsFor(index: Int) {
        let (row, failure, last, action) = Self.rows[index]
        #expect(Classification.row(for: failure, isLastHost: last).name == row)
        #expect(Classification.action(for: failure, isLastHost: last) == action)
    }

    @Test func everyRowHasACase() {
        #expect(Set(Classification.table.map(\.name)) == Set(Self.rows.map(\.row)))
    }

    @Test func everyFailureFitsARowAndNoBounceComesOfATemporaryOne() {
        for scope in [Failure.Scope.site, .host, .message, .recipient, .ours] {
            for permanent in [false, true] {
                for step in DeliveryStep.allCases {
                    for reason in Reason.allCases {
                        for last in [false, true] {
                            let failure = failure(scope, permanent: permanent, reason, step: step)
                            let action = Classification.action(for: failure, isLastHost: last)
                            if action == .bounceRecipients {
                                #expect(permanent && scope != .ours)
                            }
                            if action == .nextHost { #expect(!last) }
                        }
                    }
                }
            }
        }
    }

    @Test func onlyASilenceAfterTheFinalDotIsAmbiguous() {
        #expect(
            Classification.isAmbiguous(
                failure(.host, permanent: false, .connectionLost, step: .endOfData)
            )
        )
        #expect(
            !Classification.isAmbiguous(
                failure(.host, permanent: false, .connectionLost, step: .data)
            )
        )
        #expect(
            !Classification.isAmbiguous(
                failure(.message, permanent: false, .peerDeferred, step: .endOfData)
            )
        )
    }
}

@Suite struct RetrySettingsTests {
    @Test func waitsDoubleFromFiveMinutesToFourHours() {
        var settings = RetrySettings()
        let minutes = (1...9).map { settings.delay(attempts: $0, draw: 0.5).inSeconds / 60 }
        #expect(minutes == [5, 10, 20, 40, 80, 160, 240, 240, 240])
        #expect(settings.delay(attempts: 100_000, draw: 0.5) == settings.ceiling)
        // However slowly it grows: in no time.
        settings.factor = 1.000_000_000_1
        #expect(settings.delay(attempts: .max, draw: 0.5) == settings.ceiling)
        #expect(settings.delay(attempts: 2, draw: 0.5) < .seconds(301))
        settings.factor = 2
    }

    @Test func theDrawMovesAWaitByATenthEitherWay() {
        let settings = RetrySettings()
        #expect(settings.delay(attempts: 1, draw: 0) == .seconds(270))
        #expect(settings.delay(attempts: 1, draw: 0.999_999_999) <= .seconds(330))
        #expect(settings.delay(attempts: 0, draw: 0.5) == .seconds(300))
    }

    @Test func aFactorOfOneAndACeilingBelowTheFirstAreTakenAsTheyAre() {
        var settings = RetrySettings()
        settings.factor = 1
        #expect(settings.delay(attempts: 50, draw: 0.5) == .seconds(300))
        settings.factor = 2
        settings.ceiling = .seconds(1)
        #expect(settings.delay(attempts: 50, draw: 0.5) == .seconds(300))
    }

    @Test func theLastAttemptComesAtTheEndOfTheLifetimeButNotAtOnce() {
        let settings = RetrySettings()
        #expect(settings.delay(attempts: 9, draw: 0.5, untilEnd: .seconds(1000)) == .seconds(1000))
        #expect(settings.delay(attempts: 9, draw: 0.5, untilEnd: .seconds(1)) == .seconds(60))
        #expect(settings.delay(attempts: 1, draw: 0.5, untilEnd: .seconds(1000)) == .seconds(300))
        #expect(settings.delay(attempts: 1, draw: 0.5, untilEnd: nil) == .seconds(300))
    }
}
