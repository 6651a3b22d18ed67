// Which route mail goes by: conditions, their order, fallbacks.

import EkidenMail
import Testing

@testable import EkidenConfiguration

@Suite struct RouteTests {
    private static func load(_ text: String) throws -> Configuration {
        try Configuration.load(text: Array(text.utf8), file: "t", hostname: "mail.example.org")
    }

    private static let table = """
        [[route]]
        name = "everything"
        domains = ["*"]
        hosts = ["192.0.2.1"]

        [[route]]
        name = "alerts"
        recipients = ["oncall-*@example.org", "pager.example"]
        hosts = ["192.0.2.2"]

        [[route]]
        name = "reports"
        senders = ["<>"]
        target = "mx"

        [[route]]
        name = "newsletter"
        senders = [".news.example", "editor@example.org"]
        logins = ["letters"]
        listeners = ["apps"]
        hosts = ["192.0.2.3"]

        [[route]]
        name = "huge"
        size_min = "10MiB"
        size_max = "20MiB"
        domains = [".slow.example"]
        target = "bounce"
        text = "5.3.4 too much for that link"

        [[route]]
        name = "bulk"
        header = ["X-Stream: bulk*"]
        domains = ["*"]
        hosts = ["192.0.2.4"]
        fallback = "second"
        fallback_after = 2

        [[route]]
        name = "second"
        hosts = ["192.0.2.5"]

        [[route]]
        name = "quarantine"
        recipients = ["mallory@example.org"]
        target = "hold"

        [[route]]
        name = "literal"
        recipients = ["[IPv6:2001:db8::1]"]
        hosts = ["192.0.2.6"]

        [[route]]
        name = "dotted"
        recipients = ["*@shop-*.example."]
        hosts = ["192.0.2.7"]

        [[listener]]
        name = "apps"
        listen = ["127.0.0.1:2525"]
        """

    private func routes() throws -> RouteTable {
        try Self.load(Self.table).routes
    }

    private func message(
        from sender: String = "anna@example.org",
        byteCount: Int = 1000,
        origin: Origin = Origin(listener: "apps")
    ) -> QueuedMessage {
        QueuedMessage(
            id: QueueID(number: 1),
            sender: Address(sender).map { .address($0) } ?? .null,
            recipients: [],
            byteCount: byteCount,
            arrived: WallTime(nanoseconds: 0),
            origin: origin
        )
    }

    private func hop(
        _ message: QueuedMessage,
        to recipient: String = "bob@any.example",
        attempts: Int = 0
    ) throws -> NextHop {
        let address = try #require(Address(recipient))
        return try routes().routes(of: message).nextHop(of: address, attempts: attempts)
    }

    @Test func `what no condition fits goes by its domain`() throws {
        #expect(try hop(message()) == .route("everything"))
        let address = try #require(Address("a@b.example"))
        let none = RouteTable().routes(of: message())
        #expect(none.nextHop(of: address) == .domain(address.domain))
    }

    @Test(arguments: [
        ("oncall-3@example.org", "alerts"), ("ONCALL-@Example.ORG", "alerts"),
        ("x@pager.example", "alerts"), ("x@sub.pager.example", "everything"),
        ("oncall@example.org", "everything"), ("mallory@example.org", "quarantine"),
        ("\"mallory\"@EXAMPLE.org", "quarantine"), ("x@[IPv6:2001:db8:0:0::1]", "literal"),
        ("a@shop-7.example", "dotted"),
    ])
    func `recipients are addresses, domains and patterns`(recipient: String, route: String) throws {
        #expect(try hop(message(), to: recipient) == .route(route))
    }

    @Test func `reports have a sender of their own`() throws {
        let hop = try hop(message(from: "", origin: Origin(listener: "local")), to: "a@b.example")
        #expect(hop == .routed(Domain("b.example"), by: "reports"))
        #expect(hop.text == "route:reports/b.example" && hop.route == "reports")
    }

    @Test func `all conditions of a route must hold`() throws {
        let fits = Origin(listener: "apps", login: "letters")
        #expect(try hop(message(from: "x@a.news.example", origin: fits)) == .route("newsletter"))
        #expect(try hop(message(from: "editor@example.org", origin: fits)) == .route("newsletter"))
        #expect(try hop(message(from: "x@news.example", origin: fits)) == .route("everything"))
        for other in [
            Origin(listener: "apps"), Origin(listener: "apps", login: "other"),
            Origin(listener: "relay", login: "letters"),
        ] {
            #expect(
                try hop(message(from: "editor@example.org", origin: other)) == .route("everything")
            )
        }
    }

    @Test func `a size is from so many bytes to so many`() throws {
        let mebibyte = 1 << 20
        for (size, route) in [
            (10 * mebibyte - 1, "everything"), (10 * mebibyte, "huge"), (20 * mebibyte, "huge"),
            (20 * mebibyte + 1, "everything"),
        ] {
            #expect(try hop(message(byteCount: size), to: "a@b.slow.example") == .route(route))
        }
        #expect(
            try hop(message(byteCount: 10 * mebibyte), to: "a@b.example") == .route("everything")
        )
    }

    @Test func `what the header asked for when the message came in counts, and fallbacks follow`()
        throws
    {
        let bulk = message(origin: Origin(listener: "apps", headerRoutes: ["bulk"]))
        #expect(try hop(bulk) == .route("bulk") && hop(bulk, attempts: 1) == .route("bulk"))
        #expect(try hop(bulk, attempts: 2) == .route("second"))
        // The first in the file of those that fit.
        #expect(try hop(bulk, to: "oncall-1@example.org") == .route("alerts"))
    }

    @Test func `each route of a chain of fallbacks has its own attempts`() throws {
        let text = """
            [[route]]
            name = "a"
            domains = ["*"]
            hosts = ["192.0.2.1"]
            fallback = "b"
            [[route]]
            name = "b"
            hosts = ["192.0.2.2"]
            fallback = "park"
            fallback_after = 2
            [[route]]
            name = "park"
            target = "hold"
            """
        let table = try Self.load(text).routes
        let address = try #require(Address("bob@any.example"))
        let names = { (message: QueuedMessage) in
            (0...6).map { table.routes(of: message).nextHop(of: address, attempts: $0).route }
        }
        #expect(names(message()) == ["a", "a", "a", "b", "b", "park", "park"])
        #expect(table.routes(of: message()).step(of: address, attempts: 4)?.lastAttempt == 5)
        var released = message()
        released.isReleased = true
        #expect(names(released) == ["a", "a", "a", "b", "b", "b", "b"])
    }

    @Test func `who released a message has its route no longer hold it`() throws {
        var released = message()
        released.isReleased = true
        #expect(try hop(released, to: "mallory@example.org") == .route("everything"))
    }

    @Test(arguments: [
        ("target = \"bounce\"", "5.7.1", "mail is not taken there (route r)"),
        ("target = \"bounce\"\ntext = \"gone away\"", "5.7.1", "gone away"),
        ("target = \"bounce\"\ntext = \"5.1.6 moved\"", "5.1.6", "moved"),
        ("target = \"bounce\"\ntext = \"5 is not a status\"", "5.7.1", "5 is not a status"),
    ])
    func `a route's bounce has a status and words`(
        lines: String,
        status: String,
        text: String
    ) throws {
        let loaded = try Self.load("[[route]]\nname = \"r\"\ndomains = [\"*\"]\n" + lines)
        let words = try #require(loaded.routes.all[0].bounceWords)
        #expect(words.status.text == status && words.text == text)
    }

    @Test(arguments: [
        ("", "nothing says which mail route \"r\" is for"),
        ("domains = [\"*\"]", "has neither hosts, nor a provider, nor a target"),
        (
            "domains = [\"*\"]\ntarget = \"mx\"\nhosts = [\"a.example\"]",
            "route.hosts has no effect"
        ),
        ("domains = [\"*\"]\nhosts = [\"a.example\"]\ntext = \"x\"", "route.text has no effect"),
        ("domains = [\"*\"]\ntarget = \"bounce\"\ntext = \"4.7.1 x\"", "no permanent status"),
        ("size_min = \"2KiB\"\nsize_max = \"1KiB\"\ntarget = \"mx\"", "above size_max"),
        ("listeners = [\"relya\"]\ntarget = \"mx\"", "did you mean \"relay\"?"),
        ("senders = [\"<>\"]\ntarget = \"mx\"\nfallback = \"s\"", "no route \"s\""),
        ("senders = [\"<>\"]\ntarget = \"mx\"\nfallback = \"r\"", "comes back to \"r\""),
        ("recipients = [\"*\"]\ntarget = \"mx\"", "for all mail leave the setting out"),
        ("recipients = [\"<>\"]\ntarget = \"mx\"", "is a"),
        ("header = [\"a b: c\"]\ntarget = \"mx\"", "is a header field"),
        ("header = [\"bcc\"]\ntarget = \"hold\"", "which the relay removes"),
        ("recipients = [\"*@bücher.example\"]\ntarget = \"hold\"", "ASCII form"),
        ("senders = [\"<>\"]\ntarget = \"hold\"\nfallback = \"r\"", "route.fallback has no effect"),
        ("domains = [\"*\"]\ntarget = \"bounce\"\ntext = \"550 5.1.6 x\"", "no permanent status"),
        ("domains = [\"*\"]\ntarget = \"mx\"\nschedule = [\"1:00-2:00\"]", "unless on_demand"),
        (
            "domains = [\"*\"]\ntarget = \"mx\"\nfallback = \"r\"\nfallback_on = [\"ours\"]",
            "no fault of a host"
        ),
        ("domains = [\"*\"]\ntarget = \"mx\"\nfallback_on = [\"spam\"]", "without a fallback"),
        ("domains = [\"*\"]\ntarget = \"hold\"\non_demand = true", "route.on_demand has no effect"),
        (
            "domains = [\"*\"]\ntarget = \"mx\"\non_demand = true\nschedule = [\"25:00-26:00\"]",
            "is a time of the week such as"
        ),
    ])
    func `a route that can't work is an error that says why`(lines: String, words: String) throws {
        let listener = "[[listener]]\nname = \"relay\"\nlisten = [\"127.0.0.1:2525\"]\n"
        do {
            _ = try Self.load(listener + "[[route]]\nname = \"r\"\n" + lines)
            Issue.record("taken: \(lines)")
        } catch let errors as ConfigurationErrors {
            #expect(errors.problems.contains { $0.text.contains(words) }, "\(errors)")
        }
    }
}
