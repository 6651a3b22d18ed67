// What a peer's EHLO answer offers (RFC 5321 §4.1.1.1), read once and kept as facts. Keywords come
// in any case; unknown ones are ignored.

import EkidenMail

package struct Extensions: Sendable, Equatable {
    /// RFC 2920.
    package var pipelining = false
    /// RFC 6152.
    package var eightBitMIME = false
    /// RFC 2034.
    package var enhancedStatusCodes = false
    /// RFC 6531.
    package var smtpUTF8 = false
    /// RFC 3461.
    package var dsn = false
    /// RFC 3030.
    package var chunking = false
    /// RFC 3207.
    package var startTLS = false
    /// RFC 8689.
    package var requireTLS = false
    /// RFC 4954: mechanisms, in upper case.
    package var auth: [String] = []
    /// RFC 1870: SIZE is offered.
    package var size = false
    /// The largest message the peer takes, in bytes; nil when it named none (or 0: no limit).
    package var messageBytes: Int?
    /// RFC 9422 §4: RCPT commands in a transaction, MAIL commands in a session, and different domains
    /// of recipients in a session; nil where the peer does not say.
    package var recipientsMax: Int?
    package var messagesMax: Int?
    package var recipientDomainsMax: Int?

    /// None: what HELO gives.
    package init() {}

    /// - Parameter reply: the 250 to EHLO; its first line is the peer's name.
    package init(_ reply: Reply) {
        for line in reply.lines.dropFirst() {
            let words = line.split(separator: " ").map { String($0).asciiLowercased }
            guard let keyword = words.first else { continue }
            switch keyword {
            case "pipelining": pipelining = true
            case "8bitmime": eightBitMIME = true
            case "enhancedstatuscodes": enhancedStatusCodes = true
            case "smtputf8": smtpUTF8 = true
            case "dsn": dsn = true
            case "chunking": chunking = true
            case "starttls": startTLS = true
            case "requiretls": requireTLS = true
            case "auth": auth = words.dropFirst().map { Self.upper($0) }
            case "size":
                size = true
                // RFC 1870 §3: 0 or nothing is no fixed limit; so is what can't be read.
                messageBytes = words.count > 1 ? Self.positive(words[1]) : nil
            case "limits": readLimits(words.dropFirst())
            default: break
            }
        }
    }

    private static func upper(_ word: String) -> String {
        String(decoding: word.utf8.map(GrammarScanner.upper), as: UTF8.self)
    }

    private mutating func readLimits(_ words: ArraySlice<String>) {
        for word in words {
            let parts = word.split(separator: "=", maxSplits: 1)
            guard parts.count == 2, let value = Self.limit(parts[1]) else { continue }
            switch parts[0] {
            case "rcptmax": recipientsMax = value
            case "mailmax": messagesMax = value
            case "rcptdomainmax": recipientDomainsMax = value
            default: break
            }
        }
    }

    /// RFC 9422 §4: up to six digits, the first of them not 0. What is not so is passed over (§3).
    private static func limit(_ text: Substring) -> Int? {
        text.utf8.count <= 6 && text.utf8.first != 0x30 ? positive(String(text)) : nil
    }

    /// The limits that a transaction has to keep, as the peer writes them.
    var limitsText: String {
        let limits = [("RCPTMAX", recipientsMax), ("RCPTDOMAINMAX", recipientDomainsMax)]
        return limits.compactMap { name, value in value.map { "\(name)=\($0)" } }
            .joined(separator: " ")
    }

    private static func positive(_ text: String) -> Int? {
        guard text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let value = Int(text), value > 0
        else { return nil }
        return value
    }
}
