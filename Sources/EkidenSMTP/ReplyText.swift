// A reply of ours as it goes over the wire (RFC 5321 §4.2.1, RFC 2034 §4). Called by the driver of
// a server session for every reply; whatever its text holds, what is written is well-formed lines.

import EkidenMail

extension Reply {
    /// RFC 5321 §4.5.3.1.5: a reply line with its CRLF.
    private static let lineBytesOnWire = 512
    /// `250 2.123.123 ` and CRLF.
    private static let headAndEndBytes = 18

    /// The reply with the rule that says no at the end of its last line, so that whoever gets it can
    /// say which it was; a text too long for both is cut.
    package func naming(_ rule: String) -> Reply {
        let suffix = " (\(rule))"
        var lines = lines
        var last = lines.removeLast()
        let room = Self.lineBytesOnWire - Self.headAndEndBytes - suffix.utf8.count
        var cut = last.utf8.prefix(room)
        // Not within a character.
        while String(cut) == nil { cut.removeLast() }
        last = String(cut) ?? ""
        return Reply(code, status, lines: lines + [last + suffix])
    }

    /// Appends the reply as lines with CRLF. The enhanced status stands on each line (RFC 2034
    /// §4); characters that are not printable ASCII become `?`; over-long lines are cut.
    package func write(into output: inout BytesBuilder) {
        for index in lines.indices {
            var line = lines[index]
            let isLast = index == lines.count - 1
            line.withUTF8 { text in
                let text = text.prefix(Self.lineBytesOnWire - Self.headAndEndBytes)
                writeHead(isLast: isLast, hasText: !text.isEmpty, into: &output)
                let isPrintable = text.allSatisfy { $0 >= 0x20 && $0 < 0x7f }
                if isPrintable {
                    output.append(UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: text)))
                } else {
                    output.append(contentsOf: text.map { $0 >= 0x20 && $0 < 0x7f ? $0 : 0x3f })
                }
            }
            output.append("\r\n")
        }
    }

    /// Code and status, with what parts them from the text.
    private func writeHead(isLast: Bool, hasText: Bool, into output: inout BytesBuilder) {
        let room = output.tail(32)
        var count = 0
        Self.write(code, into: room, at: &count)
        room[count] = isLast ? 0x20 : 0x2d
        count += 1
        if let status {
            Self.write(UInt16(status.category), into: room, at: &count)
            for part in [status.subject, status.detail] {
                room[count] = dot
                count += 1
                Self.write(part, into: room, at: &count)
            }
            if hasText {
                room[count] = 0x20
                count += 1
            }
        }
        output.advance(count)
    }

    private static func write(
        _ number: UInt16,
        into room: UnsafeMutableRawBufferPointer,
        at count: inout Int
    ) {
        var power: UInt16 = number >= 1000 ? 10_000 : 100
        while power > 0 {
            if power == 1 || number >= power {
                room[count] = UInt8(truncatingIfNeeded: number / power % 10) + 0x30
                count += 1
            }
            power /= 10
        }
    }

    /// The reply as `write` makes it.
    package var wire: Bytes {
        var output = BytesBuilder(capacity: 128)
        write(into: &output)
        return output.finish()
    }
}
