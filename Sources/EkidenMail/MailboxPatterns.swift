/// Which mailboxes are meant, as an operator writes it.
package enum MailboxPattern: Sendable, Hashable {
    /// `anna@example.org`
    case mailbox(Address)
    /// `example.org`: every mailbox of it.
    case domain(Domain)
    /// `.example.org`: those of the domains below it.
    case below(Domain)
    /// `news-*@example.org`
    case like(Wildcard)
    /// `<>`: the null reverse-path of reports.
    case null

    package var text: String {
        switch self {
        case .mailbox(let address): address.text
        case .domain(let domain): domain.text
        case .below(let parent): "." + parent.text
        case .like(let wildcard): wildcard.text
        case .null: "<>"
        }
    }
}

/// Patterns, indexed once: one hash for each label of an address, and a look at each wildcard.
package struct MailboxPatterns: Sendable {
    private var table = MailboxTable()
    private var wildcards: [Wildcard] = []
    private var hasNull = false

    package init(_ patterns: [MailboxPattern]) {
        for pattern in patterns {
            switch pattern {
            case .mailbox(let address): table.insert(mailbox: address)
            case .domain(let domain): table.insert(domain: domain)
            case .below(let parent): table.insert(below: parent)
            case .like(let wildcard): wildcards.append(wildcard)
            case .null: hasNull = true
            }
        }
    }

    package func contains(_ address: Address) -> Bool {
        if table.match(address) != nil { return true }
        if wildcards.isEmpty { return false }
        let key = MailboxTable.key(address)
        return wildcards.contains { $0.matches(key) }
    }

    package func contains(_ sender: ReversePath) -> Bool {
        switch sender {
        case .null: hasNull
        case .address(let address): contains(address)
        }
    }
}
