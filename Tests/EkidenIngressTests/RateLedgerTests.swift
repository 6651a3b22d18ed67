import EkidenMail
import EkidenRuntime
import Testing

@testable import EkidenIngress

private func second(_ n: Double) -> Instant { Instant(nanoseconds: Int64(n * 1e9)) }

@Suite struct TokenBucketTests {
    @Test func `a full bucket gives its burst at once, then one token an interval`() {
        let rate = Rate(60, per: .seconds(60), burst: 3)
        var bucket = TokenBucket(at: second(0))
        for _ in 0..<3 {
            #expect(bucket.wait(rate, at: second(0)) == nil)
            bucket.take(rate, at: second(0))
        }
        #expect(bucket.wait(rate, at: second(0)) == .seconds(1))
        #expect(bucket.wait(rate, at: second(0.75)) == .milliseconds(250))
        #expect(bucket.spent(rate, at: second(0.75)) == 3)
        #expect(bucket.wait(rate, at: second(1)) == nil)
        #expect(bucket.spent(rate, at: second(1)) == 2)
        #expect(!bucket.isFull(at: second(2.9)) && bucket.isFull(at: second(3)))
        #expect(bucket.spent(rate, at: second(3)) == 0)
    }

    @Test func `however it is asked, no span has more than its rate and one burst`() {
        for (rate, gap) in [
            (Rate(7, per: .seconds(1)), 0.01), (Rate(10, per: .seconds(60), burst: 1), 0.5),
            (Rate(1000, per: .seconds(3600)), 0.2), (Rate(1, per: .seconds(86_400)), 60),
        ] {
            var bucket = TokenBucket(at: second(0))
            var taken = 0
            let span = 5000 * gap
            for n in 0..<5000 where bucket.wait(rate, at: second(Double(n) * gap)) == nil {
                bucket.take(rate, at: second(Double(n) * gap))
                taken += 1
            }
            let perSecond = Double(rate.count) / (Double(rate.period.components.seconds))
            #expect(Double(taken) <= perSecond * span + Double(rate.burst))
            #expect(Double(taken) >= perSecond * span * 0.9 || taken == 5000)
        }
    }

    @Test func `a clock that stands still or is behind gives nothing away`() {
        let rate = Rate(1, per: .seconds(10))
        var bucket = TokenBucket(at: second(100))
        bucket.take(rate, at: second(100))
        #expect(bucket.wait(rate, at: second(99)) == .seconds(11))
    }
}

@Suite struct RateLedgerTests {
    private let a = RateSubject(client: .v4(0x0a00_0001))
    private let b = RateSubject(client: .v4(0x0a00_0002))
    private let far = RateSubject(client: .v4(0x0b00_0001))

    private func ledger(_ limits: [RateLimit], bucketsMax: Int = 1000) -> RateLedger {
        var ledger = RateLedger(bucketsMax: bucketsMax)
        ledger.adopt(limits)
        return ledger
    }

    @Test func `clients and networks have buckets of their own`() {
        let limits = [
            RateLimit("client", of: .messages, per: .client, Rate(2, per: .seconds(60))),
            RateLimit("net", of: .messages, per: .network, Rate(3, per: .seconds(60))),
        ]
        var ledger = ledger(limits)
        func take(_ who: RateSubject) -> String? {
            ledger.take(.messages, by: who, under: limits, at: second(1))?.limit.name
        }
        #expect([take(a), take(a), take(a)] == [nil, nil, "client"])
        #expect([take(b), take(b)] == [nil, "net"])
        #expect([take(far), take(far), take(far)] == [nil, nil, "client"])
        #expect(ledger.take(.recipients, by: a, under: limits, at: second(1)) == nil)
    }

    @Test func `who is refused spends nothing, by no limit`() {
        let limits = [
            RateLimit("small", of: .messages, per: .client, Rate(1, per: .seconds(60))),
            RateLimit("large", of: .messages, per: .network, Rate(10, per: .seconds(60))),
        ]
        var ledger = ledger(limits)
        #expect(ledger.take(.messages, by: a, under: limits, at: second(0)) == nil)
        for n in 1..<60 {
            let excess = ledger.take(.messages, by: a, under: limits, at: second(Double(n)))
            #expect(excess?.wait == .seconds(60 - n) && excess?.who == "10.0.0.1")
        }
        let standing = ledger.standings(at: second(59), places: 3)
        #expect(standing.map(\.refused) == [59, 0])
        #expect(standing[1].first.isEmpty)
        #expect(ledger.take(.messages, by: a, under: limits, at: second(60)) == nil)
    }

    @Test func `users and senders are counted without case, the null sender not at all`() {
        let limits = [
            RateLimit("user", of: .messages, per: .user, Rate(1, per: .seconds(60))),
            RateLimit("sender", of: .messages, per: .sender, Rate(2, per: .seconds(60))),
        ]
        var ledger = ledger(limits)
        func take(_ user: String?, _ sender: String) -> String? {
            let path = Address(sender).map { ReversePath.address($0) } ?? .null
            let who = RateSubject(client: a.client, user: user, sender: path)
            return ledger.take(.messages, by: who, under: limits, at: second(0))?.limit.name
        }
        #expect(take("Alice", "a@x.test") == nil)
        #expect(take("aLICE", "b@x.test") == "user")
        #expect(take(nil, "A@X.test") == nil)
        #expect(take("bob", "a@x.test") == "sender")
        // Another way to write it is no other sender.
        #expect(take("carl", "\"a\"@x.test") == "sender")
        for _ in 0..<9 { #expect(take(nil, "") == nil) }
    }

    @Test func `exceptions are not counted, and prefixes are the limit's own`() throws {
        var limit = RateLimit("net", of: .connections, per: .network, Rate(1, per: .seconds(60)))
        limit.prefixV4 = 8
        limit.prefixV6 = 32
        limit.exceptFor = [try #require(NetworkPrefix("11.0.0.0/8"))]
        var ledger = ledger([limit])
        func take(_ text: String) throws -> String? {
            let who = RateSubject(client: try #require(HostAddress(text)))
            return ledger.take(.connections, by: who, under: [limit], at: second(0))?.who
        }
        #expect(try take("10.1.1.1") == nil)
        #expect(try take("10.200.9.9") == "10.0.0.0/8")
        #expect(try take("2001:db8:1::1") == nil)
        #expect(try take("2001:db8:2::1") == "2001:db8::/32")
        for _ in 0..<5 { #expect(try take("11.0.0.1") == nil) }
    }

    @Test func `a reload keeps the buckets of limits that stay`() {
        var limit = RateLimit("x", of: .messages, per: .client, Rate(1, per: .seconds(60)))
        let other = RateLimit("y", of: .messages, per: .client, Rate(1, per: .seconds(60)))
        var ledger = ledger([limit, other])
        #expect(ledger.take(.messages, by: a, under: [limit, other], at: second(0)) == nil)
        limit.rate = Rate(1, per: .seconds(10))
        ledger.adopt([limit])
        // What was spent at a minute a token comes back in that minute still.
        #expect(
            ledger.take(.messages, by: a, under: [limit], at: second(1))?.wait == .seconds(59)
        )
        ledger.adopt([other])
        #expect(ledger.take(.messages, by: a, under: [other], at: second(1)) == nil)
    }

    @Test func `a flood of addresses is bounded, and the one who is over stays over`() {
        let limit = RateLimit("x", of: .messages, per: .client, Rate(20, per: .seconds(3600)))
        var ledger = ledger([limit], bucketsMax: 100)
        let now = second(0)
        while ledger.take(.messages, by: a, under: [limit], at: now) == nil {}
        for n in 0..<10_000 {
            let who = RateSubject(client: .v4(0x1400_0000 + UInt32(n)))
            #expect(ledger.take(.messages, by: who, under: [limit], at: now) == nil)
        }
        let standing = ledger.standings(at: now, places: 2)[0]
        #expect(standing.counted == 100)
        #expect(standing.first[0] == .init(who: "10.0.0.1", spent: 20))
        #expect(ledger.take(.messages, by: a, under: [limit], at: now) != nil)
    }

    @Test func `full buckets are swept up, so that a quiet relay forgets`() {
        let limit = RateLimit("x", of: .messages, per: .client, Rate(1, per: .seconds(1)))
        var ledger = ledger([limit], bucketsMax: 100_000)
        for n in 0..<5000 {
            let who = RateSubject(client: .v4(0x1400_0000 + UInt32(n)))
            #expect(
                ledger.take(.messages, by: who, under: [limit], at: second(Double(n) / 10)) == nil
            )
        }
        #expect(ledger.bucketCount < 150)
    }

    @Test func `the same questions have the same answers, whatever hash tables do`() {
        func run() -> [String] {
            let limit = RateLimit("x", of: .messages, per: .client, Rate(3, per: .seconds(60)))
            var ledger = ledger([limit], bucketsMax: 16)
            var state: UInt64 = 7
            return (0..<3000).map { n in
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                let who = RateSubject(client: .v4(UInt32(state >> 58)))
                let at = second(Double(n) / 7)
                return ledger.take(.messages, by: who, under: [limit], at: at).map { "\($0.wait)" }
                    ?? "-"
            }
        }
        let first = run()
        #expect(first == run())
        #expect(Set(first).count > 2)
    }

    @Test func `the reply says which limit it is and when to come again`() {
        func reply(_ event: RateLimit.Event, _ per: RateLimit.Counter, _ wait: Duration) -> String {
            let limit = RateLimit("L1", of: event, per: per, Rate(60, per: .seconds(60)))
            let excess = RateLedger.Excess(limit: limit, who: "192.0.2.1", wait: wait)
            #expect(excess.rule == "rate-L1")
            return excess.reply.oneLine
        }
        #expect(
            reply(.messages, .client, .milliseconds(1500))
                == "451 4.7.1 too many messages from 192.0.2.1, limit L1 is 60/m; "
                + "come again in 2 seconds"
        )
        #expect(reply(.connections, .network, .nanoseconds(1)).hasSuffix("in 1 second"))
        #expect(reply(.recipients, .user, .seconds(119)).hasPrefix("450 4.7.1 too many recipients"))
        #expect(
            reply(.recipients, .user, .seconds(121)).hasSuffix(
                "of this user, limit L1 is 60/m; come again in 3 minutes"
            )
        )
        #expect(reply(.recipients, .sender, .seconds(7201)).hasSuffix("in 3 hours"))
    }
}
