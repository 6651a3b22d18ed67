/// An enhanced mail system status code (RFC 3463): `class.subject.detail`.
package struct EnhancedStatus: Sendable, Hashable {
    package let category: UInt8
    package let subject: UInt16
    package let detail: UInt16

    package init(_ category: UInt8, _ subject: UInt16, _ detail: UInt16) {
        self.category = category
        self.subject = subject
        self.detail = detail
    }

    package var text: String { "\(category).\(subject).\(detail)" }

    /// Reads `2.1.5`; class 2, 4 or 5, the others of at most three digits (RFC 3463 §2).
    package init?(_ text: String) {
        var text = text
        guard let status = text.withUTF8({ Self.read(UnsafeRawBufferPointer($0)) }) else {
            return nil
        }
        self = status
    }

    /// The same from bytes; once for every reply of a peer, so without making a string of them.
    package static func read(_ bytes: UnsafeRawBufferPointer) -> EnhancedStatus? {
        guard bytes.count >= 5, bytes[1] == 0x2e, let category = UInt8(exactly: bytes[0] &- 0x30),
            category == 2 || category == 4 || category == 5
        else { return nil }
        var position = 2
        guard let subject = number(bytes, &position), position < bytes.count,
            bytes[position] == 0x2e
        else { return nil }
        position += 1
        guard let detail = number(bytes, &position), position == bytes.count else { return nil }
        return EnhancedStatus(category, subject, detail)
    }

    /// One to three digits from `position` on.
    private static func number(_ bytes: UnsafeRawBufferPointer, _ position: inout Int) -> UInt16? {
        let start = position
        var value: UInt16 = 0
        while position < bytes.count, bytes[position] >= 0x30, bytes[position] <= 0x39 {
            if position - start == 3 { return nil }
            value = value * 10 + UInt16(bytes[position] - 0x30)
            position += 1
        }
        return position > start ? value : nil
    }
}

/// A reply of an SMTP server, ours or a peer's (RFC 5321 §4.2).
package struct Reply: Sendable, Hashable {
    /// 200…599
    package let code: UInt16
    /// nil where the server gave none, or where it makes no sense (greeting, EHLO, 3xx).
    package let status: EnhancedStatus?
    /// The text, a line each, without code, status or CRLF. Never empty; a line may be.
    package let lines: [String]

    package init(_ code: UInt16, _ status: EnhancedStatus? = nil, lines: [String]) {
        self.code = code
        self.status = status
        self.lines = lines.isEmpty ? [""] : lines
    }

    package init(_ code: UInt16, _ status: EnhancedStatus? = nil, _ text: String) {
        self.init(code, status, lines: [text])
    }

    package var isPositive: Bool { code / 100 == 2 || code / 100 == 3 }
    package var isTransient: Bool { code / 100 == 4 }
    package var isPermanent: Bool { code / 100 == 5 }

    /// One line for logs and reports: `550 5.1.1 no such user / second line`.
    package var oneLine: String {
        let head = status.map { "\(code) \($0.text)" } ?? "\(code)"
        let text = lines.joined(separator: " / ")
        return text.isEmpty ? head : head + " " + text
    }
}
