import EkidenMail
import Testing

@testable import EkidenOutcome

@Suite struct JudgeTests {
    @Test func mixedResultsGiveEachRecipientItsOwnFate() {
        let verdict = judgement([accepted, .failed(noSuchUser), .failed(tryLater)]).verdict()
        #expect(verdict.marks.map(\.state) == [.delivered, .failed, .pending])
        #expect(verdict.marks.map(\.attempts) == [1, 1, 1])
        #expect(verdict.marks[2].nextAttempt == epoch + .seconds(310))
        #expect(
            verdict.dispositions
                == [.done, .done, .retry(after: .seconds(300), because: .peerDeferred)]
        )
        #expect(verdict.attempts.map(\.status) == [.delivered, .bounced, .deferred])
        #expect(verdict.attempts[1].words == "550 5.1.1 no such user")
        #expect(verdict.attempts[2].next == epoch + .seconds(310))
        #expect(verdict.reports.map(\.kind) == [.bounce])
        #expect(verdict.reports[0].items.map(\.recipient.text) == ["r1@example.net"])
        #expect(verdict.reports[0].to.text == "from@example.org")
        #expect(verdict.marks[0].host == "mx.example.net[192.0.2.7]:25")
    }

    @Test func allFailedRecipientsShareOneBounceAndOneDraw() {
        let verdict = judgement(
            [.failed(noSuchUser), .failed(noSuchUser), .failed(tryLater), .failed(tryLater)],
            draw: 0.123
        ).verdict()
        #expect(verdict.reports.count == 1)
        #expect(verdict.reports[0].items.count == 2)
        #expect(verdict.dispositions[2] == verdict.dispositions[3])
        #expect(verdict.marks[2].nextAttempt == verdict.marks[3].nextAttempt)
    }

    @Test func mailExpiresByAgeWithAFailedAttemptOnly() {
        let day: Duration = .seconds(86_400)
        let late = judgement([.failed(tryLater), accepted], attempts: 40, age: day * 5).verdict()
        #expect(late.marks.map(\.state) == [.expired, .delivered])
        #expect(late.reports.map(\.kind) == [.bounce])
        #expect(late.reports[0].items[0].action == .expired)
        let before = judgement([.failed(tryLater)], attempts: 40, age: day * 5 - .seconds(1))
        #expect(before.verdict().marks[0].state == .pending)
        let paused = judgement([.failed(tryLater)], age: day * 50, paused: true).verdict()
        #expect(paused.marks[0].state == .pending)
        #expect(paused.marks[0].nextAttempt == epoch + day * 50 + .seconds(300))
    }

    @Test func whatWaitsForARepairIsNotCountedAndNeverExpires() {
        let login = failure(.site, permanent: false, .loginFailed, step: .login)
        let month: Duration = .seconds(30 * 86_400)
        let verdict = judgement([.failed(login)], attempts: 3, age: month).verdict()
        #expect(verdict.marks.map(\.state) == [.pending] && verdict.marks[0].attempts == 3)
        #expect(
            verdict.dispositions == [.retry(after: .seconds(1800), because: .loginFailed)]
        )
        // Its sender hears of the delay all the same.
        #expect(verdict.reports.map(\.kind) == [.delayNotice])
        #expect(verdict.reports[0].items[0].willRetryUntil == nil)
        let relay = failure(.site, permanent: false, .routeRefused)
        #expect(judgement([.failed(relay)], age: month).verdict().marks[0].state == .expired)
    }

    @Test func whatTheFallbackIsForGoesThereAtOnceAlsoInsteadOfBouncing() {
        let reply = Reply(554, EnhancedStatus(5, 7, 1), "looks like spam")
        let spam = failure(.message, permanent: true, .peerRejected, reply: reply)
        var judged = judgement([.failed(spam), .failed(noSuchUser)])
        judged.settings.fallbackOn = [.spam]
        // No fallback is left: it bounces.
        #expect(judged.verdict().marks.map(\.state) == [.failed, .failed])
        judged.spans = [0: RouteSpan(last: 4)]
        let verdict = judged.verdict()
        #expect(verdict.marks.map(\.state) == [.pending, .failed])
        #expect(verdict.marks[0].attempts == 4 && verdict.marks[0].nextAttempt == judged.now)
        #expect(verdict.dispositions[0] == .retry(after: .zero, because: .peerRejected))
        #expect(verdict.reports[0].items.map(\.recipient.text) == ["r1@example.net"])
    }

    @Test func theFallbackIsNotForWhatMayBeDeliveredNorForWhatIsOurs() {
        let lost = failure(.host, permanent: false, .connectionLost, step: .endOfData)
        let closed = failure(.site, permanent: false, .routeClosed, step: .resolve)
        let refused = failure(.host, permanent: false, .connectionRefused, step: .connect)
        var judged = judgement([.failed(lost), .failed(closed), .failed(refused)])
        judged.settings.fallbackOn = [.network, .ours]
        for index in 0..<3 { judged.spans[index] = RouteSpan(last: 4) }
        let verdict = judged.verdict()
        #expect(verdict.marks.map(\.state) == [.pending, .pending, .pending])
        // The first waits its time, the second for its route, the third goes by the fallback.
        #expect(verdict.marks.map(\.attempts) == [1, 0, 4])
    }

    @Test func waitsBeginAnewOnAFallbackForEachRecipientByItsOwnRoutes() {
        var judged = judgement([.failed(tryLater), .failed(tryLater)], attempts: 10)
        judged.spans = [0: RouteSpan(before: 10)]
        let waits = judged.verdict().marks.map { $0.nextAttempt.map { $0 - judged.now } }
        #expect(waits == [.seconds(300), .seconds(4 * 3600)])
        // The last attempt before a fallback is not waited after.
        judged.spans = [0: RouteSpan(before: 8, last: 11), 1: RouteSpan(last: 12)]
        let marks = judged.verdict().marks
        #expect(marks.map(\.attempts) == [11, 11])
        #expect(marks[0].nextAttempt == judged.now && marks[1].nextAttempt != judged.now)
    }

    @Test func whatWaitsForItsRouteIsNotCountedAndExpires() {
        let closed = failure(.site, permanent: false, .routeClosed, step: .resolve)
        let fresh = judgement([.failed(closed)], attempts: 3).verdict()
        #expect(fresh.marks[0].state == .pending && fresh.marks[0].attempts == 3)
        #expect(fresh.marks[0].nextAttempt == epoch + .seconds(10 + 4 * 3600))
        let day: Duration = .seconds(86_400)
        let late = judgement([.failed(closed)], age: day * 5 - .seconds(600)).verdict()
        // Once more at its end.
        #expect(late.dispositions == [.retry(after: .seconds(600), because: .routeClosed)])
        let told = late.reports[0].items[0]
        #expect(told.willRetryUntil != nil && told.attempts == 0)
        #expect(told.failure?.text.contains("certain times") == true)
        #expect(
            judgement([.failed(closed)], age: day * 5).verdict().marks[0].state == .expired
        )
    }

    @Test func bouncesThemselvesExpireAfterADay() {
        let verdict = judgement([.failed(tryLater)], sender: .null, age: .seconds(86_400))
            .verdict()
        #expect(verdict.marks[0].state == .expired)
        #expect(verdict.reports.isEmpty)
    }

    @Test func theLastAttemptIsNoLaterThanTheEndOfTheLifetime() {
        let verdict = judgement(
            [.failed(tryLater)],
            attempts: 20,
            age: .seconds(5 * 86_400 - 600),
            draw: 0.9
        ).verdict()
        #expect(verdict.marks[0].nextAttempt == epoch + .seconds(5 * 86_400))
    }

    @Test func aMessageFromTheFutureDoesNotExpire() {
        let verdict = judgement([.failed(tryLater)], age: .seconds(-7200)).verdict()
        #expect(verdict.marks[0].state == .pending)
        #expect(verdict.attempts[0].queueTime == .zero)
    }

    @Test func aDelayIsToldOnceAfterFourHours() {
        let four: Duration = .seconds(4 * 3600)
        let early = judgement([.failed(tryLater)], age: four - .seconds(1)).verdict()
        #expect(early.reports.isEmpty && !early.marks[0].delayNoticeSent)
        let due = judgement([.failed(tryLater), .failed(noSuchUser)], age: four).verdict()
        #expect(due.reports.map(\.kind) == [.bounce, .delayNotice])
        #expect(due.marks.map(\.delayNoticeSent) == [true, false])
        #expect(due.reports[1].items[0].willRetryUntil == epoch + .seconds(5 * 86_400))
        let told = judgement([.failed(tryLater)], noticed: true, age: four * 2).verdict()
        #expect(told.reports.isEmpty && told.marks[0].delayNoticeSent)
        let off = judgement([.failed(tryLater)], age: four) { $0.delayNoticeAfter = nil }.verdict()
        #expect(off.reports.isEmpty)
        let null = judgement([.failed(tryLater)], sender: .null, age: four).verdict()
        #expect(null.reports.isEmpty && !null.marks[0].delayNoticeSent)
    }

    @Test func theSenderHearsOfWhatItAskedFor() {
        let four: Duration = .seconds(4 * 3600)
        func kinds(
            _ notify: [NotifyWhen?],
            _ results: [RecipientResult],
            dsn: Bool = false
        )
            -> [[Int]]
        {
            var judgement = judgement(results, age: four)
            judgement.demands.recipients = notify.map { RecipientDemands(notify: $0) }
            judgement.report.hostOffersDSN = dsn
            let reports = judgement.verdict().reports
            return [ReportPlan.Kind.bounce, .delayNotice, .relayNotice].map { kind in
                reports.filter { $0.kind == kind }.flatMap { $0.items.map(\.index) }
            }
        }
        let failed = RecipientResult.failed(noSuchUser)
        let late = RecipientResult.failed(tryLater)
        #expect(kinds([nil, []], [failed, failed]) == [[0], [], []])
        #expect(kinds([.failure, .success, .delay], [failed, failed, failed]) == [[0], [], []])
        #expect(
            kinds([.failure, nil, .delay, []], [late, late, late, late]) == [[], [1, 2], []]
        )
        #expect(kinds([[]], [failed, failed]) == [[1], [], []])
        let everything: NotifyWhen = [.success, .failure, .delay]
        #expect(
            kinds([nil, .success, everything, []], Array(repeating: accepted, count: 4))
                == [[], [], [1, 2]]
        )
        #expect(kinds([.success], [accepted], dsn: true) == [[], [], []])
        #expect(
            kinds([.success, .success, .failure], [accepted, failed, failed])
                == [[2], [], [0]]
        )
    }

    @Test func nobodyIsToldOfWhatANullSenderAskedFor() {
        var judgement = judgement([accepted, .failed(noSuchUser)], sender: .null) {
            $0.postmaster = mailbox("postmaster@example.org")
        }
        judgement.demands.recipients = [
            RecipientDemands(notify: .success), RecipientDemands(notify: []),
        ]
        #expect(judgement.verdict().reports.isEmpty)
    }

    @Test func aBounceNeverBounces() {
        let dropped = judgement([.failed(noSuchUser)], sender: .null).verdict()
        #expect(dropped.reports.isEmpty)
        #expect(dropped.notices.count == 1)
        #expect(dropped.marks.map(\.state) == [.failed])
        let postmaster = Address("postmaster@example.org")!
        let told = judgement([.failed(noSuchUser)], sender: .null) { $0.postmaster = postmaster }
            .verdict()
        #expect(told.reports.map(\.kind) == [.doubleBounce])
        #expect(told.reports[0].to == postmaster)
        #expect(told.notices.isEmpty)
    }

    @Test func whatThePostmasterCantBeToldIsDropped() {
        let verdict = judgement([.failed(noSuchUser)], sender: .null) {
            $0.postmaster = Address("r0@EXAMPLE.net")
        }.verdict()
        #expect(verdict.reports.isEmpty)
        #expect(verdict.notices.count == 1)
    }

    @Test func tooManyRecipientsGoAgainAtOnceOnlyBesideADelivery() {
        let reply = Reply(452, EnhancedStatus(4, 5, 3), "too many recipients")
        let many = failure(.recipient, permanent: false, .tooManyRecipients, reply: reply)
        let verdict = judgement([accepted, .failed(many)]).verdict()
        #expect(verdict.dispositions == [.done, .again])
        #expect(verdict.marks.map(\.recipient) == [0])
        #expect(verdict.attempts.count == 1)
        let alone = judgement([.failed(many), .failed(noSuchUser)]).verdict()
        #expect(alone.dispositions[0] == .retry(after: .seconds(300), because: .tooManyRecipients))
    }

    @Test func `whom the host was not asked for goes again at once, whatever the others meet`() {
        let notAsked = failure(.recipient, permanent: false, .tooManyRecipients)
        for age in [10, 9_000_000] {
            let verdict = judgement(
                [.failed(noSuchUser), .failed(notAsked), .failed(tryLater)],
                age: .seconds(age)
            ).verdict()
            #expect(verdict.dispositions[1] == .again)
            #expect(verdict.marks.map(\.recipient) == [0, 2])
        }
    }

    @Test func ourOwnFaultsNeitherCountNorBounceNorExpire() {
        let ours = failure(.ours, permanent: true, .noRoute, host: nil)
        let verdict = judgement([.failed(ours)], attempts: 3, age: .seconds(9_000_000)).verdict()
        #expect(verdict.marks.map(\.attempts) == [3])
        #expect(verdict.marks.map(\.state) == [.pending])
        #expect(verdict.dispositions == [.retry(after: .seconds(60), because: .noRoute)])
        #expect(verdict.reports.isEmpty)
        for reason in [Reason.stopping, .spoolUnavailable] {
            let silent = judgement([.failed(failure(.ours, permanent: false, reason))]).verdict()
            #expect(silent.marks.isEmpty && silent.events.isEmpty)
            #expect(silent.dispositions.count == 1)
        }
        let damaged = judgement([.failed(failure(.ours, permanent: true, .damaged))]).verdict()
        #expect(damaged.hold == .damaged)
    }

    @Test func anAmbiguousEndIsSaidInTheLog() {
        let lost = failure(.host, permanent: false, .connectionLost, step: .endOfData)
        let verdict = judgement([.failed(lost)]).verdict()
        #expect(verdict.attempts[0].words.hasSuffix("; it may be delivered twice"))
        #expect(verdict.marks[0].words == verdict.attempts[0].words)
    }

    @Test func wordsAreOneCleanLineOfBoundedLength() {
        #expect(Judgement.oneLine("a\r\nb\u{0}c\u{7f}") == "a??b?c?")
        let long = String(repeating: "é", count: 2000)
        let cut = Judgement.oneLine(long)
        #expect(cut.utf8.count <= Limits.wordsBytes)
        #expect(cut.allSatisfy { $0 == "é" })
        let odd = Judgement.oneLine("x" + long)
        #expect(odd.dropFirst().allSatisfy { $0 == "é" })
    }

    @Test func aClassOfFailureMayHaveItsOwnWaits() {
        let reply = Reply(450, EnhancedStatus(4, 2, 0), "Greylisted, come back")
        let greylisted = Failure(
            scope: .recipient,
            isPermanent: false,
            reason: .peerDeferred,
            step: .recipient,
            reply: reply,
            status: EnhancedStatus(4, 2, 0)
        )
        var judgement = judgement([.failed(greylisted)])
        judgement.draw = 0.5
        #expect(
            judgement.verdict().dispositions == [
                .retry(after: .seconds(300), because: .peerDeferred)
            ]
        )
        judgement.settings.classes = [
            .greylisted: .init(first: .seconds(60), ceiling: .seconds(90))
        ]
        let verdict = judgement.verdict()
        #expect(verdict.dispositions == [.retry(after: .seconds(60), because: .peerDeferred)])
        #expect(
            verdict.attempts[0].failureClass == .greylisted
                && verdict.attempts[0].step == .recipient
        )
    }
}
