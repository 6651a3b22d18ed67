// Messages made at random: trees of parts with all that makes MIME hard to read, and what is in their
// leaves.

import TestKit

struct Tree {
    var message: [UInt8]
    /// Contents in order.
    var leaves: [[UInt8]]
}

struct TreeMaker {
    var random: TestRandom
    private var leaves: [[UInt8]] = []
    private var open: [String] = []

    init(seed: UInt64) { random = TestRandom(seed: seed) }

    /// Every message can be converted.
    mutating func tree() -> Tree {
        leaves = []
        open = []
        var lines = [
            "From: a@x.example", "Subject: " + random.pick(["x", "Re: yes", "=?utf-8?q?=c3=bc?="]),
        ]
        switch random.below(4) {
        case 0, 1: lines.append("MIME-Version: 1.0")
        case 2: lines.append("mime-version: 1.0 (made at\r\n random)")
        default: break
        }
        let message = entity(lines, depth: 0, isLast: true)
        return Tree(message: message, leaves: leaves)
    }

    private mutating func once(in count: Int) -> Bool { random.below(count) == 0 }

    private mutating func fold(_ field: String) -> String {
        let name = field.prefix { $0 != ":" }
        let written =
            switch random.below(4) {
            case 0: name.uppercased()
            case 1: name.lowercased()
            default: String(name)
            }
        var value = field.dropFirst(name.count + 2).map { String($0) }.joined()
        if let gap = value.firstIndex(of: " "), !value[..<gap].contains("\""), once(in: 3) {
            value.replaceSubrange(gap...gap, with: random.pick(["\r\n ", "\r\n\t", "  "]))
        }
        return written + random.pick([": ", ":", ":\r\n ", ":  "]) + value
    }

    /// - Parameter isLast: nothing follows but the end of the message, so the last CRLF is content.
    private mutating func entity(_ before: [String], depth: Int, isLast: Bool) -> [UInt8] {
        switch depth < 6 ? random.below(depth == 0 ? 6 : 10) : 9 {
        case 0...2: multipart(before, depth: depth, isLast: isLast)
        case 3: message(before, depth: depth, isLast: isLast)
        default: leaf(before, isLast: isLast)
        }
    }

    private mutating func header(_ fields: [String]) -> [UInt8] {
        var fields = fields
        for index in stride(from: fields.count - 1, to: 0, by: -1) where once(in: 2) {
            fields.swapAt(index, random.below(index + 1))
        }
        if once(in: 4) { fields.append("X-Long: a\r\n b\r\n\tc") }
        return Array((fields.map { $0 + "\r\n" }.joined() + "\r\n").utf8)
    }

    private mutating func compositeLabel() -> [String] {
        switch random.below(4) {
        case 0: [fold("Content-Transfer-Encoding: 8bit")]
        case 1: [fold("Content-Transfer-Encoding: Binary (really)")]
        case 2: [fold("Content-Transfer-Encoding: 7bit")]
        default: []
        }
    }

    // MARK: Composite

    private static let boundaries = [
        "a", "aa", "aaa", "a b", "a=", "a=b", "=_a", "'()+_,-./:=?", "a'", "0", "00", "000", "A",
        "ab",
        "a?b", "x-y-z", "----=_Part_1", "----=_Part_11", "----=_Part_111", "boundary", "Boundary",
    ]

    private mutating func multipart(_ before: [String], depth: Int, isLast: Bool) -> [UInt8] {
        let taken = open
        let boundary = random.pick(Self.boundaries.filter { !taken.contains($0) })
        let mustBeQuoted = boundary.contains { !$0.isLetter && !$0.isNumber && $0 != "-" }
        let written = mustBeQuoted || once(in: 2) ? "\"\(boundary)\"" : boundary
        let subtype = random.pick(["mixed", "alternative", "Related", "x-odd", "report", "digest"])
        let parameter = random.pick(["boundary", "Boundary", "BOUNDARY"])
        let more = random.pick(["", "; type=\"text/html\"", "; charset=utf-8"])
        let type = fold("Content-Type: multipart/\(subtype); \(parameter)=\(written)\(more)")
        var bytes = header(before + [type] + compositeLabel())
        open.append(boundary)
        if once(in: 4) { bytes += Array("This is MIME.\r\n--\(boundary)!\r\n\r\n".utf8) }
        let count = random.below(4)
        let isClosed = count == 0 || !once(in: 5)
        for index in 0..<count {
            bytes += Array("--\(boundary)\(random.pick(["", "", " ", "\t "]))\r\n".utf8)
            let isEnd = index == count - 1 && !isClosed && isLast
            let fields = subtype == "digest" ? ["Content-Type: text/plain"] : []
            if subtype == "digest", once(in: 2) {
                bytes += Array("\r\n".utf8)
                bytes += entity(["Subject: digested"], depth: depth + 1, isLast: isEnd)
            } else if subtype == "digest" {
                bytes += leaf(fields, isLast: isEnd)
            } else {
                bytes += entity([], depth: depth + 1, isLast: isEnd)
            }
            bytes += isEnd ? [] : [13, 10]
        }
        open.removeLast()
        if isClosed {
            bytes += Array("--\(boundary)--".utf8)
            if once(in: 4) { bytes += Array("\r\nThe end.\r\n--\(boundary)\r\n".utf8) }
        } else if !isLast, count > 0 {
            // The boundary around it brings the CRLF.
            bytes.removeLast(2)
        }
        return bytes
    }

    private mutating func message(_ before: [String], depth: Int, isLast: Bool) -> [UInt8] {
        let type = fold("Content-Type: message/rfc822" + random.pick(["", "; name=x"]))
        let bytes = header(before + [type] + compositeLabel())
        var fields = ["Subject: inside"]
        if once(in: 2) { fields.append("MIME-Version: 1.0") }
        return bytes + entity(fields, depth: depth + 1, isLast: isLast)
    }

    // MARK: Leaves

    private mutating func leaf(_ before: [String], isLast: Bool) -> [UInt8] {
        var fields = before
        let hasType = before.contains { $0.hasPrefix("Content-Type") }
        let isText = hasType || !once(in: 3)
        if !hasType, !isText || !once(in: 4) {
            fields.append(
                fold(
                    isText
                        ? random.pick([
                            "Content-Type: text/plain; charset=utf-8", "Content-Type: text/html",
                            "Content-Type: TEXT/Plain", "Content-Type: text/plain (a \\) comment)",
                        ])
                        : random.pick([
                            "Content-Type: application/octet-stream; name=\"a;b\"",
                            "Content-Type: image/png", "Content-Type: unheard/of",
                        ])
                )
            )
        }
        var content = isText ? text() : data()
        // The last CRLF is content, unless a boundary is missing behind it.
        var end: [UInt8] = []
        if isLast, open.isEmpty {
            if once(in: 2) { content += [13, 10] }
        } else if isLast, once(in: 2) || content.suffix(2) == [13, 10] {
            end = [13, 10]
        }
        if once(in: 5) {
            fields.append(fold("Content-Transfer-Encoding: base64"))
            leaves.append(content)
            return header(fields) + encoded(content) + end
        }
        switch random.below(4) {
        case 0: fields.append(fold("Content-Transfer-Encoding: 8bit"))
        case 1: fields.append(fold("Content-Transfer-Encoding: (so (it) is) BINARY"))
        case 2: fields.append(fold("Content-Transfer-Encoding: 7BIT"))
        default: break
        }
        leaves.append(content)
        return header(fields) + content + end
    }

    private func encoded(_ content: [UInt8]) -> [UInt8] {
        let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var out: [UInt8] = []
        for start in stride(from: 0, to: content.count, by: 3) {
            let group = Array(content[start..<min(start + 3, content.count)])
            let value = (0..<3).reduce(0) { $0 << 8 | Int($1 < group.count ? group[$1] : 0) }
            for place in 0..<4 {
                out.append(place <= group.count ? letters[value >> (18 - 6 * place) & 63] : 61)
            }
            if start % 57 == 54 { out += [13, 10] }
        }
        return out
    }

    private mutating func text() -> [UInt8] {
        let words = [
            "", "x", "Gr\u{fc}\u{df}e", "\u{65e5}\u{672c}\u{8a9e}\u{306e}\u{30e1}\u{30fc}\u{30eb}",
            ".", "..",
            "-- ", "--", "- -", "From here", "a=b", "=", "trailing ", "tab\t", " ", "=20",
            "plain words here",
            "\u{41f}\u{440}\u{438}\u{432}\u{435}\u{442}, \u{43c}\u{438}\u{440}", "\u{0}", "\u{c}",
            "~", "caf\u{e9}",
        ]
        var bytes: [UInt8] = []
        for index in 0..<random.below(8) {
            if index > 0 { bytes += [13, 10] }
            switch random.below(8) {
            case 0:
                for _ in 0..<random.below(60) { bytes += Array((random.pick(words) + " ").utf8) }
            case 1: bytes += [UInt8](repeating: 0x61, count: 70 + random.below(12)) + [0xe9]
            case 2:
                if let boundary = open.last { bytes += Array("--\(boundary)!".utf8) }
            case 3:
                // What soft line breaks could bring to the start of a line.
                if let boundary = open.first {
                    bytes += [UInt8](repeating: 0x62, count: 60 + random.below(30))
                    bytes += Array("\u{fc}--\(boundary)".utf8)
                }
            case 4: bytes += (0..<random.below(90)).map { _ in UInt8(0xa0 + random.below(0x60)) }
            default: bytes += Array(random.pick(words).utf8)
            }
        }
        return bytes
    }

    private mutating func data() -> [UInt8] {
        var bytes: [UInt8] = []
        for _ in 0..<random.below(400) {
            let byte = UInt8(random.below(256))
            if byte == 13 || byte == 10 { bytes += [13, 10] } else { bytes.append(byte) }
        }
        return bytes
    }
}
