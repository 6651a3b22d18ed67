// Lists that let clients, senders or recipients in or keep them out, as the rules of a listener see
// them: those of one kind together, asked at once. What a list lets in no other list of its kind
// keeps out, in whatever order they stand.

import EkidenMail

/// One list of the configuration.
package struct AccessList: Sendable {
    package let name: String
    package let entries: EntryList
    /// Further entries.
    package let file: WatchedList?

    package init(name: String, entries: EntryList, file: WatchedList? = nil) {
        self.name = name
        self.entries = entries
        self.file = file
    }

    func match(_ client: HostAddress) -> ListMatch? {
        (entries.match(client) ?? file?.current.match(client)).map { ListMatch(name, $0) }
    }

    func match(_ mailbox: Address) -> ListMatch? {
        (entries.match(mailbox) ?? file?.current.match(mailbox)).map { ListMatch(name, $0) }
    }
}

/// The entry that decided.
package struct ListMatch: Sendable, Equatable {
    package let list: String
    /// As a list would write it: `.x.example`.
    package let entry: String

    init(_ list: String, _ entry: String) {
        self.list = list
        self.entry = entry
    }

    /// `blocked: .x.example`
    package var text: String { "\(list): \(entry)" }
}

/// All lists of one kind: of clients, of senders or of recipients.
package struct AccessRules: Sendable {
    package var allow: [AccessList] = []
    package var deny: [AccessList] = []

    package init() {}

    package var isEmpty: Bool { allow.isEmpty && deny.isEmpty }

    func allows(_ client: HostAddress) -> Bool { allow.contains { $0.match(client) != nil } }

    /// What keeps this client out; nil when nothing does, or a list lets it in.
    func denial(of client: HostAddress) -> ListMatch? {
        guard let match = deny.firstMatch({ $0.match(client) }), !allows(client) else { return nil }
        return match
    }

    func denial(of mailbox: Address) -> ListMatch? {
        guard let match = deny.firstMatch({ $0.match(mailbox) }),
            !allow.contains(where: { $0.match(mailbox) != nil })
        else { return nil }
        return match
    }
}

extension Array {
    fileprivate func firstMatch<Match>(_ find: (Element) -> Match?) -> Match? {
        for element in self {
            if let match = find(element) { return match }
        }
        return nil
    }
}
