// Writes the Received field of RFC 5321 §4.4 straight into the header block:
//
//     Received: from client.example ([192.0.2.1])
//      by relay.example with ESMTP id 0QZ4…
//      for <user@example.org>; Sat, 21 Nov 2026 02:07:58 +0000
//
// It is written for every message, so it works on bytes and makes no strings on its way.

import EkidenMail

/// Appends clauses to a header block and starts a new line before one that would pass column 78.
struct FieldWriter: ~Copyable {
    // RFC 5322 §2.1.1: lines should be no longer than 78 characters.
    private static let columns = 78

    var out: BytesBuilder
    private var column = 0

    init(_ out: consuming BytesBuilder) { self.out = out }

    mutating func begin(_ name: StaticString) {
        out.append(name)
        column = name.utf8CodeUnitCount
    }

    /// Adds a clause of `count` bytes after a space, or on a new line where it would not fit.
    mutating func clause(
        _ count: Int,
        onNewLine: Bool = false,
        _ write: (inout BytesBuilder) -> Void
    ) {
        if onNewLine || column + 1 + count > Self.columns {
            out.append("\r\n")
            column = 0
        }
        out.append(byte: 0x20)
        let before = out.count
        write(&out)
        column += 1 + out.count - before
    }

    mutating func clause(_ word: StaticString, _ text: [UInt8], onNewLine: Bool = false) {
        clause(word.utf8CodeUnitCount + text.count, onNewLine: onNewLine) {
            $0.append(word)
            $0.append(contentsOf: text)
        }
    }

    /// A delimiter that belongs to the clause before it.
    mutating func mark(_ text: StaticString) {
        out.append(text)
        column += text.utf8CodeUnitCount
    }

    mutating func end() { out.append("\r\n") }
}

extension FieldWriter {
    mutating func received(_ facts: ReceivedFacts) {
        begin("Received:")
        if let client = facts.client {
            let literal = Array(client.literal.utf8)
            // The literal stands for a client that gave no name (RFC 5321 §4.4, From-domain).
            clause("from ", facts.helo.isEmpty ? literal : domainBytes(facts.helo))
            // RFC 5321 §4.4, TCP-info: the name the DNS has for the address, and the address.
            let name = facts.clientName.map { domainBytes($0) + [0x20] } ?? []
            clause(name.count + literal.count + 2) {
                $0.append(byte: UInt8(ascii: "("))
                $0.append(contentsOf: name)
                $0.append(contentsOf: literal)
                $0.append(byte: UInt8(ascii: ")"))
            }
        }
        clause("by ", domainBytes(facts.byHost), onNewLine: facts.client != nil)
        // RFC 3848, RFC 6531 §4.3: the words of the `with` clause.
        switch facts.inboundProtocol {
        case .esmtp where facts.smtpUTF8: clause("with UTF8SMTP", [])
        case .esmtps where facts.smtpUTF8: clause("with UTF8SMTPS", [])
        case .esmtpa where facts.smtpUTF8: clause("with UTF8SMTPA", [])
        case .esmtpsa where facts.smtpUTF8: clause("with UTF8SMTPSA", [])
        case .smtp: clause("with SMTP", [])
        case .esmtp: clause("with ESMTP", [])
        case .local: clause("with local", [])
        case .esmtps: clause("with ESMTPS", [])
        case .esmtpa: clause("with ESMTPA", [])
        case .esmtpsa: clause("with ESMTPSA", [])
        }
        // A comment, which RFC 5321 §4.4 allows between clauses.
        if let tls = facts.tls { clause("", comment(tls)) }
        let id = facts.id.number
        clause(16) { out in
            out.append("id ")
            QueueIDText.write(id, to: &out)
        }
        if let recipient = facts.forRecipient, let path = plainPath(recipient) {
            clause("for ", path, onNewLine: true)
        }
        mark(";")
        let date = facts.date
        clause(31) { MailDate.write(date, to: &$0) }
        end()
    }

    mutating func dateField(_ date: WallTime) {
        begin("Date:")
        clause(31) { MailDate.write(date, to: &$0) }
        end()
    }

    mutating func messageIDField(_ id: String) {
        begin("Message-ID:")
        clause("", Array(id.utf8))
        end()
    }
}

/// Words in parentheses.
private func comment(_ text: String) -> [UInt8] {
    let words = text.split(separator: " ").map { domainBytes(String($0)) }
    return [UInt8(ascii: "(")] + words.joined(separator: [0x20]) + [UInt8(ascii: ")")]
}

/// A host name fit for a header: what could break the field's syntax becomes `?`. The grammar let
/// only harmless names through; this holds even where a lenient network's rule did not.
private func domainBytes(_ name: String) -> [UInt8] {
    name.utf8.prefix(Limits.domainBytes).map { byte in
        switch byte {
        case UInt8(ascii: "("), UInt8(ascii: ")"), UInt8(ascii: ";"), UInt8(ascii: "\\"),
            UInt8(ascii: "\""), 0...0x20, 0x7f...0xff:
            UInt8(ascii: "?")
        default: byte
        }
    }
}

/// `<local@domain>`, or nil where it could not stand in a header as it is.
private func plainPath(_ address: Address) -> [UInt8]? {
    let text = Array(address.text.utf8)
    guard text.allSatisfy({ $0 >= 0x20 && $0 < 0x7f }) else { return nil }
    return [UInt8(ascii: "<")] + text + [UInt8(ascii: ">")]
}

enum QueueIDText {
    private static let alphabet: StaticString = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

    /// The 13 characters of `QueueID.text`.
    static func write(_ number: UInt64, to out: inout BytesBuilder) {
        let room = out.tail(13)
        for i in 0..<13 {
            let digit = Int(truncatingIfNeeded: number >> UInt64(60 - 5 * i)) & 31
            room[i] = alphabet.utf8Start[digit]
        }
        out.advance(13)
    }
}

enum MailDate {
    private static let weekdays: StaticString = "SunMonTueWedThuFriSat"
    private static let months: StaticString = "JanFebMarAprMayJunJulAugSepOctNovDec"

    /// The date-time of RFC 5322 §3.3 in UTC, as `WallTime.mailDate`: 30 or 31 bytes.
    static func write(_ date: WallTime, to out: inout BytesBuilder) {
        let t = CivilTime(date)
        let room = out.tail(48)
        var at = 0
        func put(_ byte: UInt8) {
            room[at] = byte
            at += 1
        }
        func put(_ names: StaticString, _ index: Int) {
            for i in 0..<3 { put(names.utf8Start[index * 3 + i]) }
        }
        func put(_ value: Int, width: Int) {
            var divisor = 1
            for _ in 1..<width { divisor *= 10 }
            while divisor > 0 {
                put(UInt8(0x30 + value / divisor % 10))
                divisor /= 10
            }
        }
        put(weekdays, t.weekday)
        put(UInt8(ascii: ","))
        put(0x20)
        put(t.day, width: t.day < 10 ? 1 : 2)
        put(0x20)
        put(months, t.month - 1)
        put(0x20)
        put(t.year, width: 4)
        put(0x20)
        put(t.hour, width: 2)
        put(UInt8(ascii: ":"))
        put(t.minute, width: 2)
        put(UInt8(ascii: ":"))
        put(t.second, width: 2)
        for byte in [0x20, 0x2b, 0x30, 0x30, 0x30, 0x30] as [UInt8] { put(byte) }
        out.advance(at)
    }
}
