// A reply of ours as it goes over the wire (RFC 5321 §4.2.1, RFC 2034 §4). Called by the driver of
// a server session for every reply; whatever its text holds, what is written is well-formed lines.

import EkidenMail

extension Reply {
    /// RFC 5321 §4.5.3.1.5: a reply line with its CRLF.
    private static let lineBytesOnWire = 512

    /// Appends the reply as lines with CRLF. The enhanced status stands on each line (RFC 2034
    /// §4); characters that are not printable ASCII become `?`; over-long lines are cut.
    package func write(into output: inout BytesBuilder) {
        for (index, line) in lines.enumerated() {
            let isLast = index == lines.count - 1
            // "250 2.1.0 " at most 16 bytes, CRLF 2
            output.append(text: "\(code)\(isLast ? " " : "-")")
            if let status {
                output.append(text: status.text)
                if !line.isEmpty { output.append(byte: 0x20) }
            }
            var room = Self.lineBytesOnWire - 18
            for byte in line.utf8 where room > 0 {
                output.append(byte: byte >= 0x20 && byte < 0x7f ? byte : 0x3f)
                room -= 1
            }
            output.append("\r\n")
        }
    }

    /// The reply as `write` makes it.
    package var wire: Bytes {
        var output = BytesBuilder(capacity: 128)
        write(into: &output)
        return output.finish()
    }
}
