// [[route]]: which mail, and where it goes. docs/ROUTES.md

extension Schema {
    private static let waits: ClosedRange<Duration> = .seconds(1) ... .seconds(30 * 86_400)

    static let route = SectionSchema.list(
        "route",
        \.routes.all,
        """
        Where mail goes that does not go by the domain's MX records, such as to a smarthost; or what \
        becomes of it otherwise. A route has conditions, all of which must hold, and a target. \
        Routes that ask for more than a domain are looked at first, in the order of the file; then \
        the nearest domain counts: its own name beats the longest ".suffix", which beats "*".
        """,
        [
            Setting(
                "name",
                \.name,
                .name,
                example: #""smarthost""#,
                required: true,
                "Names the route in the queue and the log; no two may have the same."
            )
        ] + routeConditions + routeTargets + routeTimes + routeRetries + routeIdentity + routeTLS
    )

    private static let routeConditions: [Setting<Route>] = [
        Setting(
            "domains",
            \.domains,
            .list(.domainPattern, "domains", count: 0...100_000),
            example: #"["*"]"#,
            """
            Of recipients: "example.org" is that domain alone, ".example.org" every domain below it, \
            "*" every domain without another route.
            """
        ),
        Setting(
            "recipients",
            \.recipients,
            .list(.mailboxPattern(allowsNull: false), "recipients", count: 0...100_000),
            example: #"["anna@example.org", "news-*@example.org"]"#,
            """
            Recipients this route is for: addresses, domains, ".example.org", or addresses in which \
            "*" stands for anything.
            """
        ),
        Setting(
            "senders",
            \.senders,
            .list(.mailboxPattern(allowsNull: true), "senders", count: 0...100_000),
            example: #"["billing@example.org", "news.example.org"]"#,
            """
            Reverse-paths this route is for, as in recipients; "<>" is that of bounces and notices.
            """
        ),
        Setting(
            "logins",
            \.logins,
            .list(.userName, "users", count: 0...10_000),
            example: #"["newsletter"]"#,
            "Users whose mail this route is for, as they logged in."
        ),
        Setting(
            "listeners",
            \.listeners,
            .list(.name, "names", count: 0...100),
            example: #"["submission"]"#,
            """
            Listeners whose mail this route is for; "local" is that of the relay's own reports.
            """
        ),
        Setting(
            "header",
            \.header,
            .list(.headerPattern, "header fields", count: 0...100),
            example: #"["X-Stream: bulk-*", "List-Unsubscribe"]"#,
            """
            Mail with one of these header fields; "*" stands for anything, a name alone for any \
            value. Looked at once, when the message comes in.
            """
        ),
        Setting(
            "size_min",
            \.sizeMin,
            .optional(.size(1...1 << 40)),
            default: "unset",
            example: #""1MiB""#,
            "Messages of at least that size."
        ),
        Setting(
            "size_max",
            \.sizeMax,
            .optional(.size(1...1 << 40)),
            default: "unset",
            example: #""20MiB""#,
            "Messages of at most that size."
        ),
    ]

    private static let routeTargets: [Setting<Route>] = [
        Setting(
            "target",
            \.target,
            .word,
            example: #""mx""#,
            """
            "hosts": those of the setting hosts. "lmtp": the same by LMTP (RFC 2033), as mailbox servers \
            take it. "mx": the mail hosts of the recipient's domain, with \
            this route's other settings. "bounce": back to its sender, with text. "discard": \
            nowhere, and nobody is told; the log has it. "hold": it waits until `ekiden queue \
            release`, and then goes as if this route were not there.
            """
        ),
        Setting(
            "provider",
            \.provider,
            .optional(.word),
            default: "unset",
            example: #""ses""#,
            """
            The mail service whose hosts these are. It fills in what the file leaves out: hosts, tls, \
            the user of the login where all have the same, and a [[site]] for the route where there is \
            none. `ekiden config check` says what became of it; docs/ROUTES.md has the table.
            """
        ),
        Setting(
            "region",
            \.region,
            .optional(.name),
            default: "unset",
            example: #""eu-west-1""#,
            "Of the provider, where its hosts depend on it: \"eu-west-1\" of ses, \"eu\" of mailgun."
        ),
        Setting(
            "hosts",
            \.hosts,
            .list(.routeHost, "hosts", count: 0...100),
            example: #"["smtp.example.org:25", "[2001:db8::25]:25"]"#,
            """
            Hosts by name or address, with a port unless it is delivery.port (24 for LMTP). The next \
            is used when the one before fails; names go to their addresses, not to MX records. For \
            LMTP also sockets of this machine, as "unix:/run/dovecot/lmtp".
            """
        ),
        Setting(
            "text",
            \.text,
            .optional(.replyText),
            default: "unset",
            example: #""5.7.1 this domain is not in use any more""#,
            """
            What the sender of bounced mail is told, with an enhanced status (RFC 3463) in front \
            unless it is 5.7.1.
            """
        ),
        Setting(
            "fallback",
            \.fallback,
            .optional(.name),
            default: "unset",
            example: #""backup""#,
            "The route by which a recipient's mail goes after fallback_after attempts in vain."
        ),
        Setting(
            "fallback_after",
            \.fallbackAfter,
            .count(1...100),
            example: "3",
            "Attempts after which the fallback has the mail."
        ),
        Setting(
            "fallback_on",
            \.fallbackOn,
            .list(.word, "classes", count: 0...20),
            example: #"["spam", "policy"]"#,
            """
            Kinds of failure, as class in the log has them (docs/LOG.md), after which the fallback has \
            the mail at once, also where it would bounce.
            """
        ),
    ]

    private static let routeTimes: [Setting<Route>] = [
        Setting(
            "on_demand",
            \.isOnDemand,
            .boolean,
            example: "true",
            """
            The route is closed, and its mail waits, but for the times of schedule and after `ekiden \
            queue retry --route NAME`: for links that are up only at times.
            """
        ),
        Setting(
            "schedule",
            \.schedule,
            .list(.weekWindow, "times of the week", count: 0...100),
            example: #"["22:00-06:00", "Sat,Sun 06:00-22:00"]"#,
            "When an on-demand route is open, in the machine's local time; every day unless days are named."
        ),
        Setting(
            "open_time",
            \.openTime,
            .time(.seconds(60) ... .seconds(7 * 86_400)),
            example: #""10m""#,
            "For how long `ekiden queue retry --route` opens an on-demand route."
        ),
    ]

    private static let routeRetries: [Setting<Route>] = [
        Setting(
            "retry_first",
            \.retryFirst,
            .optional(.time(waits)),
            default: "retry.first",
            example: #""1m""#,
            "The wait after the first failed attempt, for mail on this route."
        ),
        Setting(
            "retry_ceiling",
            \.retryCeiling,
            .optional(.time(waits)),
            default: "retry.ceiling",
            example: #""15m""#,
            "The longest wait between two attempts, for mail on this route."
        ),
        Setting(
            "lifetime",
            \.lifetime,
            .optional(.time(waits)),
            default: "retry.lifetime",
            example: #""2d""#,
            "How long mail on this route is tried before it goes back to its sender."
        ),
    ]

    private static let routeIdentity: [Setting<Route>] = [
        Setting(
            "helo",
            \.helo,
            .optional(.hostName),
            default: "delivery.helo",
            example: #""bulk.example.org""#,
            "The name given in EHLO for mail on this route."
        ),
        Setting(
            "source_ipv4",
            \.sourceIPv4,
            .optional(.source(isV4: true)),
            default: "delivery.source_ipv4",
            example: #""192.0.2.26""#,
            "Address to send from over IPv4, for mail on this route."
        ),
        Setting(
            "source_ipv6",
            \.sourceIPv6,
            .optional(.source(isV4: false)),
            default: "delivery.source_ipv6",
            example: #""2001:db8::26""#,
            "Address to send from over IPv6, for mail on this route."
        ),
    ]
}
