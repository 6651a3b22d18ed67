// [[stream]]: whose mail goes first, and how fast.

import EkidenMail

extension Schema {
    static let stream = SectionSchema.list(
        "stream",
        \.streams,
        """
        Mail told apart by who sends it: some goes before other mail, some no faster than a rate, \
        wherever it goes. All conditions must hold; the first stream that fits has the message. \
        Without any, senders share what there is: each login, or each sender without one, has its \
        turn at a next hop. See docs/DELIVERY.md.
        """,
        [
            Setting(
                "name",
                \.name,
                .name,
                example: #""resets""#,
                required: true,
                "Names the stream; no two may have the same."
            ),
            Setting(
                "senders",
                \.senders,
                .list(.mailboxPattern(allowsNull: true), "senders", count: 0...100_000),
                example: #"["noreply@example.org", "news.example.org"]"#,
                "Reverse-paths, as in route.senders."
            ),
            Setting(
                "logins",
                \.logins,
                .list(.userName, "users", count: 0...10_000),
                example: #"["shop"]"#,
                "Users, as they logged in."
            ),
            Setting(
                "listeners",
                \.listeners,
                .list(.name, "names", count: 0...100),
                example: #"["alerts"]"#,
                "Listeners where it came in; \"local\" is that of the relay's own reports."
            ),
            Setting(
                "priority",
                \.priority,
                .word,
                example: #""high""#,
                """
                "high": of five turns at a next hop four, while it has mail for it, and four of five \
                connections that become free.
                """
            ),
            Setting(
                "rate",
                \.rate,
                .optional(.rate),
                default: "unset",
                example: #""10/s""#,
                """
                Messages in a time, over all next hops; the rest waits in the order it came \
                (stream-paced). A message goes once for each transaction it takes.
                """
            ),
            Setting(
                "burst",
                \.burst,
                .optional(.count(1...100_000)),
                default: "as many as rate has in a second",
                example: "20",
                "How many may go at once after a rest."
            ),
        ]
    )
}
