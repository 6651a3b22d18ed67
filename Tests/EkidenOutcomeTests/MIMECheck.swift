// A second reader of what the composer writes: a strict little MIME parser, sharing no code with
// it. It refuses what a careful receiver would refuse.

import EkidenMail

struct MIMEPart {
    var fields: [(name: String, value: String)]
    var body: [UInt8]

    func value(_ name: String) -> String? { fields.first { $0.name == name.lowercased() }?.value }
    var text: String { String(decoding: body, as: UTF8.self) }

    /// Blocks of fields, as in message/delivery-status.
    var blocks: [[(name: String, value: String)]] {
        text.components(by: "\r\n\r\n").map { MIMECheck.fields($0) }
    }
}

enum MIMECheck {
    /// What is wrong with the lines of a message; empty when nothing is.
    static func complaints(_ bytes: [UInt8], eightBitAllowed: Bool) -> [String] {
        var complaints: [String] = []
        var length = 0
        var previous: UInt8 = 0
        for byte in bytes {
            if byte == 0x0a, previous != 0x0d { complaints.append("bare LF") }
            if previous == 0x0d, byte != 0x0a { complaints.append("bare CR") }
            if byte == 0 { complaints.append("NUL") }
            if byte >= 0x80, !eightBitAllowed { complaints.append("8-bit") }
            length = byte == 0x0a ? 0 : length + 1
            if length > 999 { complaints.append("line over 998 bytes") }
            previous = byte
        }
        if previous != 0x0a { complaints.append("no CRLF at the end") }
        return complaints
    }

    static func fields(_ text: String) -> [(name: String, value: String)] {
        var fields: [(name: String, value: String)] = []
        for line in text.components(by: "\r\n") where !line.isEmpty {
            if line.first == " " || line.first == "\t" {
                if !fields.isEmpty { fields[fields.count - 1].value += line }
            } else if let colon = line.firstIndex(of: ":") {
                let value = line[line.index(after: colon)...].drop { $0 == " " }
                fields.append((String(line[..<colon]).lowercased(), String(value)))
            } else {
                fields.append(("!malformed", line))
            }
        }
        return fields
    }

    static func part(_ bytes: [UInt8]) -> MIMEPart {
        let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) ?? bytes.count..<bytes.count
        return MIMEPart(
            fields: fields(String(decoding: bytes[..<end.lowerBound], as: UTF8.self)),
            body: Array(bytes[end.upperBound...])
        )
    }

    /// The parts of a multipart body; nil when its frame is broken.
    static func parts(_ message: MIMEPart) -> [MIMEPart]? {
        guard let type = message.value("content-type"),
            let quoted = type.components(by: "boundary=\"").last?.components(by: "\"").first
        else { return nil }
        let body = [0x0d, 0x0a] + message.body
        let pieces = body.pieces(by: Array("\r\n--\(quoted)".utf8))
        guard pieces.count >= 2, pieces.last == Array("--\r\n".utf8) else { return nil }
        return pieces.dropFirst().dropLast().map { part(Array($0.dropFirst(2))) }
    }
}

extension String {
    func components(by separator: String) -> [String] {
        Array(utf8).pieces(by: Array(separator.utf8)).map { String(decoding: $0, as: UTF8.self) }
    }
}

extension Array where Element == UInt8 {
    func firstRange(of needle: [UInt8], from start: Int = 0) -> Range<Int>? {
        guard count >= needle.count, start <= count - needle.count else { return nil }
        for i in start...(count - needle.count) where Array(self[i..<i + needle.count]) == needle {
            return i..<i + needle.count
        }
        return nil
    }

    func pieces(by separator: [UInt8]) -> [[UInt8]] {
        var pieces: [[UInt8]] = []
        var start = 0
        while let range = firstRange(of: separator, from: start) {
            pieces.append(Array(self[start..<range.lowerBound]))
            start = range.upperBound
        }
        pieces.append(Array(self[start...]))
        return pieces
    }
}
