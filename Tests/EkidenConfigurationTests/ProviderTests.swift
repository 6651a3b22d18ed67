// Providers: what each becomes, and what the file says wins.

import EkidenMail
import Testing

@testable import EkidenConfiguration

@Suite struct ProviderTests {
    private func load(_ text: String) throws -> Configuration {
        try Configuration.load(text: Array(text.utf8), file: "t", hostname: "mail.example.org")
    }

    private func route(_ settings: String) -> String {
        "[[route]]\nname = \"out\"\ndomains = [\"*\"]\n" + settings + "\n"
    }

    private let login = "[[login]]\nname = \"own\"\npassword_file = \"/etc/ekiden/p\"\n"

    @Test(arguments: [
        ("provider = \"ses\"\nregion = \"eu-west-1\"", "email-smtp.eu-west-1.amazonaws.com:587"),
        (
            "provider = \"ses\"\nregion = \"us-gov-west-1\"",
            "email-smtp.us-gov-west-1.amazonaws.com:587"
        ),
        ("provider = \"sendgrid\"", "smtp.sendgrid.net:587"),
        ("provider = \"mailgun\"", "smtp.mailgun.org:587"),
        ("provider = \"mailgun\"\nregion = \"us\"", "smtp.mailgun.org:587"),
        ("provider = \"mailgun\"\nregion = \"eu\"", "smtp.eu.mailgun.org:587"),
        ("provider = \"postmark\"", "smtp.postmarkapp.com:587"),
        ("provider = \"brevo\"", "smtp-relay.brevo.com:587"),
    ])
    func `a provider becomes its host, verified`(settings: String, host: String) throws {
        let configuration = try load(route(settings))
        let route = configuration.routes.all[0]
        #expect(route.hosts.map(\.text) == [host] && route.tls == .verify)
        // The index of the table knows it, too.
        #expect(configuration.routes.route(for: Domain("any.example")) == route)
    }

    @Test func `a user that all have the same, and messages in a connection, are filled in`() throws
    {
        let text = login + route("provider = \"sendgrid\"\nlogin = \"own\"")
        let configuration = try load(text)
        #expect(configuration.hopLogins[0].user == "apikey")
        #expect(configuration.siteRules.map(\.routes) == [["out"]])
        #expect(configuration.siteRules[0].messagesPerConnection == 5000)
        #expect(
            configuration.providerNotes == [
                "route \"out\" (sendgrid): hosts smtp.sendgrid.net:587; tls \"verify\"; "
                    + "user apikey; 5000 messages per connection"
            ]
        )
        // Where users have names of their own they are to be said.
        #expect(throws: ConfigurationErrors.self) {
            try load(text.replacing("sendgrid", with: "brevo"))
        }
    }

    @Test func `what the file says wins`() throws {
        let text = """
            [[login]]
            name = "own"
            user = "somebody"
            password_file = "/etc/ekiden/p"
            [[route]]
            name = "out"
            domains = ["*"]
            provider = "sendgrid"
            hosts = ["smtp.eu.sendgrid.net:2525", "smtp.sendgrid.net:25"]
            tls = "encrypt"
            login = "own"
            [[site]]
            name = "slow"
            routes = ["out"]
            rate = "10/s"
            connections_max = 3
            """
        let configuration = try load(text)
        let route = configuration.routes.all[0]
        #expect(route.hosts.map(\.port) == [2525, 25] && route.tls == .encrypt)
        #expect(configuration.hopLogins[0].user == "somebody")
        #expect(configuration.siteRules.map(\.name) == ["slow"])
        #expect(configuration.siteRules[0].messagesPerConnection == nil)
        #expect(
            configuration.providerNotes == [
                "route \"out\" (sendgrid): hosts smtp.eu.sendgrid.net:2525, smtp.sendgrid.net:25; "
                    + "tls \"encrypt\"; user somebody; rate \"10/s\"; at most 3 connections"
            ]
        )
    }

    @Test func `every provider has a row that can be used`() throws {
        for provider in Provider.allCases {
            let region = provider == .ses ? "region = \"eu-central-1\"\n" : ""
            let text = route("provider = \"\(provider.rawValue)\"\n" + region)
            let inspection = Configuration.inspect(
                text: Array(text.utf8),
                file: "t",
                hostname: "mail.example.org"
            )
            #expect(inspection.errors.isEmpty, "\(inspection.errors)")
            let host = try #require(inspection.configuration.routes.all[0].hosts.first)
            #expect(Route.Host(parsing: host.text) == host)
            #expect(inspection.warnings.contains { $0.text.contains("no login") })
        }
    }
}
