// Makes a message ready for the wire after DATA: a dot in front of each line that begins with one,
// and the final dot (RFC 5321 §4.5.2). Called with header block and body, run by run.
// It promises that nothing it lets through holds a bare CR or LF or ends data early, whatever the
// message was: what we send can't smuggle (RFC 5321 §2.3.8).

import EkidenMail

package struct DotStuffer: Sendable {
    private let hasLeadingDot: Bool
    private var atLineStart = true
    private var afterCR = false

    /// - Parameter facts: of the whole message; without leading dots nothing is copied.
    package init(facts: MessageFacts) { hasLeadingDot = facts.hasLeadingDot }

    /// The next run of the message as it goes out; runs may be cut anywhere.
    /// - Returns: the same bytes where no dot had to be added; nil for a bare CR or LF, when the
    ///   message must not be sent.
    package mutating func stuff(_ run: Bytes) -> Bytes? {
        if run.isEmpty { return run }
        let bytes = run.pointer
        if NewlineScan(bytes, afterCR: afterCR).hasBareNewline { return nil }
        let stuffed = hasLeadingDot ? copy(bytes) : run
        afterCR = bytes[bytes.count - 1] == carriageReturn
        atLineStart = bytes[bytes.count - 1] == lineFeed
        return withExtendedLifetime(run) { stuffed }
    }

    private func copy(_ bytes: UnsafeRawBufferPointer) -> Bytes {
        var output = BytesBuilder(capacity: bytes.count + bytes.count / 64 + 16)
        var runStart = 0
        var lineStart = atLineStart ? 0 : nextLine(bytes, 0)
        while lineStart < bytes.count {
            if bytes[lineStart] == dot {
                output.append(UnsafeRawBufferPointer(rebasing: bytes[runStart..<lineStart]))
                output.append(byte: dot)
                runStart = lineStart
            }
            lineStart = nextLine(bytes, lineStart)
        }
        output.append(UnsafeRawBufferPointer(rebasing: bytes[runStart...]))
        return output.finish()
    }

    private func nextLine(_ bytes: UnsafeRawBufferPointer, _ start: Int) -> Int {
        firstIndex(of: lineFeed, in: bytes, from: start).map { $0 + 1 } ?? bytes.count
    }

    /// What ends the message on the wire: `.` CRLF, behind a CRLF where the last line lacks one.
    /// nil when the message ends in a CR alone, and must not be sent.
    package var finalDot: Bytes? {
        if afterCR { return nil }
        return atLineStart ? Self.dotLine : Self.lineEndAndDotLine
    }

    private static let dotLine = Bytes(".\r\n")
    private static let lineEndAndDotLine = Bytes("\r\n.\r\n")
}
