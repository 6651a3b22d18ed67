// The second of two passes over a message with 8-bit content that goes to a host without 8BITMIME: what
// the survey planned is done while the message streams by. Every byte that the plan does not name goes
// out as it came. Memory is bounded by one line and by what a run becomes.

import EkidenMail

package struct SevenBitConverter: Sendable {
    private let plan: SevenBitPlan
    private var lines = LineCutter()
    private var walker = MIMEWalker()
    /// The encoding field has been written anew, and its continuations go.
    private var dropsContinuation = false
    private var hasWrittenEncoding = false
    private var base64: Base64Lines?
    /// A CRLF of content, unless a boundary follows, to which it belongs then (RFC 2046 §5.1.1).
    private var hasPendingLineEnd = false

    /// - Parameter plan: of the same message, and without an obstacle.
    package init(_ plan: SevenBitPlan) { self.plan = plan }

    /// The next bytes of the message, cut anywhere, as they go out; what belongs to an unfinished line
    /// comes with the next ones.
    package mutating func convert(_ run: Bytes) -> Bytes {
        var out = BytesBuilder(capacity: run.count + run.count / 4 + 64)
        var offset = 0
        while let line = lines.next(in: run.pointer, from: &offset) {
            write(line, into: &out)
        }
        withExtendedLifetime(run) {}
        return out.finish()
    }

    /// What is left at the end of the message.
    package mutating func finish() -> Bytes {
        var out = BytesBuilder()
        if let line = lines.last() { write(line, into: &out) }
        endLeaf(atBoundary: walker.awaitsBoundary, into: &out)
        return out.finish()
    }

    private mutating func write(_ line: LineCutter.Line, into out: inout BytesBuilder) {
        switch line {
        case .inPlace(let bytes): take(bytes, into: &out)
        case .carried(let bytes): bytes.withUnsafeBytes { take($0, into: &out) }
        }
    }

    private mutating func take(_ line: UnsafeRawBufferPointer, into out: inout BytesBuilder) {
        let before = walker.entity
        switch walker.take(line) {
        case .boundary:
            endLeaf(atBoundary: true, into: &out)
            hasWrittenEncoding = false
            out.append(line)
        case .surroundings: out.append(line)
        case .header(let kind):
            // The empty line before a message inside begins another header.
            let entity = kind == .end ? before : walker.entity
            takeHeader(line, kind, of: entity, into: &out)
        case .content: takeContent(line, into: &out)
        }
    }

    // MARK: Headers

    private mutating func takeHeader(
        _ line: UnsafeRawBufferPointer,
        _ kind: EntityHeaderLine,
        of entity: MIMEEntity,
        into out: inout BytesBuilder
    ) {
        let change = plan.change(of: entity.index)
        switch kind {
        case .field(.transferEncoding):
            if let field = SevenBitFields.transferEncoding(change) {
                out.append(field)
                hasWrittenEncoding = true
                dropsContinuation = true
                return
            }
        case .field: break
        case .continuation: if dropsContinuation { return }
        case .end:
            addMissingFields(change, to: entity, into: &out)
            hasWrittenEncoding = false
        case .stray: break
        }
        dropsContinuation = false
        out.append(line)
    }

    private func addMissingFields(
        _ change: SevenBitPlan.Change,
        to entity: MIMEEntity,
        into out: inout BytesBuilder
    ) {
        if change == .none { return }
        // RFC 2045 §4: of a message, not of a part.
        if entity.header.isMessage, !entity.header.hasVersion { out.append(SevenBitFields.version) }
        if change == .quotedPrintable || change == .base64 {
            if entity.header.contentType == nil { out.append(SevenBitFields.contentType) }
            if !hasWrittenEncoding, let field = SevenBitFields.transferEncoding(change) {
                out.append(field)
            }
        }
    }

    // MARK: Content

    private mutating func takeContent(
        _ line: UnsafeRawBufferPointer,
        into out: inout BytesBuilder
    ) {
        switch plan.change(of: walker.entity.index) {
        case .quotedPrintable:
            let text = lineText(line)
            QuotedPrintable.encode(text, into: &out)
            if text.count < line.count { out.append("\r\n") }
        case .base64:
            let text = lineText(line)
            var lines = base64 ?? Base64Lines()
            if hasPendingLineEnd { Self.encodeLineEnd(&lines, into: &out) }
            lines.encode(text, into: &out)
            hasPendingLineEnd = text.count < line.count
            base64 = lines
        case .none, .inside, .relabelled: out.append(line)
        }
    }

    private mutating func endLeaf(atBoundary: Bool, into out: inout BytesBuilder) {
        guard var lines = base64.take() else { return }
        if hasPendingLineEnd, !atBoundary { Self.encodeLineEnd(&lines, into: &out) }
        hasPendingLineEnd = false
        lines.finish(into: &out)
    }

    private static func encodeLineEnd(_ lines: inout Base64Lines, into out: inout BytesBuilder) {
        withUnsafeBytes(of: (UInt8(0x0d), UInt8(0x0a))) { lines.encode($0, into: &out) }
    }
}
