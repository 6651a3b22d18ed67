import EkidenMail
import Testing

@testable import EkidenScheduler

@Suite struct DueAndResolvedTests {
    @Test func freshMailIsResolvedThenGivenToASession() throws {
        let desk = Desk()
        desk.add(message(1, to: ["a.example"]))
        #expect(desk.asked == [hop("a.example")])
        #expect(desk.rows(1).map(\.because) == [.resolving])
        desk.resolveAll()
        #expect(desk.rows(1).map(\.place) == [.ready])
        let session = try #require(desk.started.first)
        #expect(session.site == site("a.example"))
        let job = try #require(desk.job(session.id))
        #expect(job.message == QueueID(number: 1))
        #expect(job.recipients == [0])
        #expect(desk.rows(1).map(\.place) == [.inFlight(job.id)])
        desk.finish(session.id, job)
        #expect(desk.next(session.id) == .idle)
        #expect(desk.scheduler.messageCount == 0)
        #expect(desk.scheduler.counts.total == 0)
    }

    @Test func aJobIsCompletedFromTheSpoolsIndex() throws {
        let desk = Desk()
        let queued = message(1, to: ["a.example", "b.example", "a.example"], attempts: 2)
        desk.add(queued)
        desk.resolveAll()
        let job = try #require(desk.job(desk.started[0].id))
        let whole = try #require(job.deliveryJob(of: queued))
        #expect(whole.recipients.map(\.index) == [0, 2])
        #expect(whole.recipients.map(\.attemptsBefore) == [2, 2])
        #expect(whole.nextHop == hop("a.example"))
        #expect(job.deliveryJob(of: message(1, to: ["a.example"])) == nil)
    }

    @Test func aResolutionServesUntilItsTimeIsOverAndIsThenAskedAgain() {
        let desk = Desk()
        desk.add(message(1, to: ["a.example"]))
        desk.resolveAll(validFor: .seconds(30))
        desk.add(message(2, to: ["a.example"]))
        #expect(desk.asked.isEmpty)
        desk.pass(.seconds(31))
        desk.add(message(3, to: ["a.example"]))
        #expect(desk.asked == [hop("a.example")])
    }

    @Test func aChangedAnswerMovesReadyMailToTheNewSite() throws {
        let desk = Desk { $0.windowInitial = 1 }
        for n in 1...3 { desk.add(message(UInt64(n), to: ["a.example"])) }
        desk.resolveAll(validFor: .seconds(30))
        let old = desk.started[0].id
        let job = try #require(desk.job(old))
        desk.pass(.seconds(31))
        desk.finish(old, job)
        #expect(desk.next(old) == .idle)
        #expect(desk.asked == [hop("a.example")])
        desk.asked = []
        desk.scheduler.resolved(
            hop("a.example"),
            .site(site("new.example"), validUntil: desk.now.instant + .seconds(60)),
            at: desk.now
        )
        desk.collect()
        #expect(desk.started.last?.site == site("new.example"))
        #expect(desk.rows(2).map(\.site) == [site("new.example").id])
        #expect(desk.scheduler.brokenInvariant() == nil)
    }

    @Test func afailedLookupFailsEveryDueGroupWithoutASession() {
        let desk = Desk { $0.turnGroups = 2 }
        for n in 1...5 { desk.add(message(UInt64(n), to: ["a.example", "a.example"])) }
        desk.scheduler.resolved(hop("a.example"), .failure(failure), at: desk.now)
        #expect(desk.scheduler.tick(at: desk.now))
        desk.collect()
        #expect(desk.failed.count == 2)
        desk.turn()
        #expect(desk.failed.map(\.job.message.number) == [1, 2, 3, 4, 5])
        #expect(desk.failed.allSatisfy { $0.job.recipients == [0, 1] && $0.failure == failure })
        for (job, _) in desk.failed {
            desk.scheduler.settled(
                job.id,
                [.retry(after: .seconds(300), because: .connectionRefused), .done],
                at: desk.now
            )
        }
        #expect(desk.scheduler.counts.waiting == 5)
        #expect(desk.started.isEmpty)
        #expect(desk.scheduler.nextWakeUp == desk.now.instant + .seconds(120))
    }

    @Test func aLookupThatNeverAnswersIsOverdueAndDefers() {
        let desk = Desk()
        desk.add(message(1, to: ["a.example"]))
        desk.pass(.seconds(121))
        desk.turn()
        #expect(desk.failed.map(\.failure.reason) == [.nameServerTimeout])
    }

    @Test func storedRetryTimesSurviveClockStepsInBothDirections() {
        let desk = Desk()
        let wall = desk.now.wall
        desk.add(message(1, to: ["a.example"], attempts: 1, nextAttempt: wall + .seconds(600)))
        // The clock stepped back by years: not believed beyond the longest wait.
        desk.add(message(2, to: ["a.example"], attempts: 1, nextAttempt: wall + .seconds(9e8)))
        // It stepped forward: due.
        desk.add(message(3, to: ["b.example"], attempts: 1, nextAttempt: WallTime(seconds: 5)))
        #expect(desk.asked == [hop("b.example")])
        #expect(
            desk.rows(1)[0].place
                == .waiting(until: wall + .seconds(600), because: .accepted)
        )
        #expect(
            desk.rows(2)[0].place
                == .waiting(until: wall + .seconds(5 * 3600), because: .accepted)
        )
        // Once queued only the monotonic clock counts.
        desk.now = Moment(
            instant: desk.now.instant + .seconds(601),
            wall: WallTime(seconds: 77)
        )
        desk.turn()
        #expect(desk.asked == [hop("b.example"), hop("a.example")])
    }

    @Test func aMessageIsTakenUpOnce() {
        let desk = Desk()
        desk.add(message(1, to: ["a.example"]))
        #expect(!desk.scheduler.add(message(1, to: ["a.example"]), route: byDomain, at: desk.now))
        var done = message(2, to: ["a.example"])
        done.recipients[0].state = .delivered
        #expect(!desk.scheduler.add(done, route: byDomain, at: desk.now))
        #expect(desk.scheduler.counts.total == 1)
    }
}

@Suite struct SessionTests {
    @Test func recipientsOfOneMessageAtOneSiteGoInOneTransactionWhateverTheirDomain() throws {
        let desk = Desk()
        desk.add(message(1, to: ["a.example", "b.example", "c.example", "a.example"]))
        let shared = site("shared")
        for hop in desk.asked {
            let own = hop.text == "c.example" ? site("other") : shared
            desk.scheduler.resolved(
                hop,
                .site(own, validUntil: desk.now.instant + .seconds(60)),
                at: desk.now
            )
        }
        desk.collect()
        let session = try #require(desk.started.first { $0.site == shared })
        let job = try #require(desk.job(session.id))
        #expect(job.recipients == [0, 3, 1])
        desk.finish(session.id, job)
        #expect(desk.rows(1).map(\.recipient) == [2])
        #expect(desk.scheduler.brokenInvariant() == nil)
    }

    @Test func domainsWithOtherPreferencesAmongTheSameHostsKeepThem() throws {
        let desk = Desk()
        desk.add(message(1, to: ["a.example", "b.example"]))
        let one = Site(exchanges: [
            Exchange(preference: 1, name: "x"), Exchange(preference: 2, name: "y"),
        ])
        let two = Site(exchanges: [
            Exchange(preference: 2, name: "x"), Exchange(preference: 1, name: "y"),
        ])
        let until = desk.now.instant + .seconds(60)
        desk.scheduler.resolved(hop("a.example"), .site(one, validUntil: until), at: desk.now)
        desk.scheduler.resolved(hop("b.example"), .site(two, validUntil: until), at: desk.now)
        desk.collect()
        let first = try #require(desk.job(desk.started[0].id))
        let second = try #require(desk.job(desk.started[1].id))
        #expect(first.site == one)
        #expect(second.site == two)
        #expect(first.recipients == [0] && second.recipients == [1])
    }

    @Test func theWindowBoundsASitesSessionsAndGrowsWithSuccess() throws {
        let desk = Desk()
        for n in 1...50 { desk.add(message(UInt64(n), to: ["a.example"])) }
        desk.resolveAll()
        #expect(desk.started.count == 2)
        var rounds = 0
        while desk.scheduler.messageCount > 0 {
            for (id, _) in desk.started { if let job = desk.job(id) { desk.finish(id, job) } }
            rounds += 1
            try #require(rounds < 100)
            #expect(desk.scheduler.brokenInvariant() == nil)
        }
        #expect(desk.started.count > 4 && desk.started.count <= 20)
    }

    @Test func parkedSessionsAreWokenBeforeNewOnesStart() throws {
        let desk = Desk()
        desk.add(message(1, to: ["a.example"]))
        desk.resolveAll()
        let id = desk.started[0].id
        desk.finish(id, try #require(desk.job(id)))
        #expect(desk.next(id) == .idle)
        desk.add(message(2, to: ["a.example"]))
        #expect(desk.woken == [id])
        #expect(desk.started.count == 1)
        #expect(desk.job(id)?.message.number == 2)
    }

    @Test func aLargeListLetsSingleMailsThrough() throws {
        let desk = Desk {
            $0.windowInitial = 1; $0.windowCeiling = 1
        }
        desk.add(message(1, to: Array(repeating: "a.example", count: 1000)))
        for n in 2...4 { desk.add(message(UInt64(n), to: ["a.example"])) }
        desk.resolveAll()
        let id = desk.started[0].id
        var order: [UInt64] = []
        while let job = desk.job(id) {
            order.append(job.message.number)
            #expect(job.recipients.count <= 100)
            desk.finish(id, job)
        }
        #expect(order.prefix(6) == [2, 1, 3, 1, 4, 1])
        #expect(order.filter { $0 == 1 }.count == 10)
    }

    @Test func retriesDontStandBeforeFreshMail() throws {
        let desk = Desk {
            $0.windowInitial = 1; $0.windowCeiling = 1
        }
        for n in 1...20 { desk.add(message(UInt64(n), to: ["a.example"], attempts: 3)) }
        desk.add(message(99, to: ["a.example"]))
        desk.resolveAll()
        let id = desk.started[0].id
        #expect(desk.job(id)?.message.number == 99)
    }

    @Test func aHugeMessageToManyDomainsOfOneSiteIsTakenInSteps() throws {
        let desk = Desk {
            $0.windowInitial = 1; $0.windowCeiling = 1
        }
        desk.add(message(1, to: (0..<500).map { "d\($0).example" }))
        for hop in desk.asked {
            desk.scheduler.resolved(
                hop,
                .site(site("shared"), validUntil: desk.now.instant + .seconds(600)),
                at: desk.now
            )
        }
        desk.collect()
        let id = desk.started[0].id
        var seen: [Int] = []
        var jobs = 0
        while let job = desk.job(id) {
            seen += job.recipients
            jobs += 1
            desk.finish(id, job)
        }
        #expect(seen.sorted() == Array(0..<500))
        #expect(jobs <= 20)
    }

    @Test func recipientsPartOnlyWhereTheirOutcomesDiffer() throws {
        let desk = Desk()
        desk.add(message(1, to: Array(repeating: "a.example", count: 5)))
        desk.resolveAll()
        let id = desk.started[0].id
        let job = try #require(desk.job(id))
        let later = Disposition.retry(after: .seconds(300), because: .peerDeferred)
        let end = JobEnd(dispositions: [.done, later, .again, later, .done], health: .alive)
        desk.scheduler.finished(id, job.id, end, at: desk.now)
        #expect(desk.rows(1).map(\.recipient) == [1, 2, 3])
        #expect(desk.scheduler.ledger.groups.count == 2)
        #expect(desk.job(id)?.recipients == [2])
        desk.pass(.seconds(300))
        desk.turn()
        #expect(desk.job(desk.woken.first ?? desk.started[1].id)?.recipients == [1, 3])
        #expect(desk.scheduler.brokenInvariant() == nil)
    }

    @Test func aSessionThatDiesGivesItsJobBack() throws {
        let desk = Desk()
        desk.add(message(1, to: ["a.example"]))
        desk.resolveAll()
        let id = desk.started[0].id
        _ = try #require(desk.job(id))
        desk.scheduler.sessionEnded(id, at: desk.now)
        desk.collect()
        #expect(desk.started.count == 2)
        #expect(desk.job(desk.started[1].id)?.message.number == 1)
        #expect(desk.next(id) == .end)
    }

    @Test func theGlobalCeilingIsSharedInTurn() throws {
        let desk = Desk {
            $0.connectionsMax = 4; $0.windowInitial = 4
        }
        for n in 0..<40 { desk.add(message(UInt64(1 + n), to: ["big.example"])) }
        desk.resolveAll()
        // It answers, and may have all connections there are.
        let first = desk.started[0].id
        desk.finish(first, try #require(desk.job(first)))
        for n in 0..<3 { desk.add(message(UInt64(100 + n), to: ["small\(n).example"])) }
        desk.resolveAll()
        #expect(desk.started.count == 4)
        #expect(desk.started.allSatisfy { $0.site == site("big.example") })
        var delivered: Set<UInt64> = []
        var live = desk.started.map(\.id)
        for _ in 0..<4 {
            for id in live {
                switch desk.next(id) {
                case .job(let job):
                    delivered.insert(job.message.number)
                    desk.finish(id, job)
                case .end: desk.scheduler.sessionEnded(id, at: desk.now)
                case .idle: break
                }
                desk.collect()
                #expect(desk.scheduler.brokenInvariant() == nil)
            }
            live = desk.started.map(\.id)
        }
        #expect(delivered.isSuperset(of: [100, 101, 102]))
    }

    @Test func parkedConnectionsMakeRoomForOtherSites() throws {
        let desk = Desk { $0.connectionsMax = 1 }
        desk.add(message(1, to: ["a.example"]))
        desk.resolveAll()
        let id = desk.started[0].id
        desk.finish(id, try #require(desk.job(id)))
        #expect(desk.next(id) == .idle)
        desk.add(message(2, to: ["b.example"]))
        desk.resolveAll()
        #expect(desk.ended == [id])
        #expect(desk.started.count == 1)
        desk.scheduler.sessionEnded(id, at: desk.now)
        desk.collect()
        #expect(desk.started.last?.site == site("b.example"))
    }
}

@Suite struct DeadSiteTests {
    private func dead(_ desk: Desk) throws -> SessionID {
        desk.add(message(1, to: ["dead.example"]))
        desk.add(message(2, to: ["dead.example"]))
        desk.resolveAll()
        let ids = desk.started.map(\.id)
        let jobs = ids.compactMap { desk.job($0) }
        try #require(jobs.count == 2)
        for (id, job) in zip(ids, jobs) {
            desk.finish(
                id,
                job,
                .retry(after: .seconds(4 * 3600), because: .connectionRefused),
                .trouble(failure)
            )
        }
        return ids[0]
    }

    @Test func aDeadSiteIsLeftAloneAndItsMailDeferredWithoutAConnection() throws {
        let desk = Desk()
        let id = try dead(desk)
        #expect(desk.siteWords == ["backing-off"])
        #expect(desk.next(id) == .end)
        desk.add(message(3, to: ["dead.example"]))
        desk.turn()
        #expect(desk.failed.map(\.job.message.number) == [3])
        #expect(desk.failed[0].failure.reason == .connectionRefused)
        #expect(desk.failed[0].failure.scope == .site)
        #expect(desk.started.count == 2)
        // Another site is not concerned.
        desk.add(message(4, to: ["well.example"]))
        desk.resolveAll()
        #expect(desk.started.last?.site == site("well.example"))
    }

    @Test func afterTheBackOffOneProbeGoesAndItsSuccessBringsTheRestForward() throws {
        let desk = Desk()
        let id = try dead(desk)
        desk.scheduler.sessionEnded(id, at: desk.now)
        #expect(desk.scheduler.counts.waiting == 2)
        #expect(desk.scheduler.nextWakeUp == desk.now.instant + .seconds(60))
        desk.pass(.seconds(60))
        desk.turn()
        #expect(desk.scheduler.counts.ready == 1)
        let probe = try #require(desk.started.last?.id)
        let job = try #require(desk.job(probe))
        desk.finish(probe, job)
        desk.turn()
        #expect(desk.siteWords == ["backing-off", "open"])
        #expect(desk.scheduler.counts.waiting == 0)
        #expect(desk.rows(2).map(\.place) == [.ready])
        #expect(desk.job(probe)?.message.number == 2)
        #expect(desk.scheduler.brokenInvariant() == nil)
    }

    @Test func aFailedProbeMeansALongerBackOff() throws {
        let desk = Desk()
        let id = try dead(desk)
        desk.scheduler.sessionEnded(id, at: desk.now)
        desk.pass(.seconds(60))
        desk.turn()
        let probe = try #require(desk.started.last?.id)
        desk.finish(
            probe,
            try #require(desk.job(probe)),
            .retry(after: .seconds(4 * 3600), because: .connectionRefused),
            .trouble(failure)
        )
        let row = try #require(desk.scheduler.siteRows(at: desk.now).first)
        #expect(
            row.state
                == .backingOff(until: desk.now.wall + .seconds(120), because: .connectionRefused)
        )
        #expect(row.lastFailure == failure.oneLine)
    }

    @Test func anOperatorsRetryClearsTheBackOff() throws {
        let desk = Desk()
        let id = try dead(desk)
        desk.scheduler.sessionEnded(id, at: desk.now)
        #expect(desk.scheduler.retry(QueueID(number: 1), by: 0, at: desk.now) == .done)
        desk.turn()
        #expect(desk.failed.isEmpty)
        let session = try #require(desk.started.last?.id)
        #expect(desk.job(session)?.message.number == 1)
    }

    @Test func deadAddressesAreTriedLastAndForgottenOnceTheSiteIsWell() throws {
        let desk = Desk()
        desk.add(message(1, to: ["a.example"]))
        desk.resolveAll()
        let id = desk.started[0].id
        let job = try #require(desk.job(id))
        let one = HostAddress("192.0.2.1")!
        let two = HostAddress("192.0.2.2")!
        desk.scheduler.finished(
            id,
            job.id,
            JobEnd(
                dispositions: [.retry(after: .seconds(60), because: .connectionRefused)],
                health: .alive,
                failedAddresses: [one, two],
                aliveAddress: nil
            ),
            at: desk.now
        )
        #expect(desk.next(id) == .idle)
        desk.pass(.seconds(60))
        desk.turn()
        let again = try #require(desk.job(id))
        #expect(again.avoid == [one, two])
        desk.scheduler.finished(
            id,
            again.id,
            JobEnd(dispositions: [.done], health: .alive, aliveAddress: one),
            at: desk.now
        )
        #expect(desk.scheduler.deadAddresses(site("a.example").id, at: desk.now) == [two])
        desk.pass(.seconds(600))
        #expect(desk.scheduler.deadAddresses(site("a.example").id, at: desk.now) == [])
    }
}

@Suite struct OperatorTests {
    private let hold = Hold(reason: .operatorHold, uid: 1000, since: WallTime(seconds: 0))

    @Test func aHeldMessageGoesNowhereUntilReleased() throws {
        let desk = Desk()
        desk.add(message(1, to: ["a.example", "b.example"]))
        #expect(desk.scheduler.hold(QueueID(number: 1), hold, at: desk.now) == .done)
        desk.resolveAll()
        #expect(desk.started.isEmpty)
        #expect(desk.rows(1).map(\.place) == [.held(by: 1000), .held(by: 1000)])
        #expect(desk.scheduler.retry(QueueID(number: 1), by: 0, at: desk.now) == .done)
        #expect(desk.scheduler.counts.held == 2)
        #expect(desk.scheduler.release(QueueID(number: 1), by: 0, at: desk.now) == .done)
        desk.collect()
        desk.resolveAll()
        #expect(desk.started.count == 2)
    }

    @Test func whatIsInFlightEndsFirstAndIsThenHeld() throws {
        let desk = Desk()
        desk.add(message(1, to: ["a.example", "a.example"]))
        desk.resolveAll()
        let id = desk.started[0].id
        let job = try #require(desk.job(id))
        #expect(desk.scheduler.hold(QueueID(number: 1), hold, at: desk.now) == .done)
        #expect(desk.scheduler.remove(QueueID(number: 1), by: 0, at: desk.now) == .inFlight(2))
        let end = JobEnd(
            dispositions: [.done, .retry(after: .seconds(1), because: .peerDeferred)],
            health: .alive
        )
        desk.scheduler.finished(id, job.id, end, at: desk.now)
        #expect(desk.rows(1).map(\.place) == [.held(by: 1000)])
        #expect(desk.scheduler.remove(QueueID(number: 1), by: 0, at: desk.now) == .done)
        #expect(desk.scheduler.messageCount == 0)
        #expect(desk.scheduler.remove(QueueID(number: 1), by: 0, at: desk.now) == .unknown)
    }

    @Test func damagedMailIsHeldAfterItsAttemptAndSaysSo() throws {
        let desk = Desk()
        desk.add(message(1, to: ["a.example"]))
        desk.resolveAll()
        let id = desk.started[0].id
        let job = try #require(desk.job(id))
        let damage = Hold(reason: .damaged, uid: nil, since: desk.now.wall)
        #expect(desk.scheduler.hold(job.message, damage, at: desk.now) == .done)
        desk.finish(id, job, .retry(after: .seconds(60), because: .damaged), .unknown)
        #expect(desk.rows(1).map(\.place) == [.held(by: nil)])
        #expect(desk.rows(1).map(\.because) == [.damaged])
    }

    @Test func mailHeldInTheSpoolComesUpHeld() {
        let desk = Desk()
        desk.add(message(1, to: ["a.example"], hold: hold))
        #expect(desk.asked.isEmpty)
        #expect(desk.rows(1).map(\.place) == [.held(by: 1000)])
    }

    @Test func aSuspendedSiteKeepsItsMailReadyAndSaysWhy() throws {
        let desk = Desk()
        desk.add(message(1, to: ["a.example"]))
        desk.resolveAll()
        let id = desk.started[0].id
        let name = site("a.example").id
        #expect(desk.scheduler.suspend(name, by: 7, for: .seconds(100), at: desk.now))
        #expect(desk.next(id) == .end)
        desk.scheduler.sessionEnded(id, at: desk.now)
        #expect(desk.rows(1).map(\.because) == [.siteSuspended])
        #expect(desk.rows(1).map(\.next) == [desk.now.wall + .seconds(100)])
        #expect(desk.scheduler.isSuspended(hop("a.example")))
        #expect(
            desk.scheduler.siteRows(at: desk.now).map(\.state)
                == [.suspended(by: 7, until: desk.now.wall + .seconds(100))]
        )
        desk.pass(.seconds(100))
        desk.turn()
        #expect(desk.started.count == 2)
        #expect(desk.siteWords == ["suspended", "open"])
    }

    @Test func aPauseStopsEverythingAndItsEndGoesOn() throws {
        let desk = Desk()
        desk.scheduler.setPause(.spoolUnavailable, at: desk.now)
        desk.add(message(1, to: ["a.example"]))
        desk.resolveAll()
        #expect(desk.started.isEmpty)
        #expect(desk.rows(1).map(\.because) == [.spoolUnavailable])
        desk.scheduler.setPause(nil, at: desk.now)
        desk.collect()
        #expect(desk.started.count == 1)
        desk.scheduler.setPause(.stopping, at: desk.now)
        #expect(desk.next(desk.started[0].id) == .end)
    }

    @Test func theTallyAddsUpByRootCauseInPages() {
        let desk = Desk()
        for n in 1...10 {
            desk.add(
                message(
                    UInt64(n),
                    to: ["a.example", "a.example"],
                    attempts: 1,
                    nextAttempt: desk.now.wall + .seconds(60)
                )
            )
        }
        var causes: [CauseRow: Int] = [:]
        var at: Int? = 0
        var pages = 0
        while let from = at {
            at = desk.scheduler.tally(into: &causes, from: from, upTo: 3)
            pages += 1
        }
        #expect(pages == 4)
        #expect(
            causes == [
                CauseRow(destination: "a.example", place: "waiting", because: .accepted): 20
            ]
        )
    }

    @Test
    func `recipients that wait, are ready or held move to other next hops, those in flight do not`()
        throws
    {
        let desk = Desk()
        desk.add(message(1, to: ["a.example", "b.example"]))
        desk.add(message(2, to: ["c.example"], nextAttempt: desk.now.wall + .seconds(900)))
        let hold = Hold(reason: .routeHolds, uid: nil, since: desk.now.wall)
        desk.add(message(3, to: ["c.example"], hold: hold))
        desk.resolveAll()
        let first = try #require(desk.started.first)
        let job = try #require(desk.job(first.id))
        let away = NextHop.route("away")
        for number in 1...3 as ClosedRange<UInt64> {
            let someFly = desk.scheduler.reroute(QueueID(number: number), at: desk.now) { _, hop in
                hop == away ? nil : NewHop(away, isFallback: number == 2)
            }
            #expect(someFly == (number == 1))
        }
        desk.collect()
        #expect(desk.scheduler.brokenInvariant() == nil)
        let flying = desk.rows(1).first { $0.recipient == job.recipients[0] }
        #expect(flying?.nextHop == job.nextHop && job.recipients.count == 1)
        #expect(desk.rows(1).filter { $0.nextHop == away }.count == 1)
        // It waited for a quarter of an hour, and is due now.
        #expect(desk.rows(2)[0].nextHop == away && desk.scheduler.counts.waiting == 0)
        #expect(desk.rows(3)[0].nextHop == away && desk.rows(3)[0].place.isHeld)
        #expect(desk.asked.contains(away))
        desk.finish(first.id, job, .retry(after: .seconds(60), because: .peerDeferred))
        _ = desk.scheduler.reroute(QueueID(number: 1), at: desk.now) { _, _ in NewHop(away) }
        #expect(desk.rows(1).allSatisfy { $0.nextHop == away })
        #expect(desk.scheduler.brokenInvariant() == nil)
    }
}
