// The header pass of the paper path: message bytes go in as they arrive, the header block that is
// stored and sent comes out. Ingress feeds it until it is complete; what follows is body and never
// touched again. It works on whole buffers: kept lines that stand together are copied together.
//
// Where a header ends: at the first empty line; at the end of the message; or before the first
// line that is neither a field, nor a continuation of one, nor a mailbox line (`From …`,
// `>From …`). In the last case the line is body, and an empty line is put before it, so that every
// reader after us agrees with us where the header ends.
// Rules: RFC 5321 §4.4 (trace), §6.4 (fixing), RFC 5322 §2.2, §3.6, §4.5 (old forms).

import EkidenMail
import Glibc

package struct HeaderRewriter: ~Copyable {
    /// Bytes of a Message-ID that are kept for the log.
    package static let messageIDBytes = 256

    /// What lines that begin with a space or tab continue.
    private enum Field {
        /// No field yet: such a line is stray.
        case none
        case kept
        case removed
        /// The bare name of a removable field; a continuation must bring its colon.
        case undecided
    }

    private enum Verdict {
        case keep
        case drop
        /// Keep from the output until the next line decides.
        case withhold
        /// The empty line: keep it; the header is complete.
        case endAfter
        /// The header was complete before this line.
        case endBefore
    }

    private let rules: RewriteRules
    private var out: BytesBuilder
    /// The beginning of a line whose end has not arrived; empty between lines.
    private var carry = BytesBuilder(capacity: 0)
    /// Withheld lines, then whatever else turned out to be body.
    private var bodyStart = BytesBuilder(capacity: 0)
    private var field = Field.none
    private var findings = HeaderFindings()
    /// Where the Message-ID field lies in `out`; the end is 0 while the field still grows.
    private var messageIDStart = 0
    private var messageIDEnd = 0
    /// Bytes of whole header lines so far.
    private var headerBytes = 0
    /// Fields that have begun, and the bytes of the last of them.
    private var fields = 0
    private var fieldBytes = 0

    /// The header section has ended; what comes now is body.
    package private(set) var isComplete = false

    package init(_ rules: RewriteRules) {
        self.rules = rules
        var writer = FieldWriter(BytesBuilder(capacity: 2048))
        writer.received(rules.received)
        out = writer.out
    }

    /// Takes the next bytes of the message (CRLF lines, dot-stuffing removed), in pieces of any
    /// size, and answers how many of them belong to the header. Fewer than all are taken only when
    /// `isComplete` has become true; the others are body.
    ///
    /// A line end is LF, so that a bare one, where a lenient rule let it pass, hides no field.
    /// Errors: the header is too large or has been around too often; the rewriter is then of no
    /// further use.
    package mutating func append(_ bytes: UnsafeRawBufferPointer) throws(HeaderProblem) -> Int {
        guard !isComplete, let base = bytes.baseAddress else { return 0 }
        var lineStart = 0
        if carry.count > 0 {
            lineStart = lineEnd(base, bytes.count, from: 0) ?? bytes.count
            carry.append(UnsafeRawBufferPointer(start: base, count: lineStart))
            guard base.load(fromByteOffset: lineStart - 1, as: UInt8.self) == 0x0a else {
                try checkCarry()
                return lineStart
            }
            try takeCarriedLine()
            if isComplete { return lineStart }
        }
        return try appendLines(base, bytes.count, from: lineStart)
    }

    private mutating func appendLines(
        _ base: UnsafeRawPointer,
        _ count: Int,
        from start: Int
    ) throws(HeaderProblem) -> Int {
        var lineStart = start
        // Kept lines that have not been copied yet begin here.
        var runStart = start
        while let lineEnd = lineEnd(base, count, from: lineStart) {
            let line = UnsafeRawBufferPointer(start: base + lineStart, count: lineEnd - lineStart)
            let verdict = judge(line, at: out.count + lineStart - runStart)
            switch verdict {
            case .keep: break
            case .drop, .withhold:
                copyRun(base, runStart..<lineStart)
                runStart = lineEnd
                if verdict == .withhold { bodyStart.append(line) }
            case .endAfter:
                try account(line.count)
                copyRun(base, runStart..<lineEnd)
                complete(.emptyLine)
                return lineEnd
            case .endBefore:
                copyRun(base, runStart..<lineStart)
                complete(.strayLine)
                return lineStart
            }
            try account(line.count)
            lineStart = lineEnd
        }
        copyRun(base, runStart..<lineStart)
        carry.append(UnsafeRawBufferPointer(start: base + lineStart, count: count - lineStart))
        try checkCarry()
        return count
    }

    private mutating func copyRun(_ base: UnsafeRawPointer, _ range: Range<Int>) {
        out.append(UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count))
    }

    /// Deals with a line that arrived in pieces; `carry` has all of it.
    private mutating func takeCarriedLine() throws(HeaderProblem) {
        let count = carry.count
        switch judge(carry.pointer, at: out.count) {
        case .keep: out.append(carry.pointer)
        case .drop: break
        case .withhold: bodyStart.append(carry.pointer)
        case .endAfter:
            out.append(carry.pointer)
            complete(.emptyLine)
        case .endBefore:
            bodyStart.append(carry.pointer)
            complete(.strayLine)
            carry.removeAll()
            return
        }
        carry.removeAll()
        try account(count)
    }

    private mutating func account(_ lineBytes: Int) throws(HeaderProblem) {
        headerBytes += lineBytes
        if headerBytes > rules.headerBlockBytes {
            throw .tooLarge(limitBytes: rules.headerBlockBytes)
        }
        if fields > rules.headerFields { throw .tooManyFields(limit: rules.headerFields) }
        if fieldBytes > rules.headerFieldBytes {
            throw .fieldTooLarge(limitBytes: rules.headerFieldBytes)
        }
        if findings.receivedFields >= rules.receivedFields {
            throw .tooManyHops(limit: rules.receivedFields)
        }
    }

    /// A line whose end does not come may not grow for ever either. The receiver refuses lines
    /// over `Limits.textLineBytes`, so that much beyond the limit is never reached by a line that
    /// might still turn out to be body.
    private func checkCarry() throws(HeaderProblem) {
        if headerBytes + carry.count > rules.headerBlockBytes + Limits.textLineBytes + 2 {
            throw .tooLarge(limitBytes: rules.headerBlockBytes)
        }
    }

    /// Decides about a whole line; `offset` is where it would begin in the output.
    private mutating func judge(_ line: UnsafeRawBufferPointer, at offset: Int) -> Verdict {
        let kind = HeaderLine(line)
        switch kind {
        case .continuation: fieldBytes += line.count
        case .empty, .stray: break
        case .mailboxLine, .removableName, .field:
            fields += 1
            fieldBytes = line.count
        }
        if field == .undecided {
            guard case .continuation = kind, beginsWithColon(line) else { return .endBefore }
            bodyStart.removeAll()
            field = .removed
            findings.removedFields += 1
            return .drop
        }
        if case .continuation = kind {
            switch field {
            case .none: return .endBefore
            case .removed: return .drop
            case .kept, .undecided: return .keep
            }
        }
        if messageIDStart > 0, messageIDEnd == 0 { messageIDEnd = offset }
        switch kind {
        case .empty: return .endAfter
        case .stray, .continuation: return .endBefore
        case .mailboxLine:
            field = .kept
            return .keep
        case .removableName:
            field = .undecided
            return .withhold
        case .field(let known):
            if known == .tlsRequired, headerText(line).asciiLowercased == "no" {
                findings.waivesTLS = true
            }
            return judge(known, at: offset)
        }
    }

    private mutating func judge(_ known: KnownField, at offset: Int) -> Verdict {
        switch known {
        case .bcc, .returnPath:
            // RFC 5322 §3.6.3: Bcc goes before the message is sent on; RFC 5321 §4.4: Return-Path
            // is added at final delivery alone.
            field = .removed
            findings.removedFields += 1
            return .drop
        case .received: findings.receivedFields += 1
        case .date: findings.hadDate = true
        case .messageID:
            if !findings.hadMessageID { messageIDStart = offset }
            findings.hadMessageID = true
        case .tlsRequired, .other: break
        }
        field = .kept
        return .keep
    }

    private mutating func complete(_ end: HeaderFindings.End) {
        isComplete = true
        findings.end = end
    }

    /// Ends the header: after `isComplete`, or at the end of the message if it never was.
    package consuming func finish() -> RewrittenHeader {
        if !isComplete { endOfMessage() }
        let emptyLineBytes = trailingEmptyLineBytes
        if messageIDStart > 0, messageIDEnd == 0 { messageIDEnd = out.count }
        if findings.hadMessageID {
            findings.messageID = headerText(
                UnsafeRawBufferPointer(rebasing: out.pointer[messageIDStart..<messageIDEnd])
            )
        }
        if rules.addsMissingFields, !findings.hadDate || !findings.hadMessageID {
            addMissingFields(before: emptyLineBytes)
        }
        if findings.end == .strayLine { out.append("\r\n") }
        let facts = measure(out.pointer)
        return RewrittenHeader(
            block: out.finish(),
            bodyStart: bodyStart.finish(),
            findings: findings,
            facts: facts
        )
    }

    private mutating func endOfMessage() {
        findings.end = .endOfMessage
        guard carry.count > 0 else {
            if field == .undecided { findings.end = .strayLine }
            return
        }
        switch judge(carry.pointer, at: out.count) {
        case .keep, .endAfter: out.append(carry.pointer)
        case .drop: break
        case .withhold, .endBefore:
            bodyStart.append(carry.pointer)
            findings.end = .strayLine
        }
    }

    /// Length of the empty line at the end of `out`, 0 when the header ended otherwise.
    private var trailingEmptyLineBytes: Int {
        guard findings.end == .emptyLine else { return 0 }
        let bytes = out.pointer
        return bytes[bytes.count - 2] == 0x0d ? 2 : 1
    }

    /// Adds what is missing as the last fields, before the empty line if there is one.
    private mutating func addMissingFields(before emptyLineBytes: Int) {
        let kept = out.count - emptyLineBytes
        var whole = BytesBuilder(capacity: out.count + 256)
        whole.append(UnsafeRawBufferPointer(rebasing: out.pointer[..<kept]))
        if whole.pointer[kept - 1] != 0x0a { whole.append("\r\n") }
        var writer = FieldWriter(whole)
        if !findings.hadDate { writer.dateField(rules.received.date) }
        if !findings.hadMessageID {
            let id = "<\(rules.received.id.text)@\(rules.received.byHost)>"
            writer.messageIDField(id)
            findings.messageID = id
        }
        writer.out.append(UnsafeRawBufferPointer(rebasing: out.pointer[kept...]))
        out = writer.out
    }
}

/// Index after the next LF, nil when there is none.
private func lineEnd(_ base: UnsafeRawPointer, _ count: Int, from start: Int) -> Int? {
    guard start < count, let found = memchr(base + start, 0x0a, count - start) else { return nil }
    return UnsafeRawPointer(found) - base + 1
}

private func beginsWithColon(_ line: UnsafeRawBufferPointer) -> Bool {
    line.first { $0 != 0x20 && $0 != 0x09 } == 0x3a
}

/// The text of a field after its colon, unfolded, trimmed, bounded, without control characters.
private func headerText(_ field: UnsafeRawBufferPointer) -> String {
    guard let colon = field.firstIndex(of: 0x3a) else { return "" }
    let value = field[(colon + 1)...].lazy.filter { $0 != 0x0d && $0 != 0x0a }
    var text = Array(value.prefix(HeaderRewriter.messageIDBytes + 64).map { $0 < 0x20 ? 0x20 : $0 })
    while text.last == 0x20 { text.removeLast() }
    return String(
        decoding: text.drop { $0 == 0x20 }.prefix(HeaderRewriter.messageIDBytes),
        as: UTF8.self
    )
}

/// The facts of a header block.
private func measure(_ block: UnsafeRawBufferPointer) -> MessageFacts {
    var facts = MessageFacts()
    guard let base = block.baseAddress else { return facts }
    var start = 0
    while start < block.count {
        let end = lineEnd(base, block.count, from: start)
        let next = end ?? block.count
        var length = next - start
        if end != nil {
            length -= length > 1 && block[next - 2] == 0x0d ? 2 : 1
        }
        facts.lines += 1
        facts.longestLineBytes = max(facts.longestLineBytes, length)
        if block[start] == UInt8(ascii: ".") { facts.hasLeadingDot = true }
        start = next
    }
    facts.headerHasEightBit = hasEightBit(base, block.count)
    return facts
}

private func hasEightBit(_ base: UnsafeRawPointer, _ count: Int) -> Bool {
    var bits: UInt64 = 0
    var offset = 0
    while offset + 8 <= count {
        bits |= base.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
        offset += 8
    }
    while offset < count {
        bits |= UInt64(base.load(fromByteOffset: offset, as: UInt8.self))
        offset += 1
    }
    return bits & 0x8080_8080_8080_8080 != 0
}
