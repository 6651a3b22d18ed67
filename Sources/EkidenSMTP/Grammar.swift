// The grammar of command arguments (RFC 5321 §4.1.2, §4.1.3): paths, mailboxes, domains, address
// literals, parameters, the argument of EHLO. Called by `ServerSession` for what clients say, and
// by whoever reads addresses elsewhere. Strict where the RFC is, with its deviations listed in
// docs/SMTP.md: underscores in domains, white space behind the colon of MAIL and RCPT.

import EkidenMail

/// What is wrong with a path or mailbox.
package enum PathProblem: String, Error, Sendable, Equatable {
    case missingBrackets = "address must stand between < and >"
    case missingDomain = "address lacks its @domain"
    case localPart = "part before the @ is malformed"
    case localPartTooLong = "part before the @ is longer than 64 characters"
    case domain = "domain is malformed"
    case domainTooLong = "domain is longer than 255 characters"
    case literal = "address literal is malformed"
    case pathTooLong = "address is longer than 256 characters"
    case sourceRoute = "source route is malformed"
    case nonASCII = "address has characters beyond ASCII, which need SMTPUTF8"
    case notUTF8 = "address is not valid UTF-8"
    case nullRecipient = "a recipient can't be <>"
}

/// One ESMTP parameter of MAIL or RCPT.
package struct ESMTPParameter: Sendable, Equatable {
    /// Upper case.
    package let keyword: String
    package let value: String?
}

/// The recipient of RCPT.
package enum RecipientPath: Sendable, Equatable {
    case address(Address)
    /// `<Postmaster>` without a domain, in any case (RFC 5321 §4.1.1.3, §4.5.1).
    case postmaster

    /// What stands between the angle brackets.
    package var text: String {
        switch self {
        case .address(let address): address.text
        case .postmaster: "postmaster"
        }
    }
}

package enum Grammar {
    /// A whole `Mailbox`: `local@domain`; nil for anything else.
    /// - Parameter allowsUTF8: beyond ASCII, too (RFC 6531 §3.3).
    package static func mailbox(_ text: String, allowsUTF8: Bool = false) -> Address? {
        parse(text) { (scanner: inout GrammarScanner) throws(PathProblem) in
            scanner.allowsUTF8 = allowsUTF8
            let address = try scanner.mailbox()
            return scanner.isAtEnd ? address : nil
        }
    }

    /// True for a `Domain` (no literal).
    package static func isDomain(_ text: String, allowsUTF8: Bool = false) -> Bool {
        parse(text) { (scanner: inout GrammarScanner) throws(PathProblem) in
            scanner.allowsUTF8 = allowsUTF8
            _ = try scanner.domain()
            return scanner.isAtEnd ? true : nil
        } ?? false
    }

    /// True for what EHLO or HELO may say of the client: more than a domain or literal, since the
    /// command must not fail for a name that proves wrong (RFC 5321 §4.1.4), but nothing that could
    /// be misread in a Received field.
    static func isHelloArgument(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard (1...Limits.domainBytes).contains(bytes.count) else { return false }
        if bytes[0] == UInt8(ascii: "[") {
            guard bytes[bytes.count - 1] == UInt8(ascii: "]") else { return false }
            let inner = String(decoding: bytes[1..<(bytes.count - 1)], as: UTF8.self)
            let isTagged = inner.asciiLowercased.hasPrefix("ipv6:")
            return HostAddress(isTagged ? inner.dropFirst(5) : inner[...]) != nil
        }
        return bytes.allSatisfy(GrammarScanner.isHelloCharacter)
    }

    /// Decodes `xtext` (RFC 3461 §4): `+` and two upper-case hexadecimal digits stand for a byte,
    /// `!`…`~` but `+` and `=` for themselves. nil for anything else.
    package static func decodeXtext(_ text: String) -> [UInt8]? {
        var decoded: [UInt8] = []
        var bytes = text.utf8.makeIterator()
        while let byte = bytes.next() {
            switch byte {
            case UInt8(ascii: "+"):
                guard let high = bytes.next().flatMap(hexValue),
                    let low = bytes.next().flatMap(hexValue)
                else { return nil }
                decoded.append(high << 4 | low)
            case UInt8(ascii: "="): return nil
            case 0x21...0x7e: decoded.append(byte)
            default: return nil
            }
        }
        return decoded
    }

    /// Encodes bytes as `xtext`.
    package static func encodeXtext(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var encoded: [UInt8] = []
        for byte in bytes {
            if (0x21...0x7e).contains(byte), byte != UInt8(ascii: "+"), byte != UInt8(ascii: "=") {
                encoded.append(byte)
            } else {
                encoded += [UInt8(ascii: "+"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: encoded, as: UTF8.self)
    }

    private static func hexValue(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    private static func parse<Value>(
        _ text: String,
        _ body: (inout GrammarScanner) throws(PathProblem) -> Value?
    ) -> Value? {
        Array(text.utf8).withUnsafeBytes { bytes in
            var scanner = GrammarScanner(bytes)
            return try? body(&scanner)
        }
    }
}
