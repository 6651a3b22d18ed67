// A list of clients, mailboxes or domains, as the configuration has it or as a file does: one entry
// on a line. Asked by the rules of a listener, read by the composition. A file with a line that
// can't be understood is refused whole, with its lines named: half of a list is a wrong list.

import EkidenMail
import EkidenSMTP

/// One entry of a list.
package enum ListEntry: Sendable, Equatable {
    /// `203.0.113.0/24`
    case network(NetworkPrefix)
    /// `anna@example.org`
    case mailbox(Address)
    /// `example.org`, `@example.org`
    case domain(Domain)
    /// `.example.org`: the domains below it.
    case below(Domain)
    /// `anna: anna@example.org, @lists.example.org`, `admin: *` (nil): what a user may send from.
    case owner(String, [ListEntry]?)
}

/// What may stand in a list.
package enum ListForm: String, Sendable, Equatable {
    /// Networks and addresses of clients.
    case clients
    /// Mail addresses, domains, domains below a domain.
    case mailboxes
    /// Mail addresses, and `@domain` for all of a domain's; a bare word there is a mistake.
    case recipients
    /// Users, and the addresses they may send from.
    case senders
}

/// Lines of a file that can't be understood.
package struct EntryListProblem: Error, Sendable, Equatable {
    package struct Line: Sendable, Equatable {
        /// From 1.
        package let number: Int
        package let text: String
    }

    /// At least one, at most `linesMax`.
    package let lines: [Line]
    /// Further ones.
    package let more: Int

    /// As many are named at a time; who sees them finds the rest.
    package static let linesMax = 5

    package var text: String {
        lines.map { "line \($0.number): \($0.text)" }.joined(separator: "; ")
            + (more > 0 ? "; and \(more) more" : "")
    }
}

package struct EntryList: Sendable {
    private var networks = NetworkTable<Void>()
    package private(set) var mailboxes = MailboxTable()
    package private(set) var owners = OwnerTable()

    /// Bytes of a list's file; it has room for some 400 000 addresses.
    package static let bytesMax = 16 * 1_048_576

    package init(_ entries: [ListEntry] = []) {
        for entry in entries { insert(entry) }
    }

    /// Entries, repeated ones once.
    package var count: Int { networks.count + mailboxes.count + owners.count }
    package var isEmpty: Bool { networks.isEmpty && mailboxes.isEmpty && owners.isEmpty }

    private mutating func insert(_ entry: ListEntry) {
        switch entry {
        case .network(let network): networks[network] = ()
        case .mailbox(let address): mailboxes.insert(mailbox: address)
        case .domain(let domain): mailboxes.insert(domain: domain)
        case .below(let parent): mailboxes.insert(below: parent)
        case .owner(let user, let entries): owners.insert(user, entries)
        }
    }

    /// The entry that has this client.
    package func match(_ client: HostAddress) -> String? {
        networks.match(client).map(\.shortText)
    }

    /// The entry that has this mailbox.
    package func match(_ mailbox: Address) -> String? { mailboxes.match(mailbox) }
}

// MARK: Reading

extension EntryList {
    /// Reads a file: an entry on each line; empty lines are nothing, and so is what follows a `#`
    /// at the start of a line or behind a space.
    package init(parsing bytes: [UInt8], as form: ListForm) throws(EntryListProblem) {
        var problems: [EntryListProblem.Line] = []
        var more = 0
        var number = 0
        for line in bytes.split(separator: 0x0a, omittingEmptySubsequences: false) {
            number += 1
            guard let entry = Self.entry(in: line) else { continue }
            switch Self.read(entry, as: form) {
            case .success(let entry): insert(entry)
            case .failure(let misfit):
                if problems.count < EntryListProblem.linesMax {
                    problems.append(.init(number: number, text: misfit.text))
                } else {
                    more += 1
                }
            }
        }
        if !problems.isEmpty { throw EntryListProblem(lines: problems, more: more) }
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x09 || byte == 0x0d
    }

    /// A line without comment and spaces around; nil when nothing is left.
    private static func entry(in line: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        var line = line.drop(while: isSpace)
        if line.first == UInt8(ascii: "#") { return nil }
        // A # within is a letter of the address (RFC 5322 §3.2.3).
        let comment = line.indices.dropFirst().first {
            line[$0] == UInt8(ascii: "#") && isSpace(line[$0 - 1])
        }
        if let comment { line = line[..<comment] }
        while let last = line.last, isSpace(last) { line.removeLast() }
        return line.isEmpty ? nil : line
    }

    private struct Misfit: Error { let text: String }

    private static func read(
        _ bytes: ArraySlice<UInt8>,
        as form: ListForm
    ) -> Result<
        ListEntry, Misfit
    > {
        let most = form == .senders ? 8192 : 512
        guard let text = String(validating: bytes, as: UTF8.self), text.utf8.count <= most else {
            return .failure(Misfit(text: "the line is no UTF-8, or too long for an entry"))
        }
        let entry =
            switch form {
            case .clients: network(text)
            case .mailboxes: mailbox(text) ?? domain(text)
            case .recipients: mailbox(text)
            case .senders: owner(text)
            }
        if let entry { return .success(entry) }
        // What stands in the file may be anything; controls of it don't reach a terminal.
        let isPrintable = !text.unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x7f }
        return .failure(Misfit(text: (isPrintable ? "\"\(text)\"" : "this") + misfit(form)))
    }

    private static func misfit(_ form: ListForm) -> String {
        switch form {
        case .clients:
            " is no network; write one such as 203.0.113.0/24 or 2001:db8::/32 (its first address, "
                + "and how many bits count), or one address"
        case .mailboxes:
            " is neither an address (anna@example.org) nor a domain (example.org), nor the domains "
                + "below one (.example.org)"
        case .recipients:
            " is no address; write one such as anna@example.org, or @example.org for every address "
                + "there"
        case .senders:
            " is no user with addresses; write such as anna: anna@example.org, @lists.example.org; or "
                + "admin: * for every address"
        }
    }

    private static func network(_ text: String) -> ListEntry? {
        NetworkPrefix(text).map { .network($0) }
    }

    private static func mailbox(_ text: String) -> ListEntry? {
        if text.utf8.first == UInt8(ascii: "@") { return exactly(String(text.dropFirst())) }
        return Grammar.mailbox(text, allowsUTF8: true).map { .mailbox($0) }
    }

    /// Addresses may hold no comma and users no colon here; neither is missed.
    private static func owner(_ text: String) -> ListEntry? {
        guard let colon = text.firstIndex(of: ":"),
            let user = LoginName.prepare(trimmed(text[..<colon]).utf8)
        else { return nil }
        let rest = trimmed(text[text.index(after: colon)...])
        if rest == "*" { return .owner(user, nil) }
        var entries: [ListEntry] = []
        for part in rest.split(separator: ",", omittingEmptySubsequences: false) {
            guard let entry = mailbox(trimmed(part)) else { return nil }
            entries.append(entry)
        }
        return .owner(user, entries)
    }

    private static func trimmed(_ text: Substring) -> String {
        let isSpace = { (c: Character) in c == " " || c == "\t" }
        var text = text.drop(while: isSpace)
        while let last = text.last, isSpace(last) { text.removeLast() }
        return String(text)
    }

    private static func domain(_ text: String) -> ListEntry? {
        if text.utf8.first == UInt8(ascii: ".") {
            let parent = String(text.dropFirst())
            return isName(parent) ? .below(Domain(parent)) : nil
        }
        return exactly(text)
    }

    private static func exactly(_ text: String) -> ListEntry? {
        let domain = Domain(text)
        return isName(text) || domain.literalAddress != nil ? .domain(domain) : nil
    }

    /// A name that can be a mail domain; an address without brackets is none.
    private static func isName(_ text: String) -> Bool {
        Grammar.isDomain(text, allowsUTF8: true) && HostAddress(text) == nil
    }
}
