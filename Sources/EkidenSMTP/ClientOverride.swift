// XCLIENT (Postfix's XCLIENT_README): a configured peer, a proxy in front of us, says for whom it
// speaks. The argument is read here; who may say it, and what changes then, is the driver's part.

import EkidenMail

/// What XCLIENT said of the client.
package struct ClientOverride: Sendable, Equatable {
    /// nil: nothing was said. The unspecified address stands for one that is not known.
    package var address: HostAddress?
    package var port: UInt16?
    /// Empty: nobody logged in.
    package var login: String?

    /// As EHLO offers them. Of the others than these three the form is checked and no use made: the
    /// client says EHLO anew.
    static let attributes = "NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"

    private static let valueBytesMax = 255

    /// `name=xtext` pairs between spaces, each once, in any case; nil when malformed.
    init?(_ argument: UnsafeRawBufferPointer) {
        var known: Set<String> = []
        for word in argument.split(separator: 0x20) {
            guard let equals = word.firstIndex(of: UInt8(ascii: "=")) else { return nil }
            let name = String(decoding: word[..<equals], as: UTF8.self).asciiLowercased
            let text = String(decoding: word[(equals + 1)...], as: UTF8.self)
            guard known.insert(name).inserted, let value = Grammar.decodeXtext(text),
                (1...Self.valueBytesMax).contains(value.count),
                value.allSatisfy({ $0 >= 0x20 && $0 < 0x7f }),
                take(name, String(decoding: value, as: UTF8.self))
            else { return nil }
        }
        if known.isEmpty { return nil }
    }

    private mutating func take(_ name: String, _ value: String) -> Bool {
        let folded = value.asciiLowercased
        let isUnknown = folded == "[unavailable]" || folded == "[tempunavail]"
        switch name {
        case "addr":
            address = isUnknown ? .v4(0) : Self.address(folded)
            return address != nil
        case "port":
            port = isUnknown ? 0 : Self.port(value)
            return port != nil
        case "login":
            login = isUnknown ? "" : value
            return true
        case "name": return isUnknown || Grammar.isDomain(value)
        case "helo": return isUnknown || Self.isHelloArgument(value)
        case "proto": return folded == "smtp" || folded == "esmtp"
        case "destaddr": return isUnknown || Self.address(folded) != nil
        case "destport": return isUnknown || Self.port(value) != nil
        default: return false
        }
    }

    private static func address(_ text: String) -> HostAddress? {
        text.hasPrefix("ipv6:") ? HostAddress(text.dropFirst(5)) : HostAddress(text[...])
    }

    private static func port(_ text: String) -> UInt16? {
        text.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 } ? UInt16(text) : nil
    }

    private static func isHelloArgument(_ text: String) -> Bool {
        Array(text.utf8).withUnsafeBytes { Grammar.isHelloArgument($0) }
    }
}

extension ServerSession {
    mutating func override(_ argument: GrammarScanner) -> ServerEffect {
        guard let override = ClientOverride(argument.rest) else {
            let text = "XCLIENT takes NAME=value pairs of " + ClientOverride.attributes
            return reject(Reply(501, EnhancedStatus(5, 5, 4), text), ServerRule.syntax.rawValue)
        }
        return .becomeClient(override)
    }
}
