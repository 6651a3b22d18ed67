/// A domain as it stands in a mailbox: a host name or an address literal in brackets.
/// Compared without case (RFC 5321 §2.4); written the way it came.
package struct Domain: Sendable {
    /// As it was written.
    package let text: String
    /// Lower case, without a trailing dot: the key of tables and look-ups.
    package let folded: String

    package init(_ text: String) {
        self.text = text
        var key = text.utf8.contains { $0 >= 0x41 && $0 <= 0x5a } ? text.asciiLowercased : text
        if key.utf8.last == UInt8(ascii: "."), key.utf8.count > 1 { key.removeLast() }
        folded = key
    }

    package var isLiteral: Bool { text.utf8.first == UInt8(ascii: "[") }

    /// The address of an address literal (RFC 5321 §4.1.3); nil for names and unknown forms.
    package var literalAddress: HostAddress? {
        guard isLiteral, folded.utf8.last == UInt8(ascii: "]") else { return nil }
        let inner = folded.dropFirst().dropLast()
        if inner.hasPrefix("ipv6:") {
            let address = HostAddress(inner.dropFirst(5))
            return address
        }
        let address = HostAddress(inner)
        return address?.isV4 == true ? address : nil
    }
}

extension Domain: Hashable {
    package static func == (a: Domain, b: Domain) -> Bool { a.folded == b.folded }
    package func hash(into hasher: inout Hasher) { hasher.combine(folded) }
}

extension String {
    /// Lower case for `A`…`Z` alone, as protocol words and host names want it.
    package var asciiLowercased: String {
        String(decoding: utf8.map { $0 >= 0x41 && $0 <= 0x5a ? $0 | 0x20 : $0 }, as: UTF8.self)
    }
}

/// A mailbox: `local-part@domain`.
package struct Address: Sendable, Hashable {
    /// As it was written, quotes and all; it belongs to the receiving system (RFC 5321 §2.3.11).
    package let localPart: String
    package let domain: Domain

    package init(localPart: String, domain: Domain) {
        self.localPart = localPart
        self.domain = domain
    }

    /// `local-part@domain`, ready to stand between angle brackets.
    package var text: String { localPart + "@" + domain.text }

    /// Splits at the last `@`; for text already checked by the grammar (or our own configuration).
    package init?(_ text: String) {
        guard let at = text.lastIndex(of: "@"), at != text.startIndex,
            text.index(after: at) != text.endIndex
        else { return nil }
        self.init(
            localPart: String(text[..<at]),
            domain: Domain(String(text[text.index(after: at)...]))
        )
    }
}

/// The reverse-path of an envelope: a mailbox, or null for notifications (RFC 5321 §4.5.5).
package enum ReversePath: Sendable, Hashable {
    case null
    case address(Address)

    package var isNull: Bool { self == .null }

    /// What stands between the angle brackets; empty for null.
    package var text: String {
        switch self {
        case .null: ""
        case .address(let address): address.text
        }
    }
}
