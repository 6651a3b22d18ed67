import EkidenConfiguration
import EkidenMail
import EkidenOutcome
import EkidenSMTP
import Testing

@testable import EkidenRelay

private func settings(_ toml: String) throws -> RelaySettings {
    RelaySettings(
        try Configuration.load(text: Array(toml.utf8), file: "test", hostname: "relay.test")
    )
}

@Suite struct RelaySettingsTests {
    @Test func `every timeout of the configuration reaches its step`() throws {
        let settings = try settings(
            """
            [delivery]
            connect_timeout = "1s"
            greeting_timeout = "2s"
            hello_timeout = "3s"
            mail_timeout = "4s"
            recipient_timeout = "5s"
            data_timeout = "6s"
            data_block_timeout = "7s"
            end_of_data_timeout = "8s"
            """
        )
        let timeouts = settings.delivery.timeouts
        let steps: [DeliveryStep] = [
            .connect, .greeting, .hello, .mail, .recipient, .data, .endOfData,
        ]
        #expect(
            steps.map { timeouts.patience(for: $0) } == [1, 2, 3, 4, 5, 6, 8].map { .seconds($0) }
        )
        #expect(timeouts.dataBlock == .seconds(7))
    }

    @Test func `with few descriptors neither side takes all of them`() throws {
        let configuration = try Configuration.load(
            text: Array("[delivery]\nmax_connections = 50".utf8),
            file: "test",
            hostname: "relay.test"
        )
        let listening = configuration.listeners.reduce(0) { $0 + $1.listen.count }
        let wanted = configuration.listeners.reduce(0) { $0 + $1.maxConnections }
        let plenty = DescriptorShares(of: 65_536, configuration)
        #expect(plenty.sessionsMax == wanted)
        #expect(plenty.deliveriesMax == 50)
        #expect(plenty.shortage == nil)
        for descriptors in [0, 20, 64, 100, 256, 1000] {
            let few = DescriptorShares(of: descriptors, configuration)
            #expect(few.shortage != nil)
            #expect(few.sessionsMax >= 1 && few.deliveriesMax >= 1)
            #expect(few.deliveriesMax <= 50)
            if descriptors >= 64 {
                let connections = few.sessionsMax + few.deliveriesMax
                #expect(connections + 32 + listening < descriptors, "of \(descriptors)")
                #expect(few.sessionsMax >= few.deliveriesMax)
            }
        }
        let relay = RelaySettings(configuration, descriptors: 64)
        #expect(relay.scheduler.connectionsMax == relay.descriptors.deliveriesMax)
    }

    @Test func `a route's own retry times are used for its mail alone`() throws {
        let settings = try settings(
            """
            [retry]
            first = "5m"
            [[route]]
            name = "fast"
            domains = ["fast.example"]
            hosts = ["127.0.0.1:25"]
            retry_first = "10s"
            """
        )
        #expect(settings.retry(for: .route("fast")).first == .seconds(10))
        #expect(settings.retry(for: .domain(Domain("slow.example"))).first == .seconds(300))
        #expect(settings.routes.route(for: Domain("Fast.Example"))?.name == "fast")
    }

    @Test func `kinds of failure have waits of their own, the first rule that fits`() throws {
        let usual = try settings("[retry]\nfirst = \"5m\"").retry(for: .route("x"))
        #expect(usual.classes == [.greylisted: .init(first: .seconds(120), ceiling: .seconds(900))])
        let settings = try settings(
            """
            [[route]]
            name = "out"
            domains = ["*"]
            hosts = ["192.0.2.1"]
            [[retry_rule]]
            name = "out"
            classes = ["mailbox-full", "greylisted"]
            routes = ["out"]
            first = "6h"
            [[retry_rule]]
            name = "full"
            classes = ["mailbox-full"]
            ceiling = "1m"
            """
        )
        let out = settings.retry(for: .route("out")).classes
        #expect(out[.mailboxFull] == .init(first: .seconds(21_600), ceiling: .seconds(21_600)))
        #expect(out[.greylisted]?.first == .seconds(21_600))
        let other = settings.retry(for: .domain(Domain("x.example"))).classes
        #expect(other[.mailboxFull] == .init(first: .seconds(60), ceiling: .seconds(60)))
        #expect(other[.greylisted] == usual.classes[.greylisted])
        // Times in the spool that are further off than that are not believed.
        #expect(settings.scheduler.longestWait >= .seconds(21_600))
    }

    @Test func `a mail host at our own address is us only where we listen on its port`() throws {
        let local = NetworkPrefix.loopback
        let elsewhere = try settings("[[listener]]\nname = \"a\"\nlisten = [\"127.0.0.1:2525\"]")
        #expect(elsewhere.resolver(local: local, hosts: .init(text: [])).ownAddresses.isEmpty)
        let there = try settings("[[listener]]\nname = \"a\"\nlisten = [\"127.0.0.1:25\"]")
        #expect(there.resolver(local: local, hosts: .init(text: [])).ownAddresses == local)
    }

    @Test func `no delay notice means none`() throws {
        let settings = try settings("[retry]\ndelay_notice_after = \"0s\"")
        #expect(settings.retry(for: .domain(Domain("a.example"))).delayNoticeAfter == nil)
    }

    @Test func `a route's mail, and its password, go to the hosts it has now alone`() throws {
        let settings = try settings(
            """
            [[route]]
            name = "out"
            domains = ["*"]
            hosts = ["smtp.example.org:587", "192.0.2.1"]
            [[route]]
            name = "boxes"
            domains = ["inside.example"]
            target = "lmtp"
            hosts = ["unix:/run/lmtp", "box.example"]
            [[route]]
            name = "bulk"
            senders = ["<>"]
            target = "mx"
            """
        )
        let leads = { (hop: NextHop, name: String, port: UInt16) in
            settings.leads(hop, to: Exchange(preference: 0, name: name, port: port))
        }
        #expect(leads(.route("out"), "smtp.example.org", 587))
        #expect(leads(.route("out"), "192.0.2.1", 25))
        #expect(!leads(.route("out"), "smtp.example.org", 25))
        #expect(!leads(.route("out"), "old.example.org", 587))
        #expect(!leads(.route("gone"), "smtp.example.org", 587))
        #expect(leads(.route("boxes"), "box.example", 24))
        var socket = Exchange(preference: 0, name: "unix:/run/lmtp", port: 0)
        #expect(!leads(.route("boxes"), "unix:/run/other", 0))
        socket.socketPath = "/run/lmtp"
        #expect(settings.leads(.route("boxes"), to: socket))
        #expect(leads(.domain(Domain("any.example")), "mx.any.example", 25))
        #expect(leads(.routed(Domain("any.example"), by: "bulk"), "mx.any.example", 25))
    }

    @Test
    func
        `on a route by MX the stricter of its policy and the domain's holds, with the domain's names`()
        throws
    {
        let settings = try settings(
            """
            [[certificate]]
            name = "mine"
            chain = "c.pem"
            key = "k.pem"
            [[tls_policy]]
            name = "bank"
            domains = ["bank.example"]
            level = "verify"
            [[tls_policy]]
            name = "hosts"
            hosts = [".strict.example"]
            level = "encrypt"
            [[route]]
            name = "weak"
            senders = ["a@x.example"]
            target = "mx"
            tls = "may"
            client_certificate = "mine"
            [[route]]
            name = "strong"
            senders = ["b@x.example"]
            target = "mx"
            tls = "verify"
            [[route]]
            name = "plain"
            senders = ["c@x.example"]
            target = "mx"
            """
        )
        let tls = settings.outboundTLS
        func policy(_ domain: String, _ route: String) -> TLSPolicy? {
            tls.policy(of: .routed(Domain(domain), by: route))
        }
        for route in ["weak", "strong", "plain"] {
            let bank = policy("bank.example", route)
            #expect(bank?.level == .verify && bank?.names == ["bank.example", ".bank.example"])
            #expect(bank?.certificate == (route == "weak" ? "mine" : nil))
        }
        let strong = policy("other.example", "strong")
        #expect(strong?.level == .verify && strong?.names == ["other.example", ".other.example"])
        #expect(policy("other.example", "weak")?.level == .may)
        #expect(policy("other.example", "plain") == nil)
        func used(_ route: String, at host: String) -> TLSPolicy.Level {
            let hop = NextHop.routed(Domain("other.example"), by: route)
            let exchange = Exchange(preference: 0, name: host)
            let job = DeliveryJob(
                message: QueueID(number: 1),
                sender: .null,
                recipients: [
                    JobRecipient(
                        index: 0,
                        address: Address(localPart: "a", domain: Domain("other.example"))
                    )
                ],
                nextHop: hop,
                site: Site(exchanges: [exchange]),
                arrived: WallTime(nanoseconds: 0),
                byteCount: 1
            )
            return tls.policy(of: job, at: exchange).level
        }
        #expect(used("weak", at: "mx.other.example") == .may)
        #expect(used("weak", at: "mx.strict.example") == .encrypt)
        #expect(used("strong", at: "mx.strict.example") == .verify)
        #expect(used("plain", at: "mx.strict.example") == .encrypt)
    }
}
