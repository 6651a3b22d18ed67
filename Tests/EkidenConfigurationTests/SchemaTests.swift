// The rows themselves, the documents made of them, and what a reload may change.

import EkidenMail
import Testing

@testable import EkidenConfiguration

extension TestFiles {
    /// Set to make the tests write what they would otherwise compare.
    static var rewrites: Bool { environment("EKIDEN_WRITE_DOCS") == "1" }
}

@Suite struct SchemaTests {
    @Test(arguments: [
        ("docs/CONFIGURATION.md", Reference.manual), ("deploy/ekiden.toml", Reference.example),
    ])
    func `a generated document is up to date; EKIDEN_WRITE_DOCS=1 rewrites it`(
        path: String,
        text: String
    ) {
        if TestFiles.rewrites { #expect(TestFiles.write(text, to: TestFiles.root + "/" + path)) }
        let isCurrent = TestFiles.text(TestFiles.root + "/" + path) == text
        #expect(isCurrent, "\(path): run the tests once with EKIDEN_WRITE_DOCS=1")
    }

    @Test(arguments: Schema.rows.map(\.path))
    func `a row is complete, and its default and its example can be read`(path: String) throws {
        let row = try #require(Schema.rows.first { $0.path == path })
        #expect(row.sentence.hasSuffix("."))
        #expect(!row.sentence.contains("  ") && !row.sentence.contains("\n"))
        #expect(!row.sentence.contains("|") && !row.range.contains("|"))
        #expect(row.isRequired == (row.defaultValue == nil && row.defaultWords == nil))
        for value in [row.defaultValue, row.example].compactMap(\.self) {
            let errors = Self.alone(row, value).errors.filter { !$0.sentence.hasPrefix("this ") }
            // Rules between settings may forbid a value alone; its type and range may not.
            #expect(errors.allSatisfy { !$0.sentence.hasPrefix(row.path + " ") }, "\(value)")
        }
        if let value = row.defaultValue {
            let bare = Configuration(hostname: "mail.example.org")
            if !row.isRequired, Self.section(row)?.isList == false {
                #expect(Self.alone(row, value).configuration == bare)
            }
        }
    }

    private static func section(_ row: SettingRow) -> SectionSchema? {
        Schema.sections.first { $0.name == row.section }
    }

    /// The setting in a file of its own.
    private static func alone(_ row: SettingRow, _ value: String) -> ConfigurationInspection {
        let text = "\(section(row)?.header ?? "")\n\(row.name) = \(value)\n"
        return Configuration.inspect(
            text: Array(text.utf8),
            file: "t",
            hostname: "mail.example.org"
        )
    }

    @Test func `paths are unique and sections stand in the order of the paper path`() {
        let paths = Schema.rows.map(\.path)
        #expect(Set(paths).count == paths.count)
        #expect(
            Schema.sections.map(\.name) == [
                "relay", "log", "history", "control", "certificate", "listener", "rate", "list",
                "auth",
                "certificate_user",
                "rewriting", "spool", "retry", "retry_rule", "stream", "sites", "site", "route",
                "tls_policy",
                "login", "resolver", "delivery", "bounces",
                "limits",
            ]
        )
    }

    @Test func `the example as it is changes nothing`() throws {
        let configuration = try Configuration.load(
            text: Array(Reference.example.utf8),
            file: "example",
            hostname: "mail.example.org"
        )
        #expect(configuration == Configuration(hostname: "mail.example.org"))
    }

    @Test func `the example with every setting uncommented is a valid configuration`() {
        let lines = Reference.example.split(separator: "\n").map { line in
            line.hasPrefix("#") && !line.hasPrefix("# ") ? line.dropFirst() : line
        }
        let inspection = Configuration.inspect(
            text: Array(lines.joined(separator: "\n").utf8),
            file: "example",
            hostname: "mail.example.org"
        )
        // Each setting at its default: certificates stand for users, and nobody asks for them; a
        // policy is for nobody, a login has all secrets, a site is nowhere, and a route with a provider's
        // hosts has the words of one that bounces and the fallback of one that has others.
        let problems = inspection.problems.map(\.text)
        for words in [
            "no listener asks for client cert", "is for domains or for hosts",
            "keep one of them", "nothing says where site",
            "route.text has no effect", "there is no route \"backup\"",
        ] {
            #expect(problems.contains { $0.contains(words) }, "\(words)")
        }
        #expect(problems.count == 7, "\(problems)")
        #expect(inspection.configuration.routes.all.count == 1)
        #expect(inspection.configuration.listeners[0].maxRecipients == 1000)
        #expect(inspection.configuration.retry == Configuration.Retry())
    }

    @Test func `lines of the documents fit a page`() {
        for line in Reference.example.split(separator: "\n") { #expect(line.utf8.count <= 100) }
    }

    // MARK: Explain

    private func text(_ name: String) -> String {
        switch Reference.explain(name) {
        case .text(let text): text
        case .unknown(let sentence): "?" + sentence
        }
    }

    @Test func `a setting is explained by its path or its name`() {
        let expected = """
            retry.first
              The wait after the first failed attempt.

              type     a time, 1s to 30d
              default  "5m"
              example  first = "1m"
              change   takes effect on reload

            """
        #expect(text("retry.first") == expected)
        #expect(text("first").hasPrefix(expected))
        #expect(text("lookup_timeout") == text("resolver.lookup_timeout"))
        #expect(text("spool.directory").contains("needs a restart"))
        #expect(text("relay.hostname").contains("default  the system's host name"))
        #expect(text("listener.listen").contains("none, must be given"))
    }

    @Test func `a name that several sections have is explained for each`() {
        let both = text("data_block_timeout")
        #expect(both.contains("listener.data_block") && both.contains("delivery.data_block"))
    }

    @Test func `a section lists its settings, and no name lists the sections`() {
        #expect(text("retry").contains("  ceiling"))
        #expect(text("[[listener]]") == text("listener"))
        for section in Schema.sections { #expect(text("").contains(section.header)) }
    }

    @Test(arguments: [
        ("retry.frist", "retry.first"), ("lisener", "listener"), ("postmastr", "postmaster"),
    ])
    func `an unknown name is answered with the nearest`(name: String, meant: String) {
        #expect(text(name).contains("did you mean \"\(meant)\"?"))
    }

    @Test func `a name like nothing is only said to be unknown`() {
        #expect(text("zzzzzzzz") == "?there is no setting or section \"zzzzzzzz\"")
    }

    @Test(arguments: [
        ("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("first", "frist", 1),
        ("abc", "abc", 0), ("ca", "abc", 3), ("listen", "silent", 4),
    ])
    func `edit distance counts swaps of neighbours once`(a: String, b: String, distance: Int) {
        #expect(Suggestion.distance(Array(a.utf8), Array(b.utf8)) == distance)
        #expect(Suggestion.distance(Array(b.utf8), Array(a.utf8)) == distance)
    }

    // MARK: Reload

    private let base = Configuration(hostname: "mail.example.org")

    @Test func `equal configurations need no restart`() {
        #expect(base.restartOnlyChanges(from: base) == [])
    }

    @Test func `settings that need a restart are named and kept, the others taken`() {
        var new = base
        new.spool.directory = "/elsewhere"
        new.spool.maxMessages = 7
        new.delivery.port = 26
        new.limits.loops = 3
        new.retry.first = .seconds(1)
        new.listeners[0].listen = [Endpoint(.loopback4, 26)]
        new.listeners[0].maxErrors = 3
        new.routes = RouteTable([Route(name: "r", domains: [.any], hosts: [])])
        #expect(
            new.restartOnlyChanges(from: base)
                == [
                    "listener.relay.listen", "spool.directory", "spool.max_messages",
                    "limits.loops",
                ]
        )
        let kept = new.keepingRestartOnly(of: base)
        #expect(kept.restartOnlyChanges(from: base) == [])
        #expect(kept.spool == base.spool && kept.delivery.port == 26)
        #expect(kept.limits.loops == 0 && kept.retry.first == .seconds(1))
        #expect(kept.listeners[0].listen == base.listeners[0].listen)
        #expect(kept.listeners[0].maxErrors == 3)
        #expect(kept.routes == new.routes)
    }

    @Test func `listeners that come or go need a restart`() {
        var new = base
        new.listeners[0].name = "other"
        new.listeners[0].maxErrors = 1
        let changes = new.restartOnlyChanges(from: base)
        #expect(changes == ["listener.other", "listener.relay"])
        #expect(new.keepingRestartOnly(of: base).listeners == base.listeners)
    }

    // MARK: Routes

    @Test(arguments: [
        ("example.org", "exact"), ("EXAMPLE.org.", "exact"), ("a.example.org", "below"),
        ("b.a.example.org", "deep"), ("c.b.a.example.org", "deep"), ("x.a.example.org", "deep"),
        ("notexample.org", "any"), ("org", "any"), ("[192.0.2.1]", "literal"),
        ("[192.0.2.2]", "any"), ("com", "any"),
    ])
    func `the nearest route takes a domain`(domain: String, route: String) {
        let table = RouteTable([
            Route(name: "any", domains: [.any]),
            Route(name: "below", domains: [.below("example.org")]),
            Route(name: "deep", domains: [.below("a.example.org")]),
            Route(name: "exact", domains: [.exact(Domain("Example.ORG"))]),
            Route(name: "literal", domains: [.exact(Domain("[192.0.2.1]"))]),
        ])
        #expect(table.route(for: Domain(domain))?.name == route)
        #expect(table.route(named: route)?.name == route)
    }

    @Test func `a route may say otherwise when its mail is tried again`() {
        var configuration = base
        var route = Route(name: "r", domains: [.any])
        configuration.routes = RouteTable([route])
        #expect(configuration.retry(for: .route("r")) == configuration.retry)
        route.retryFirst = .seconds(5 * 3600)
        route.lifetime = .seconds(7200)
        configuration.routes = RouteTable([route])
        let retry = configuration.retry(for: .route("r"))
        #expect(retry.first == .seconds(5 * 3600) && retry.ceiling == retry.first)
        #expect(retry.lifetime == .seconds(7200) && retry.nullSenderLifetime == .seconds(7200))
        configuration.routes = RouteTable([
            Route(name: "r", domains: [.any], retryCeiling: .seconds(60))
        ])
        #expect(configuration.retry(for: .route("r")).first == .seconds(60))
        #expect(configuration.retry(for: .domain(Domain("x"))) == configuration.retry)
        #expect(configuration.retry(for: .route("other")) == configuration.retry)
    }

    @Test func `without a matching route mail goes by the domain`() {
        let table = RouteTable([Route(name: "below", domains: [.below("example.org")])])
        #expect(table.route(for: Domain("example.org")) == nil)
        #expect(table.route(named: "other") == nil)
    }
}
