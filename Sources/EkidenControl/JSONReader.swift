// Reads one JSON value (RFC 8259), strictly, from bytes of bounded size: requests at the daemon,
// rows at the command line.

import EkidenMail

package enum JSONValue: Sendable, Equatable {
    case null
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object(JSONObject)
}

/// The fields of an object in the order they came; the first of equal names counts.
package struct JSONObject: Sendable, Equatable {
    package struct Field: Sendable, Equatable {
        package let name: String
        package let value: JSONValue
    }
    package let fields: [Field]

    package subscript(name: String) -> JSONValue? {
        guard let value = fields.first(where: { $0.name == name })?.value, value != .null else {
            return nil
        }
        return value
    }

    package func string(_ name: String) throws(JSONProblem) -> String {
        guard let value = try optionalString(name) else { throw .missing(name) }
        return value
    }

    package func optionalString(_ name: String) throws(JSONProblem) -> String? {
        guard let value = self[name] else { return nil }
        guard case .string(let text) = value else { throw .wrongType(name) }
        return text
    }

    package func integer(_ name: String) throws(JSONProblem) -> Int {
        guard let value = try optionalInteger(name) else { throw .missing(name) }
        return value
    }

    package func optionalInteger(_ name: String) throws(JSONProblem) -> Int? {
        guard let value = self[name] else { return nil }
        guard case .integer(let number) = value else { throw .wrongType(name) }
        return number
    }

    package func optionalNumber(_ name: String) throws(JSONProblem) -> Double? {
        switch self[name] {
        case nil: nil
        case .integer(let number): Double(number)
        case .number(let number): number
        default: throw .wrongType(name)
        }
    }

    package func number(_ name: String) throws(JSONProblem) -> Double {
        guard let value = try optionalNumber(name) else { throw .missing(name) }
        return value
    }

    package func flag(_ name: String) throws(JSONProblem) -> Bool {
        switch self[name] {
        case nil: false
        case .bool(let value): value
        default: throw .wrongType(name)
        }
    }

    package func optionalTime(_ name: String) throws(JSONProblem) -> WallTime? {
        guard let text = try optionalString(name) else { return nil }
        guard let time = WallTime(timestamp: text) else { throw .wrongType(name) }
        return time
    }

    package func time(_ name: String) throws(JSONProblem) -> WallTime {
        guard let time = try optionalTime(name) else { throw .missing(name) }
        return time
    }

    package func strings(_ name: String) throws(JSONProblem) -> [String] {
        guard let value = self[name] else { return [] }
        guard case .array(let values) = value else { throw .wrongType(name) }
        var texts: [String] = []
        for value in values {
            guard case .string(let text) = value else { throw .wrongType(name) }
            texts.append(text)
        }
        return texts
    }

    package func objects(_ name: String) throws(JSONProblem) -> [JSONObject] {
        guard let value = self[name] else { return [] }
        guard case .array(let values) = value else { throw .wrongType(name) }
        var objects: [JSONObject] = []
        for value in values {
            guard case .object(let object) = value else { throw .wrongType(name) }
            objects.append(object)
        }
        return objects
    }
}

package enum JSONProblem: Error, Equatable {
    /// Not JSON; the offset of the byte that showed it.
    case syntax(offset: Int)
    case missing(String)
    case wrongType(String)

    package var text: String {
        switch self {
        case .syntax(let offset): "not valid JSON at byte \(offset)"
        case .missing(let name): "\"\(name)\" is missing"
        case .wrongType(let name): "\"\(name)\" has the wrong type or value"
        }
    }
}

package struct JSONReader {
    private static let deepest = 16

    private let bytes: UnsafeRawBufferPointer
    private var offset = 0

    /// The object that `bytes` are, with nothing but white space around it.
    package static func object(
        _ bytes: UnsafeRawBufferPointer
    )
        throws(JSONProblem) -> JSONObject
    {
        var reader = JSONReader(bytes: bytes)
        let value = try reader.value(depth: 0)
        reader.skipSpace()
        guard reader.offset == bytes.count, case .object(let object) = value else {
            throw .syntax(offset: reader.offset)
        }
        return object
    }

    private init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    private var problem: JSONProblem { .syntax(offset: offset) }

    private var peek: UInt8 { offset < bytes.count ? bytes[offset] : 0 }

    private mutating func skipSpace() {
        while offset < bytes.count {
            switch bytes[offset] {
            case 0x20, 0x09, 0x0a, 0x0d: offset += 1
            default: return
            }
        }
    }

    private mutating func value(depth: Int) throws(JSONProblem) -> JSONValue {
        if depth > Self.deepest { throw problem }
        skipSpace()
        switch peek {
        case UInt8(ascii: "{"): return try objectValue(depth: depth)
        case UInt8(ascii: "["): return try arrayValue(depth: depth)
        case 0x22: return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    private mutating func word(
        _ text: StaticString,
        _ value: JSONValue
    )
        throws(JSONProblem) -> JSONValue
    {
        for index in 0..<text.utf8CodeUnitCount {
            if peek != text.utf8Start[index] { throw problem }
            offset += 1
        }
        return value
    }

    private mutating func objectValue(depth: Int) throws(JSONProblem) -> JSONValue {
        offset += 1
        var fields: [JSONObject.Field] = []
        skipSpace()
        if peek == UInt8(ascii: "}") {
            offset += 1
            return .object(JSONObject(fields: []))
        }
        while true {
            skipSpace()
            guard peek == 0x22 else { throw problem }
            let name = try string()
            skipSpace()
            guard peek == UInt8(ascii: ":") else { throw problem }
            offset += 1
            fields.append(.init(name: name, value: try value(depth: depth + 1)))
            if try !goesOn(until: UInt8(ascii: "}")) {
                return .object(JSONObject(fields: fields))
            }
        }
    }

    private mutating func arrayValue(depth: Int) throws(JSONProblem) -> JSONValue {
        offset += 1
        var values: [JSONValue] = []
        skipSpace()
        if peek == UInt8(ascii: "]") {
            offset += 1
            return .array([])
        }
        while true {
            values.append(try value(depth: depth + 1))
            if try !goesOn(until: UInt8(ascii: "]")) { return .array(values) }
        }
    }

    /// Takes a comma (true) or the closing bracket (false).
    private mutating func goesOn(until closing: UInt8) throws(JSONProblem) -> Bool {
        skipSpace()
        guard peek == closing || peek == UInt8(ascii: ",") else { throw problem }
        offset += 1
        return bytes[offset - 1] != closing
    }

    private mutating func number() throws(JSONProblem) -> JSONValue {
        let start = offset
        while offset < bytes.count, isNumberByte(bytes[offset]) { offset += 1 }
        let text = String(decoding: bytes[start..<offset], as: UTF8.self)
        let digits = text.hasPrefix("-") ? text.dropFirst() : text[...]
        // RFC 8259 §6: begins with a digit, no zero in front of others, no plus, a digit at the end.
        guard let first = digits.utf8.first, first >= 0x30, first <= 0x39,
            digits.utf8.last.map({ $0 >= 0x30 && $0 <= 0x39 }) == true,
            first != 0x30 || digits.utf8.count == 1
                || digits.utf8.dropFirst().first.map({ $0 < 0x30 || $0 > 0x39 }) == true
        else { throw .syntax(offset: start) }
        if let integer = Int(text) { return .integer(integer) }
        guard let number = Double(text), number.isFinite, !text.contains(".e"), !text.contains(".E")
        else { throw .syntax(offset: start) }
        return .number(number)
    }

    private func isNumberByte(_ byte: UInt8) -> Bool {
        byte >= 0x30 && byte <= 0x39 || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "+")
            || byte == UInt8(ascii: ".") || byte | 0x20 == UInt8(ascii: "e")
    }

    private mutating func string() throws(JSONProblem) -> String {
        offset += 1
        let start = offset
        while offset < bytes.count {
            switch bytes[offset] {
            case 0x22:
                let text = try text(bytes[start..<offset])
                offset += 1
                return text
            case 0x5c: return try escapedString(from: start)
            case 0..<0x20: throw problem
            default: offset += 1
            }
        }
        throw problem
    }

    private func text(_ raw: Slice<UnsafeRawBufferPointer>) throws(JSONProblem) -> String {
        guard let text = String(validating: raw, as: UTF8.self) else { throw problem }
        return text
    }

    private mutating func escapedString(from start: Int) throws(JSONProblem) -> String {
        var units = Array(bytes[start..<offset])
        while offset < bytes.count {
            let byte = bytes[offset]
            switch byte {
            case 0x22:
                guard let text = String(validating: units, as: UTF8.self) else { throw problem }
                offset += 1
                return text
            case 0x5c:
                offset += 1
                units += Array(String(try escape()).utf8)
            case 0..<0x20: throw problem
            default:
                units.append(byte)
                offset += 1
            }
        }
        throw problem
    }

    private mutating func escape() throws(JSONProblem) -> Unicode.Scalar {
        let letter = peek
        offset += 1
        switch letter {
        case 0x22, 0x5c, UInt8(ascii: "/"): return Unicode.Scalar(letter)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{c}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): break
        default: throw problem
        }
        let unit = try hexUnit()
        guard unit & 0xfc00 == 0xd800 else {
            guard let scalar = Unicode.Scalar(unit) else { throw problem }
            return scalar
        }
        guard peek == 0x5c else { throw problem }
        offset += 1
        guard peek == UInt8(ascii: "u") else { throw problem }
        offset += 1
        let low = try hexUnit()
        guard low & 0xfc00 == 0xdc00,
            let scalar = Unicode.Scalar(0x10000 + (unit & 0x3ff) << 10 + (low & 0x3ff))
        else { throw problem }
        return scalar
    }

    private mutating func hexUnit() throws(JSONProblem) -> UInt32 {
        var unit: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = Character(Unicode.Scalar(peek)).hexDigitValue else { throw problem }
            unit = unit << 4 | UInt32(digit)
            offset += 1
        }
        return unit
    }
}

extension WallTime {
    /// Reads what `timestamp` writes: RFC 3339 in UTC, fraction of any length or none.
    package init?(timestamp text: String) {
        let bytes = Array(text.utf8)
        guard bytes.count >= 20, bytes.last == UInt8(ascii: "Z"), bytes[4] == 0x2d,
            bytes[7] == 0x2d, bytes[10] == UInt8(ascii: "T"), bytes[13] == 0x3a, bytes[16] == 0x3a
        else { return nil }
        func number(_ range: Range<Int>) -> Int64? {
            var value: Int64 = 0
            for byte in bytes[range] {
                guard byte >= 0x30, byte <= 0x39 else { return nil }
                value = value * 10 + Int64(byte - 0x30)
            }
            return value
        }
        guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10),
            let hour = number(11..<13), let minute = number(14..<16), let second = number(17..<19),
            (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second <= 60
        else { return nil }
        var nanoseconds: Int64 = 0
        if bytes.count > 20 {
            guard bytes[19] == UInt8(ascii: "."), bytes.count <= 30,
                let fraction = number(20..<(bytes.count - 1))
            else { return nil }
            nanoseconds = fraction
            for _ in 0..<(9 - (bytes.count - 21)) { nanoseconds *= 10 }
        }
        // Civil date to days, by eras of 400 years that begin on 1 March.
        let shiftedYear = month <= 2 ? year - 1 : year
        let era = shiftedYear / 400
        let yearOfEra = shiftedYear - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        let days = era * 146_097 + dayOfEra - 719_468
        let seconds = days * 86_400 + hour * 3600 + minute * 60 + second
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        guard !overflow, scaled <= .max - 1_000_000_000 else { return nil }
        self.init(nanoseconds: scaled + nanoseconds)
    }
}
