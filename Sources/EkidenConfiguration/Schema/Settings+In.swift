// The settings of the way in: who we are, what is logged, who may hand us mail and how.

import EkidenMail

extension Schema {
    private static let seconds: ClosedRange<Duration> = .seconds(1) ... .seconds(86_400)

    static let relay = SectionSchema.table(
        "relay",
        \.relay,
        "Who this relay is, to its peers and to its users.",
        [
            Setting(
                "hostname",
                \.hostname,
                .hostName,
                default: "the system's host name",
                example: #""mail.example.org""#,
                """
                The name the relay goes by: in its greeting, in EHLO, in the Received fields it \
                adds and as the sender of its reports. It should be a full name that resolves to \
                this machine.
                """
            ),
            Setting(
                "names",
                \.names,
                .list(.hostName, "host names"),
                example: #"["mx1.example.org", "mx2.example.org"]"#,
                """
                Further names of this relay. A domain whose best mail host is one of them, or one \
                of this machine's addresses, is a mail loop and bounces instead of going round.
                """
            ),
            Setting(
                "postmaster",
                \.postmaster,
                .optional(.mailbox),
                default: "unset",
                example: #""admin@example.org""#,
                """
                Who gets mail to plain <postmaster>, and bounces that can't be returned to their \
                sender. While it is unset, mail to <postmaster> is refused for the moment (451).
                """
            ),
            Setting(
                "stop_time",
                \.stopTime,
                .time(.seconds(1) ... .seconds(600)),
                example: #""30s""#,
                """
                How long a graceful stop may take: new mail is refused, transactions whose last \
                byte is out are finished, and what is left after this time is cut off and sent \
                again after the next start.
                """
            ),
        ]
    )

    static let log = SectionSchema.table(
        "log",
        \.log,
        "What the relay says while it works. It writes to standard error.",
        [
            Setting(
                "format",
                \.format,
                .word,
                example: #""json""#,
                "Lines for people (text) or one JSON object a line (json); the same facts in both."
            ),
            Setting(
                "level",
                \.level,
                .word,
                example: #""warning""#,
                "The least important lines that are still written."
            ),
        ]
    )

    static let history = SectionSchema.table(
        "history",
        \.history,
        """
        What became of messages, for `ekiden trace`: kept in the spool's directory history after they \
        have left.
        """,
        [
            Setting(
                "keep",
                \.keep,
                .time(.zero ... .seconds(10 * 365 * 86_400)),
                example: #""30d""#,
                "How long it is kept; \"0s\": there is none."
            ),
            Setting(
                "max_size",
                \.maxSize,
                .size(1 << 20...1 << 50),
                example: #""2GiB""#,
                "How much of the disk it may take; the oldest goes first. A message takes some 700 bytes."
            ),
        ]
    )

    static let control = SectionSchema.table(
        "control",
        \.control,
        "How `ekiden queue`, `ekiden status` and the like reach the running relay.",
        [
            Setting(
                "socket",
                \.socket,
                .optional(.path),
                default: "control.socket in spool.directory",
                example: #""/run/ekiden/control.socket""#,
                restart: true,
                "Path of the Unix socket; at most 107 bytes."
            ),
            Setting(
                "group",
                \.group,
                .optional(.name),
                default: "unset",
                example: #""mailadm""#,
                restart: true,
                """
                Members of this group of the system may use the socket, besides root and the user \
                the relay runs as. While it is unset, only those two.
                """
            ),
        ]
    )

    static let certificate = SectionSchema.list(
        "certificate",
        \.certificates,
        """
        Certificates that listeners show. A client that asks for a name gets the first one that has \
        it, any other client the first of all. The files are looked at every ten seconds: new ones \
        are used for new sessions without a restart, broken ones change nothing but the log.
        """,
        [
            Setting(
                "name",
                \.name,
                .name,
                example: #""mail""#,
                required: true,
                "Names the certificate in the log; no two may have the same."
            ),
            Setting(
                "chain",
                \.chain,
                .path,
                example: #""/etc/letsencrypt/live/mail.example.org/fullchain.pem""#,
                required: true,
                "PEM file with the certificate, and behind it those that vouch for it."
            ),
            Setting(
                "key",
                \.key,
                .path,
                example: #""/etc/letsencrypt/live/mail.example.org/privkey.pem""#,
                required: true,
                "PEM file with its key, without a passphrase; the relay's user must be able to read it."
            ),
        ]
    )

    static let listener = SectionSchema.list(
        "listener",
        \.listeners,
        """
        Where mail comes in, and on what terms. Each [[listener]] is one set of terms. Without \
        any, the relay listens on 127.0.0.1:2525 and [::1]:2525 and takes mail from this machine.
        """,
        listenerPlaces + listenerTLS + listenerLimits + listenerTimes + listenerDefences
    )

    private static let listenerPlaces: [Setting<Configuration.Listener>] = [
        Setting(
            "name",
            \.name,
            .name,
            example: #""relay""#,
            restart: true,
            required: true,
            "Names the listener in the log; no two may have the same."
        ),
        Setting(
            "role",
            \.role,
            .word,
            example: #""submission""#,
            restart: true,
            """
            What the listener is for: relay takes mail as mail hosts speak it (port 25); \
            submission is for people and programs, who must begin with STARTTLS (port 587); \
            submissions is the same with TLS from the first byte (port 465).
            """
        ),
        Setting(
            "listen",
            \.listen,
            .list(.listen, "addresses with ports", count: 1...64),
            example: #"["0.0.0.0:25", "[::]:25"]"#,
            restart: true,
            required: true,
            "Addresses and ports; 0.0.0.0 and [::] are all of this machine's addresses."
        ),
        Setting(
            "relay_for",
            \.relayFor,
            .list(.network, "networks"),
            example: #"["127.0.0.0/8", "::1", "10.1.0.0/16"]"#,
            """
            Clients in these networks may send to anywhere; all others are refused (550 5.7.1). \
            Only clients in them get missing header fields added.
            """
        ),
        Setting(
            "relay_domains",
            \.relayDomains,
            .list(.relayDomain, "domains"),
            example: #"["example.org", ".example.org"]"#,
            """
            Anybody may send to these domains, because the relay passes their mail on; give each a \
            [[route]] to its host. A domain is itself alone, .example.org the domains below it.
            """
        ),
        Setting(
            "recipients",
            \.recipients,
            .optional(.path),
            default: "unset",
            example: #""/etc/ekiden/recipients""#,
            """
            File that lists who there is in relay_domains, an address or @domain a line; mail for \
            anybody else there is refused (550 5.1.1). It is read again within seconds of a change.
            """
        ),
        Setting(
            "lenient_for",
            \.lenientFor,
            .list(.network, "networks"),
            example: #"["10.1.9.0/24"]"#,
            """
            From clients in these networks, a bare CR or LF in a message is made CRLF and logged, \
            instead of the message being refused. For old devices only: it changes messages, and \
            bare line ends are how mail is smuggled past checks.
            """
        ),
        Setting(
            "proxy_from",
            \.proxyFrom,
            .list(.network, "networks"),
            example: #"["10.1.0.5", "10.1.0.6"]"#,
            """
            Balancers that begin each connection with a PROXY protocol header, version 1 or 2. All \
            rules and limits then go by the client's address that it names. From them the header is \
            required: without one, within 5 seconds, the connection is dropped.
            """
        ),
        Setting(
            "xclient_from",
            \.xclientFrom,
            .list(.network, "networks"),
            example: #"["10.1.0.7"]"#,
            """
            Clients in these networks may say for whom they speak, with XCLIENT. What they say is \
            believed: rules then go by the address they name.
            """
        ),
        Setting(
            "auth",
            \.auth,
            .optional(.word),
            default: "required for submission if there are users, else off",
            example: #""optional""#,
            """
            Whether clients may log in, so that they may send to anywhere wherever they are, or \
            must before they send at all (530 5.7.0). Needs auth.users or [[certificate_user]].
            """
        ),
        Setting(
            "users",
            \.users,
            .list(.userName, "names of users"),
            example: #"["printer-3", "scanner-1"]"#,
            """
            Users who may log in here, with a password or by their certificate; all of them when \
            empty. Others are answered as for a wrong password (rule login-elsewhere in the log).
            """
        ),
        Setting(
            "auth_without_tls_for",
            \.authWithoutTLSFor,
            .list(.network, "networks"),
            example: #"["127.0.0.0/8", "::1"]"#,
            """
            Clients in these networks may log in without TLS. Their passwords cross the network \
            for everybody on it to read; others are offered no login before TLS.
            """
        ),
        Setting(
            "helo_check",
            \.helloCheck,
            .word,
            example: #""strict""#,
            """
            Whether what a client calls itself must be possible: strict refuses (550 5.7.1) a word \
            without a dot, an address that isn't the client's, and this relay's own names. Clients \
            in relay_for and those that a list allows are exempt. Not for listeners people log in on.
            """
        ),
        Setting(
            "reverse_dns",
            \.reverseDNS,
            .word,
            example: #""note""#,
            """
            Whether the name of a client's host is looked up (PTR, and back): note puts a confirmed \
            one in the log and in Received; require also refuses mail from clients without one \
            (550 5.7.25, or 450 4.7.25 while it can't be found out), but for relay_for, users and \
            clients that a list allows.
            """
        ),
        Setting(
            "sender_ownership",
            \.senderOwnership,
            .optional(.word),
            default: "refuse if there is auth.senders, else off",
            example: #""rewrite""#,
            """
            What becomes of a sender (reverse-path) that is not an address of the user who is logged \
            in: accepted (off), refused (553 5.7.1, rule sender-not-owned), or replaced by the user's \
            first address. See docs/POLICY.md.
            """
        ),
        Setting(
            "banner",
            \.banner,
            .replyText,
            example: #""ESMTP""#,
            "What follows the host name in the greeting."
        ),
    ]

    private static let listenerTLS: [Setting<Configuration.Listener>] = [
        Setting(
            "tls",
            \.tls,
            .optional(.word),
            default: "required for submission, else optional if there is a certificate",
            example: #""required""#,
            """
            Whether STARTTLS is offered: off, optional, or required, in which case nothing else \
            is taken before it. With the role submissions TLS is always there.
            """
        ),
        Setting(
            "client_certificate",
            \.clientCertificate,
            .word,
            example: #""optional""#,
            """
            Whether clients are asked for a certificate of their own: off, optional, or required, \
            in which case one that client_authorities vouch for must be shown.
            """
        ),
        Setting(
            "client_authorities",
            \.clientAuthorities,
            .optional(.path),
            default: "unset",
            example: #""/etc/ekiden/clients-ca.pem""#,
            "PEM file with the certificates of the authorities that vouch for clients."
        ),
    ]

    private static let listenerLimits: [Setting<Configuration.Listener>] = [
        Setting(
            "max_connections",
            \.maxConnections,
            .count(1...1_000_000),
            example: "5000",
            "Connections open at a time; further ones are told 421 and closed."
        ),
        Setting(
            "max_connections_per_client",
            \.maxConnectionsPerClient,
            .count(1...1_000_000),
            example: "50",
            """
            Connections open at a time from one address (an IPv6 /64); further ones are told 421 \
            and closed. Left alone, at most a quarter of max_connections.
            """
        ),
        Setting(
            "max_message_size",
            \.maxMessageSize,
            .size(1024...4_294_967_296),
            example: #""25MiB""#,
            "Largest message, announced with SIZE; larger ones are refused (552)."
        ),
        Setting(
            "max_recipients",
            \.maxRecipients,
            .count(1...50_000),
            example: "100",
            "Recipients of one message; further ones are told 452 and sent by the client again."
        ),
        Setting(
            "max_errors",
            \.maxErrors,
            .count(1...1000),
            example: "10",
            """
            Refused commands since the last message accepted or login, after which the session is \
            closed with 421.
            """
        ),
        Setting(
            "max_commands",
            \.maxCommands,
            .count(1...10_000),
            example: "50",
            """
            Commands in a session without a message accepted among them, recipients not counted, \
            after which it is closed with 421.
            """
        ),
        // RFC 5321 §6.3: "at least 100 Received entries".
        Setting(
            "max_received",
            \.maxReceived,
            .count(1...1000),
            example: "50",
            "Received fields in a message, after which it is taken to be in a loop and refused."
        ),
    ]

    private static let listenerTimes: [Setting<Configuration.Listener>] = [
        // RFC 5321 §4.5.3.2.7: a server should wait five minutes.
        Setting(
            "command_timeout",
            \.commandTimeout,
            .time(seconds),
            example: #""1m""#,
            "How long a client may take to send its next command."
        ),
        Setting(
            "data_block_timeout",
            \.dataBlockTimeout,
            .time(seconds),
            example: #""1m""#,
            "How long a client may be silent within a message, from the reply to DATA on."
        ),
        Setting(
            "message_timeout",
            \.messageTimeout,
            .time(.seconds(1) ... .seconds(86_400)),
            example: #""20m""#,
            "How long one message may take to arrive in all, however steadily it trickles."
        ),
    ]

    static let auth = SectionSchema.table(
        "auth",
        \.auth,
        "Who may log in, and how often they may get it wrong. See docs/USERS.md.",
        [
            Setting(
                "users",
                \.users,
                .optional(.path),
                default: "unset",
                example: #""/etc/ekiden/users""#,
                """
                The users file, which `ekiden user` writes. It is read again within seconds of a \
                change; a file with an error in it leaves the users as they were.
                """
            ),
            Setting(
                "senders",
                \.senders,
                .optional(.path),
                default: "unset",
                example: #""/etc/ekiden/senders""#,
                """
                File of the addresses that users may send from, a user on a line; read again within \
                seconds of a change. A user whose name is an address has that one in any case. See \
                docs/POLICY.md.
                """
            ),
            Setting(
                "mechanisms",
                \.mechanisms,
                .list(.word, "mechanisms", count: 1...5),
                example: #"["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]"#,
                """
                How clients may log in. PLAIN and LOGIN send the password itself, as most clients \
                do.
                """
            ),
            Setting(
                "max_failures",
                \.maxFailures,
                .count(1...1000),
                example: "20",
                """
                Failed logins within failure_time after which a client address is locked out; and \
                a user, for clients that failed before. Answers to failures are held back by 1 s, \
                2 s and so on to 10 s.
                """
            ),
            Setting(
                "failure_time",
                \.failureTime,
                .time(.seconds(1) ... .seconds(86_400)),
                example: #""1h""#,
                "How long a failed login is remembered."
            ),
            Setting(
                "lockout_time",
                \.lockoutTime,
                .time(.seconds(1) ... .seconds(86_400)),
                example: #""1h""#,
                "How long a lock-out lasts; the answer to AUTH is 454 meanwhile."
            ),
        ]
    )

    static let rewriting = SectionSchema.table(
        "rewriting",
        \.rewriting,
        "What the relay changes in a message, besides adding Received and removing Bcc.",
        [
            Setting(
                "add_missing_headers",
                \.addMissingHeaders,
                .boolean,
                example: "false",
                "Add Message-ID and Date where they are missing, for clients in relay_for only."
            )
        ]
    )
}
