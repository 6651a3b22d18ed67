// The four kinds of TOML strings, and quoted keys. Called by the parser with the cursor on the
// opening quote; leaves it after the closing one.

extension TOMLScanner {
    private static let quote = UInt8(ascii: "\"")
    private static let apostrophe = UInt8(ascii: "'")

    mutating func string() throws(TOMLError) -> String {
        if looking(at: "\"\"\"") { return try multiLine(Self.quote) }
        if looking(at: "'''") { return try multiLine(Self.apostrophe) }
        return try singleLine()
    }

    /// A basic or literal string on one line; the only kinds a key may be.
    mutating func singleLine() throws(TOMLError) -> String {
        let start = offset
        let delimiter = peek()
        advance()
        var text: [UInt8] = []
        while let byte = peek(), byte != Self.lf, byte != Self.cr {
            advance()
            if byte == delimiter { return String(decoding: text, as: UTF8.self) }
            if byte == UInt8(ascii: "\\"), delimiter == Self.quote {
                try escape(into: &text)
            } else {
                text.append(byte)
            }
        }
        throw error(at: start, "this string is not closed on its line; add the closing quote")
    }

    private mutating func multiLine(_ delimiter: UInt8) throws(TOMLError) -> String {
        let start = offset
        advance(3)
        // A line end right after the opening quotes is not part of the string.
        _ = takeNewline()
        var text: [UInt8] = []
        while let byte = peek() {
            if byte == delimiter {
                let run = quotes(delimiter)
                advance(run)
                // One or two quotes may stand inside, also right before the closing three.
                if run < 3 {
                    text += repeatElement(delimiter, count: run)
                    continue
                }
                text += repeatElement(delimiter, count: run - 3)
                return String(decoding: text, as: UTF8.self)
            }
            if takeNewline() {
                text.append(Self.lf)
                continue
            }
            advance()
            if byte == UInt8(ascii: "\\"), delimiter == Self.quote {
                if !takeLineEndingBackslash() { try escape(into: &text) }
            } else {
                text.append(byte)
            }
        }
        throw error(at: start, "this multi-line string is not closed; add the three closing quotes")
    }

    /// Quotes in a row under the cursor, at most the five that can end a string.
    private func quotes(_ delimiter: UInt8) -> Int {
        var count = 0
        while count < 5, peek(count) == delimiter { count += 1 }
        return count
    }

    /// After a backslash: blanks, a line end, and all white space up to the next character.
    private mutating func takeLineEndingBackslash() -> Bool {
        var ahead = 0
        while let byte = peek(ahead), byte == 0x20 || byte == Self.tab { ahead += 1 }
        guard let byte = peek(ahead), byte == Self.lf || byte == Self.cr else { return false }
        advance(ahead)
        repeat { skipBlanks() } while takeNewline()
        return true
    }

    private mutating func escape(into text: inout [UInt8]) throws(TOMLError) {
        let start = offset - 1
        let byte = peek()
        advance()
        switch byte {
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "n"): text.append(0x0a)
        case UInt8(ascii: "f"): text.append(0x0c)
        case UInt8(ascii: "r"): text.append(0x0d)
        case UInt8(ascii: "\""): text.append(Self.quote)
        case UInt8(ascii: "\\"): text.append(UInt8(ascii: "\\"))
        case UInt8(ascii: "u"): text += try scalar(digits: 4, from: start)
        case UInt8(ascii: "U"): text += try scalar(digits: 8, from: start)
        default:
            throw error(
                at: start,
                "this backslash starts no known escape; write \\\\ for a backslash, or put the "
                    + "string in single quotes"
            )
        }
    }

    private mutating func scalar(digits: Int, from start: Int) throws(TOMLError) -> [UInt8] {
        let first = offset
        while offset < first + digits, let byte = peek(), byte.isHexDigit { advance() }
        let text = String(decoding: slice(from: first), as: UTF8.self)
        guard text.utf8.count == digits, let value = UInt32(text, radix: 16) else {
            throw error(at: start, "\\\(digits == 4 ? "u" : "U") needs \(digits) hex digits")
        }
        guard let scalar = Unicode.Scalar(value) else {
            throw error(at: start, "U+\(text) is not a Unicode character; write another one")
        }
        return Array(String(scalar).utf8)
    }
}

extension UInt8 {
    var isDigit: Bool { self >= 0x30 && self <= 0x39 }
    var isLetter: Bool { self | 0x20 >= 0x61 && self | 0x20 <= 0x7a }
    var isHexDigit: Bool { isDigit || self | 0x20 >= 0x61 && self | 0x20 <= 0x66 }
}
