// Quoted-printable of text, line by line (RFC 2045 §6.7).

import EkidenMail

package enum QuotedPrintable {
    /// RFC 2045 §6.7 (5): an encoded line has at most 76 characters, a soft line break's `=` included.
    static let lineBytesMax = 76

    /// - Parameter text: lines that end in CRLF; other CR and LF are data.
    package static func encode(_ text: Bytes) -> Bytes {
        var out = BytesBuilder(capacity: text.count + text.count / 4)
        let input = text.pointer
        var start = 0
        while start < input.count {
            var end = start
            while end < input.count, !isLineEnd(input, end) { end += 1 }
            encode(UnsafeRawBufferPointer(rebasing: input[start..<end]), into: &out)
            if end < input.count { out.append("\r\n") }
            start = end + 2
        }
        return out.finish()
    }

    private static func isLineEnd(_ input: UnsafeRawBufferPointer, _ index: Int) -> Bool {
        index + 1 < input.count && input[index] == 0x0d && input[index + 1] == 0x0a
    }

    /// Appends a line of text, given without its CRLF, as one or more lines, the last of them without
    /// CRLF. No line of them begins with `--`, so that none can be taken for a boundary, wherever the
    /// soft line breaks fall.
    static func encode(_ line: UnsafeRawBufferPointer, into out: inout BytesBuilder) {
        // A byte becomes three characters at the most, and only a line of 73 or more is broken.
        let characters = line.count * 3
        let room = out.tail(characters + characters / (lineBytesMax - 3) * 3)
        var end = 0
        var column = 0
        for index in line.indices {
            let byte = line[index]
            let isLast = index + 1 == line.count
            let isDash = byte == UInt8(ascii: "-")
            var isLiteral = isLiteral(byte, isLast: isLast)
            if isDash, column == 0 { isLiteral = !beginsLikeBoundary(line, index) }
            // Unless it is the last, a character leaves room for the `=`.
            if column + (isLiteral ? 1 : 3) > (isLast ? lineBytesMax : lineBytesMax - 1) {
                room[end] = UInt8(ascii: "=")
                room[end + 1] = 0x0d
                room[end + 2] = 0x0a
                end += 3
                column = 0
                if isDash { isLiteral = !beginsLikeBoundary(line, index) }
            }
            if isLiteral {
                room[end] = byte
                end += 1
                column += 1
            } else {
                room[end] = UInt8(ascii: "=")
                room[end + 1] = hex(byte >> 4)
                room[end + 2] = hex(byte & 15)
                end += 3
                column += 3
            }
        }
        out.advance(end)
    }

    private static func isLiteral(_ byte: UInt8, isLast: Bool) -> Bool {
        switch byte {
        // §6.7 (2)
        case 33...60, 62...126: true
        // §6.7 (3): not at the end of a line, where it might be taken away.
        case 0x20, 0x09: !isLast
        default: false
        }
    }

    private static func beginsLikeBoundary(_ line: UnsafeRawBufferPointer, _ index: Int) -> Bool {
        index + 1 < line.count && line[index + 1] == UInt8(ascii: "-")
    }

    /// §6.7 (1): upper case.
    private static func hex(_ digit: UInt8) -> UInt8 {
        digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "A") + digit - 10
    }
}
