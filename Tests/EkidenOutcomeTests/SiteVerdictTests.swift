import EkidenMail
import EkidenOutcome
import Testing

@Suite struct SiteVerdictTests {
    private func verdict(_ results: [RecipientResult], alive: Bool = true) -> SiteVerdict {
        SiteVerdict(AttemptReport(results: results, siteIsAlive: alive))
    }

    @Test func `a site is in trouble when no host lets us in`() {
        let refused = failure(.host, permanent: false, .connectionRefused, step: .connect)
        #expect(verdict([.failed(refused)], alive: false) == .trouble(refused))
        for step in [DeliveryStep.greeting, .hello, .startTLS, .login] {
            let door = failure(.host, permanent: false, .greetingRefused, step: step)
            #expect(verdict([.failed(door)]) == .trouble(door))
            #expect(verdict([accepted, .failed(door)]) == .alive)
            #expect(verdict([.failed(noSuchUser), .failed(door)]) == .alive)
        }
        let dropped = failure(.host, permanent: false, .connectionLost, step: .data)
        #expect(verdict([.failed(dropped)]) == .alive)
        #expect(verdict([.failed(dropped)], alive: false) == .trouble(dropped))
        #expect(verdict([accepted, .failed(refused)]) == .alive)
    }

    @Test func `a route's host that refuses us is trouble, unless it takes other mail`() {
        let refused = failure(.site, permanent: false, .routeRefused)
        #expect(verdict([.failed(refused)]) == .trouble(refused))
        #expect(verdict([.failed(noSuchUser), .failed(refused)]) == .trouble(refused))
        #expect(verdict([accepted, .failed(refused)]) == .alive)
    }

    @Test func `what an earlier host said counts`() {
        let dead = failure(.host, permanent: false, .connectionRefused, step: .connect)
        var report = AttemptReport(results: [.failed(dead)], siteIsAlive: true)
        report.earlier = [tryLater]
        #expect(SiteVerdict(report) == .alive)
        let busy = failure(
            .message,
            permanent: false,
            step: .mail,
            reply: Reply(451, nil, "Server busy")
        )
        report.earlier = [busy]
        #expect(SiteVerdict(report) == .crowded(busy))
    }

    @Test func `what is ours says nothing of the site`() {
        let ours = failure(.ours, permanent: false, .stopping)
        #expect(verdict([.failed(ours)], alive: false) == .unknown)
        #expect(verdict([.failed(ours)]) == .alive)
    }

    @Test(arguments: [
        Reply(421, nil, "Too many concurrent SMTP connections from this IP address"),
        Reply(450, EnhancedStatus(4, 7, 1), "too many connections from your IP (rate controlled)"),
        Reply(452, EnhancedStatus(4, 3, 2), "Connection rate limit exceeded."),
        Reply(
            421,
            EnhancedStatus(4, 7, 28),
            lines: ["Our system has detected an", "unusual rate of mail"]
        ),
        Reply(451, EnhancedStatus(4, 7, 500), "Server busy. Please try again later"),
        Reply(421, EnhancedStatus(4, 7, 0), "[TSS04] Messages from 192.0.2.1 temporarily deferred"),
        Reply(421, nil, "RP-001 (SNT0-MC2-F19) Unfortunately, some messages weren't sent."),
    ])
    func `a host that says that we come too often is heard`(reply: Reply) {
        let busy = failure(.message, permanent: false, .peerDeferred, step: .mail, reply: reply)
        #expect(verdict([.failed(busy)]) == .crowded(busy))
        #expect(verdict([accepted, .failed(busy)]) == .crowded(busy))
        // In the greeting it lets nobody in.
        let atTheDoor = failure(
            .host,
            permanent: false,
            .greetingRefused,
            step: .greeting,
            reply: reply
        )
        #expect(verdict([.failed(atTheDoor)]) == .trouble(atTheDoor))
    }

    @Test(arguments: [
        Reply(451, EnhancedStatus(4, 2, 0), "try later"), Reply(450, nil, "greylisted"),
        Reply(452, EnhancedStatus(4, 2, 2), "mailbox full, too many messages"),
        Reply(
            450,
            EnhancedStatus(4, 2, 1),
            "The user is receiving mail at a rate that prevents more"
        ),
        Reply(550, EnhancedStatus(5, 7, 1), "too many connections from a spammer, rate limit"),
        Reply(250, nil, "slow down, but taken"),
    ])
    func `other words are not that`(reply: Reply) {
        let other = failure(
            .recipient,
            permanent: reply.isPermanent,
            .peerDeferred,
            reply: reply
        )
        #expect(!Crowding.says(other))
        #expect(verdict([.failed(other)]) == .alive)
    }

    @Test func `the table's words are in lower case, and each of its rows is temporary`() {
        for row in Crowding.table {
            #expect(row.words.allSatisfy { $0 == $0.lowercased() && !$0.isEmpty })
            #expect(row.codes.allSatisfy { $0 / 100 == 4 })
        }
    }
}
