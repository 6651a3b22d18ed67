// [[login]]: who the relay is at a next hop that asks.

extension Schema {
    static let hopLogin = SectionSchema.list(
        "login",
        \.hopLogins,
        """
        Who the relay is at a next hop that wants a login, such as a smarthost. A [[route]] names the \
        one to be used on it. The secret is the first line of a file that nobody else may read; it is \
        read for each connection, so a renewed one is used at once.
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
                example: #""relay@example.org""#,
                required: true,
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
                "mechanisms",
                \.mechanisms,
                .list(.word, "mechanisms", count: 0...10),
                example: #"["SCRAM-SHA-256", "PLAIN"]"#,
                "What may be used of that which the host offers; empty: whatever fits the secret."
            ),
        ]
    )
}
