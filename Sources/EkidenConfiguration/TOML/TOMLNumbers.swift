// Values written without quotes: booleans, integers, floats, and (in TOMLDates.swift) dates and
// times. The parser cuts out the word; what it means is decided here by its form alone.

import EkidenMail

extension TOMLScanner {
    /// Takes the word under the cursor and says what it means.
    mutating func bareValue() throws(TOMLError) -> TOMLValue {
        let start = offset
        while let byte = peek(), Self.isBareValueByte(byte) { advance() }
        takeTimeAfterSpace(start)
        let word = Array(slice(from: start))
        if word.isEmpty { throw error("a value is expected here, but there is \(shown)") }
        switch String(decoding: word, as: UTF8.self) {
        case "true": return .boolean(true)
        case "false": return .boolean(false)
        case "inf", "+inf": return .float(.infinity)
        case "-inf": return .float(-.infinity)
        case "nan", "+nan", "-nan": return .float(.nan)
        default: break
        }
        do {
            if TOMLDateTime.looksLike(word) { return .dateTime(try TOMLDateTime(word)) }
            return try number(word)
        } catch {
            throw self.error(at: start, error.sentence)
        }
    }

    private static func isBareValueByte(_ byte: UInt8) -> Bool {
        byte.isDigit || byte.isLetter || "+-_.:".utf8.contains(byte)
    }

    /// RFC 3339 §5.6: a space may stand for the `T` between date and time.
    private mutating func takeTimeAfterSpace(_ start: Int) {
        let word = slice(from: start)
        guard word.count == 10, TOMLDateTime.looksLike(Array(word)), peek() == 0x20,
            peek(1)?.isDigit == true, peek(2)?.isDigit == true
        else { return }
        advance()
        while let byte = peek(), Self.isBareValueByte(byte) { advance() }
    }
}

/// What is wrong with a bare value; the scanner adds where.
struct MalformedValue: Error {
    let sentence: String
}

private func number(_ word: [UInt8]) throws(MalformedValue) -> TOMLValue {
    if word.count > 2, word[0] == UInt8(ascii: "0") {
        switch word[1] {
        case UInt8(ascii: "x"): return .integer(try integer(word.dropFirst(2), radix: 16))
        case UInt8(ascii: "o"): return .integer(try integer(word.dropFirst(2), radix: 8))
        case UInt8(ascii: "b"): return .integer(try integer(word.dropFirst(2), radix: 2))
        default: break
        }
    }
    let sign = word[0] == UInt8(ascii: "-") || word[0] == UInt8(ascii: "+") ? 1 : 0
    let unsigned = word.dropFirst(sign)
    guard let first = unsigned.first, first.isDigit else { throw unknown(word) }
    if unsigned.contains(where: { ".eE".utf8.contains($0) }) {
        return .float(try float(word, unsigned))
    }
    if unsigned.contains(where: { !$0.isDigit && $0 != UInt8(ascii: "_") }) { throw unknown(word) }
    if first == UInt8(ascii: "0"), unsigned.count > 1 {
        throw MalformedValue(sentence: "an integer has no leading zeros; remove them")
    }
    // The sign belongs to the digits: the smallest integer has no positive counterpart.
    let digits = word[0] == UInt8(ascii: "-") ? word[...] : unsigned
    return .integer(try integer(digits, radix: 10))
}

private func integer(_ digits: ArraySlice<UInt8>, radix: Int) throws(MalformedValue) -> Int64 {
    var text = digits
    let isNegative = radix == 10 && digits.first == UInt8(ascii: "-")
    if isNegative { text = text.dropFirst() }
    let plain = try withoutUnderscores(text)
    let isValid = plain.allSatisfy { byte in
        byte.isHexDigit && (Int(String(decoding: [byte], as: UTF8.self), radix: 16) ?? 16) < radix
    }
    guard isValid, !plain.isEmpty else {
        throw MalformedValue(sentence: "these are not digits of a number of base \(radix)")
    }
    let sign = isNegative ? "-" : ""
    guard let value = Int64(sign + String(decoding: plain, as: UTF8.self), radix: radix) else {
        throw MalformedValue(sentence: "this integer does not fit in 64 bits")
    }
    return value
}

private func float(
    _ word: [UInt8],
    _ unsigned: ArraySlice<UInt8>
) throws(MalformedValue) -> Double {
    let malformed = MalformedValue(
        sentence: "this is not a number; write digits on both sides of the point, as in 2.0 or 5e3"
    )
    var rest = unsigned
    let whole = rest.prefix { $0.isDigit || $0 == UInt8(ascii: "_") }
    rest = rest.dropFirst(whole.count)
    if whole.first == UInt8(ascii: "0"), whole.count > 1 {
        throw MalformedValue(sentence: "a number has no leading zeros; remove them")
    }
    var plain = word[0] == UInt8(ascii: "-") ? [word[0]] : []
    plain += try withoutUnderscores(whole)
    if rest.first == UInt8(ascii: ".") {
        let fraction = rest.dropFirst().prefix { $0.isDigit || $0 == UInt8(ascii: "_") }
        guard !fraction.isEmpty else { throw malformed }
        plain += [UInt8(ascii: ".")]
        plain += try withoutUnderscores(fraction)
        rest = rest.dropFirst(1 + fraction.count)
    }
    if rest.first.map({ $0 | 0x20 }) == UInt8(ascii: "e") {
        var exponent = rest.dropFirst()
        plain.append(UInt8(ascii: "e"))
        if let sign = exponent.first, "+-".utf8.contains(sign) {
            plain.append(sign)
            exponent = exponent.dropFirst()
        }
        guard !exponent.isEmpty,
            exponent.allSatisfy({ $0.isDigit || $0 == UInt8(ascii: "_") })
        else { throw malformed }
        plain += try withoutUnderscores(exponent)
        rest = []
    }
    guard rest.isEmpty, let value = Double(String(decoding: plain, as: UTF8.self)) else {
        throw malformed
    }
    return value
}

private func withoutUnderscores(_ digits: ArraySlice<UInt8>) throws(MalformedValue) -> [UInt8] {
    let underscore = UInt8(ascii: "_")
    let parts = digits.split(separator: underscore, omittingEmptySubsequences: false)
    if digits.contains(underscore), parts.contains(where: \.isEmpty) {
        throw MalformedValue(sentence: "an underscore in a number must stand between two digits")
    }
    return parts.flatMap { Array($0) }
}

private func unknown(_ word: [UInt8]) -> MalformedValue {
    let text = String(decoding: word, as: UTF8.self)
    let lower = text.asciiLowercased
    if ["true", "false", "inf", "nan"].contains(lower) {
        return MalformedValue(sentence: "write \(lower) in lower case")
    }
    return MalformedValue(
        sentence: "\(text) is not a value; write text in quotes: \"\(text)\""
    )
}
