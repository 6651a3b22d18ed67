// The settings of a listener against clients that are no good ones, and the rate limits.

extension Schema {
    static let rate = SectionSchema.list(
        "rate",
        \.rates,
        """
        How many connections, messages or recipients may come in a time. Each [[rate]] gives \
        everybody it counts a bucket of tokens; who has none left is told which limit it is and \
        when to come again, and being refused costs nothing. See docs/LIMITS.md.
        """,
        [
            Setting(
                "name",
                \.name,
                .name,
                example: #""clients""#,
                required: true,
                "Names the limit: in replies, in ekiden status, and as rate-NAME in the log."
            ),
            Setting(
                "of",
                \.of,
                .word,
                example: #""recipients""#,
                required: true,
                """
                What is counted: connections (refused with 421 4.7.0), messages (451 4.7.1 to MAIL) \
                or recipients (450 4.7.1 to RCPT; those refused for other reasons don't count).
                """
            ),
            Setting(
                "per",
                \.per,
                .word,
                example: #""network""#,
                required: true,
                """
                Who is counted: each client address, each network, each user who is logged in, or \
                each sender (reverse-path, but for the empty one).
                """
            ),
            Setting(
                "limit",
                \.limit,
                .rate,
                example: #""1000/h""#,
                required: true,
                "How many in a second (s), minute (m), hour (h) or day (d)."
            ),
            Setting(
                "burst",
                \.burst,
                .optional(.count(1...1_000_000)),
                default: "as many as limit has for its time",
                example: "100",
                "How many may come at once after a rest."
            ),
            Setting(
                "listeners",
                \.listeners,
                .list(.name, "names"),
                example: #"["submission", "submissions"]"#,
                "Listeners whose clients are counted, together; all of them when empty."
            ),
            Setting(
                "except_for",
                \.exceptFor,
                .list(.network, "networks"),
                example: #"["127.0.0.0/8", "::1", "10.1.0.0/16"]"#,
                "Clients in these networks are not counted."
            ),
            Setting(
                "prefix_ipv4",
                \.prefixIPv4,
                .count(8...32),
                example: "28",
                "Bits of an IPv4 address that make its network, for limits per network."
            ),
            Setting(
                "prefix_ipv6",
                \.prefixIPv6,
                .count(16...128),
                example: "56",
                "Bits of an IPv6 address that make its network, for limits per network."
            ),
        ]
    )

    static let listenerDefences: [Setting<Configuration.Listener>] = [
        Setting(
            "max_connections_per_network",
            \.maxConnectionsPerNetwork,
            .optional(.count(1...1_000_000)),
            default: "unset: as many as max_connections",
            example: "500",
            """
            Connections open at a time from one network, an IPv4 /24 or an IPv6 /64; further ones \
            are told 421 and closed.
            """
        ),
        Setting(
            "max_header_size",
            \.maxHeaderSize,
            .size(16_384...16_777_216),
            example: #""256KiB""#,
            "Largest header of a message; larger ones are refused (552 5.3.4, rule header-size)."
        ),
        Setting(
            "max_header_fields",
            \.maxHeaderFields,
            .count(50...100_000),
            example: "500",
            "Fields in a header; with more it is refused (552 5.3.4, rule header-fields)."
        ),
        Setting(
            "max_header_field_size",
            \.maxHeaderFieldSize,
            .size(1024...16_777_216),
            example: #""64KiB""#,
            """
            Largest field of a header, folded lines and all; larger ones are refused (552 5.3.4, \
            rule header-field-size).
            """
        ),
        // RFC 5321 §4.5.2 lets all 128 codes pass; RFC 5322 §4 has this one as obsolete.
        Setting(
            "nul",
            \.nul,
            .word,
            example: #""refuse""#,
            """
            What becomes of NULs in a message: kept as they are, stripped (which is logged, and \
            breaks signatures over them), or the message is refused (550 5.6.0, rule nul).
            """
        ),
        Setting(
            "eight_bit_headers",
            \.eightBitHeaders,
            .word,
            example: #""refuse""#,
            """
            Whether a header may have characters above 127 when the client did not ask for SMTPUTF8, \
            as much software sends it; else it is refused (550 5.6.0, rule eight-bit-header).
            """
        ),
        // RFC 5321 §4.5.3.2.1: clients wait five minutes for a greeting; spam software far less.
        Setting(
            "greet_delay",
            \.greetDelay,
            .time(.zero ... .seconds(60)),
            example: #""2s""#,
            """
            How long the greeting is kept back, except for clients in relay_for and xclient_from. \
            Mail clients wait for it; what throws its lines at any port does not.
            """
        ),
        Setting(
            "early_talker",
            \.earlyTalker,
            .word,
            example: #""log""#,
            """
            What becomes of a client that speaks before a greeting that greet_delay keeps back: \
            refused (554 5.5.1, rule early-talker) or told of in the log.
            """
        ),
        Setting(
            "tarpit_after",
            \.tarpitAfter,
            .optional(.count(0...1000)),
            default: "unset: errors are answered at once",
            example: "5",
            """
            Refused commands in a session that are answered at once; the reply to each further one \
            is held back by tarpit_delay, doubled each time, up to 30s. An accepted message starts \
            the count anew.
            """
        ),
        Setting(
            "tarpit_delay",
            \.tarpitDelay,
            .time(.milliseconds(100) ... .seconds(30)),
            example: #""2s""#,
            "How long the first reply is held back after tarpit_after."
        ),
    ]
}
