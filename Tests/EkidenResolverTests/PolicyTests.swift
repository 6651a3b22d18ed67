import EkidenMail
import EkidenResolver
import TestKit
import Testing

private func mx(_ preference: UInt16, _ name: String) -> RecordData {
    .exchange(preference: preference, name: name)
}

private func host(_ preference: Int, _ name: String) -> Exchange {
    Exchange(preference: preference, name: name)
}

private let broken = LookupFailure(.nameServerFailure, "broken")

@Suite struct MailExchangersTests {
    private func choose(_ lookup: Lookup) -> MailExchangers.Choice {
        MailExchangers.choose(for: "a.test", lookup: lookup, port: 25)
    }

    private func failure(_ choice: MailExchangers.Choice) throws -> Failure {
        guard case .failure(let failure) = choice else {
            Issue.record("hosts where a failure was due: \(choice)")
            throw broken
        }
        return failure
    }

    @Test func `hosts come by preference, each once, odd targets left out`() {
        let choice = choose(
            .records([
                mx(20, "c.test"), mx(10, "b.test"), mx(10, "a.test"), mx(30, "a.test"), mx(5, "."),
                mx(1, "192.0.2.1"), mx(1, #"x\.y.test"#),
            ])
        )
        #expect(choice == .hosts([host(10, "a.test"), host(10, "b.test"), host(20, "c.test")]))
    }

    @Test func `many hosts are cut to the most preferred`() {
        let records = (0..<500).reversed().map { mx(UInt16($0), "h\($0).test") }
        guard case .hosts(let hosts) = choose(.records(records)) else {
            Issue.record("no hosts")
            return
        }
        #expect(hosts.map(\.preference) == Array(0..<MailExchangers.hostsMax))
    }

    @Test func `without MX records the domain itself is the host`() {
        #expect(choose(.noData) == .hosts([host(0, "a.test")]))
    }

    @Test func `what is missing or broken is told by reason, status and permanence`() throws {
        let table: [(Lookup, Reason, String, isPermanent: Bool)] = [
            (.records([mx(0, ".")]), .nullExchange, "5.1.10", true),
            (.records([mx(7, ".")]), .nullExchange, "5.1.10", true),
            (.noName, .domainNotFound, "5.1.2", true),
            (.unaskable, .domainNotFound, "5.1.2", true),
            (.records([mx(0, "."), mx(10, "1.2.3.4")]), .noAddress, "5.4.4", true),
            (.failed(broken), .nameServerFailure, "4.4.3", false),
            (
                .failed(LookupFailure(.nameServerTimeout, "late")), .nameServerTimeout, "4.4.3",
                false
            ),
        ]
        for (lookup, reason, status, isPermanent) in table {
            let failure = try failure(choose(lookup))
            #expect(failure.reason == reason)
            #expect(failure.status.text == status)
            #expect(failure.isPermanent == isPermanent)
            #expect(failure.scope == .site)
            #expect(failure.step == .resolve)
        }
        let stopping = try failure(choose(.failed(LookupFailure(.stopping, "stop"))))
        #expect(stopping.scope == .ours)
        #expect(!stopping.isPermanent)
    }

    @Test func `the list is cut at ourselves`() throws {
        let hosts = [host(10, "a"), host(20, "b"), host(20, "us"), host(30, "c")]
        let cut = MailExchangers.judge(
            hosts,
            standings: [.reachable, .reachable, .ours, .reachable],
            domain: "a.test"
        )
        #expect(cut == .hosts([host(10, "a")]))
        let loop = MailExchangers.judge(
            hosts,
            standings: [.ours, .reachable, .reachable, .reachable],
            domain: "a.test"
        )
        let failure = try failure(loop)
        #expect(failure.reason == .mailLoop)
        #expect(failure.status.text == "5.4.6")
        #expect(failure.isPermanent)
        // Equal best preference with another host: still ours to lose.
        let shared = MailExchangers.judge(
            [host(10, "a"), host(10, "us")],
            standings: [.reachable, .ours],
            domain: "a.test"
        )
        #expect(try self.failure(shared).reason == .mailLoop)
    }

    @Test func `hosts without an address stay in the list as long as one has some`() throws {
        let hosts = [host(10, "a"), host(20, "b")]
        #expect(
            MailExchangers.judge(
                hosts,
                standings: [.absent("does not exist"), .reachable],
                domain: "a.test"
            ) == .hosts(hosts)
        )
        let absent = try failure(
            MailExchangers.judge(
                hosts,
                standings: [.absent("does not exist"), .absent("has no address")],
                domain: "a.test"
            )
        )
        #expect(absent.reason == .noAddress)
        #expect(absent.status.text == "5.4.4")
        #expect(absent.isPermanent)
        let unknown = try failure(
            MailExchangers.judge(
                hosts,
                standings: [.absent("does not exist"), .unknown(broken)],
                domain: "a.test"
            )
        )
        #expect(unknown.reason == .nameServerFailure)
        #expect(!unknown.isPermanent)
    }

    @Test func `a dead host behind us does not make the failure look like its own`() throws {
        let failure = try failure(
            MailExchangers.judge(
                [host(10, "a"), host(20, "us"), host(30, "c")],
                standings: [.absent("has no address"), .ours, .reachable],
                domain: "a.test"
            )
        )
        #expect(failure.reason == .noAddress)
        #expect(failure.text == "the mail host a of a.test has no address")
    }
}

@Suite struct AddressFamilyTests {
    private let v4 = [address("192.0.2.1"), address("192.0.2.2"), address("192.0.2.3")]
    private let v6 = [address("2001:db8::1")]

    private func records(_ addresses: [HostAddress]) -> Lookup {
        .records(addresses.map { .address($0) })
    }

    @Test func `families take turns, the preferred one first`() {
        #expect(
            AddressFamilyPolicy.preferIPv6.interleaved(v4: v4, v6: v6)
                == [v6[0], v4[0], v4[1], v4[2]]
        )
        #expect(
            AddressFamilyPolicy.preferIPv4.interleaved(v4: v4, v6: v6)
                == [v4[0], v6[0], v4[1], v4[2]]
        )
    }

    @Test func `the policy says what is asked`() {
        #expect(AddressFamilyPolicy.onlyIPv4.recordTypes == [1])
        #expect(AddressFamilyPolicy.onlyIPv6.recordTypes == [28])
        #expect(AddressFamilyPolicy.preferIPv4.recordTypes == [1, 28])
        #expect(AddressFamilyPolicy.preferIPv6.recordTypes == [28, 1])
    }

    @Test func `what is there is used though the other family failed`() {
        let policy = AddressFamilyPolicy.preferIPv6
        #expect(policy.join([.failed(broken), records(v4)]) == .found(v4: v4, v6: []))
        #expect(policy.join([records(v6), .noData]) == .found(v4: [], v6: v6))
        #expect(policy.join([.failed(broken), .noData]) == .failed(broken))
        #expect(policy.join([.noName, .noName]) == .none("does not exist"))
        #expect(policy.join([.noData, .noData]) == .none("has no address"))
    }

    @Test func `addresses no host can have are no addresses`() {
        let odd = ["0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "::", "ff02::1"]
            .map(address)
        #expect(
            AddressFamilyPolicy.preferIPv4.join([records(odd), .noData])
                == .none("has no address that mail can be sent to")
        )
        #expect(AddressFamilyPolicy.preferIPv4.found(in: odd + v4) == .found(v4: v4, v6: []))
    }

    @Test func `a family that may not be used does not count, even when it slips in`() {
        let mapped = records([address("::ffff:192.0.2.1")])
        #expect(
            AddressFamilyPolicy.onlyIPv6.join([mapped])
                == .none("has no address that mail can be sent to")
        )
    }
}

@Suite struct HostTableTests {
    @Test func `names, aliases, comments, both families`() {
        let table = HostTable(
            text: Array(
                """
                # comment
                127.0.0.1\tlocalhost  relay.example # me
                192.0.2.7 Smart.Example smart
                2001:db8::7   smart.example
                192.0.2.7 smart.example
                fe80::1%eth0 zoned
                not-an-address name
                192.0.2.9
                192.0.2.8 bad/name good-name\r
                """.utf8
            )
        )
        #expect(table.addresses(of: "LOCALHOST") == [.loopback4])
        #expect(table.addresses(of: "relay.example.") == [.loopback4])
        #expect(
            table.addresses(of: "smart.example") == [address("192.0.2.7"), address("2001:db8::7")]
        )
        #expect(table.addresses(of: "smart") == [address("192.0.2.7")])
        #expect(table.addresses(of: "good-name") == [address("192.0.2.8")])
        for unknown in ["zoned", "name", "bad/name", "me", "#", ""] {
            #expect(table.addresses(of: unknown) == nil)
        }
    }

    @Test func `junk never traps`() {
        var random = TestRandom(seed: 99)
        let alphabet = Array("127.0.0.1 ::1\t#\n\r%abc.-\u{ff}".utf8)
        for _ in 0..<3_000 {
            _ = HostTable(
                text: (0..<random.below(80)).map { _ in alphabet[random.below(alphabet.count)] }
            )
        }
    }
}

@Suite struct RouteHostTests {
    @Test func `names and literals in all their forms`() {
        #expect(RouteHost("Smart.Example.", port: 587).name == "smart.example")
        #expect(RouteHost("Smart.Example.", port: 587).literal == nil)
        for text in ["2001:db8::1", "[2001:db8::1]", "[IPv6:2001:DB8::1]"] {
            #expect(RouteHost(text, port: 25).literal == address("2001:db8::1"))
            #expect(RouteHost(text, port: 25).name == "2001:db8::1")
        }
        #expect(RouteHost("[192.0.2.1]", port: 2526).literal == address("192.0.2.1"))
    }
}
