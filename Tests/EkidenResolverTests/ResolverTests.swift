import EkidenMail
import EkidenResolver
import EkidenRuntime
import Testing

private struct Setting {
    let world: TestWorld
    let names = ScriptedNames()
    let resolver: Resolver

    init(loops: Int = 1, _ change: (inout ResolverSettings) -> Void = { _ in }) {
        world = TestWorld(loops: loops)
        var settings = ResolverSettings()
        change(&settings)
        resolver = Resolver(
            transport: names,
            random: SeededRandom(seed: 1),
            settings: settings,
            cacheEntries: 64
        )
    }

    func resolve(_ domain: String, within time: Duration = .seconds(60)) -> Resolution {
        resolve(.domain(Domain(domain)), within: time)
    }

    func resolve(_ hop: NextHop, within time: Duration = .seconds(60)) -> Resolution {
        let resolver = resolver
        return world.run { loop in
            await resolver.resolve(hop, on: loop, until: loop.now() + time)
        }
    }

    func addresses(of exchange: Exchange) -> AddressResolution {
        let resolver = resolver
        return world.run { loop in
            await resolver.addresses(of: exchange, on: loop, until: loop.now() + .seconds(60))
        }
    }

    func mx(_ domain: String, _ hosts: (UInt16, String)..., ttl: UInt32 = 300) {
        names.set(
            domain,
            RecordType.mx,
            .records(hosts.map { .exchange(preference: $0.0, name: $0.1) }, ttl: ttl)
        )
    }
}

private func failure(_ resolution: Resolution) throws -> Failure {
    guard case .failure(let failure) = resolution else {
        Issue.record("a site where a failure was due: \(resolution)")
        throw LookupFailure(.resolved, "")
    }
    return failure
}

private func site(_ resolution: Resolution) throws -> Site {
    guard case .site(let site, _) = resolution else {
        Issue.record("a failure where a site was due: \(resolution)")
        throw LookupFailure(.resolved, "")
    }
    return site
}

private func addresses(_ resolution: AddressResolution) -> [String]? {
    if case .addresses(let addresses) = resolution { addresses.map(\.text) } else { nil }
}

@Suite struct ResolverTests {
    @Test func `a domain leads to its mail hosts, for as long as the answer holds`() throws {
        let setting = Setting()
        setting.mx("a.test", (20, "mx2.test"), (10, "mx1.test"), ttl: 120)
        setting.names.host("mx1.test", "192.0.2.1")
        setting.names.host("mx2.test", "192.0.2.2")
        let began = setting.world.time
        guard case .site(let site, let validUntil) = setting.resolve("A.Test.") else {
            Issue.record("no site")
            return
        }
        #expect(site.exchanges.map(\.name) == ["mx1.test", "mx2.test"])
        #expect(site.exchanges.map(\.port) == [25, 25])
        #expect(site == Site(exchanges: site.exchanges))
        // Ten milliseconds went by until the answer came.
        #expect(validUntil == began + .milliseconds(10) + .seconds(120))
    }

    @Test func `equal MX sets of two domains are one site`() throws {
        let setting = Setting()
        setting.names.host("mx1.test", "192.0.2.1")
        setting.mx("a.test", (10, "mx1.test"))
        setting.mx("b.test", (99, "MX1.test"))
        #expect(try site(setting.resolve("a.test")).id == site(setting.resolve("b.test")).id)
    }

    @Test func `without MX records the domain's own address counts`() throws {
        let setting = Setting()
        setting.names.set("a.test", RecordType.mx, .negative(exists: true))
        setting.names.host("a.test", "192.0.2.1")
        let site = try site(setting.resolve("a.test"))
        #expect(site.exchanges == [Exchange(preference: 0, name: "a.test")])
        #expect(addresses(setting.addresses(of: site.exchanges[0])) == ["192.0.2.1"])
    }

    @Test func `what goes wrong with names is told apart`() throws {
        let setting = Setting { $0.exchangePort = 2526 }
        let names = setting.names
        setting.mx("null.test", (0, "."))
        names.set("broken.test", RecordType.mx, .code(2))
        names.set("refused.test", RecordType.mx, .code(5))
        names.set("silent.test", RecordType.mx, .silence)
        names.set("unasked.test", RecordType.mx, .failure(.unavailable("no socket")))
        names.set("odd.test", RecordType.mx, .failure(.unaskable))
        names.set("junk.test", RecordType.mx, .packet([1, 2, 3]))
        names.set("bare.test", RecordType.mx, .negative(exists: true))
        names.set("bare.test", RecordType.a, .negative(exists: true))
        names.set("bare.test", RecordType.aaaa, .negative(exists: true))
        setting.mx("dead.test", (10, "gone.test"), (20, "gone2.test"))
        setting.mx("half.test", (10, "gone.test"), (20, "shaky.test"))
        names.set("shaky.test", RecordType.a, .code(2))
        names.set("shaky.test", RecordType.aaaa, .code(2))
        let table: [(String, Reason, String)] = [
            ("null.test", .nullExchange, "5.1.10"), ("nowhere.test", .domainNotFound, "5.1.2"),
            ("bad..name", .domainNotFound, "5.1.2"), ("192.0.2.1", .domainNotFound, "5.1.2"),
            ("[1.2.3]", .domainNotFound, "5.1.2"), ("[0.0.0.0]", .domainNotFound, "5.1.2"),
            ("odd.test", .domainNotFound, "5.1.2"), ("broken.test", .nameServerFailure, "4.4.3"),
            ("refused.test", .nameServerFailure, "4.4.3"),
            ("silent.test", .nameServerTimeout, "4.4.3"),
            ("unasked.test", .nameServerFailure, "4.4.3"),
            ("junk.test", .nameServerFailure, "4.4.3"), ("bare.test", .noAddress, "5.4.4"),
            ("dead.test", .noAddress, "5.4.4"), ("half.test", .nameServerFailure, "4.4.3"),
        ]
        for (domain, reason, status) in table {
            let failure = try failure(setting.resolve(domain))
            #expect(failure.reason == reason, "\(domain)")
            #expect(failure.status.text == status, "\(domain)")
            #expect(failure.isPermanent == status.hasPrefix("5"), "\(domain)")
        }
    }

    @Test func `address literals need no look-up`() throws {
        let setting = Setting { $0.ownAddresses = [NetworkPrefix("192.0.2.9")].compactMap(\.self) }
        let v4 = try site(setting.resolve("[192.0.2.1]"))
        #expect(v4.exchanges.map(\.literal) == [address("192.0.2.1")])
        let v6 = try site(setting.resolve("[IPv6:2001:db8::1]"))
        #expect(addresses(setting.addresses(of: v6.exchanges[0])) == ["2001:db8::1"])
        #expect(try failure(setting.resolve("[192.0.2.9]")).reason == .mailLoop)
        #expect(setting.names.asked.isEmpty)
    }

    @Test func `we know ourselves by name and by address`() throws {
        let setting = Setting {
            $0.ownNames = ["Relay.Example."]
            $0.ownAddresses = ["192.0.2.9", "127.0.0.0/8"].compactMap { NetworkPrefix($0) }
        }
        setting.names.host("mx1.test", "192.0.2.1")
        setting.names.host("alias.test", "192.0.2.9")
        setting.mx("backup.test", (10, "mx1.test"), (20, "relay.example"), (30, "mx3.test"))
        setting.mx("hidden.test", (10, "mx1.test"), (20, "alias.test"), (20, "mx1b.test"))
        setting.mx("ours.test", (10, "relay.example"), (20, "mx1.test"))
        setting.mx("loop.test", (10, "alias.test"))
        setting.mx("local.test", (10, "localhost"))
        setting.names.set("relay.example", RecordType.mx, .negative(exists: true))
        #expect(
            try site(setting.resolve("backup.test")).exchanges.map(\.name) == ["mx1.test"]
        )
        #expect(
            try site(setting.resolve("hidden.test")).exchanges.map(\.name) == ["mx1.test"]
        )
        for domain in ["ours.test", "loop.test", "local.test", "relay.example"] {
            let failure = try failure(setting.resolve(domain))
            #expect(failure.reason == .mailLoop, "\(domain)")
            #expect(failure.status.text == "5.4.6")
        }
    }

    @Test func `routes lead to their hosts, through the host table where it knows them`() throws {
        let setting = Setting {
            $0.routes = [
                "smart": [
                    RouteHost("smart.internal", port: 587), RouteHost("[192.0.2.5]", port: 2526),
                    RouteHost("dns.test", port: 25), RouteHost("localhost", port: 25),
                ],
                "empty": [],
            ]
            $0.hostTable = HostTable(
                text: Array(
                    "10.0.0.2 smart.internal\n10.0.0.1 smart.internal\n10.0.0.9 mx.test\n".utf8
                )
            )
            $0.families = .preferIPv4
        }
        setting.names.host("dns.test", "192.0.2.7")
        setting.names.host("mx.test", "192.0.2.8")
        let site = try site(setting.resolve(.route("smart")))
        #expect(site.id == SiteID("route:smart"))
        #expect(site.exchanges.map(\.preference) == [0, 1, 2, 3])
        #expect(site.exchanges.map(\.port) == [587, 2526, 25, 25])
        #expect(setting.names.asked.isEmpty)
        // In the order of the file.
        #expect(
            addresses(setting.addresses(of: site.exchanges[0])) == ["10.0.0.2", "10.0.0.1"]
        )
        #expect(addresses(setting.addresses(of: site.exchanges[1])) == ["192.0.2.5"])
        #expect(addresses(setting.addresses(of: site.exchanges[2])) == ["192.0.2.7"])
        #expect(addresses(setting.addresses(of: site.exchanges[3])) == ["127.0.0.1", "::1"])
        // A mail host of a stranger's MX record is not looked up in the table.
        let stranger = Exchange(preference: 10, name: "mx.test")
        #expect(addresses(setting.addresses(of: stranger)) == ["192.0.2.8"])
        for name in ["empty", "unknown"] {
            let failure = try failure(setting.resolve(.route(name)))
            #expect(failure.reason == .noRoute)
            #expect(failure.scope == .ours)
            #expect(!failure.isPermanent)
        }
    }

    @Test func `addresses of a host: both families asked at once, one failing does no harm`() throws
    {
        let setting = Setting()
        let names = setting.names
        names.set("h.test", RecordType.a, .records([.address(address("192.0.2.1"))]))
        names.set("h.test", RecordType.aaaa, .records([.address(address("2001:db8::1"))]))
        let began = setting.world.time
        #expect(
            addresses(setting.addresses(of: Exchange(preference: 0, name: "h.test")))
                == ["2001:db8::1", "192.0.2.1"]
        )
        #expect(setting.world.time - began < .milliseconds(20))
        names.set("k.test", RecordType.a, .records([.address(address("192.0.2.1"))]))
        names.set("k.test", RecordType.aaaa, .code(2))
        #expect(
            addresses(setting.addresses(of: Exchange(preference: 0, name: "k.test")))
                == ["192.0.2.1"]
        )
        names.set("f.test", RecordType.a, .negative(exists: true))
        names.set("f.test", RecordType.aaaa, .code(2))
        guard
            case .failure(let shaky) = setting.addresses(
                of: Exchange(preference: 0, name: "f.test")
            ),
            case .failure(let gone) = setting.addresses(of: Exchange(preference: 0, name: "g.test"))
        else {
            Issue.record("addresses out of nothing")
            return
        }
        #expect(!shaky.isPermanent)
        #expect(shaky.scope == .host)
        #expect(gone.isPermanent)
        #expect(gone.status.text == "5.4.4")
        #expect(gone.host?.name == "g.test")
    }

    @Test func `settings may be replaced between look-ups`() throws {
        let setting = Setting { $0.families = .onlyIPv4 }
        setting.names.set("h.test", RecordType.aaaa, .records([.address(address("2001:db8::1"))]))
        setting.names.set("h.test", RecordType.a, .records([.address(address("192.0.2.1"))]))
        let host = Exchange(preference: 0, name: "h.test")
        #expect(addresses(setting.addresses(of: host)) == ["192.0.2.1"])
        #expect(setting.names.asked.map(\.type) == [RecordType.a])
        var settings = ResolverSettings()
        settings.families = .onlyIPv6
        setting.resolver.replace(settings)
        #expect(addresses(setting.addresses(of: host)) == ["2001:db8::1"])
    }

    @Test func `a host's addresses are tried in an order that varies`() {
        let world = TestWorld()
        let names = ScriptedNames()
        let all = (1...4).map { address("192.0.2.\($0)") }
        names.set("h.test", RecordType.a, .records(all.map { .address($0) }))
        var orders: Set<[String]> = []
        for seed: UInt64 in 1...12 {
            let resolver = Resolver(
                transport: names,
                random: SeededRandom(seed: seed),
                settings: ResolverSettings()
            )
            let result = world.run { loop in
                await resolver.addresses(
                    of: Exchange(preference: 0, name: "h.test"),
                    on: loop,
                    until: loop.now() + .seconds(60)
                )
            }
            let order = addresses(result) ?? []
            #expect(order.sorted() == all.map(\.text))
            orders.insert(order)
        }
        #expect(orders.count > 3)
    }
}
