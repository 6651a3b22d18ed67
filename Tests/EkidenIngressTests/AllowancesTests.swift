import EkidenMail
import EkidenSMTP
import Testing

@testable import EkidenIngress

@Suite struct AllowancesTests {
    private let start = Instant(nanoseconds: 5_000_000_000)

    private func network(_ text: String) throws -> NetworkPrefix {
        try #require(NetworkPrefix(text))
    }

    private func address(_ text: String) throws -> HostAddress {
        try #require(HostAddress(text))
    }

    @Test func `an allowance lasts as long as was said, and not a nanosecond longer`() throws {
        let allowances = Allowances()
        let client = try address("192.0.2.7")
        let end = start + .seconds(60)
        #expect(!allowances.covers(client, at: start))
        #expect(allowances.grant(try network("192.0.2.7"), until: end, at: start) == end)
        #expect(allowances.covers(client, at: start))
        #expect(allowances.covers(client, at: end + .nanoseconds(-1)))
        #expect(!allowances.covers(client, at: end))
        #expect(!allowances.covers(try address("192.0.2.8"), at: start))
        #expect(allowances.count(at: start) == 1 && allowances.count(at: end) == 0)
        #expect(allowances.all(at: end).isEmpty)
    }

    @Test func `allowed again a client may for the longer of both times`() throws {
        let allowances = Allowances()
        let one = try network("2001:db8::7")
        let long = start + .seconds(600)
        #expect(allowances.grant(one, until: long, at: start) == long)
        #expect(allowances.grant(one, until: start + .seconds(60), at: start) == long)
        let longer = start + .seconds(900)
        #expect(allowances.grant(one, until: longer, at: start) == longer)
        // What has ended is begun anew.
        let later = start + .seconds(1000)
        #expect(
            allowances.grant(one, until: later + .seconds(5), at: later) == later + .seconds(5)
        )
    }

    @Test func `a network is allowed as one, listed and revoked as it was given`() throws {
        let allowances = Allowances()
        let wide = try network("192.0.2.0/28")
        let narrow = try network("192.0.2.7")
        _ = allowances.grant(wide, until: start + .seconds(100), at: start)
        _ = allowances.grant(narrow, until: start + .seconds(10), at: start)
        _ = allowances.grant(try network("10.0.0.1"), until: start + .seconds(50), at: start)
        #expect(
            allowances.all(at: start).map(\.network.shortText)
                == ["10.0.0.1", "192.0.2.0/28", "192.0.2.7"]
        )
        // The narrower has ended, the wider still holds.
        #expect(allowances.covers(try address("192.0.2.7"), at: start + .seconds(20)))
        #expect(!allowances.revoke(narrow, at: start + .seconds(20)))
        #expect(allowances.revoke(wide, at: start + .seconds(20)))
        #expect(!allowances.covers(try address("192.0.2.7"), at: start + .seconds(20)))
        #expect(!allowances.revoke(wide, at: start + .seconds(20)))
    }

    @Test func `allowances have a bound, and those that ended make room`() throws {
        let allowances = Allowances()
        let end = start + .seconds(60)
        for number in 0..<UInt32(Allowances.countMax) {
            let one = NetworkPrefix(of: .v4(number), length: 32)
            #expect(allowances.grant(one, until: end, at: start) == end)
        }
        let more = try network("192.0.2.7")
        #expect(allowances.grant(more, until: end, at: start) == nil)
        #expect(allowances.grant(more, until: end + .seconds(60), at: end) != nil)
        #expect(allowances.count(at: end) == 1)
    }

    @Test(arguments: [
        ("0.0.0.0/0", true), ("10.0.0.0/15", true), ("10.0.0.0/16", false), ("::/0", true),
        ("2001:db8::/31", true), ("2001:db8::/32", false), ("192.0.2.7", false),
    ])
    func `no wide network is allowed for a while`(text: String, isTooWide: Bool) throws {
        #expect(Allowances.isTooWide(try network(text)) == isTooWide)
    }

    @Test func `who is allowed for a while may relay and call itself anything, until the end`()
        throws
    {
        var policy = ListenerPolicy(
            name: "relay",
            relayFor: [],
            session: ServerSettings(hostName: "mail.example.org")
        )
        let allowances = Allowances()
        policy.rules.allowances = allowances
        policy.rules.helloCheck = .strict
        let client = try address("192.0.2.7")
        let recipient = RecipientPath.address(try #require(Address("a@anywhere.example")))
        func verdict(_ now: Instant) -> (relays: Bool, hello: Bool) {
            let standing = ClientStanding(client, at: now)
            let relays: Bool
            switch policy.verdict(on: recipient, from: standing) {
            case .success: relays = true
            case .failure: relays = false
            }
            return (relays, policy.refusal(ofHello: "friend", from: standing) == nil)
        }
        #expect(verdict(start) == (false, false))
        _ = allowances.grant(try network("192.0.2.7"), until: start + .seconds(1), at: start)
        #expect(verdict(start) == (true, true))
        #expect(verdict(start + .seconds(1)) == (false, false))
    }
}
