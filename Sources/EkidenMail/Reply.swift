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
    package init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let category = UInt8(parts[0]), [2, 4, 5].contains(category),
            parts[1].utf8.count <= 3, parts[2].utf8.count <= 3,
            parts.dropFirst().allSatisfy({ $0.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 } }),
            let subject = UInt16(parts[1]), let detail = UInt16(parts[2])
        else { return nil }
        self.init(category, subject, detail)
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
