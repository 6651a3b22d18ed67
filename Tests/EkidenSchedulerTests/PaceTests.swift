import EkidenMail
import EkidenRuntime
import Testing

@testable import EkidenScheduler

private let second = Duration.seconds(1)

@Suite struct PaceTests {
    private func at(_ milliseconds: Int64) -> Instant {
        Instant(nanoseconds: milliseconds * 1_000_000)
    }

    @Test func `a burst goes at once, then one for each interval, and rest fills it again`() {
        let settings = PaceSettings(interval: .milliseconds(100), burst: 3)
        var pace = Pace()
        var gone: [Int64] = []
        var now: Int64 = 1000
        while now < 1500 {
            if pace.available(settings, at: at(now)) > 0 {
                pace.take(settings, at: at(now))
                gone.append(now)
            } else {
                // It says the very moment.
                let next = pace.next(settings)
                #expect(next > at(now) && pace.available(settings, at: next) == 1)
                now += 10
            }
        }
        #expect(gone == [1000, 1000, 1000, 1100, 1200, 1300, 1400])
        #expect(pace.available(settings, at: at(1_000_000)) == 3)
    }

    /// A desk with domains of one rule, and one of none.
    private func desk(_ pace: PaceSettings?, window: Int = 5) -> Desk {
        let desk = Desk { settings in
            settings.windowInitial = window
            var limits = settings.usual
            limits.pace = pace
            settings.rules["slow"] = limits
        }
        return desk
    }

    private func resolve(_ desk: Desk, _ domain: String, rule: String?) {
        let plain = site(domain)
        desk.scheduler.resolved(
            hop(domain),
            .site(rule.map { plain.joined(by: $0) } ?? plain, validUntil: .distantFuture),
            at: desk.now
        )
        desk.collect()
    }

    /// Lets those sessions work that are started or woken, for so long; when which message went.
    private func work(_ desk: Desk, for duration: Duration, step: Duration) -> [Duration] {
        let began = desk.now.instant
        var gone: [Duration] = []
        while desk.now.instant - began < duration {
            while let hop = desk.asked.popLast() { resolve(desk, hop.text, rule: "slow") }
            let callers = desk.started.map(\.id) + desk.woken
            (desk.started, desk.woken) = ([], [])
            for id in callers {
                while case .job(let job) = desk.next(id) {
                    gone.append(desk.now.instant - began)
                    desk.finish(id, job)
                }
            }
            desk.pass(step)
            desk.turn()
        }
        return gone
    }

    @Test func `a site's mail goes as its rule's rate allows, and none is forgotten`() {
        let desk = desk(PaceSettings(interval: second, burst: 2))
        for n in 1...10 { desk.add(message(UInt64(n), to: ["a.example"])) }
        resolve(desk, "a.example", rule: "slow")
        #expect(desk.started.count == 2)
        let gone = work(desk, for: .seconds(20), step: .milliseconds(250))
        #expect(gone.map { Int($0 / second) } == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8])
        #expect(desk.scheduler.messageCount == 0)
        #expect(desk.scheduler.brokenInvariant() == nil)
    }

    @Test func `what waits for the rate says so, and other sites don't wait`() {
        let desk = desk(PaceSettings(interval: .seconds(60), burst: 1))
        for n in 1...3 { desk.add(message(UInt64(n), to: ["a.example"])) }
        desk.add(message(4, to: ["b.example"]))
        resolve(desk, "a.example", rule: "slow")
        resolve(desk, "b.example", rule: nil)
        let gone = work(desk, for: .seconds(1), step: .milliseconds(100))
        #expect(gone.count == 2)
        #expect(desk.rows(3).map(\.because) == [.sitePaced])
        #expect(desk.rows(3).map(\.place) == [.ready])
        #expect(desk.rows(4).isEmpty)
    }

    @Test func `sites of one rule share its rate, and each has its turn`() {
        let desk = desk(PaceSettings(interval: second, burst: 1))
        for n in 1...6 {
            desk.add(message(UInt64(n), to: [n % 2 == 0 ? "a.example" : "b.example"]))
        }
        desk.scheduler.resolved(
            hop("a.example"),
            .site(site("a.example").joined(by: "slow"), validUntil: .distantFuture),
            at: desk.now
        )
        // Its own TLS policy, and so its own connections.
        let secured = Site(
            id: SiteID("site:slow+tls=encrypt"),
            exchanges: site("b.example").exchanges,
            rule: "slow"
        )
        desk.scheduler.resolved(
            hop("b.example"),
            .site(secured, validUntil: .distantFuture),
            at: desk.now
        )
        desk.collect()
        let half = work(desk, for: .seconds(3), step: .milliseconds(250))
        #expect(half.map { Int($0 / second) } == [0, 1, 2])
        let left = (1...6).map { desk.rows(UInt64($0)).count }
        // Neither had all of them.
        #expect(left[0] + left[2] + left[4] < 3 && left[1] + left[3] + left[5] < 3)
        #expect(work(desk, for: .seconds(9), step: .milliseconds(250)).count == 3)
        #expect(desk.scheduler.messageCount == 0)
    }

    @Test(arguments: [1, 3, 7, 14, 3000, 999_983])
    func `at the moment that it says one may go, whatever the fraction`(perSecond: Int) {
        let settings = PaceSettings(
            interval: .seconds(1) / perSecond,
            burst: max(1, min(perSecond, 50))
        )
        var pace = Pace()
        var now = at(1000)
        for _ in 0..<500 {
            while pace.available(settings, at: now) > 0 { pace.take(settings, at: now) }
            let next = pace.next(settings)
            #expect(next > now && pace.available(settings, at: next) == 1)
            now = next
        }
    }

    @Test func `one slow host does not hold up the rate`() {
        let desk = desk(PaceSettings(interval: second, burst: 1))
        for n in 1...5 { desk.add(message(UInt64(n), to: ["a.example"])) }
        resolve(desk, "a.example", rule: "slow")
        // Nobody finishes.
        var busy = 0
        for _ in 0..<16 {
            while let session = desk.started.popLast() {
                if case .job = desk.next(session.id) { busy += 1 }
            }
            desk.pass(.milliseconds(250))
            desk.turn()
        }
        #expect(busy == 4, "one each second, from the first: \(busy)")
    }

    @Test func `a reload with a faster rate waits no longer than that, without one not at all`() {
        for fast in [PaceSettings(interval: second, burst: 1), nil] {
            let desk = desk(PaceSettings(interval: .seconds(3600), burst: 2))
            for n in 1...4 { desk.add(message(UInt64(n), to: ["a.example"])) }
            resolve(desk, "a.example", rule: "slow")
            #expect(work(desk, for: .seconds(10), step: second).count == 2)
            desk.scheduler.settings.rules["slow"]?.pace = fast
            desk.scheduler.settingsChanged(at: desk.now)
            desk.collect()
            resolve(desk, "a.example", rule: "slow")
            #expect(work(desk, for: .seconds(4), step: .milliseconds(250)).count == 2)
        }
    }

    @Test func `a joined site's mail goes to its own hosts, also when others were here since`()
        throws
    {
        let desk = desk(nil)
        func send(_ number: UInt64, to domain: String) throws -> Job {
            desk.add(message(number, to: [domain]))
            if desk.asked == [hop(domain)] {
                desk.asked = []
                resolve(desk, domain, rule: "slow")
            }
            let started = desk.started.popLast()
            let session = try #require(started)
            let job = try #require(desk.job(session.id))
            desk.finish(session.id, job)
            desk.scheduler.sessionEnded(session.id, at: desk.now)
            desk.collect()
            return job
        }
        for (number, domain) in ["a.example", "b.example", "a.example", "b.example"].enumerated() {
            let job = try send(UInt64(number + 1), to: domain)
            #expect(job.site.exchanges == site(domain).exchanges, "\(domain)")
            #expect(job.site.id == SiteID("site:slow"))
        }
    }

    @Test func `a dead domain of a joined site does not stop the others`() throws {
        let desk = desk(nil, window: 1)
        func attempt(_ number: UInt64, _ domain: String, _ health: SiteHealth) throws {
            desk.add(message(number, to: [domain]))
            if desk.asked == [hop(domain)] {
                desk.asked = []
                resolve(desk, domain, rule: "slow")
            }
            let started = desk.started.popLast()
            let session = try #require(started)
            let job = try #require(desk.job(session.id))
            let end: Disposition =
                health == .alive
                ? .done : .retry(after: .seconds(3600), because: .connectionRefused)
            desk.finish(session.id, job, end, health)
            desk.scheduler.sessionEnded(session.id, at: desk.now)
            desk.collect()
        }
        try attempt(1, "a.example", .alive)
        try attempt(2, "b.example", .alive)
        for number in 3...6 { try attempt(UInt64(number), "b.example", .trouble(failure)) }
        #expect(desk.siteWords.isEmpty)
        try attempt(7, "a.example", .alive)
        try attempt(8, "b.example", .trouble(failure))
        try attempt(9, "a.example", .trouble(failure))
        #expect(desk.siteWords == ["backing-off"])
        // A probe that fails is the site's trouble, whosever it is: it is left alone for longer.
        let later = Disposition.retry(after: .seconds(36_000), because: .connectionRefused)
        desk.add(message(10, to: ["b.example"]))
        while let hop = desk.asked.popLast() { resolve(desk, hop.text, rule: "slow") }
        desk.turn()
        let unsent = try #require(desk.failed.last)
        desk.scheduler.settled(unsent.job.id, [later], at: desk.now)
        var probed: Set<NextHop> = []
        for length in [61, 121] {
            desk.pass(.seconds(length))
            desk.turn()
            while let hop = desk.asked.popLast() { resolve(desk, hop.text, rule: "slow") }
            let probing = desk.started.popLast()
            let probe = try #require(probing)
            let job = try #require(desk.job(probe.id))
            probed.insert(job.nextHop)
            desk.finish(probe.id, job, later, .trouble(failure))
            desk.scheduler.sessionEnded(probe.id, at: desk.now)
            desk.collect()
        }
        #expect(probed.count == 2)
        #expect(desk.siteWords == ["backing-off", "backing-off", "backing-off"])
    }

    @Test func `a rule has its own window`() {
        let desk = Desk { settings in
            settings.windowInitial = 5
            var limits = settings.usual
            limits.windowInitial = 1
            limits.windowCeiling = 1
            settings.rules["narrow"] = limits
        }
        for n in 1...10 { desk.add(message(UInt64(n), to: ["a.example"])) }
        resolve(desk, "a.example", rule: "narrow")
        #expect(desk.started.count == 1)
        for n in 11...20 { desk.add(message(UInt64(n), to: ["b.example"])) }
        resolve(desk, "b.example", rule: nil)
        #expect(desk.started.count == 6)
    }

    @Test func `a crowded site's window halves once a round, and grows again`() throws {
        var health = SiteHealthState(window: 8)
        let limits = SchedulerSettings().usual
        for _ in 0..<4 { _ = health.crowded(startedAt: at(10), now: at(20), limits) }
        #expect(health.window == 4 && health.isOpen && !health.isFailing)
        _ = health.crowded(startedAt: at(30), now: at(40), limits)
        #expect(health.window == 2)
        for _ in 0..<5 { _ = health.crowded(startedAt: at(50), now: at(50), limits) }
        #expect(health.window == 1)
        _ = health.alive(limits)
        #expect(health.window == 2)
    }
}
