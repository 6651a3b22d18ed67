// Reads the productions of RFC 5321 §4.1.2 one after the other from the bytes of one command line.
// Called by `ServerSession` with what follows the verb, and by `Grammar` for single values.

import EkidenMail

struct GrammarScanner {
    private let bytes: UnsafeRawBufferPointer
    private var at = 0
    /// Characters beyond ASCII may stand in paths and values (RFC 6531 §3.3).
    var allowsUTF8 = false

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var isAtEnd: Bool { at == bytes.count }
    var rest: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[at...]) }

    private var next: UInt8? { at < bytes.count ? bytes[at] : nil }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard next == byte else { return false }
        at += 1
        return true
    }

    private func text(from start: Int) -> String {
        String(decoding: bytes[start..<at], as: UTF8.self)
    }

    mutating func skipSpaces() {
        while next == 0x20 { at += 1 }
    }

    /// Takes what stands before the next space or the end.
    mutating func takeUntilSpace() -> String {
        let start = at
        while let byte = next, byte != 0x20 { at += 1 }
        return text(from: start)
    }

    /// Takes `word`, given in upper case, in any case.
    mutating func takeWord(_ word: StaticString) -> Bool {
        let count = word.utf8CodeUnitCount
        guard bytes.count - at >= count else { return false }
        for i in 0..<count where Self.upper(bytes[at + i]) != word.utf8Start[i] { return false }
        at += count
        return true
    }

    // MARK: Paths

    /// RFC 5321 §4.1.2: Reverse-path.
    mutating func reversePath() throws(PathProblem) -> ReversePath {
        let start = at
        guard take(UInt8(ascii: "<")) else { throw .missingBrackets }
        if take(UInt8(ascii: ">")) { return .null }
        return .address(try restOfPath(from: start))
    }

    /// RFC 5321 §4.1.1.3: Forward-path, or `<Postmaster>` without a domain.
    mutating func forwardPath() throws(PathProblem) -> RecipientPath {
        let start = at
        if takeWord("<POSTMASTER>") { return .postmaster }
        guard take(UInt8(ascii: "<")) else { throw .missingBrackets }
        if next == UInt8(ascii: ">") { throw .nullRecipient }
        return .address(try restOfPath(from: start))
    }

    private mutating func restOfPath(from start: Int) throws(PathProblem) -> Address {
        var mailboxStart = start
        if next == UInt8(ascii: "@") {
            try sourceRoute()
            mailboxStart = at - 1
        }
        let address = try mailbox()
        guard take(UInt8(ascii: ">")) else {
            if let byte = next, byte >= 0x80 { throw .nonASCII }
            throw next == nil ? .missingBrackets : .domain
        }
        // RFC 5321 §4.5.3.1.3; a source route, being ignored, does not count.
        if at - mailboxStart > Limits.pathBytes { throw .pathTooLong }
        return address
    }

    /// RFC 5321 §4.1.2, A-d-l: accepted and ignored (§3.6.1, appendix C).
    private mutating func sourceRoute() throws(PathProblem) {
        repeat {
            guard take(UInt8(ascii: "@")) else { throw .sourceRoute }
            _ = try domain()
        } while take(UInt8(ascii: ","))
        guard take(UInt8(ascii: ":")) else { throw .sourceRoute }
    }

    // MARK: Mailboxes

    mutating func mailbox() throws(PathProblem) -> Address {
        let start = at
        if next == UInt8(ascii: "\"") {
            try quotedString()
        } else {
            try dotString()
        }
        // RFC 5321 §4.5.3.1.1
        if at - start > Limits.localPartBytes { throw .localPartTooLong }
        let localPart = text(from: start)
        guard take(UInt8(ascii: "@")) else {
            if let byte = next, byte >= 0x80 { throw .nonASCII }
            throw next == nil || next == UInt8(ascii: ">") ? .missingDomain : .localPart
        }
        let isLiteral = next == UInt8(ascii: "[")
        return Address(
            localPart: localPart,
            domain: isLiteral ? try addressLiteral() : try domain()
        )
    }

    private mutating func dotString() throws(PathProblem) {
        repeat {
            let start = at
            while let byte = next {
                if Self.isAtext(byte) {
                    at += 1
                } else if try !takeBeyondASCII() {
                    break
                }
            }
            if at == start { throw .localPart }
        } while take(dot)
    }

    private mutating func quotedString() throws(PathProblem) {
        at += 1
        while let byte = next {
            at += 1
            switch byte {
            case UInt8(ascii: "\""): return
            case UInt8(ascii: "\\"):
                guard let escaped = next, (0x20...0x7e).contains(escaped) else { throw .localPart }
                at += 1
            case 0x20...0x7e: break
            case 0x80...:
                at -= 1
                _ = try takeBeyondASCII()
            default: throw .localPart
            }
        }
        throw .localPart
    }

    /// Sub-domains of letters, digits, inner hyphens; underscores are taken for letters, since
    /// hosts with them send mail.
    mutating func domain() throws(PathProblem) -> Domain {
        let start = at
        repeat {
            let label = at
            var isASCII = true
            while let byte = next {
                if Self.isAlphanumeric(byte) || byte == 0x2d || byte == 0x5f {
                    at += 1
                } else if try takeBeyondASCII() {
                    isASCII = false
                } else {
                    break
                }
            }
            // RFC 1035 §2.3.4: labels of 63 octets or less; of U-labels that is the A-label's.
            guard at > label, bytes[label] != 0x2d, bytes[at - 1] != 0x2d,
                at - label <= 63 || !isASCII
            else { throw .domain }
        } while take(dot)
        // RFC 5321 §4.5.3.1.2
        if at - start > Limits.domainBytes { throw .domainTooLong }
        return Domain(text(from: start))
    }

    /// RFC 5321 §4.1.3: IPv4 or IPv6; the general form has no registered tag and is refused.
    private mutating func addressLiteral() throws(PathProblem) -> Domain {
        let start = at
        while let byte = next, byte != UInt8(ascii: "]"), byte > 0x20, byte < 0x7f { at += 1 }
        guard take(UInt8(ascii: "]")) else { throw .literal }
        let domain = Domain(text(from: start))
        if domain.literalAddress == nil { throw .literal }
        return domain
    }

    // MARK: Parameters

    /// RFC 5321 §4.1.2: `*(SP esmtp-param)` up to the end; nil when malformed.
    mutating func parameters() -> [ESMTPParameter]? {
        var parameters: [ESMTPParameter] = []
        while !isAtEnd {
            guard take(0x20) else { return nil }
            skipSpaces()
            if isAtEnd { break }
            let start = at
            while let byte = next, Self.isAlphanumeric(byte) || byte == 0x2d { at += 1 }
            guard at > start, bytes[start] != 0x2d else { return nil }
            let keyword = String(decoding: bytes[start..<at].map(Self.upper), as: UTF8.self)
            var value: String?
            if take(UInt8(ascii: "=")) {
                let start = at
                while let byte = next {
                    if (0x21...0x7e).contains(byte), byte != UInt8(ascii: "=") {
                        at += 1
                    } else if (try? takeBeyondASCII()) != true {
                        break
                    }
                }
                guard at > start else { return nil }
                value = text(from: start)
            }
            parameters.append(ESMTPParameter(keyword: keyword, value: value))
        }
        return parameters
    }

    /// RFC 3030 §2: `chunk-size [SP "LAST"]` up to the end; nil when malformed.
    mutating func chunk() -> Chunk? {
        let start = at
        while let byte = next, byte >= 0x30, byte <= 0x39 { at += 1 }
        // Of 20 digits some are no `Int`, and none that is more than the limit counts.
        guard (1...20).contains(at - start), let octets = Int(text(from: start)),
            octets <= Limits.chunkBytes
        else { return nil }
        if isAtEnd { return Chunk(octets: octets, isLast: false) }
        guard next == 0x20 else { return nil }
        skipSpaces()
        guard takeWord("LAST"), isAtEnd else { return nil }
        return Chunk(octets: octets, isLast: true)
    }

    // MARK: Characters

    /// Takes one character beyond ASCII, where they may stand; false when none is next.
    private mutating func takeBeyondASCII() throws(PathProblem) -> Bool {
        guard let byte = next, byte >= 0x80 else { return false }
        guard allowsUTF8 else { throw .nonASCII }
        let count = Self.characterBytes(bytes, at)
        if count == 0 { throw .notUTF8 }
        at += count
        return true
    }

    /// Bytes of the well-formed UTF-8 character beyond ASCII at `at` (RFC 3629 §4); 0 for anything
    /// else, and for the control characters U+0080 to U+009F.
    static func characterBytes(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> Int {
        let (count, second): (Int, ClosedRange<UInt8>) =
            switch bytes[at] {
            case 0xc2: (2, 0xa0...0xbf)
            case 0xc3...0xdf: (2, 0x80...0xbf)
            case 0xe0: (3, 0xa0...0xbf)
            case 0xed: (3, 0x80...0x9f)
            case 0xe1...0xef: (3, 0x80...0xbf)
            case 0xf0: (4, 0x90...0xbf)
            case 0xf1...0xf3: (4, 0x80...0xbf)
            case 0xf4: (4, 0x80...0x8f)
            default: (0, 0...0)
            }
        guard count > 0, at + count <= bytes.count, second.contains(bytes[at + 1]),
            bytes[(at + 2)..<(at + count)].allSatisfy({ $0 & 0xc0 == 0x80 })
        else { return 0 }
        return count
    }

    static func upper(_ byte: UInt8) -> UInt8 {
        byte >= 0x61 && byte <= 0x7a ? byte & 0xdf : byte
    }

    static func isAlphanumeric(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        default: false
        }
    }

    /// RFC 5322 §3.2.3.
    static func isAtext(_ byte: UInt8) -> Bool {
        if isAlphanumeric(byte) { return true }
        switch byte {
        case UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"),
            UInt8(ascii: "&"), UInt8(ascii: "'"), UInt8(ascii: "*"), UInt8(ascii: "+"),
            UInt8(ascii: "-"), UInt8(ascii: "/"), UInt8(ascii: "="), UInt8(ascii: "?"),
            UInt8(ascii: "^"), UInt8(ascii: "_"), UInt8(ascii: "`"), UInt8(ascii: "{"),
            UInt8(ascii: "|"), UInt8(ascii: "}"), UInt8(ascii: "~"):
            return true
        default: return false
        }
    }

    /// Printable, and none of RFC 5322's specials but the dot: safe as it is in a Received field.
    static func isHelloCharacter(_ byte: UInt8) -> Bool { isAtext(byte) || byte == dot }
}
