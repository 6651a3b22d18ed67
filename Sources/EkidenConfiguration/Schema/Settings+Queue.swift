// The settings of the place to rest and of waiting there: spool, retry, sites.

extension Schema {
    private static let kib = 1024
    private static let mib = 1_048_576
    private static let gib = 1_073_741_824
    private static let waits: ClosedRange<Duration> = .seconds(1) ... .seconds(30 * 86_400)

    static let spool = SectionSchema.table(
        "spool",
        \.spool,
        "Where accepted mail rests until it is delivered. See docs/SPOOL.md.",
        [
            Setting(
                "directory",
                \.directory,
                .path,
                example: #""/var/spool/ekiden""#,
                restart: true,
                """
                The spool's directory, on a local disk that keeps its word about flushes. A \
                relative path starts where the relay was started.
                """
            ),
            Setting(
                "segment_size",
                \.segmentSize,
                .size(mib...gib),
                example: #""128MiB""#,
                restart: true,
                "Size of one file of the log. Space comes back a whole file at a time."
            ),
            Setting(
                "memory_cache",
                \.memoryCache,
                .size(0...64 * gib),
                example: #""256MiB""#,
                restart: true,
                "Memory for fresh messages, which are then delivered without being read back."
            ),
            Setting(
                "large_message",
                \.largeMessage,
                .size(16 * kib...64 * mib),
                example: #""1MiB""#,
                restart: true,
                "Messages larger than this get a file of their own instead of a place in the log."
            ),
            Setting(
                "max_messages",
                \.maxMessages,
                .count(1...100_000_000),
                example: "100000",
                restart: true,
                "Messages in the spool, at which new ones are refused for the moment (452)."
            ),
            Setting(
                "max_bytes",
                \.maxBytes,
                .size(mib...1024 * 1024 * gib),
                example: #""20GiB""#,
                restart: true,
                "Bytes of messages in the spool, at which new ones are refused for the moment (452)."
            ),
            Setting(
                "min_free_space",
                \.minFreeSpace,
                .size(0...1024 * gib),
                example: #""1GiB""#,
                restart: true,
                "Free space on the spool's disk, below which new messages are refused (452)."
            ),
            Setting(
                "min_free_inodes",
                \.minFreeInodes,
                .count(0...1_000_000_000),
                example: "10000",
                restart: true,
                "Free inodes on the spool's disk, below which new messages are refused (452)."
            ),
        ]
    )

    static let retryRule = SectionSchema.list(
        "retry_rule",
        \.retryRules,
        """
        Waits of their own for some kinds of failure, such as greylisting. The first rule that fits \
        counts. Without one, greylisted mail waits 2 minutes at first and at most 15, all other as \
        retry or its route has it.
        """,
        [
            Setting(
                "name",
                \.name,
                .name,
                example: #""full""#,
                required: true,
                "Names the rule in errors; no two may have the same."
            ),
            Setting(
                "classes",
                \.classes,
                .list(.word, "classes", count: 1...20),
                example: #"["mailbox-full"]"#,
                required: true,
                "Kinds of failure, as class in the log has them (docs/LOG.md)."
            ),
            Setting(
                "routes",
                \.routes,
                .list(.name, "names", count: 0...100),
                example: #"["smarthost"]"#,
                "For mail of these routes alone."
            ),
            Setting(
                "first",
                \.first,
                .optional(.time(waits)),
                default: "retry.first",
                example: #""30m""#,
                "The wait after the first failed attempt."
            ),
            Setting(
                "ceiling",
                \.ceiling,
                .optional(.time(waits)),
                default: "retry.ceiling",
                example: #""6h""#,
                "The longest wait between two attempts."
            ),
        ]
    )

    static let retry = SectionSchema.table(
        "retry",
        \.retry,
        """
        When mail that could not be delivered is tried again, and when the relay gives up. A \
        change holds for mail already queued.
        """,
        [
            // RFC 5321 §4.5.4.1 advises 30 minutes at first; greylisting and short outages are
            // better served sooner, and the wait doubles.
            Setting(
                "first",
                \.first,
                .time(waits),
                example: #""1m""#,
                "The wait after the first failed attempt."
            ),
            Setting(
                "factor",
                \.factor,
                .factor(1...10),
                example: "1.5",
                "By how much the wait grows with each further failed attempt."
            ),
            Setting(
                "ceiling",
                \.ceiling,
                .time(waits),
                example: #""1h""#,
                "The longest wait between two attempts."
            ),
            Setting(
                "jitter",
                \.jitter,
                .percentage(0...50),
                example: #""20%""#,
                "By how much each wait may be longer or shorter, so that mail does not move in herds."
            ),
            // RFC 5321 §4.5.4.1: "at least 4-5 days".
            Setting(
                "lifetime",
                \.lifetime,
                .time(waits),
                example: #""2d""#,
                "How long mail is tried before it goes back to its sender."
            ),
            Setting(
                "null_sender_lifetime",
                \.nullSenderLifetime,
                .time(waits),
                example: #""12h""#,
                "How long bounces and other mail from <> are tried before they are given up."
            ),
            Setting(
                "own_fault",
                \.ownFault,
                .time(waits),
                example: #""10m""#,
                "The wait when the fault was the relay's own, such as having no descriptor left; always the same."
            ),
            Setting(
                "delay_notice_after",
                \.delayNoticeAfter,
                .time(.zero ... .seconds(30 * 86_400)),
                example: #""1d""#,
                "When the sender is told, once, that mail is still waiting; \"0s\" for never."
            ),
        ]
    )

    static let sites = SectionSchema.table(
        "sites",
        \.sites,
        """
        How the relay treats a site, which is the set of hosts that take the mail of a domain or \
        of a route. Connections to it grow with success and shrink with failure.
        """,
        [
            Setting(
                "connections_min",
                \.connectionsMin,
                .count(1...10_000),
                example: "2",
                "Connections a site keeps however badly it does, unless it is backing off."
            ),
            Setting(
                "connections_start",
                \.connectionsStart,
                .count(1...10_000),
                example: "2",
                "Connections allowed to a site that nothing is known of yet."
            ),
            Setting(
                "connections_max",
                \.connectionsMax,
                .count(1...10_000),
                example: "50",
                "Connections allowed to a site however well it does."
            ),
            Setting(
                "backoff_first",
                \.backoffFirst,
                .time(waits),
                example: #""10s""#,
                "How long a site that does not answer is left alone at first; the time doubles."
            ),
            Setting(
                "backoff_ceiling",
                \.backoffCeiling,
                .time(waits),
                example: #""1h""#,
                "The longest time a site is left alone before it is probed again."
            ),
            Setting(
                "dead_address_time",
                \.deadAddressTime,
                .time(.seconds(1) ... .seconds(86_400)),
                example: #""5m""#,
                "How long an address that did not answer is tried only after all others."
            ),
        ]
    )
}
