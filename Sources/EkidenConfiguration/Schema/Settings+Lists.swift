// The settings of lists that let clients, senders and recipients in or keep them out.

extension Schema {
    static let list = SectionSchema.list(
        "list",
        \.lists,
        """
        Whom to keep out, and whom to let in all the same. Each [[list]] is of clients, of senders \
        or of recipients, with its entries here or in a file; its name stands in the log when it \
        decides. What an allow list has no deny list of the same kind keeps out. See docs/POLICY.md.
        """,
        [
            Setting(
                "name",
                \.name,
                .name,
                example: #""blocked""#,
                required: true,
                "Names the list in the log; no two may have the same."
            ),
            Setting(
                "action",
                \.action,
                .word,
                example: #""deny""#,
                required: true,
                "What the list does with what it has."
            ),
            Setting(
                "of",
                \.of,
                .word,
                example: #""senders""#,
                required: true,
                """
                What it is a list of: clients (networks and addresses of hosts), or senders or \
                recipients (mail addresses and domains of the envelope).
                """
            ),
            Setting(
                "entries",
                \.entries,
                .list(.listEntry, "entries"),
                example: #"["spam@x.example", "y.example", ".y.example"]"#,
                """
                Of clients: "203.0.113.0/24", "2001:db8::/32", "192.0.2.7". Of senders and \
                recipients: "anna@example.org", "example.org" (every address there), ".example.org" \
                (every address at a domain below it).
                """
            ),
            Setting(
                "file",
                \.file,
                .optional(.path),
                default: "unset",
                example: #""/etc/ekiden/blocked""#,
                """
                File with further entries, one a line. It is read again within seconds of a change; \
                one with an error in it leaves the list as it was.
                """
            ),
            Setting(
                "listeners",
                \.listeners,
                .list(.name, "names of listeners"),
                example: #"["relay"]"#,
                "Which listeners ask it; while the list is empty, all of them."
            ),
        ]
    )
}
