// Which addresses a user may send from: the users' own, as a file lists them. Asked at MAIL when
// somebody is logged in (or known by certificate); what is not the user's is refused, or replaced by
// an address that is. RFC 6409 §6.1 leaves it to the site; the envelope alone is looked at.

import EkidenMail
import EkidenSMTP

/// What becomes of a sender that is not the user's own.
package enum SenderOwnership: String, Sendable, CaseIterable {
    case off
    case refuse
    /// The user's first address takes its place in the envelope.
    case rewrite
}

/// Users and the addresses that are theirs, by the name of the user without case.
package struct OwnerTable: Sendable, Equatable {
    private struct Property: Sendable, Equatable {
        var mailboxes = MailboxTable()
        var hasAll = false
        /// Stands in for others; in ASCII, so that it needs no SMTPUTF8.
        var first: Address?
    }

    private var properties: [String: Property] = [:]

    package init() {}

    package var count: Int { properties.count }
    package var isEmpty: Bool { properties.isEmpty }

    /// - Parameter entries: mailboxes, domains and domains below one; nil: every address.
    mutating func insert(_ user: String, _ entries: [ListEntry]?) {
        var property = properties[user.asciiLowercased] ?? Property()
        if entries == nil { property.hasAll = true }
        for entry in entries ?? [] {
            switch entry {
            case .mailbox(let address):
                property.mailboxes.insert(mailbox: address)
                if property.first == nil, address.isASCII { property.first = address }
            case .domain(let domain): property.mailboxes.insert(domain: domain)
            case .below(let parent): property.mailboxes.insert(below: parent)
            case .network, .owner: continue
            }
        }
        properties[user.asciiLowercased] = property
    }

    /// A user whose name is an address has that one, listed or not.
    package func has(_ user: String, _ sender: Address) -> Bool {
        if let property = properties[user.asciiLowercased] {
            if property.hasAll || property.mailboxes.match(sender) != nil { return true }
        }
        return Self.address(of: user).map { own in
            var table = MailboxTable()
            table.insert(mailbox: own)
            return table.match(sender) != nil
        } ?? false
    }

    /// What stands in for a sender that is not the user's.
    package func first(of user: String) -> Address? {
        properties[user.asciiLowercased]?.first
            ?? Self.address(of: user).flatMap { $0.isASCII ? $0 : nil }
    }

    private static func address(of user: String) -> Address? {
        user.contains("@") ? Grammar.mailbox(user, allowsUTF8: true) : nil
    }
}

/// What MAIL comes to with regard to whose address it is.
package enum OwnershipVerdict: Sendable, Equatable {
    case own
    case rewritten(Address)
    case refused(PolicyRefusal)
}

extension ListenerRules {
    /// - Parameter user: who is logged in; the rule is for nobody else.
    package func ownership(of sender: ReversePath, by user: String?) -> OwnershipVerdict {
        // Bounces and receipts come from nobody (RFC 5321 §4.5.5).
        guard senderOwnership != .off, let user, case .address(let address) = sender else {
            return .own
        }
        let owners = senders?.current.owners ?? OwnerTable()
        if owners.has(user, address) { return .own }
        if senderOwnership == .rewrite, let own = owners.first(of: user) {
            return .rewritten(own)
        }
        let text =
            "\(address.text) is not an address of the user who is logged in; send from one that is, "
            + "or ask the postmaster here for this one"
        return .refused(
            PolicyRefusal(Reply(553, EnhancedStatus(5, 7, 1), text), rule: "sender-not-owned")
        )
    }
}
