// Receives the message after DATA: undoes dot-stuffing and finds the end. While it is at work no
// byte meets the command parser, so nothing inside a message can be taken for a command. A message
// in chunks (BDAT) takes the same way under the same rules, but for dots, which mean nothing there.
// Only CRLF.CRLF ends data (RFC 5321 §4.1.1.4, §2.3.8). Every rule about dots is applied to lines
// that end in a true CRLF, and bare CRs and LFs are ordinary characters to it: a dot line made of
// bare newlines never ends data, in strict mode or lenient, and is no stuffed dot either.
// Pure: bytes in, runs out; the state after any fragmentation of the same bytes is the same.

import EkidenMail

package struct BodyReceiver: Sendable {
    /// What to do with a CR or LF that is not part of a CRLF (RFC 5321 §2.3.8 forbids both).
    package enum Newlines: Sendable {
        /// The message is refused.
        case strict
        /// Each is made a CRLF on the way, and counted in `bareNewlines`.
        case lenient
    }

    /// What to do with a NUL. RFC 5321 §4.5.2 lets any of the 128 codes pass, RFC 5322 §4 calls this
    /// one obsolete; programs written in C end their strings at it.
    package enum NULs: Sendable {
        case keep
        /// Each is left out, and counted in `nulls`.
        case strip
        /// The message is refused.
        case refuse
    }

    /// How the end of the message is known.
    package enum Framing: Sendable {
        /// By a final dot, other dots being stuffed (DATA, RFC 5321 §4.5.2).
        case dotStuffed
        /// By counting octets, which is the driver's part; it then calls `end` (BDAT, RFC 3030 §2).
        case counted
    }

    /// Why the message can't be taken; known for certain only when `isFinished`.
    package enum Problem: Sendable, Equatable {
        /// First line (from 1) with a bare CR or LF.
        case bareNewline(line: Int)
        /// First line (from 1) with a NUL.
        case nul(line: Int)
        /// First line (from 1) longer than `Limits.textLineBytes`.
        case lineTooLong(line: Int)
        case tooLarge(limitBytes: Int)
        /// Counted messages alone: the last line has no CRLF.
        case unfinishedLine
    }

    private enum Position {
        /// Behind a CRLF, or at the very beginning.
        case lineStart
        /// Behind the dot that begins a line; the dot itself is never handed on.
        case dot
        /// Behind a line's dot and a CR: an LF now ends data.
        case dotCR
        case text
        /// Behind a CR within or at the end of a line; the CR was handed on.
        case textCR
    }

    private let framing: Framing
    private let newlines: Newlines
    private let nuls: NULs
    private let sizeLimitBytes: Int
    private let lineLimitBytes: Int
    private var position = Position.lineStart
    /// Lines before those that `facts` counts.
    private var headerLines = 0
    private var firstBareLine: Int?
    private var firstLongLine: Int?
    private var firstNULLine: Int?
    private var endsWithinLine = false

    /// The final dot was seen, or `end` called; bytes behind it are the next command's.
    package private(set) var isFinished = false
    /// Size of the message without dot-stuffing and final dot, as SIZE counts it (RFC 1870 §5),
    /// counted to the end even when it is refused.
    package private(set) var messageBytes = 0
    /// Bare CRs and LFs seen.
    package private(set) var bareNewlines = 0
    /// NULs seen, unless they are kept.
    package private(set) var nulls = 0
    /// Facts of all that was handed on, or since `bodyBegins`.
    package private(set) var facts = FactsGatherer()

    /// - Parameters:
    ///   - sizeLimitBytes: the most the message may have; nil for no limit.
    ///   - lineLimitBytes: the most a line may have without its CRLF.
    package init(
        framing: Framing = .dotStuffed,
        newlines: Newlines = .strict,
        nuls: NULs = .keep,
        sizeLimitBytes: Int? = nil,
        lineLimitBytes: Int = Limits.textLineBytes
    ) {
        self.framing = framing
        self.newlines = newlines
        self.nuls = nuls
        self.sizeLimitBytes = sizeLimitBytes ?? .max
        self.lineLimitBytes = lineLimitBytes
    }

    /// What is wrong with the message so far; after the first problem nothing more is handed on.
    package var problem: Problem? {
        if let firstBareLine { return .bareNewline(line: firstBareLine) }
        if let firstNULLine { return .nul(line: firstNULLine) }
        if let firstLongLine { return .lineTooLong(line: firstLongLine) }
        if messageBytes > sizeLimitBytes { return .tooLarge(limitBytes: sizeLimitBytes) }
        return endsWithinLine ? .unfinishedLine : nil
    }

    /// Takes bytes from the connection and appends those of the message to `output`: CRLF lines,
    /// dots unstuffed, without the final dot. NULs that are kept pass like any other byte. What
    /// `output` holds
    /// lasts as long as `input` does.
    /// - Returns: how many bytes were taken: all of them, unless data ended within.
    package mutating func receive(
        _ input: UnsafeRawBufferPointer,
        into output: inout MessageRun
    ) -> Int {
        var taken = 0
        while taken < input.count, !isFinished {
            // In pieces, so that the second look at a byte finds it in the cache.
            let end = min(input.count, taken + 16_384)
            let piece = UnsafeRawBufferPointer(rebasing: input[taken..<end])
            let afterCR = position == .textCR || position == .dotCR
            let scan = NewlineScan(piece, afterCR: afterCR)
            let n =
                scan.hasBareNewline || scan.hasNUL && nuls != .keep
                ? receiveDirty(piece, into: &output) : receiveClean(piece, into: &output)
            if scan.hasEightBit, !facts.hasEightBit {
                let own = UnsafeRawBufferPointer(rebasing: piece[..<n])
                facts.hasEightBit =
                    n == piece.count || NewlineScan(own, afterCR: afterCR).hasEightBit
            }
            taken += n
        }
        return taken
    }

    /// Ends a message whose octets were counted. A CR that is the last of them is a bare one; in
    /// lenient mode the LF it lacks comes in `output`.
    package mutating func end(into output: inout MessageRun) {
        precondition(framing == .counted && !isFinished, "DATA ends by its final dot")
        switch position {
        case .textCR:
            noteBareNewline()
            mend("\n", to: &output)
        // Behind a newline that was mended the line is empty and yet not a true line's start.
        case .text: endsWithinLine = facts.lineBytes > 0
        case .lineStart, .dot, .dotCR: break
        }
        isFinished = true
    }

    /// Starts the facts afresh: what was handed on so far was header block, but for the first bytes
    /// of the body, whose facts these are. (Those of the header block are gathered over its final
    /// form.)
    package mutating func bodyBegins(with first: FactsGatherer) {
        headerLines = facts.lines - first.lines
        facts = first
    }

    // MARK: Pieces without bare newlines

    /// Every LF in the piece stands behind a CR and every CR before an LF (or is the last byte), so
    /// it is enough to go from CR to CR.
    private mutating func receiveClean(
        _ piece: UnsafeRawBufferPointer,
        into output: inout MessageRun
    ) -> Int {
        var i = 0
        switch position {
        case .dotCR:
            isFinished = true
            return 1
        case .textCR:
            endLine()
            position = .lineStart
            i = 1
        case .dot:
            if piece[0] == carriageReturn { return endOrWait(piece, at: 0) }
            position = .text
        case .lineStart, .text:
            break
        }
        var runStart = 0
        while i < piece.count {
            if position == .lineStart, piece[i] == dot, framing == .dotStuffed {
                // RFC 5321 §4.5.2: the first dot of a line goes; alone on its line it is the end.
                handOn(piece, runStart..<i, to: &output)
                i += 1
                runStart = i
                if i == piece.count {
                    position = .dot
                    return i
                }
                if piece[i] == carriageReturn { return endOrWait(piece, at: i) }
            }
            position = .text
            guard let cr = firstIndex(of: carriageReturn, in: piece, from: i) else {
                facts.addText(piece, i..<piece.count)
                break
            }
            facts.addText(piece, i..<cr)
            if cr + 1 == piece.count {
                position = .textCR
                break
            }
            endLine()
            position = .lineStart
            i = cr + 2
        }
        handOn(piece, runStart..<piece.count, to: &output)
        noteLineLength()
        return piece.count
    }

    /// A CR stands at `i`, behind the dot that begins its line.
    private mutating func endOrWait(_ piece: UnsafeRawBufferPointer, at i: Int) -> Int {
        if i + 1 == piece.count {
            position = .dotCR
            return i + 1
        }
        isFinished = true
        return i + 2
    }

    // MARK: Pieces with bare newlines, or with NULs that matter

    /// Byte by byte; the same machine as above, and it also mends or remembers bare newlines, and
    /// leaves NULs out. What is a line's first byte is decided with the NULs still there, for the
    /// sender stuffed its dots so.
    private mutating func receiveDirty(
        _ piece: UnsafeRawBufferPointer,
        into output: inout MessageRun
    ) -> Int {
        var runStart = 0
        var i = 0
        while i < piece.count {
            let byte = piece[i]
            switch position {
            case .lineStart where byte == dot && framing == .dotStuffed:
                handOn(piece, runStart..<i, to: &output)
                runStart = i + 1
                position = .dot
            case .dot where byte == carriageReturn:
                // Not handed on: it may be the end's. If it is not, `mend` writes it.
                runStart = i + 1
                position = .dotCR
            case .dotCR where byte == lineFeed:
                isFinished = true
                return i + 1
            case .dotCR:
                noteBareNewline()
                mend("\r\n", to: &output)
                position = .text
                continue
            case .textCR where byte == lineFeed:
                endLine()
                position = .lineStart
            case .textCR:
                noteBareNewline()
                handOn(piece, runStart..<i, to: &output)
                runStart = i
                mend("\n", to: &output)
                position = .text
                continue
            case .lineStart, .dot, .text:
                position = .text
                if byte == carriageReturn {
                    position = .textCR
                } else if byte == lineFeed {
                    noteBareNewline()
                    handOn(piece, runStart..<i, to: &output)
                    runStart = i + 1
                    mend("\r\n", to: &output)
                } else if byte == 0, nuls != .keep {
                    noteNUL()
                    handOn(piece, runStart..<i, to: &output)
                    runStart = i + 1
                } else {
                    facts.addText(piece, i..<i + 1)
                }
            }
            i += 1
        }
        handOn(piece, runStart..<piece.count, to: &output)
        noteLineLength()
        return piece.count
    }

    /// Number of the line being received, from 1.
    private var presentLine: Int { headerLines + facts.lines + 1 }

    private mutating func noteBareNewline() {
        bareNewlines += 1
        if newlines == .strict, firstBareLine == nil { firstBareLine = presentLine }
    }

    private mutating func noteNUL() {
        nulls += 1
        if nuls == .refuse, firstNULLine == nil { firstNULLine = presentLine }
    }

    /// Ends the line in place of a bare newline.
    private mutating func mend(_ lineEnd: StaticString, to output: inout MessageRun) {
        let bytes = UnsafeRawBufferPointer(
            start: lineEnd.utf8Start,
            count: lineEnd.utf8CodeUnitCount
        )
        handOn(bytes, 0..<bytes.count, to: &output)
        endLine()
    }

    // MARK: Both

    @inline(__always)
    private mutating func endLine() {
        noteLineLength()
        facts.endLine()
    }

    @inline(__always)
    private mutating func noteLineLength() {
        if facts.lineBytes > lineLimitBytes, firstLongLine == nil {
            firstLongLine = presentLine
        }
    }

    @inline(__always)
    private mutating func handOn(
        _ piece: UnsafeRawBufferPointer,
        _ run: Range<Int>,
        to output: inout MessageRun
    ) {
        if run.isEmpty { return }
        messageBytes += run.count
        if problem == nil { output.append(UnsafeRawBufferPointer(rebasing: piece[run])) }
    }
}

extension BodyReceiver.Problem {
    /// Name of the rule, for the log.
    package var rule: ServerRule {
        switch self {
        case .bareNewline: .bareNewline
        case .nul: .nul
        case .lineTooLong: .lineTooLong
        case .tooLarge: .messageSize
        case .unfinishedLine: .unfinishedLine
        }
    }

    /// The answer to the final dot or the last chunk.
    package var reply: Reply {
        switch self {
        case .bareNewline(let line):
            Reply(
                550,
                EnhancedStatus(5, 6, 0),
                "line \(line) of the message has a bare CR or LF; lines must end in CRLF"
            )
        case .nul(let line):
            // RFC 3463 §3.7: X.6.0, media error.
            Reply(
                550,
                EnhancedStatus(5, 6, 0),
                "line \(line) of the message has a NUL; send it encoded (base64)"
            )
        case .lineTooLong(let line):
            Reply(
                550,
                EnhancedStatus(5, 6, 0),
                "line \(line) of the message is longer than \(Limits.textLineBytes) bytes"
            )
        case .tooLarge(let limit):
            // RFC 1870 §6.3
            Reply(552, EnhancedStatus(5, 3, 4), "message is larger than \(limit) bytes")
        case .unfinishedLine:
            // RFC 3463 §3.7: X.6.0, media error.
            Reply(554, EnhancedStatus(5, 6, 0), "the message does not end in CRLF")
        }
    }
}
