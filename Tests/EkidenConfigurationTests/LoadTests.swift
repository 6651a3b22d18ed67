// From text to `Configuration`: every type of value, every rule between settings, and the folders
// of wrong configurations with the errors they must give.

import EkidenMail
import TestKit
import Testing

@testable import EkidenConfiguration

private func inspect(_ text: String) -> ConfigurationInspection {
    Configuration.inspect(text: Array(text.utf8), file: "t", hostname: "mail.example.org")
}

private func load(_ text: String) throws -> Configuration {
    try Configuration.load(text: Array(text.utf8), file: "t", hostname: "mail.example.org")
}

private func seconds(_ number: Int64) -> Duration { .seconds(number) }

@Suite struct LoadTests {
    @Test func `an empty file is the default configuration, which relays for this machine alone`()
        throws
    {
        let configuration = try load("")
        #expect(configuration == Configuration(hostname: "mail.example.org"))
        #expect(configuration.listeners.count == 1)
        let listener = configuration.listeners[0]
        #expect(listener.listen.allSatisfy { $0.address.isLoopback })
        #expect(listener.relayFor.map(\.text) == ["127.0.0.0/8", "::1/128"])
        #expect(listener.lenientFor.isEmpty)
        #expect(configuration.controlSocketPath == "spool/control.socket")
        #expect(configuration.helo.text == "mail.example.org")
        let words = inspect("").problems.map(\.text)
        #expect(words.count == 1 && words[0].hasPrefix("t: warning: relay.postmaster is not set"))
    }

    @Test func `one setting of each kind reaches its field`() throws {
        let configuration = try load(
            """
            [relay]
            hostname = "MX.Example.org."
            names = ["a.example.org", "b.example.org"]
            postmaster = "ops@example.org"
            [log]
            format = "json"
            level = "debug"
            [control]
            socket = "/run/ekiden/control.socket"
            group = "mailadm"
            [[listener]]
            name = "in"
            listen = ["0.0.0.0:25", "[::]:25"]
            relay_for = ["10.0.0.0/8", "192.0.2.7"]
            banner = "ESMTP"
            max_message_size = "25MB"
            command_timeout = "1m30s"
            [[listener]]
            name = "inside"
            role = "relay"
            listen = ["10.1.1.1:2525"]
            [rewriting]
            add_missing_headers = false
            [spool]
            directory = "/var/spool/ekiden/"
            max_messages = 1_000
            [retry]
            factor = 3
            jitter = "2.5%"
            delay_notice_after = "0s"
            [[route]]
            name = "smarthost"
            domains = ["*"]
            hosts = ["Smtp.Example.net", "smtp2.example.net:2525", "[2001:db8::1]:26", "192.0.2.9"]
            [resolver]
            servers = ["127.0.0.53", "[::1]:5353"]
            timeout = "300ms"
            [delivery]
            helo = "out.example.org"
            address_family = "ipv4-only"
            source_ipv4 = "192.0.2.25"
            port = 2526
            """
        )
        #expect(configuration.relay.hostname.text == "MX.Example.org")
        #expect(configuration.ownNames.map(\.folded).last == "b.example.org")
        #expect(configuration.relay.postmaster?.text == "ops@example.org")
        #expect(configuration.log == Configuration.Log(format: .json, level: .debug))
        #expect(configuration.controlSocketPath == "/run/ekiden/control.socket")
        #expect(configuration.control.group == "mailadm")
        #expect(configuration.listeners.map(\.name) == ["in", "inside"])
        let listener = configuration.listeners[0]
        #expect(listener.listen.map(\.text) == ["0.0.0.0:25", "[::]:25"])
        #expect(listener.relayFor.map(\.text) == ["10.0.0.0/8", "192.0.2.7/32"])
        #expect(listener.maxMessageSize == 25_000_000)
        #expect(listener.commandTimeout == seconds(90))
        #expect(configuration.listeners[1].commandTimeout == seconds(300))
        #expect(!configuration.rewriting.addMissingHeaders)
        #expect(configuration.spool.directory == "/var/spool/ekiden")
        #expect(configuration.spool.maxMessages == 1000)
        #expect(configuration.retry.factor == 3.0)
        #expect(configuration.retry.jitter.fraction == 0.025)
        #expect(configuration.retry.delayNoticeAfter == .zero)
        #expect(configuration.resolver.servers.map(\.text) == ["127.0.0.53:53", "[::1]:5353"])
        #expect(configuration.resolver.timeout == .milliseconds(300))
        #expect(configuration.helo.text == "out.example.org")
        #expect(configuration.delivery.addressFamily == .ipv4Only)
        #expect(configuration.delivery.sourceIPv4?.text == "192.0.2.25")
        let route = configuration.routes.all[0]
        let hosts = route.hosts
        #expect(
            hosts.map {
                "\($0.name):\(route.port(of: $0, usual: configuration.delivery.port))"
            } == [
                "smtp.example.net:2526", "smtp2.example.net:2525", "2001:db8::1:26",
                "192.0.2.9:2526",
            ]
        )
        #expect(hosts.map { $0.literal != nil } == [false, false, true, true])
    }

    @Test(arguments: TestFiles.list(TestFiles.fixtures))
    func `a wrong configuration gives the expected errors`(folder: String) throws {
        let path = TestFiles.fixtures + "/" + folder
        let text = try #require(TestFiles.read(path + "/ekiden.toml"))
        let inspection = Configuration.inspect(
            text: text,
            file: "ekiden.toml",
            hostname: "mail.example.org"
        )
        let found = inspection.problems.map { $0.text + "\n" }.joined()
        if TestFiles.rewrites {
            #expect(TestFiles.write(found, to: path + "/expected-error"))
        }
        let expected = try #require(TestFiles.text(path + "/expected-error"))
        #expect(found == expected)
        #expect(!found.isEmpty)
        do throws(ConfigurationErrors) {
            _ = try Configuration.load(
                text: text,
                file: "ekiden.toml",
                hostname: "mail.example.org"
            )
            #expect(inspection.errors.isEmpty)
        } catch {
            #expect(error.problems == inspection.errors)
        }
    }

    @Test func `the folders of wrong configurations are there`() {
        #expect(TestFiles.list(TestFiles.fixtures).count >= 20)
    }

    @Test func `a host name of the system that SMTP can't use is an error until one is set`() {
        for name in ["", "my host", "-x", "192.0.2.1", "é"] {
            let inspection = Configuration.inspect(text: [], file: "t", hostname: name)
            #expect(inspection.errors.count == 1, "\(name)")
            let set = Array("[relay]\nhostname = 'mail.example.org'".utf8)
            #expect(Configuration.inspect(text: set, file: "t", hostname: name).errors.isEmpty)
        }
        let short = Configuration.inspect(text: [], file: "t", hostname: "box")
        #expect(short.errors.isEmpty && short.warnings.count == 2)
    }

    @Test(arguments: [
        ("192.0.2.1", "192.0.2.1"), ("192.0.2.1:25", "192.0.2.1:25"),
        ("[192.0.2.1]", "192.0.2.1"), ("[192.0.2.1]:26", "192.0.2.1:26"),
        ("2001:db8::25", "[2001:db8::25]"), ("[2001:db8::25]", "[2001:db8::25]"),
        ("[2001:DB8::25]:2525", "[2001:db8::25]:2525"),
        ("[IPv6:2001:db8::1]:25", "[2001:db8::1]:25"),
        ("A.example.", "a.example"), ("a.example:1", "a.example:1"), ("a:65535", "a:65535"),
    ])
    func `a host of a route is read`(text: String, shown: String) {
        #expect(Route.Host(parsing: text)?.text == shown)
    }

    @Test(arguments: [
        "", ":25", "a:", "a:0", "a:65536", "a:+25", "a:b", "a b", "a..b", "[a]:25", "[192.0.2.1",
        "192.0.2.256", "a_é", "[::1]x:25", "-a", "a:25:26",
    ])
    func `what is no host of a route is refused`(text: String) {
        #expect(Route.Host(parsing: text) == nil)
    }

    @Test(arguments: [
        ("0ms", 0), ("300ms", 300), ("5s", 5000), ("5m", 300_000), ("4h", 14_400_000),
        ("5d", 432_000_000), ("2w", 1_209_600_000), ("1h30m", 5_400_000), ("1d1ms", 86_400_001),
    ])
    func `times are read with their units`(text: String, milliseconds: Int64) throws {
        let node = TOMLNode(.string(text), at: .init(line: 1, column: 1))
        #expect(try QuantityReader.time.read(node) == milliseconds)
    }

    @Test(arguments: [
        ("0B", 0), ("1KiB", 1024), ("10MiB", 10_485_760), ("1GiB", 1_073_741_824),
        ("1TiB", 1_099_511_627_776), ("1kB", 1000), ("1KB", 1000), ("1MB", 1_000_000),
        ("1GB", 1_000_000_000), ("1MiB512KiB", 1_572_864),
    ])
    func `sizes are read with their units`(text: String, bytes: Int64) throws {
        let node = TOMLNode(.string(text), at: .init(line: 1, column: 1))
        #expect(try QuantityReader.size.read(node) == bytes)
    }

    @Test(arguments: [
        ("5", "needs a unit"), ("", "such as"), ("m", "such as"), ("5 m", "did you mean \"m\""),
        ("5M", "did you mean \"m\""), ("5minutes", "did you mean \"m\""), ("-5m", "such as"),
        ("1.5h", "no fractions"), ("5m1h", "largest first"), ("5m5m", "largest first"),
        ("99999999999999999999s", "too large"), ("9223372036854775807w", "too large"),
        ("106751991167d106751991167h", "too large"), ("5x", "units are ms, s, m, h, d, w"),
    ])
    func `a time with a wrong unit or form is refused`(text: String, word: String) {
        let node = TOMLNode(.string(text), at: .init(line: 1, column: 1))
        do throws(Misfit) {
            _ = try QuantityReader.time.read(node)
            Issue.record("accepted \(text)")
        } catch {
            #expect(error.sentence.contains(word), "\(error.sentence)")
        }
    }

    @Test(arguments: [
        ("10", "needs a unit"), ("10M", "did you mean \"MiB\""), ("10mib", "did you mean \"MiB\""),
        ("10 MiB", "did you mean \"MiB\""), ("10k", "did you mean \"KiB\""),
        ("1XB", "unknown unit"),
    ])
    func `a size with a wrong unit is refused`(text: String, word: String) {
        let node = TOMLNode(.string(text), at: .init(line: 1, column: 1))
        do throws(Misfit) {
            _ = try QuantityReader.size.read(node)
            Issue.record("accepted \(text)")
        } catch {
            #expect(error.sentence.contains(word), "\(error.sentence)")
        }
    }

    @Test(arguments: [
        ("10%", 1000), ("0%", 0), ("2.5%", 250), ("2.05%", 205), ("50%", 5000), ("50.00%", 5000),
    ])
    func `shares are read and written`(text: String, points: Int) throws {
        let node = TOMLNode(.string(text), at: .init(line: 1, column: 1))
        let type = ValueType<Percentage>.percentage(0...50)
        let value = try type.decode(node)
        #expect(value.basisPoints == points)
        let again = try #require(type.encode(value))
        let table = try TOMLParser.parse(Array("a = \(again)".utf8))
        #expect(try type.decode(try #require(table["a"])) == value)
    }

    @Test(arguments: [
        "10", "%", ".5%", "5.%", "2.555%", "-1%", "51%", "50.01%", "1e1%", "9999999%",
    ])
    func `what is no share is refused`(text: String) {
        let node = TOMLNode(.string(text), at: .init(line: 1, column: 1))
        #expect(throws: Misfit.self) {
            _ = try ValueType<Percentage>.percentage(0...50).decode(node)
        }
    }

    @Test(arguments: [
        ("0.0.0.0/0", false), ("0.0.0.0/1", false), ("10.0.0.0/7", false), ("10.0.0.0/8", true),
        ("::/0", false), ("2000::/3", false), ("2000::/15", false), ("2001::/16", true),
        ("fc00::/7", true), ("fd00::/8", true), ("fe80::/10", true), ("fe00::/9", false),
        ("fc00::/6", false), ("127.0.0.0/8", true),
    ])
    func `a listener that others can reach is no open relay`(network: String, isFine: Bool) {
        let text = "[[listener]]\nname='x'\nlisten=['192.0.2.1:25']\nrelay_for=['\(network)']"
        #expect(inspect(text).errors.isEmpty == isFine)
        let local = "[[listener]]\nname='x'\nlisten=['127.0.0.1:25']\nrelay_for=['\(network)']"
        #expect(inspect(local).errors.isEmpty)
    }

    @Test(arguments: [
        ("auth='optional'", "there are no users", true),
        ("auth='required'\n[auth]\nusers='/u'", "", false),
        ("auth_without_tls_for=['10.0.0.0/8']", "has no effect", false),
        (
            "auth='optional'\nauth_without_tls_for=['0.0.0.0/0']\n[auth]\nusers='/u'",
            "passwords in clear from 0.0.0.0/0", true
        ),
        (
            "auth='optional'\nauth_without_tls_for=['10.0.0.0/8']\n[auth]\nusers='/u'", "", false
        ),
        ("auth='maybe'", "", true), ("[auth]\nmechanisms=['CRAM-MD5']", "", true),
        ("[auth]\nmechanisms=[]", "", true), ("[auth]\nmax_failures=0", "", true),
    ])
    func `logging in needs users, and passwords need privacy`(
        text: String,
        sentence: String,
        isError: Bool
    ) {
        let found = inspect("[[listener]]\nname='x'\nlisten=['192.0.2.1:25']\n" + text)
        #expect(found.errors.isEmpty != isError)
        #expect(sentence.isEmpty || found.problems.contains { $0.sentence.contains(sentence) })
    }

    @Test(arguments: [
        ("[sites]\nconnections_max = 2", "2 2 1"), ("[sites]\nconnections_start = 40", "40 40 1"),
        ("[sites]\nconnections_min = 9", "9 20 9"), ("[sites]\nconnections_min = 30", "30 30 30"),
        ("[delivery]\nmax_connections = 3", "3 3 1"), ("", "5 20 1"),
    ])
    func `a default gives way to what is set`(text: String, window: String) throws {
        let inspection = inspect("[relay]\npostmaster = 'a@b.example'\n" + text)
        #expect(inspection.problems == [])
        let sites = inspection.configuration.sites
        #expect(
            "\(sites.connectionsStart) \(sites.connectionsMax) \(sites.connectionsMin)" == window
        )
    }

    @Test func `times that are left alone give way as well, those that are set do not`() {
        let short = inspect("[retry]\nlifetime = '2m'").configuration.retry
        #expect(short.first == seconds(120) && short.nullSenderLifetime == seconds(120))
        #expect(inspect("[retry]\nceiling = '1m'").configuration.retry.first == seconds(60))
        #expect(inspect("[retry]\nfirst = '5h'").configuration.retry.ceiling == seconds(18_000))
        #expect(inspect("[sites]\nbackoff_ceiling = '5s'").errors == [])
        #expect(inspect("[retry]\nfirst = '5h'\nceiling = '1h'").errors.count == 1)
    }

    @Test(arguments: [
        ("max_connections = 9", 2), ("max_connections = 1", 1), ("max_connections = 5000", 250),
        ("max_connections = 9\nmax_connections_per_client = 9", 9),
    ])
    func `one client has a quarter of a small listener`(settings: String, perClient: Int) {
        let listener = "[[listener]]\nname = 'x'\nlisten = ['127.0.0.1:25']\n" + settings
        let inspection = inspect(listener)
        #expect(inspection.errors == [])
        #expect(inspection.configuration.listeners[0].maxConnectionsPerClient == perClient)
    }

    /// Fuzz: settings with random values never trap, and what loads is within its range.
    @Test func `random values give a configuration or errors, never a trap`() {
        let values = [
            "1", "-1", "0", "9223372036854775807", "-9223372036854775808", "1.5", "nan", "inf",
            "true", "\"\"", "\"5m\"", "\"9223372036854775807d\"", "\"10%\"", "\"1GiB\"", "[]",
            "[\"x\"]", "[[1]]", "{}", "{a=1}", "2026-11-21", "\"127.0.0.1:25\"", "[\"*\", \".\"]",
            "[\"::/0\"]", "\"a@b\"", "\"@\"", "\"\\u0000\"", "\"é\"", "\"relay\"", "\"submission\"",
            "[\"127.0.0.1:25\", \"127.0.0.1:25\"]", "\".%\"", "\"99999999%\"",
        ]
        var random = TestRandom(seed: 7)
        for _ in 0..<500 {
            var text = ""
            for section in Schema.sections {
                for _ in 0..<(section.isList ? random.below(3) : 1) {
                    text += section.header + "\n"
                    for row in section.rows where random.below(4) == 0 {
                        let isExample = random.below(3) == 0
                        text +=
                            "\(row.name) = \(isExample ? row.example : random.pick(values))\n"
                    }
                }
            }
            let inspection = inspect(text)
            for problem in inspection.problems {
                if problem.sentence.isEmpty || problem.sentence.hasSuffix(".") {
                    Issue.record("\(problem.text)")
                }
            }
        }
    }
}
