// Words and text: closed sets, paths, and what goes into a greeting.

extension ValueType where Value: RawRepresentable & CaseIterable, Value.RawValue == String {
    /// One of a few words.
    static var word: ValueType {
        let words = Value.allCases.map(\.rawValue)
        let list = words.map { "\"\($0)\"" }.joined(separator: ", ")
        return ValueType(
            "a word",
            range: "one of " + list,
            decode: { node throws(Misfit) in
                let text = try node.text("a word", like: words[0])
                guard let value = Value(rawValue: text) else {
                    throw Misfit(
                        "is one of \(list), not \(quoted(text))"
                            + Suggestion.question(text, among: words)
                    )
                }
                return value
            },
            encode: { quoted($0.rawValue) }
        )
    }
}

extension ValueType<String> {
    /// The path of a file or directory; relative ones start where the relay was started.
    static let path = ValueType<String>(
        "a path",
        decode: { node throws(Misfit) in
            let text = try node.text("a path", like: "/var/spool/ekiden")
            guard !text.isEmpty, text.utf8.count <= 1024, !text.utf8.contains(0) else {
                throw Misfit("is a path of 1 to 1024 bytes")
            }
            return text.utf8.count > 1 && text.hasSuffix("/") ? String(text.dropLast()) : text
        },
        encode: { quoted($0) }
    )

    /// A short name: of a listener, a route, a group of the system.
    static let name = ValueType<String>(
        "a name",
        range: "1 to 32 letters, digits, - and _",
        decode: { node throws(Misfit) in
            let text = try node.text("a name", like: "relay")
            let isPlain = text.utf8.allSatisfy {
                $0.isLetter || $0.isDigit || "-_".utf8.contains($0)
            }
            guard isPlain, (1...32).contains(text.utf8.count) else {
                throw Misfit("is a name of 1 to 32 letters, digits, - and _, not \(quoted(text))")
            }
            return text
        },
        encode: { quoted($0) }
    )

    /// A word of a command: as the program gets it.
    static let argument = ValueType<String>(
        "a word",
        range: "at most 4096 bytes",
        decode: { node throws(Misfit) in
            let text = try node.text("a word", like: "relay@example.org")
            guard text.utf8.count <= 4096, !text.utf8.contains(0) else {
                throw Misfit("is a word of at most 4096 bytes, none of them NUL")
            }
            return text
        },
        encode: { quoted($0) }
    )

    /// Text of a reply line: RFC 5321 §4.2 allows printable ASCII and tab; tab is left out.
    static let replyText = ValueType<String>(
        "a line of text",
        range: "1 to 200 printable ASCII characters",
        decode: { node throws(Misfit) in
            let text = try node.text("a line of text", like: "ESMTP")
            guard (1...200).contains(text.utf8.count),
                text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7f })
            else { throw Misfit("is a line of 1 to 200 printable ASCII characters") }
            return text
        },
        encode: { quoted($0) }
    )
}
