// The grammar of TOML 1.0: lines, headers, keys, arrays and inline tables, over `TOMLScanner`.
// What may be defined where and how often is `TableDraft`'s business. Stops at the first error:
// after it, the rest of a document can't be trusted to mean what it seems to.

package struct TOMLParser {
    /// Nesting of keys, arrays and inline tables together; bounds recursion.
    package static let depthMax = 64

    private var scanner: TOMLScanner
    private let root = TableDraft(kind: .header)

    /// Reads a whole document.
    /// - Bounds: 1 MiB; `depthMax` levels.
    /// - Errors: the first place where the document is not TOML 1.0.
    package static func parse(_ document: [UInt8]) throws(TOMLError) -> TOMLTable {
        var parser = TOMLParser(scanner: try TOMLScanner(document))
        try parser.document()
        return parser.root.table
    }

    private init(scanner: TOMLScanner) { self.scanner = scanner }

    private mutating func document() throws(TOMLError) {
        var current = root
        while !scanner.isAtEnd {
            scanner.skipBlanks()
            if scanner.peek() == UInt8(ascii: "[") {
                current = try header()
            } else if scanner.peek() == UInt8(ascii: "#") || scanner.isAtEnd {
                // Nothing but a comment.
            } else if scanner.takeNewline() {
                continue
            } else {
                try keyValue(into: current, depth: 0)
            }
            try endOfLine()
        }
    }

    private mutating func endOfLine() throws(TOMLError) {
        scanner.skipBlanks()
        scanner.skipComment()
        if scanner.isAtEnd || scanner.takeNewline() { return }
        throw scanner.error(
            "the line should end here, but there is \(scanner.shown); put it on its own line"
        )
    }

    private mutating func header() throws(TOMLError) -> TableDraft {
        let position = scanner.here()
        scanner.advance()
        // "[[" is one token: no blank between the brackets.
        let isArray = scanner.take(UInt8(ascii: "["))
        let keys = try dottedKey(depth: 0)
        guard scanner.looking(at: isArray ? "]]" : "]") else {
            let closing = isArray ? "]]" : "]"
            throw scanner.error("the header should end with \(closing), not \(scanner.shown)")
        }
        scanner.advance(isArray ? 2 : 1)
        return isArray
            ? try root.appendTable(keys, at: position) : try root.defineTable(keys, at: position)
    }

    // MARK: Keys

    private mutating func dottedKey(depth: Int) throws(TOMLError) -> [TOMLKey] {
        var keys: [TOMLKey] = []
        repeat {
            scanner.skipBlanks()
            keys.append(try key())
            try check(depth: depth + keys.count)
            scanner.skipBlanks()
        } while scanner.take(UInt8(ascii: "."))
        return keys
    }

    private mutating func key() throws(TOMLError) -> TOMLKey {
        let position = scanner.here()
        if scanner.looking(at: "\"\"\"") || scanner.looking(at: "'''") {
            throw scanner.error("a key can't be a multi-line string; use single quotes around it")
        }
        if let byte = scanner.peek(), byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") {
            return TOMLKey(name: try scanner.singleLine(), position: position)
        }
        let start = scanner.offset
        while let byte = scanner.peek(), byte.isDigit || byte.isLetter || "_-".utf8.contains(byte) {
            scanner.advance()
        }
        let name = scanner.slice(from: start)
        if name.isEmpty {
            throw scanner.error(
                "a name is expected here, but there is \(scanner.shown); names other than letters, "
                    + "digits, _ and - need quotes"
            )
        }
        return TOMLKey(name: String(decoding: name, as: UTF8.self), position: position)
    }

    private mutating func check(depth: Int) throws(TOMLError) {
        if depth > Self.depthMax {
            throw scanner.error("more than \(Self.depthMax) levels of nesting; write it flatter")
        }
    }

    private mutating func keyValue(into table: TableDraft, depth: Int) throws(TOMLError) {
        let keys = try dottedKey(depth: depth)
        guard scanner.take(UInt8(ascii: "=")) else {
            throw scanner.error("after a name comes \"=\" and a value, not \(scanner.shown)")
        }
        scanner.skipBlanks()
        let node = try value(depth: depth + keys.count)
        try table.set(keys, to: node)
    }

    // MARK: Values

    private mutating func value(depth: Int) throws(TOMLError) -> TOMLNode {
        let position = scanner.here()
        switch scanner.peek() {
        case UInt8(ascii: "\""), UInt8(ascii: "'"):
            return TOMLNode(.string(try scanner.string()), at: position)
        case UInt8(ascii: "["):
            return TOMLNode(.array(try array(depth: depth + 1)), at: position)
        case UInt8(ascii: "{"):
            return TOMLNode(.table(try inlineTable(depth: depth + 1)), at: position)
        default:
            return TOMLNode(try scanner.bareValue(), at: position)
        }
    }

    private mutating func array(depth: Int) throws(TOMLError) -> [TOMLNode] {
        try check(depth: depth)
        let start = scanner.offset
        scanner.advance()
        var elements: [TOMLNode] = []
        while true {
            scanner.skipBlanksAndLines()
            if scanner.take(UInt8(ascii: "]")) { return elements }
            if scanner.isAtEnd { break }
            elements.append(try value(depth: depth))
            scanner.skipBlanksAndLines()
            if scanner.take(UInt8(ascii: ",")) { continue }
            if scanner.take(UInt8(ascii: "]")) { return elements }
            if scanner.isAtEnd { break }
            throw scanner.error(
                "between the elements of a list comes a comma, not \(scanner.shown)"
            )
        }
        throw scanner.error(at: start, "this list is not closed; add the closing ]")
    }

    /// TOML 1.0: on one line, and no comma after the last pair.
    private mutating func inlineTable(depth: Int) throws(TOMLError) -> TOMLTable {
        try check(depth: depth)
        scanner.advance()
        let table = TableDraft(kind: .header)
        scanner.skipBlanks()
        if scanner.take(UInt8(ascii: "}")) { return table.table }
        while true {
            try keyValue(into: table, depth: depth)
            scanner.skipBlanks()
            if scanner.take(UInt8(ascii: "}")) { return table.table }
            guard scanner.take(UInt8(ascii: ",")) else {
                throw scanner.error(
                    "an inline table goes on with a comma or ends with } on the same line; here "
                        + "is \(scanner.shown)"
                )
            }
            scanner.skipBlanks()
            if scanner.peek() == UInt8(ascii: "}") {
                throw scanner.error("an inline table has no comma after its last pair; remove it")
            }
        }
    }
}
