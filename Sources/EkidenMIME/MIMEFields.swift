// What the header fields of MIME say, as far as structure and encoding need it (RFC 2045 §5, §6).
// Values are read with their folding, comments and odd case; what can't be read with certainty is said
// to be damaged, since readers would disagree on it.

/// The fields that this module looks at; all others pass unread.
enum MIMEField {
    case version
    case contentType
    case transferEncoding
    case other

    /// RFC 5322 §1.2.2: the case of a name does not matter.
    init(name: UnsafeRawBufferPointer) {
        let known: [(StaticString, MIMEField)] = [
            ("mime-version", .version), ("content-type", .contentType),
            ("content-transfer-encoding", .transferEncoding),
        ]
        self = known.first { Self.matches(name, $0.0) }?.1 ?? .other
    }

    private static func matches(_ name: UnsafeRawBufferPointer, _ word: StaticString) -> Bool {
        name.count == word.utf8CodeUnitCount
            && name.indices.allSatisfy { lowercased(name[$0]) == word.utf8Start[$0] }
    }
}

/// Content-Type: RFC 2045 §5.1.
struct ContentType: Equatable {
    /// Lower case.
    var type: String
    var subtype: String
    /// Of a multipart, without spaces at its end; nil where there is none.
    var boundary: [UInt8]?
    /// The parameters can't be read with certainty.
    var isDamaged = false

    /// nil: no type and subtype stand there. RFC 2045 §5.2: it is plain text then.
    init?(_ value: [UInt8]) {
        var scanner = FieldScanner(value)
        guard scanner.skipSpace(), let type = scanner.token() else { return nil }
        self.type = type
        subtype = ""
        guard scanner.skipSpace(), scanner.skip("/"), scanner.skipSpace(),
            let subtype = scanner.token()
        else {
            // The composite types are no plain text to anybody.
            if type != "multipart" && type != "message" { return nil }
            isDamaged = true
            return
        }
        self.subtype = subtype
        readParameters(&scanner)
    }

    private mutating func readParameters(_ scanner: inout FieldScanner) {
        while true {
            guard scanner.skipSpace() else {
                isDamaged = true
                return
            }
            if scanner.isAtEnd { return }
            guard scanner.skip(";"), scanner.skipSpace() else {
                isDamaged = true
                return
            }
            // An empty parameter, as behind a last semicolon, harms nobody.
            if scanner.isAtEnd || scanner.isAt(";") { continue }
            guard let name = scanner.token(), scanner.skipSpace(), scanner.skip("="),
                scanner.skipSpace(), let value = scanner.value()
            else {
                isDamaged = true
                return
            }
            if name == "boundary" {
                if boundary != nil { isDamaged = true }
                // RFC 2046 §5.1.1: no boundary ends in a space.
                boundary = Array(value.reversed().drop { $0 == 0x20 || $0 == 0x09 }.reversed())
            } else if name.hasPrefix("boundary*") {
                // RFC 2231: few readers know it here.
                isDamaged = true
            }
        }
    }
}

/// Content-Transfer-Encoding: RFC 2045 §6.1.
enum TransferEncoding: Equatable {
    case sevenBit
    /// `8bit` or `binary`: as `sevenBit` the bytes themselves, and the label may have to go.
    case eightBit
    /// `quoted-printable` or `base64`.
    case encoded
    case unknown

    init(_ value: [UInt8]) {
        var scanner = FieldScanner(value)
        guard scanner.skipSpace(), let word = scanner.token(), scanner.skipSpace(), scanner.isAtEnd
        else {
            self = .unknown
            return
        }
        switch word {
        case "7bit": self = .sevenBit
        case "8bit", "binary": self = .eightBit
        case "quoted-printable", "base64": self = .encoded
        default: self = .unknown
        }
    }
}

/// Reads the unfolded value of a structured field (RFC 5322 §3.2, RFC 2045 §5.1).
private struct FieldScanner {
    private let bytes: [UInt8]
    private var index = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { index == bytes.count }

    func isAt(_ letter: Unicode.Scalar) -> Bool {
        index < bytes.count && bytes[index] == UInt8(ascii: letter)
    }

    mutating func skip(_ letter: Unicode.Scalar) -> Bool {
        if !isAt(letter) { return false }
        index += 1
        return true
    }

    /// White space, line ends and comments, which may nest (RFC 5322 §3.2.2); false: a comment does not end.
    mutating func skipSpace() -> Bool {
        var depth = 0
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "("): depth += 1
            case UInt8(ascii: ")") where depth > 0: depth -= 1
            case UInt8(ascii: "\\") where depth > 0: index += 1
            case 0x20, 0x09, 0x0d, 0x0a: break
            default: if depth == 0 { return true }
            }
            index += 1
        }
        index = bytes.count
        return depth == 0
    }

    /// RFC 2045 §5.1, in lower case; nil: none stands here.
    mutating func token() -> String? {
        let start = index
        while index < bytes.count, Self.isTokenByte(bytes[index]) { index += 1 }
        return index == start
            ? nil : String(decoding: bytes[start..<index].map(lowercased), as: UTF8.self)
    }

    /// A quoted string, or what stands up to a space, a semicolon or a comment: more than a token may
    /// have, for boundaries are seen with equals signs in them and without quotes. nil: damaged.
    mutating func value() -> [UInt8]? {
        if !isAt("\"") {
            let start = index
            while index < bytes.count, bytes[index] > 0x20, !isAt(";"), !isAt("(") { index += 1 }
            return index == start ? nil : Array(bytes[start..<index])
        }
        index += 1
        var value: [UInt8] = []
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            switch byte {
            case UInt8(ascii: "\""): return value
            case UInt8(ascii: "\\") where index < bytes.count:
                value.append(bytes[index])
                index += 1
            // RFC 5322 §3.2.4: the line end of a folded string is no part of it.
            case 0x0d, 0x0a: break
            default: value.append(byte)
            }
        }
        return nil
    }

    private static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "("), UInt8(ascii: ")"), UInt8(ascii: "<"), UInt8(ascii: ">"),
            UInt8(ascii: "@"), UInt8(ascii: ","), UInt8(ascii: ";"), UInt8(ascii: ":"),
            UInt8(ascii: "\\"), UInt8(ascii: "\""), UInt8(ascii: "/"), UInt8(ascii: "["),
            UInt8(ascii: "]"), UInt8(ascii: "?"), UInt8(ascii: "="):
            false
        default: byte > 0x20 && byte < 0x7f
        }
    }
}

func lowercased(_ byte: UInt8) -> UInt8 { byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte }
