// Small pieces of report writing: clean text, folded fields, wrapped sentences, and looking up
// fields of the original header. Whatever comes from a peer or from the message is cleaned here
// before it stands in a line of ours.

import EkidenMail

enum ReportText {
    /// RFC 5322 §2.1.1.
    static let lineBytesMax = 998
    /// RFC 5322 §2.1.1: what lines should keep to.
    static let lineBytesWanted = 76

    /// Printable US-ASCII; everything else becomes `?`, so that no word of a peer can end a line,
    /// begin a field or need another charset.
    static func ascii(_ text: String) -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count)
        for byte in text.utf8 {
            switch byte {
            case 0x20...0x7e: bytes.append(byte)
            case 0x80...0xbf: break  // the rest of a character that has its `?`
            default: bytes.append(0x3f)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// What xtext stands for (RFC 3461 §4); nil when it is none.
    static func decodeXtext(_ text: String) -> String? {
        var decoded: [UInt8] = []
        var bytes = text.utf8.makeIterator()
        while let byte = bytes.next() {
            guard byte == UInt8(ascii: "+") else {
                decoded.append(byte)
                continue
            }
            guard let high = bytes.next(), let low = bytes.next(),
                let value = UInt8(String(decoding: [high, low], as: UTF8.self), radix: 16)
            else { return nil }
            decoded.append(value)
        }
        return ascii(String(decoding: decoded, as: UTF8.self))
    }

    /// `Name: value` with CRLF, folded at spaces to the wanted length where there are spaces, and
    /// cut into pieces where a word alone would break the law's limit (RFC 5322 §2.2.3).
    static func field(_ name: String, _ value: String) -> String {
        name + ": "
            + wrap(ascii(value), first: name.utf8.count + 2, continuation: " ")
            .joined(separator: "\r\n") + "\r\n"
    }

    /// Breaks text at spaces into lines; lines after the first begin with `continuation`.
    /// - first: columns already taken on the first line.
    static func wrap(_ text: String, first: Int = 0, continuation: String = "") -> [String] {
        let pieces = text.utf8.split(separator: 0x20).flatMap { word in
            // Only a word that can't stand in a legal line is cut.
            stride(from: 0, to: word.count, by: 900).map { at in
                String(decoding: Array(word.dropFirst(at).prefix(900)), as: UTF8.self)
            }
        }
        var lines: [String] = []
        var line = ""
        var used = first
        for piece in pieces {
            let room = line.isEmpty || line == continuation ? 0 : 1
            if used + room + piece.utf8.count > lineBytesWanted, !line.isEmpty, line != continuation
            {
                lines.append(line)
                line = continuation + piece
                used = line.utf8.count
            } else {
                line += (room == 1 ? " " : "") + piece
                used += room + piece.utf8.count
            }
        }
        lines.append(line)
        return lines
    }

    /// The value of the first field of that name, unfolded, trimmed and clean; nil when there is
    /// none. Looks at no more than 998 characters of it.
    static func value(of name: String, in header: Bytes) -> String? {
        let wanted = Array(name.asciiLowercased.utf8)
        return header.pointer.withMemoryRebound(to: UInt8.self) { bytes in
            var i = 0
            while i < bytes.count {
                let end = lineEnd(bytes, i)
                if matches(bytes, i, end, wanted) {
                    return unfold(bytes, from: i + wanted.count)
                }
                i = end + 1
            }
            return nil
        }
    }

    /// Index of the line feed that ends the line at `start`, or the end of the bytes.
    private static func lineEnd(_ bytes: UnsafeBufferPointer<UInt8>, _ start: Int) -> Int {
        var i = start
        while i < bytes.count, bytes[i] != 0x0a { i += 1 }
        return i
    }

    private static func matches(
        _ bytes: UnsafeBufferPointer<UInt8>,
        _ start: Int,
        _ end: Int,
        _ name: [UInt8]
    ) -> Bool {
        guard end - start > name.count else { return false }
        for (i, wanted) in name.enumerated() {
            let byte = bytes[start + i]
            let lower = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte
            if lower != wanted { return false }
        }
        var i = start + name.count
        // RFC 5322 §4.5: obsolete syntax allows blanks before the colon.
        while i < end, bytes[i] == 0x20 || bytes[i] == 0x09 { i += 1 }
        return i < end && bytes[i] == UInt8(ascii: ":")
    }

    private static func unfold(_ bytes: UnsafeBufferPointer<UInt8>, from start: Int) -> String {
        var i = start
        while i < bytes.count, bytes[i] != UInt8(ascii: ":") { i += 1 }
        i += 1
        var value: [UInt8] = []
        while i < bytes.count, value.count < lineBytesMax {
            let byte = bytes[i]
            if byte == 0x0a {
                guard i + 1 < bytes.count, bytes[i + 1] == 0x20 || bytes[i + 1] == 0x09 else {
                    break
                }
            } else if byte == 0x09 {
                value.append(0x20)
            } else if byte != 0x0d {
                value.append(byte)
            }
            i += 1
        }
        let text = ascii(String(decoding: value, as: UTF8.self))
        return String(text.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }

    /// The message ids of a References or Message-ID value: `<…>` without blanks inside.
    static func messageIDs(_ value: String?) -> [String] {
        guard let value else { return [] }
        return value.split(separator: " ").map(String.init).filter {
            $0.hasPrefix("<") && $0.hasSuffix(">") && $0.utf8.count > 2 && $0.utf8.count < 400
                && !$0.dropFirst().dropLast().contains { $0 == "<" || $0 == ">" }
        }
    }

    /// What is seen of the finished bytes, as intake would see it.
    static func facts(header: Bytes, body: Bytes) -> MessageFacts {
        var facts = MessageFacts()
        for (part, isHeader) in [(header, true), (body, false)] {
            var length = 0
            for byte in part.pointer {
                if byte == 0x0a {
                    facts.lines += 1
                    facts.longestLineBytes = max(facts.longestLineBytes, length - 1)
                    length = 0
                    continue
                }
                if length == 0, byte == UInt8(ascii: ".") { facts.hasLeadingDot = true }
                if byte >= 0x80 {
                    if isHeader {
                        facts.headerHasEightBit = true
                    } else {
                        facts.bodyHasEightBit = true
                    }
                }
                length += 1
            }
        }
        return facts
    }
}
