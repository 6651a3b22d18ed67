// The settings of a listener against clients that are no good ones.

extension Schema {
    static let listenerDefences: [Setting<Configuration.Listener>] = [
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
