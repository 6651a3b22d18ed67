// [[login]]: who the relay is at a next hop that asks.

extension Schema {
    static let hopLogin = SectionSchema.list(
        "login",
        \.hopLogins,
        """
        Who the relay is at a next hop that wants a login, such as a smarthost. A [[route]] names the \
        one to be used on it. The secret is the first line of a file that nobody else may read, which \
        is read for each connection, so a renewed one is used at once; or what a command says.
        """,
        [
            Setting(
                "name",
                \.name,
                .name,
                example: #""smarthost""#,
                required: true,
                "Names the login in routes and in the log; no two may have the same."
            ),
            Setting(
                "user",
                \.user,
                .userName,
                default: "the provider's, where all its users have one name",
                example: #""relay@example.org""#,
                "Whom the relay logs in as."
            ),
            Setting(
                "password_file",
                \.passwordFile,
                .optional(.path),
                default: "unset",
                example: #""/etc/ekiden/smarthost.password""#,
                "File whose first line is the password."
            ),
            Setting(
                "token_file",
                \.tokenFile,
                .optional(.path),
                default: "unset",
                example: #""/run/ekiden/token""#,
                """
                File whose first line is an access token of OAuth 2, for OAUTHBEARER and XOAUTH2. \
                Something else has to renew it.
                """
            ),
            Setting(
                "token_command",
                \.tokenCommand,
                .list(.argument, "words", count: 0...64),
                example: #"["/usr/local/bin/get-token", "relay@example.org"]"#,
                """
                Program, by its absolute path, and its arguments, whose first line of output is an \
                access token. It runs as the relay does, without a shell, for at most 30 s, whenever \
                there is no token, or the host refuses the one there is. Others must not be able to \
                write to it.
                """
            ),
            Setting(
                "token_lifetime",
                \.tokenLifetime,
                .time(.seconds(1) ... .seconds(30 * 86_400)),
                example: #""45m""#,
                "How long a token of the command is used before the command is asked for another."
            ),
            Setting(
                "mechanisms",
                \.mechanisms,
                .list(.word, "mechanisms", count: 0...10),
                example: #"["SCRAM-SHA-256", "PLAIN"]"#,
                "What may be used of that which the host offers; empty: whatever fits the secret."
            ),
        ]
    )
}
