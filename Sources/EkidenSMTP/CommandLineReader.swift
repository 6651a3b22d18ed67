// Finds one command line after the other among the unread bytes of a connection. Called by the
// driver of a server session each time bytes have come; looks at no byte twice, however they were
// cut, and asks the driver to keep at most one line of `lineBytesMax`.
// RFC 5321 §2.3.8: lines end in CRLF and nothing else; §4.1.1: commands are printable characters.

import EkidenMail

package struct CommandLineReader: Sendable {
    package enum Found: Sendable, Equatable {
        /// No line yet: consume that many bytes, then read more.
        case nothing(consume: Int)
        /// A command is the first `length` bytes; consume that many once it was looked at.
        case line(length: Int, consume: Int)
        /// A line that is no command: to be answered by `ServerSession.refused`.
        case refused(Refusal, consume: Int)
    }

    package enum Refusal: Sendable, Equatable {
        /// A CR or LF that is not part of a CRLF.
        case bareNewline
        /// Longer than `Limits.commandLineBytes`; the rest of it was thrown away.
        case tooLong
        /// So long that no end is in sight; the connection should be closed.
        case endless
        /// NUL or another control character.
        case controlCharacter
        /// Another protocol's; nothing that came is SMTP.
        case foreign(ForeignProtocol)
    }

    /// Bytes of a line without end that are thrown away before the connection is given up.
    package static let endlessLineBytes = 65_536

    /// Bytes of the unread ones that are known to hold no LF.
    private var scanned = 0
    /// Bytes of the current line thrown away so far.
    private var discarded = 0

    package init() {}

    /// - Parameter lineBytesMax: of a line with its CRLF; may differ from one line to the next.
    package mutating func next(
        in unread: UnsafeRawBufferPointer,
        lineBytesMax: Int = Limits.commandLineBytes
    ) -> Found {
        guard let lf = firstIndex(of: lineFeed, in: unread, from: scanned) else {
            if discarded == 0, let foreign = ForeignProtocol.find(atStartOf: unread) {
                return .refused(.foreign(foreign), consume: unread.count)
            }
            scanned = unread.count
            if discarded == 0, unread.count < lineBytesMax {
                return .nothing(consume: 0)
            }
            discarded += unread.count
            scanned = 0
            return discarded >= Self.endlessLineBytes
                ? .refused(.endless, consume: unread.count) : .nothing(consume: unread.count)
        }
        let length = discarded + lf + 1
        let isWhole = discarded == 0
        scanned = 0
        discarded = 0
        let refusal: Refusal
        if length > Self.endlessLineBytes {
            refusal = .endless
        } else if length > lineBytesMax {
            // RFC 5321 §4.5.3.1.4: the limit counts the CRLF.
            refusal = .tooLong
        } else if let flaw = Self.flaw(of: unread, endingAt: lf) {
            refusal = flaw
        } else {
            return .line(length: lf - 1, consume: lf + 1)
        }
        if isWhole, let foreign = ForeignProtocol.find(atStartOf: unread) {
            return .refused(.foreign(foreign), consume: unread.count)
        }
        return .refused(refusal, consume: lf + 1)
    }

    /// Why that is no command line; it is taken to its LF even when that is bare, so that the answer
    /// comes at once.
    private static func flaw(of line: UnsafeRawBufferPointer, endingAt lf: Int) -> Refusal? {
        guard lf > 0, line[lf - 1] == carriageReturn else { return .bareNewline }
        var hasControl = false
        for byte in line[..<(lf - 1)] {
            if byte == carriageReturn { return .bareNewline }
            // A tab may stand at the end as white space (RFC 5321 §4.1.1); the grammar sees to it.
            if byte < 0x20 && byte != 0x09 || byte == 0x7f { hasControl = true }
        }
        return hasControl ? .controlCharacter : nil
    }
}
