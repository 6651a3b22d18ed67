// [[site]]: rules for some sites.

extension Schema {
    private static let backoffs: ClosedRange<Duration> = .seconds(1) ... .seconds(86_400)

    static let site = SectionSchema.list(
        "site",
        \.siteRules,
        """
        How mail goes to some domains, mail hosts or routes, where that is not as [sites] and \
        [delivery] have it. All domains, and all domains whose mail hosts are among its hosts, make \
        one site with the connections and the rate that it says; a route stays one of its own. Domains \
        beat hosts; a name beats the longest ".suffix", which beats "*". See docs/DELIVERY.md.
        """,
        [
            Setting(
                "name",
                \.name,
                .name,
                example: #""microsoft""#,
                required: true,
                "Names the site: site:NAME in the queue and the log. No two may have the same."
            ),
            Setting(
                "domains",
                \.domains,
                .list(.domainPattern, "domains", count: 0...100_000),
                example: #"["example.org", ".example.com"]"#,
                """
                Domains of recipients: "example.org" is that domain alone, ".example.com" every \
                domain below it, "*" every other.
                """
            ),
            Setting(
                "hosts",
                \.hosts,
                .list(.domainPattern, "hosts", count: 0...10_000),
                example: #"[".mail.protection.outlook.com"]"#,
                """
                Mail hosts, as MX records name them; patterns as in domains. A domain belongs to the \
                site when all of its mail hosts do.
                """
            ),
            Setting(
                "routes",
                \.routes,
                .list(.name, "names", count: 0...1000),
                example: #"["smarthost"]"#,
                "Names of [[route]]s."
            ),
            Setting(
                "connections_min",
                \.connectionsMin,
                .optional(.count(1...10_000)),
                default: "sites.connections_min",
                example: "1",
                "Connections it keeps in trouble."
            ),
            Setting(
                "connections_start",
                \.connectionsStart,
                .optional(.count(1...10_000)),
                default: "sites.connections_start",
                example: "2",
                "Connections while nothing is known of it."
            ),
            Setting(
                "connections_max",
                \.connectionsMax,
                .optional(.count(1...10_000)),
                default: "sites.connections_max",
                example: "10",
                "Connections at most."
            ),
            Setting(
                "backoff_first",
                \.backoffFirst,
                .optional(.time(backoffs)),
                default: "sites.backoff_first",
                example: #""2m""#,
                "How long it is left alone when none of its hosts lets us in; doubled each time."
            ),
            Setting(
                "backoff_ceiling",
                \.backoffCeiling,
                .optional(.time(backoffs)),
                default: "sites.backoff_ceiling",
                example: #""1h""#,
                "The longest time that it is left alone."
            ),
            Setting(
                "rate",
                \.rate,
                .optional(.rate),
                default: "unset",
                example: #""14/s""#,
                """
                Messages in a time, over all connections and all that is its mail; the rest waits, \
                ready (site-paced). A message goes once for each transaction it takes.
                """
            ),
            Setting(
                "burst",
                \.burst,
                .optional(.count(1...100_000)),
                default: "as many as rate has in a second",
                example: "5",
                "How many messages may go at once after a rest."
            ),
            Setting(
                "messages_per_connection",
                \.messagesPerConnection,
                .optional(.count(1...1_000_000)),
                default: "delivery.messages_per_connection",
                example: "20",
                "Messages after which a connection is closed."
            ),
            Setting(
                "connection_time",
                \.connectionTime,
                .optional(.time(.seconds(1) ... .seconds(86_400))),
                default: "unset",
                example: #""5m""#,
                "How long a connection is used; the message under way is finished."
            ),
        ]
    )
}
