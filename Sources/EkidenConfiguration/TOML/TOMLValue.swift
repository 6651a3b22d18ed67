// What a TOML document says, as a tree in which every key and every value knows its line and
// column. Made by `TOMLParser`, read by the schema's decoders; nothing here knows a setting.
// Source: the TOML 1.0.0 specification (toml.io/en/v1.0.0).

/// A place in a document, as editors count: line and column from 1, the column in characters
/// (Unicode scalars), not bytes.
package struct TOMLPosition: Sendable, Hashable, Comparable {
    package let line: Int
    package let column: Int

    package init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }

    package static func < (a: TOMLPosition, b: TOMLPosition) -> Bool {
        (a.line, a.column) < (b.line, b.column)
    }
}

/// A key, or one part of a dotted key, without its quotes.
package struct TOMLKey: Sendable, Equatable {
    package let name: String
    package let position: TOMLPosition

    package init(name: String, position: TOMLPosition) {
        self.name = name
        self.position = position
    }
}

/// A value and where it begins.
package struct TOMLNode: Sendable, Equatable {
    package let value: TOMLValue
    package let position: TOMLPosition

    package init(_ value: TOMLValue, at position: TOMLPosition) {
        self.value = value
        self.position = position
    }
}

package enum TOMLValue: Sendable, Equatable {
    case string(String)
    case integer(Int64)
    case float(Double)
    case boolean(Bool)
    case dateTime(TOMLDateTime)
    case array([TOMLNode])
    case table(TOMLTable)

    /// What it is, with its article, to stand in a sentence: "an integer".
    package var noun: String {
        switch self {
        case .string: "a string"
        case .integer: "an integer"
        case .float: "a number with a fraction"
        case .boolean: "true or false"
        case .dateTime: "a date or time"
        case .array: "a list"
        case .table: "a table"
        }
    }
}

/// Keys and values in the order of the document.
package struct TOMLTable: Sendable, Equatable {
    package struct Entry: Sendable, Equatable {
        package let key: TOMLKey
        package let node: TOMLNode

        package init(key: TOMLKey, node: TOMLNode) {
            self.key = key
            self.node = node
        }
    }

    package let entries: [Entry]

    package init(_ entries: [Entry] = []) { self.entries = entries }

    package subscript(name: String) -> TOMLNode? {
        entries.first { $0.key.name == name }?.node
    }
}

/// A date, a time, both, or both with an offset: the four kinds of TOML.
/// At least one of `date` and `time` is there; `offsetMinutes` only with both.
package struct TOMLDateTime: Sendable, Equatable {
    package struct Date: Sendable, Equatable {
        package let year: Int
        package let month: Int
        package let day: Int
    }

    package struct Time: Sendable, Equatable {
        package let hour: Int
        package let minute: Int
        /// 60 in a leap second (RFC 3339 §5.7).
        package let second: Int
        /// Digits beyond nanoseconds are cut, as the specification asks.
        package let nanosecond: Int
    }

    package let date: Date?
    package let time: Time?
    /// East of Greenwich; nil for the local kinds.
    package let offsetMinutes: Int?
}

/// Why a document is not TOML, and where.
package struct TOMLError: Error, Equatable {
    package let position: TOMLPosition
    /// A sentence without a full stop that says what is wrong and what to do.
    package let sentence: String
}
