// The third part of a report: the message as it came when it is small and can travel inside
// another, else its header fields.

import EkidenMail

/// What of the original goes back to its sender.
struct ReturnedContent {
    /// `message/rfc822` or `text/rfc822-headers` (RFC 6522 §3); where the header is UTF-8 and the report
    /// may be, `message/global` or `message/global-headers` (RFC 6533 §4).
    let part: ReportPart

    /// Header fields returned when the message is not; the rest is cut at a line's end.
    private static let headerBytesMax = 32_768

    /// - Parameter allowsEightBit: of a message in 8 bits that is no UTF-8 one: such can't be encoded
    ///   (RFC 2046 §5.2.1).
    init(
        header: Bytes,
        body: Bytes?,
        wholeBytesMax: Int,
        allowsEightBit: Bool,
        charset: ReportCharset
    ) {
        let isGlobal = charset != .ascii && Self.isUTF8(header) && Self.hasEightBit(header)
        if let body, header.count + body.count <= wholeBytesMax,
            let whole = Self.whole(header, body),
            allowsEightBit || isGlobal || !Self.hasEightBit(whole)
        {
            let type = isGlobal ? "message/global" : "message/rfc822"
            part = ReportPart(
                ("message/rfc822", type),
                "The message",
                whole,
                // What is no UTF-8 message goes as it is, or not at all.
                isGlobal ? charset : .ascii
            )
        } else {
            part = ReportPart(
                ("text/rfc822-headers", "message/global-headers"),
                "Its header",
                Self.fields(of: header, asUTF8: isGlobal),
                charset
            )
        }
    }

    private static func isUTF8(_ bytes: Bytes) -> Bool {
        String(validating: bytes.pointer, as: UTF8.self) != nil
    }

    /// Header and body as one; nil when they can't stand inside a message unchanged: lines over
    /// 998 bytes, NUL, bare CR or LF (RFC 2046 §5.2.1 allows no encoding that would hide them).
    private static func whole(_ header: Bytes, _ body: Bytes) -> Bytes? {
        var builder = BytesBuilder(capacity: header.count + body.count + 2)
        builder.append(header)
        builder.append(body)
        var length = 0
        var previous: UInt8 = 0
        for byte in builder.pointer {
            if byte == 0 || (previous == 0x0d) != (byte == 0x0a) { return nil }
            if byte == 0x0a {
                length = 0
            } else {
                if byte != 0x0d { length += 1 }
                if length > ReportText.lineBytesMax { return nil }
            }
            previous = byte
        }
        if previous == 0x0d { return nil }
        if previous != 0x0a, builder.count > 0 { builder.append("\r\n") }
        return builder.finish()
    }

    private static func hasEightBit(_ bytes: Bytes) -> Bool {
        bytes.pointer.contains { $0 >= 0x80 }
    }

    /// The fields as lines of legal length; for reading, not for verifying.
    /// - Parameter asUTF8: the header is UTF-8, and may be returned so; else in ASCII.
    private static func fields(of header: Bytes, asUTF8: Bool) -> Bytes {
        var builder = BytesBuilder(capacity: min(header.count, headerBytesMax) + 64)
        for line in header.pointer.split(separator: 0x0a) {
            var text = line.last == 0x0d ? line.dropLast() : line
            if text.isEmpty { continue }
            let isLong = text.count > ReportText.lineBytesMax
            if isLong {
                var end = ReportText.lineBytesMax - 4
                // Not within a character.
                while asUTF8, text[text.startIndex + end] & 0xc0 == 0x80 { end -= 1 }
                text = text.prefix(end)
            }
            if builder.count + text.count > headerBytesMax { break }
            for byte in text {
                let isPlain =
                    byte == 0x09 || (byte >= 0x20 && byte <= 0x7e) || asUTF8 && byte >= 0x80
                builder.append(byte: isPlain ? byte : 0x3f)
            }
            if isLong { builder.append(" ...") }
            builder.append("\r\n")
        }
        return builder.finish()
    }
}
