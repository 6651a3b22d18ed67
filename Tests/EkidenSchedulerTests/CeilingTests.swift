// Hosts that never say a word do not take all connections that there are.

import EkidenMail
import Testing

@testable import EkidenScheduler

@Suite struct CeilingTests {
    /// Mute sites with several letters each, as many connections as those get.
    private func muted(_ sites: Int, _ change: (inout SchedulerSettings) -> Void = { _ in }) -> Desk
    {
        let desk = Desk {
            $0.connectionsMax = 40
            $0.windowInitial = 5
            change(&$0)
        }
        for number in 0..<sites * 5 {
            desk.add(message(UInt64(number + 1), to: ["mute\(number % sites).example"]))
        }
        desk.resolveAll()
        #expect(desk.scheduler.brokenInvariant() == nil)
        return desk
    }

    private func connections(_ desk: Desk, _ domain: String) -> Int {
        desk.started.filter { $0.site == site(domain) }.count
    }

    @Test func `few strangers have their windows, many have one connection each`() {
        let few = muted(3)
        #expect(few.started.count == 15)
        let many = muted(25)
        #expect(many.started.count == 30 && connections(many, "mute3.example") == 5)
        #expect(connections(many, "mute4.example") == 1 && connections(many, "mute13.example") == 1)
    }

    @Test func `all strangers together leave a quarter to sites that answer`() throws {
        let desk = muted(100)
        #expect(desk.started.count == 30)
        let domain = desk.started[0].site
        let session = desk.started[0].id
        let job = try #require(desk.job(session))
        for number in 0..<20 {
            desk.add(message(UInt64(1000 + number), to: [job.nextHop.text]))
        }
        desk.finish(session, job)
        // It has answered: its window is open, beside all that don't.
        #expect(desk.started.filter { $0.site == domain }.count >= 5)
        #expect(desk.scheduler.brokenInvariant() == nil)
        // And who had waited for a stranger's place has the one that it left.
        #expect(desk.started.count == 35)
    }

    @Test func `who waited as a stranger goes on when strangers end, or answers itself`() throws {
        let desk = muted(60)
        let waiting = (0..<60).filter { connections(desk, "mute\($0).example") == 0 }
        #expect(!waiting.isEmpty)
        var turns = 0
        while desk.scheduler.messageCount > 0, turns < 2000 {
            turns += 1
            guard let session = desk.started.first?.id else { break }
            desk.started.removeFirst()
            while let job = desk.job(session) { desk.finish(session, job) }
            desk.scheduler.sessionEnded(session, at: desk.now)
            desk.collect()
            #expect(desk.scheduler.brokenInvariant() == nil)
        }
        #expect(desk.scheduler.messageCount == 0)
    }

    @Test func `a site that backs off is a stranger again`() throws {
        let desk = muted(1) { $0.windowInitial = 1 }
        let session = desk.started[0].id
        desk.finish(session, try #require(desk.job(session)))
        #expect(desk.scheduler.strangerSessions == 0)
        let job = try #require(desk.job(session))
        desk.finish(
            session,
            job,
            .retry(after: .seconds(600), because: .connectionTimedOut),
            .trouble(failure)
        )
        #expect(desk.scheduler.strangerSessions == desk.scheduler.sessionCount)
        #expect(desk.scheduler.brokenInvariant() == nil)
    }

    @Test func `a stranger is hurried while others wait, but not for ever`() throws {
        let few = muted(1)
        #expect(few.job(few.started[0].id)?.isHurried == false)
        let desk = muted(100)
        let site = desk.started[0].site
        var rounds = 0
        while rounds < 5 {
            let session = try #require(desk.started.last { $0.site == site }?.id)
            let job = try #require(desk.job(session))
            #expect(job.isHurried == (rounds < 3), "round \(rounds)")
            desk.finish(
                session,
                job,
                .retry(after: .seconds(86_400), because: .replyTimedOut),
                .trouble(failure)
            )
            desk.scheduler.sessionEnded(session, at: desk.now)
            // All others of the site end as it did; the rest of the strangers stay silent.
            for other in desk.started where other.site == site && other.id != session {
                desk.scheduler.sessionEnded(other.id, at: desk.now)
            }
            desk.started.removeAll { $0.site == site }
            desk.collect()
            rounds += 1
            desk.pass(.seconds(3600))
            for group in 1...5 as ClosedRange<UInt64> {
                _ = desk.scheduler.retry(
                    QueueID(number: 1 + (group - 1) * 100),
                    by: 0,
                    at: desk.now
                )
            }
            desk.turn()
            desk.resolveAll(validFor: .seconds(86_400))
            // Its turn among those who wait.
            while !desk.started.contains(where: { $0.site == site }) {
                let other = try #require(desk.started.first)
                desk.started.removeFirst()
                desk.scheduler.sessionEnded(other.id, at: desk.now)
                desk.turn()
                desk.resolveAll(validFor: .seconds(86_400))
            }
        }
        // Not for more than some at a time.
        let number = try #require(desk.scheduler.siteNumbers[site.id])
        #expect(desk.scheduler.patience(with: number) == .granted)
        desk.scheduler.patientSessions = desk.scheduler.strangersMax / 8 + 1
        #expect(desk.scheduler.patience(with: number) == .short)
    }
}
