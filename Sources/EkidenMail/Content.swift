/// What was seen of a message's bytes as they streamed in; decides how they can go out.
package struct MessageFacts: Sendable, Equatable {
    /// Lines of header block and body together.
    package var lines: Int = 0
    /// Longest line, without its CRLF, in bytes.
    package var longestLineBytes: Int = 0
    /// Some line of header block or body begins with a dot, so sending must stuff dots
    /// (RFC 5321 §4.5.2).
    package var hasLeadingDot = false
    /// A byte above 127 in the header block.
    package var headerHasEightBit = false
    /// A byte above 127 in the body.
    package var bodyHasEightBit = false

    package init() {}

    package var hasEightBit: Bool { headerHasEightBit || bodyHasEightBit }
}

/// Where a stored body that is not in memory is read from: the spool's reader behind a small door.
package protocol BodyReader: Sendable {
    /// Up to `count` bytes from `offset` (0 is the first byte of the body); fewer only at its end.
    /// Errors: the spool could not read them, or their checksum is wrong.
    func read(at offset: Int, count: Int) async throws(ContentUnavailable) -> Bytes
}

/// The message's bytes can't be had now; the text says why, for the log and the administrator.
package struct ContentUnavailable: Error, Equatable {
    package let text: String
    /// True when they will never be had: the stored bytes are damaged.
    package let isDamage: Bool

    package init(_ text: String, isDamage: Bool) {
        self.text = text
        self.isDamage = isDamage
    }
}

/// Header block and body of a message: CRLF lines, not dot-stuffed.
///
/// The header block includes the empty line that ends it when the message has one, so that header
/// block followed by body is the message, byte for byte.
package struct Content: Sendable {
    package enum Body: Sendable {
        case memory(Bytes)
        case stored(any BodyReader, byteCount: Int)

        package var byteCount: Int {
            switch self {
            case .memory(let bytes): bytes.count
            case .stored(_, let byteCount): byteCount
            }
        }
    }

    package let header: Bytes
    package let body: Body
    package let facts: MessageFacts
    /// The envelope's, at hand where the message is sent.
    package var demands: SenderDemands

    package init(
        header: Bytes,
        body: Body,
        facts: MessageFacts,
        demands: SenderDemands = SenderDemands()
    ) {
        self.demands = demands
        self.header = header
        self.body = body
        self.facts = facts
    }

    /// Size of the message in bytes, as SIZE counts it (RFC 1870 §5).
    package var byteCount: Int { header.count + body.byteCount }
}
