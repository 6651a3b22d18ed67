// The settings of the way out: names, delivery, bounces; and the limits of the process.

extension Schema {
    private static let seconds: ClosedRange<Duration> = .seconds(1) ... .seconds(3600)
    private static let ttls: ClosedRange<Duration> = .zero ... .seconds(7 * 86_400)

    static let resolver = SectionSchema.table(
        "resolver",
        \.resolver,
        "How names are looked up.",
        [
            Setting(
                "servers",
                \.servers,
                .list(.nameServer, "addresses", count: 0...16),
                example: #"["127.0.0.1", "192.0.2.53:5353"]"#,
                """
                Name servers, with a port unless it is 53. When the list is empty, those of \
                /etc/resolv.conf are used, which is read again when it changes.
                """
            ),
            Setting(
                "timeout",
                \.timeout,
                .optional(.time(.milliseconds(100) ... .seconds(60))),
                default: "that of /etc/resolv.conf, else 2s",
                example: #""2s""#,
                "How long one server may take to answer before the next is asked."
            ),
            Setting(
                "attempts",
                \.attempts,
                .optional(.count(1...10)),
                default: "that of /etc/resolv.conf, else 3",
                example: "3",
                "How often each server is asked before a look-up fails for the moment."
            ),
            Setting(
                "lookup_timeout",
                \.lookupTimeout,
                .time(.seconds(1) ... .seconds(120)),
                example: #""10s""#,
                "How long the look-up of one name may take in all, over all servers and attempts."
            ),
            Setting(
                "cache_max",
                \.cacheMax,
                .count(100...10_000_000),
                example: "100000",
                restart: true,
                "Answers remembered, at which old ones make room."
            ),
            Setting(
                "ttl_min",
                \.ttlMin,
                .time(ttls),
                example: #""30s""#,
                "Answers are remembered at least so long, even if they say less."
            ),
            Setting(
                "ttl_max",
                \.ttlMax,
                .time(ttls),
                example: #""1h""#,
                "Answers are remembered at most so long, even if they say more."
            ),
            // RFC 2308 §5: one to three hours work well.
            Setting(
                "negative_ttl_max",
                \.negativeTTLMax,
                .time(ttls),
                example: #""5m""#,
                "That a name does not exist is remembered at most so long."
            ),
            // RFC 2308 §7: at most five minutes.
            Setting(
                "failure_ttl",
                \.failureTTL,
                .time(.zero ... .seconds(300)),
                example: #""30s""#,
                "That a look-up failed is remembered so long before the servers are asked again."
            ),
        ]
    )

    static let delivery = SectionSchema.table(
        "delivery",
        \.delivery,
        "How mail is handed to the next host.",
        deliveryIdentity + deliveryTLS + deliveryForm + deliveryLimits + deliveryTimes
    )

    private static let deliveryIdentity: [Setting<Configuration.Delivery>] = [
        Setting(
            "helo",
            \.helo,
            .optional(.hostName),
            default: "relay.hostname",
            example: #""out.example.org""#,
            "The name given in EHLO; peers expect it to resolve to the address we come from."
        ),
        Setting(
            "address_family",
            \.addressFamily,
            .word,
            example: #""prefer-ipv4""#,
            "Which of a host's addresses are tried first, or at all."
        ),
        Setting(
            "source_ipv4",
            \.sourceIPv4,
            .optional(.source(isV4: true)),
            default: "unset",
            example: #""192.0.2.25""#,
            "Address to send from over IPv4; the system chooses while it is unset."
        ),
        Setting(
            "source_ipv6",
            \.sourceIPv6,
            .optional(.source(isV4: false)),
            default: "unset",
            example: #""2001:db8::25""#,
            "Address to send from over IPv6; the system chooses while it is unset."
        ),
        Setting(
            "port",
            \.port,
            .count(1...65_535),
            example: "2526",
            "Port of mail hosts found by MX, and of hosts in routes that give none."
        ),
    ]

    private static let deliveryForm: [Setting<Configuration.Delivery>] = [
        // RFC 6152 §3
        Setting(
            "eight_bit",
            \.eightBit,
            .word,
            example: #""bounce""#,
            """
            What becomes of 8-bit content where the host takes none (no 8BITMIME): convert it to 7 \
            bits on its way out, or bounce it. Converting breaks signatures over the body, those of \
            DKIM among them.
            """
        )
    ]

    private static let deliveryLimits: [Setting<Configuration.Delivery>] = [
        Setting(
            "max_connections",
            \.maxConnections,
            .count(1...100_000),
            example: "2000",
            "Connections to all sites together."
        ),
        Setting(
            "max_addresses",
            \.maxAddresses,
            .count(1...50),
            example: "3",
            "Addresses tried in one attempt; the next attempt starts with those not yet tried."
        ),
        // RFC 5321 §5.1: "at least two addresses" should be tried.
        Setting(
            "max_sessions",
            \.maxSessions,
            .count(1...10),
            example: "3",
            "Hosts that answer and are talked to in one attempt before it is put off."
        ),
        // RFC 5321 §4.5.3.1.8: a server takes at least 100.
        Setting(
            "recipients_per_transaction",
            \.recipientsPerTransaction,
            .count(1...10_000),
            example: "50",
            "Recipients sent with one copy of a message; more are sent with further copies."
        ),
        Setting(
            "messages_per_connection",
            \.messagesPerConnection,
            .count(1...100_000),
            example: "20",
            "Messages sent over one connection before it is closed."
        ),
        Setting(
            "idle_time",
            \.idleTime,
            .time(.zero ... .seconds(300)),
            example: #""30s""#,
            "How long a connection stays open in case there is more mail for its site."
        ),
    ]

    private static let deliveryTimes: [Setting<Configuration.Delivery>] = [
        Setting(
            "attempt_time",
            \.attemptTime,
            .time(seconds),
            example: #""2m""#,
            """
            How long one attempt may take in all, over all addresses and steps, up to the last \
            byte of the message. It cuts the times below short. Once the last byte is out, only \
            end_of_data_timeout counts, since giving up then could deliver the message twice.
            """
        ),
        Setting(
            "connect_timeout",
            \.connectTimeout,
            .time(seconds),
            example: #""10s""#,
            "How long an address may take to accept the connection."
        ),
        Setting(
            "greeting_timeout",
            \.greetingTimeout,
            .time(seconds),
            example: #""1m""#,
            "How long the greeting may take (RFC 5321 advises 5 minutes)."
        ),
        Setting(
            "hello_timeout",
            \.helloTimeout,
            .time(seconds),
            example: #""1m""#,
            "How long the reply to EHLO or HELO may take."
        ),
        Setting(
            "mail_timeout",
            \.mailTimeout,
            .time(seconds),
            example: #""1m""#,
            "How long the reply to MAIL may take (RFC 5321 advises 5 minutes)."
        ),
        Setting(
            "recipient_timeout",
            \.recipientTimeout,
            .time(seconds),
            example: #""1m""#,
            "How long the reply to RCPT may take (RFC 5321 advises 5 minutes)."
        ),
        Setting(
            "data_timeout",
            \.dataTimeout,
            .time(seconds),
            example: #""1m""#,
            "How long the reply to DATA may take (RFC 5321 advises 2 minutes)."
        ),
        Setting(
            "data_block_timeout",
            \.dataBlockTimeout,
            .time(seconds),
            example: #""1m""#,
            "How long the peer may take no further bytes of a message (RFC 5321 advises 3 minutes)."
        ),
        Setting(
            "end_of_data_timeout",
            \.endOfDataTimeout,
            .time(seconds),
            example: #""20m""#,
            """
            How long the reply to the end of the message may take (RFC 5321 advises 10 minutes). \
            A short time here delivers messages twice.
            """
        ),
    ]

    static let bounces = SectionSchema.table(
        "bounces",
        \.bounces,
        "What a sender gets back when mail can't be delivered.",
        [
            Setting(
                "max_returned",
                \.maxReturned,
                .size(0...67_108_864),
                example: #""1MiB""#,
                "Messages up to this size are returned whole; of larger ones, the header only."
            )
        ]
    )

    static let limits = SectionSchema.table(
        "limits",
        \.limits,
        "What the process may use.",
        [
            Setting(
                "loops",
                \.loops,
                .count(0...256),
                example: "2",
                restart: true,
                "Event loops, each a thread with its share of the connections; 0 is one per core."
            ),
            Setting(
                "open_files",
                \.openFiles,
                .count(64...10_000_000),
                example: "4096",
                restart: true,
                """
                Open descriptors the relay asks the system for. With fewer, it takes fewer \
                connections.
                """
            ),
        ]
    )
}
