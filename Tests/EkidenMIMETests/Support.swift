// What the tests of this target share: both passes over a message given whole and cut, and a reader
// that decodes a message in the plainest way: whole, recursively, from the outside in.

import EkidenMail

@testable import EkidenMIME

struct Conversion {
    var findings: SevenBitSurvey.Findings
    /// nil: there is an obstacle.
    var output: [UInt8]?
    var text: String? { output.map { String(decoding: $0, as: UTF8.self) } }
}

/// Both passes, the message cut at `cuts`.
func convert(_ message: [UInt8], cuts: [Int] = []) -> Conversion {
    let borders = ([0] + cuts + [message.count]).sorted()
    let runs = zip(borders, borders.dropFirst()).map { Bytes(message[$0..<$1]) }
    var survey = SevenBitSurvey()
    for run in runs { survey.append(run.pointer) }
    let findings = survey.finish()
    if findings.obstacle != nil { return Conversion(findings: findings) }
    var converter = SevenBitConverter(findings.plan)
    var output: [UInt8] = []
    for run in runs { output += converter.convert(run).array }
    output += converter.finish().array
    return Conversion(findings: findings, output: output)
}

func convert(_ lines: [String]) -> Conversion { convert(bytes(lines)) }

/// Latin-1 characters stand for bytes.
func bytes(_ lines: [String]) -> [UInt8] {
    Array(lines.joined(separator: "\r\n").unicodeScalars.map { UInt8($0.value) })
}

/// A message as its reader sees it.
indirect enum Decoded: Equatable {
    case leaf(type: String, content: [UInt8])
    case multipart(parts: [Decoded], around: [UInt8])
    case message(Decoded)

    var leaves: [[UInt8]] {
        switch self {
        case .leaf(_, let content): [content]
        case .multipart(let parts, _): parts.flatMap(\.leaves)
        case .message(let inner): inner.leaves
        }
    }
}

enum PlainReader {
    /// - Parameter isPart: its end is where a boundary stands, or is missing.
    static func read(
        _ entity: [UInt8],
        default defaultType: String = "text/plain",
        isPart: Bool = false
    ) -> Decoded {
        let lines = split(entity)
        let end = lines.firstIndex { $0 == [13, 10] } ?? lines.count
        let fields = unfold(lines[..<end])
        let body = lines.dropFirst(end + 1).flatMap { $0 }
        let type = fields["content-type"].map { withoutComments($0) } ?? defaultType
        let name = type.prefix { $0 != ";" }.filter { $0 != " " }.lowercased()
        if name.hasPrefix("multipart/"), let boundary = boundary(type) {
            return multipart(
                body,
                boundary,
                partType: name == "multipart/digest" ? "message/rfc822" : "text/plain",
                isPart: isPart
            )
        }
        if name == "message/rfc822" { return .message(read(body, isPart: isPart)) }
        let encoding = withoutComments(fields["content-transfer-encoding"] ?? "").lowercased()
            .filter { $0 != " " }
        return .leaf(type: name, content: decode(body, encoding))
    }

    private static func multipart(
        _ body: [UInt8],
        _ boundary: String,
        partType: String,
        isPart: Bool
    ) -> Decoded {
        var parts: [[UInt8]] = []
        var around: [UInt8] = []
        var isInside = false
        var isOver = false
        for line in split(body) {
            var text = line
            while let last = text.last, [13, 10, 32, 9].contains(last) { text.removeLast() }
            if !isOver, text == Array("--\(boundary)".utf8) {
                endPart(&parts, isInside)
                parts.append([])
                isInside = true
            } else if !isOver, text == Array("--\(boundary)--".utf8) {
                endPart(&parts, isInside)
                isInside = false
                isOver = true
            } else if isInside {
                parts[parts.count - 1] += line
            } else {
                around += line
            }
        }
        if !isPart { endPart(&parts, isInside) }
        return .multipart(
            parts: parts.map { read($0, default: partType, isPart: true) },
            around: around
        )
    }

    /// The CRLF before a boundary is the boundary's.
    private static func endPart(_ parts: inout [[UInt8]], _ isInside: Bool) {
        guard isInside, parts[parts.count - 1].suffix(2) == [13, 10] else { return }
        // The empty line that ends a header stays one, though its part has no content.
        let lines = split(parts[parts.count - 1])
        if lines.last == [13, 10], !lines.dropLast().contains([13, 10]) { return }
        parts[parts.count - 1].removeLast(2)
    }

    static func split(_ bytes: [UInt8]) -> [[UInt8]] {
        var lines: [[UInt8]] = []
        var line: [UInt8] = []
        for byte in bytes {
            line.append(byte)
            if byte == 10 {
                lines.append(line)
                line = []
            }
        }
        return line.isEmpty ? lines : lines + [line]
    }

    private static func unfold(_ lines: ArraySlice<[UInt8]>) -> [String: String] {
        var fields: [(String, String)] = []
        for line in lines {
            let text = String(decoding: line, as: UTF8.self).filter { !$0.isNewline }
            if let first = text.first, first == " " || first == "\t", !fields.isEmpty {
                fields[fields.count - 1].1 += text
            } else if let colon = text.firstIndex(of: ":") {
                let name = text[..<colon].lowercased().filter { $0 != " " }
                fields.append((name, String(text[text.index(after: colon)...])))
            }
        }
        return Dictionary(fields) { first, _ in first }
    }

    private static func withoutComments(_ value: String) -> String {
        var depth = 0
        var isQuoted = false
        return value.filter { letter in
            if letter == "\"" { isQuoted.toggle() }
            if letter == "(", !isQuoted { depth += 1 }
            defer { if letter == ")", !isQuoted { depth -= 1 } }
            return depth == 0
        }
    }

    private static func boundary(_ type: String) -> String? {
        guard let start = type.lowercased().range(of: "boundary=")?.upperBound else { return nil }
        let value = type[start...]
        if value.first == "\"" { return String(value.dropFirst().prefix { $0 != "\"" }) }
        return String(value.prefix { $0 != ";" && $0 != " " })
    }

    static func decode(_ body: [UInt8], _ encoding: String) -> [UInt8] {
        switch encoding {
        case "base64":
            let letters = Array(
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8
            )
            var bits = 0
            var group = 0
            var out: [UInt8] = []
            for byte in body {
                guard let value = letters.firstIndex(of: byte) else { continue }
                group = (group << 6 | value) & 0xffffff
                bits += 6
                if bits >= 8 {
                    bits -= 8
                    out.append(UInt8(group >> bits & 0xff))
                }
            }
            return out
        case "quoted-printable":
            var out: [UInt8] = []
            for line in split(body) {
                let end = Array(line.suffix(2)) == [13, 10] ? [UInt8(13), 10] : []
                var text = Array(line.dropLast(end.count))
                while let last = text.last, last == 32 || last == 9 { text.removeLast() }
                var index = 0
                var isSoft = false
                while index < text.count {
                    if text[index] != UInt8(ascii: "=") {
                        out.append(text[index])
                    } else if index + 1 == text.count {
                        isSoft = true
                    } else {
                        let digits = String(
                            decoding: text[(index + 1)...(index + 2)],
                            as: UTF8.self
                        )
                        out.append(UInt8(digits, radix: 16) ?? 0)
                        index += 2
                    }
                    index += 1
                }
                if !isSoft { out += end }
            }
            return out
        default: return body
        }
    }
}
