// Mailboxes, whole domains and the domains below a domain, asked by address: one hash for the
// address and one for each label of its domain, however many entries there are. What counts as the
// same mailbox is decided here: domains in their ASCII form and without case (RFC 5321 §2.4, RFC
// 5890 §2.3.2.1), local parts without quotes that change nothing (RFC 5321 §4.1.2) and without the
// case of ASCII letters, for no host in use tells Anna from anna.

package struct MailboxTable: Sendable, Equatable {
    private var mailboxes: Set<String> = []
    /// Domains of `mailboxes`.
    private var mailboxDomains: Set<String> = []
    private var domains: Set<String> = []
    private var parents: Set<String> = []

    package init() {}

    package var isEmpty: Bool { mailboxes.isEmpty && domains.isEmpty && parents.isEmpty }
    package var count: Int { mailboxes.count + domains.count + parents.count }

    package mutating func reserve(_ count: Int) { mailboxes.reserveCapacity(count) }

    package mutating func insert(mailbox: Address) {
        let domain = Self.key(mailbox.domain)
        mailboxes.insert(Self.key(mailbox, domain))
        mailboxDomains.insert(domain)
    }

    /// The domain itself and every mailbox of it.
    package mutating func insert(domain: Domain) { domains.insert(Self.key(domain)) }

    /// Every domain below that one, itself not.
    package mutating func insert(below parent: Domain) { parents.insert(Self.key(parent)) }

    // MARK: Asking

    /// The entry that has this mailbox, as a list would write it; the closest of several.
    package func match(_ address: Address) -> String? {
        if isEmpty { return nil }
        let domain = Self.key(address.domain)
        if !mailboxes.isEmpty {
            let mailbox = Self.key(address, domain)
            if mailboxes.contains(mailbox) { return mailbox }
        }
        return match(key: domain)
    }

    /// The entry that has this whole domain.
    package func match(_ domain: Domain) -> String? { isEmpty ? nil : match(key: Self.key(domain)) }

    private func match(key domain: String) -> String? {
        if domains.contains(domain) { return domain }
        if parents.isEmpty { return nil }
        var rest = domain[...]
        while let dot = rest.firstIndex(of: ".") {
            rest = rest[rest.index(after: dot)...]
            if parents.contains(String(rest)) { return "." + rest }
        }
        return nil
    }

    /// Some entry is about this domain, be it a mailbox.
    package func mentions(_ domain: Domain) -> Bool {
        mailboxDomains.contains(Self.key(domain)) || match(domain) != nil
    }

    // MARK: Keys

    /// The same for every way to write a mailbox.
    package static func key(_ address: Address) -> String { key(address, key(address.domain)) }

    private static func key(_ domain: Domain) -> String {
        if domain.isLiteral, let address = domain.literalAddress { return "[\(address.text)]" }
        return domain.lookupName ?? domain.folded
    }

    private static func key(_ address: Address, _ domain: String) -> String {
        address.plainLocalPart.asciiLowercased + "@" + domain
    }
}

extension Address {
    /// The local part without the quotes and backslashes of a quoted string (RFC 5321 §4.1.2: they
    /// are no part of what is meant).
    package var plainLocalPart: String {
        let quote = UInt8(ascii: "\"")
        guard localPart.utf8.first == quote, localPart.utf8.count >= 2 else { return localPart }
        var bytes: [UInt8] = []
        var isEscaped = false
        for byte in localPart.utf8.dropFirst().dropLast() {
            if byte == UInt8(ascii: "\\"), !isEscaped {
                isEscaped = true
                continue
            }
            isEscaped = false
            bytes.append(byte)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
