// Tables while a document is read, and every rule about defining them twice. The specification's
// rules come down to how a table came to be: named by a header, made on the way to one, or made by
// a dotted key; what is written as a value (arrays, inline tables) is closed for good.

/// Lives within one call of the parser; a reference, because headers reopen tables deep inside.
final class TableDraft {
    enum Kind {
        /// On the way to a header's name only; may still get a header of its own, once.
        case implicit
        /// Named by a header (or the root); never again.
        case header
        /// Made by a dotted key; more dotted keys may add to it, a header may not reopen it.
        case dotted
    }

    private enum Entry {
        case value(TOMLNode)
        case table(TableDraft, TOMLPosition)
        case tables(TableList)
    }

    /// The elements of a list of tables so far; at least one.
    private final class TableList {
        var drafts: [TableDraft] = []
        var positions: [TOMLPosition] = []

        func append(_ draft: TableDraft, _ position: TOMLPosition) {
            drafts.append(draft)
            positions.append(position)
        }
    }

    private var kind: Kind
    private var order: [TOMLKey] = []
    private var entries: [String: (key: TOMLKey, entry: Entry)] = [:]

    init(kind: Kind) { self.kind = kind }

    private func put(_ key: TOMLKey, _ entry: Entry) {
        if let known = entries[key.name] {
            entries[key.name] = (known.key, entry)
        } else {
            order.append(key)
            entries[key.name] = (key, entry)
        }
    }

    /// The table as a value, keys in the order they first appeared.
    var table: TOMLTable {
        TOMLTable(
            order.compactMap { key in
                entries[key.name].map { TOMLTable.Entry(key: key, node: Self.node($0.entry)) }
            }
        )
    }

    private static func node(_ entry: Entry) -> TOMLNode {
        switch entry {
        case .value(let node):
            return node
        case .table(let draft, let position):
            return TOMLNode(.table(draft.table), at: position)
        case .tables(let list):
            let elements = zip(list.drafts, list.positions)
            return TOMLNode(
                .array(elements.map { TOMLNode(.table($0.table), at: $1) }),
                at: list.positions[0]
            )
        }
    }

    // MARK: Headers

    /// `[a.b.c]`
    func defineTable(_ keys: [TOMLKey], at position: TOMLPosition) throws(TOMLError) -> TableDraft {
        let (parent, key) = try walk(keys, at: position)
        guard let known = parent.entries[key.name] else {
            let draft = TableDraft(kind: .header)
            parent.put(key, .table(draft, position))
            return draft
        }
        guard case .table(let draft, _) = known.entry, draft.kind == .implicit else {
            throw twice(keys, known.key)
        }
        draft.kind = .header
        return draft
    }

    /// `[[a.b.c]]`
    func appendTable(_ keys: [TOMLKey], at position: TOMLPosition) throws(TOMLError) -> TableDraft {
        let (parent, key) = try walk(keys, at: position)
        let draft = TableDraft(kind: .header)
        switch parent.entries[key.name] {
        case nil:
            let list = TableList()
            list.append(draft, position)
            parent.put(key, .tables(list))
        case (_, .tables(let list))?:
            list.append(draft, position)
        case (let first, .table)?:
            throw TOMLError(
                position: key.position,
                sentence: "\(path(keys)) is a table since line \(first.position.line), so it can't "
                    + "be a list of tables; write [[\(path(keys))]] in both places"
            )
        case (let first, .value)?:
            throw twice(keys, first)
        }
        return draft
    }

    /// The table that holds the last of `keys`, made on the way where missing.
    private func walk(
        _ keys: [TOMLKey],
        at position: TOMLPosition
    ) throws(TOMLError) -> (TableDraft, TOMLKey) {
        var parent = self
        for (index, key) in keys.dropLast().enumerated() {
            switch parent.entries[key.name] {
            case nil:
                let draft = TableDraft(kind: .implicit)
                parent.put(key, .table(draft, position))
                parent = draft
            case (_, .table(let draft, _))?:
                parent = draft
            case (_, .tables(let list))?:
                // A header below a list of tables belongs to its last element.
                parent = list.drafts[list.drafts.count - 1]
            case (let first, .value)?:
                throw closed(Array(keys[...index]), first)
            }
        }
        return (parent, keys[keys.count - 1])
    }

    // MARK: Keys

    /// `a.b.c = value`
    func set(_ keys: [TOMLKey], to node: TOMLNode) throws(TOMLError) {
        var parent = self
        for (index, key) in keys.dropLast().enumerated() {
            switch parent.entries[key.name] {
            case nil:
                let draft = TableDraft(kind: .dotted)
                parent.put(key, .table(draft, key.position))
                parent = draft
            case (let first, .table(let draft, _))?:
                // A dotted key defines the tables it goes through, so it can't go through one that
                // a header has defined.
                if draft.kind == .header { throw closed(Array(keys[...index]), first) }
                draft.kind = .dotted
                parent = draft
            case (let first, .tables)?, (let first, .value)?:
                throw closed(Array(keys[...index]), first)
            }
        }
        let key = keys[keys.count - 1]
        if let known = parent.entries[key.name] { throw twice(keys, known.key) }
        parent.put(key, .value(node))
    }

    // MARK: Words

    private func path(_ keys: [TOMLKey]) -> String { keys.map(\.name).joined(separator: ".") }

    private func twice(_ keys: [TOMLKey], _ first: TOMLKey) -> TOMLError {
        TOMLError(
            position: keys[keys.count - 1].position,
            sentence:
                "\(path(keys)) is already set on line \(first.position.line); keep one of them"
        )
    }

    private func closed(_ keys: [TOMLKey], _ first: TOMLKey) -> TOMLError {
        TOMLError(
            position: keys[keys.count - 1].position,
            sentence:
                "\(path(keys)) is already complete since line \(first.position.line), nothing "
                + "can be added to it from here; write the new keys there"
        )
    }
}
