// How one kind of value is read from TOML, checked, and written back. A row of the schema joins a
// `ValueType` to a field; nothing else in the product turns configuration text into values.

import EkidenMail

struct ValueType<Value: Equatable & Sendable>: Sendable {
    /// What it is, for the manual and for errors: "a time".
    let noun: String
    /// What it may be, for the manual: "1s to 30d"; empty when the noun says it all.
    let range: String
    let decode: @Sendable (TOMLNode) throws(Misfit) -> Value
    /// The value in TOML; nil when there is none (unset).
    let encode: @Sendable (Value) -> String?

    init(
        _ noun: String,
        range: String = "",
        decode: @escaping @Sendable (TOMLNode) throws(Misfit) -> Value,
        encode: @escaping @Sendable (Value) -> String?
    ) {
        self.noun = noun
        self.range = range
        self.decode = decode
        self.encode = encode
    }
}

extension ValueType {
    /// The same, and it may be unset.
    static func optional<Wrapped>(_ type: ValueType<Wrapped>) -> ValueType<Value>
    where Value == Wrapped? {
        ValueType(
            type.noun,
            range: type.range,
            decode: { node throws(Misfit) in try type.decode(node) },
            encode: { value in value.flatMap(type.encode) }
        )
    }

    /// A list of them. `nouns` is the plural of what it is a list of.
    static func list<Element>(
        _ type: ValueType<Element>,
        _ nouns: String,
        count: ClosedRange<Int> = 0...10_000
    ) -> ValueType<Value> where Value == [Element] {
        ValueType(
            "a list of " + nouns,
            range: type.range,
            decode: { node throws(Misfit) in
                guard case .array(let elements) = node.value else {
                    throw Misfit("is a list of \(nouns); write it in brackets, even a single one")
                }
                guard count.contains(elements.count) else {
                    throw Misfit(
                        elements.count < count.lowerBound
                            ? "is empty; it needs at least \(count.lowerBound)"
                            : "has \(elements.count) elements; at most \(count.upperBound) may be"
                    )
                }
                var values: [Element] = []
                for element in elements {
                    do throws(Misfit) {
                        values.append(try type.decode(element))
                    } catch {
                        throw Misfit(error.sentence, at: error.position ?? element.position)
                    }
                }
                return values
            },
            encode: { values in "[" + values.compactMap(type.encode).joined(separator: ", ") + "]" }
        )
    }
}

extension TOMLNode {
    /// The text of a string; else a misfit that shows how it should look.
    func text(_ noun: String, like example: String) throws(Misfit) -> String {
        guard case .string(let text) = value else {
            throw Misfit(
                "is \(noun), not \(value.noun); write it in quotes, such as \"\(example)\""
            )
        }
        return text
    }
}

/// Text as a TOML basic string.
func quoted(_ text: String) -> String {
    var out = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": out += "\\\""
        case "\\": out += "\\\\"
        case _ where scalar.value < 0x20 || scalar.value == 0x7f:
            let hex = String(scalar.value, radix: 16)
            out += "\\u" + String(repeating: "0", count: 4 - hex.utf8.count) + hex
        default: out.unicodeScalars.append(scalar)
        }
    }
    return out + "\""
}
