// The first of two passes over a message with 8-bit content that is to go to a host without 8BITMIME
// (RFC 6152 §3): which parts must change and how, or why it can't be done; and how many bytes it will
// have then, exactly, for SIZE. Called by delivery with header block and body, run by run.

import EkidenMail

package struct SevenBitSurvey: ~Copyable {
    /// What there is to know after the last run.
    package struct Findings: Sendable {
        package var plan: SevenBitPlan
        /// The first reason found why it can't be converted; nil: the plan is good.
        package var obstacle: SevenBitObstacle?
        /// The header of the message, of a part or of a message inside has bytes above 127.
        package var headersHaveEightBit: Bool
    }

    /// What is known of the leaf being read.
    private struct Leaf {
        let entity: MIMEEntity
        var hasEightBit = false
        var plainBytes = 0
        var quotedPrintableBytes = 0
        /// Without a CRLF that may belong to the boundary behind it (RFC 2046 §5.1.1).
        var contentBytes = 0
        var pendingLineEndBytes = 0
    }

    private var lines = LineCutter()
    private var walker = MIMEWalker()
    private var plan = SevenBitPlan()
    private var obstacle: SevenBitObstacle?
    private var headersHaveEightBit = false
    private var leaf: Leaf?
    private var scratch = BytesBuilder(capacity: 256)

    package init() {}

    /// The next bytes of the message, cut anywhere.
    package mutating func append(_ run: UnsafeRawBufferPointer) {
        var offset = 0
        while let line = lines.next(in: run, from: &offset) {
            take(line, isLast: false)
        }
    }

    package consuming func finish() -> Findings {
        if let line = lines.last() { take(line, isLast: true) }
        endLeaf(atBoundary: walker.awaitsBoundary)
        return Findings(
            plan: plan,
            obstacle: obstacle,
            headersHaveEightBit: headersHaveEightBit
        )
    }

    private mutating func take(_ line: LineCutter.Line, isLast: Bool) {
        switch line {
        case .inPlace(let bytes): take(bytes, isLast: isLast)
        case .carried(let bytes): bytes.withUnsafeBytes { take($0, isLast: isLast) }
        }
    }

    private mutating func take(_ line: UnsafeRawBufferPointer, isLast: Bool) {
        let isEightBit = line.contains { $0 >= 0x80 }
        // Nothing with bare newlines or endless lines is ever stored.
        if !isLast, lineEndBytes(line) == 0 { note(.damagedStructure) }
        switch walker.take(line) {
        case .boundary:
            endLeaf(atBoundary: true)
            plan.byteCount += line.count
            if walker.entities > MIMEWalker.entitiesMax { note(.tooManyParts) }
        case .surroundings:
            if isEightBit { note(.surroundings) }
            plan.byteCount += line.count
        case .header:
            if isEightBit {
                headersHaveEightBit = true
                note(.header)
            }
            plan.byteCount += line.count
        case .content:
            addContent(line, isEightBit: isEightBit)
        }
    }

    private mutating func note(_ found: SevenBitObstacle) {
        if obstacle == nil { obstacle = found }
    }

    // MARK: Leaves

    private mutating func addContent(_ line: UnsafeRawBufferPointer, isEightBit: Bool) {
        var leaf = leaf ?? Leaf(entity: walker.entity)
        if isEightBit, !leaf.hasEightBit {
            leaf.hasEightBit = true
            if case .fixed(let reason) = leaf.entity.body { note(reason) }
            changeSurroundingParts()
        }
        let text = lineText(line)
        leaf.plainBytes += line.count
        leaf.contentBytes += leaf.pendingLineEndBytes + text.count
        leaf.pendingLineEndBytes = line.count - text.count
        if leaf.entity.body == .text {
            scratch.removeAll()
            QuotedPrintable.encode(text, into: &scratch)
            leaf.quotedPrintableBytes += scratch.count + line.count - text.count
        }
        self.leaf = leaf
    }

    private mutating func endLeaf(atBoundary: Bool) {
        guard var leaf = leaf.take() else { return }
        if !atBoundary { leaf.contentBytes += leaf.pendingLineEndBytes }
        guard leaf.hasEightBit, obstacle == nil else {
            plan.byteCount += leaf.plainBytes
            return
        }
        let base64Bytes = Base64Lines.encodedBytes(of: leaf.contentBytes)
        // Text that people can read without a decoder is worth some bytes.
        let isReadable =
            leaf.entity.body == .text && leaf.quotedPrintableBytes * 3 <= base64Bytes * 4
        let change = isReadable ? SevenBitPlan.Change.quotedPrintable : .base64
        plan.byteCount += isReadable ? leaf.quotedPrintableBytes : base64Bytes
        if leaf.entity.header.contentType == nil {
            plan.byteCount += SevenBitFields.contentType.utf8CodeUnitCount
        }
        self.change(leaf.entity, change)
    }

    /// The parts around one that changes are labelled anew.
    private mutating func changeSurroundingParts() {
        if obstacle != nil { return }
        for frame in walker.frames where plan.change(of: frame.entity.index) == .none {
            change(frame.entity, frame.entity.isLabelledEightBit ? .relabelled : .inside)
        }
    }

    private mutating func change(_ entity: MIMEEntity, _ change: SevenBitPlan.Change) {
        plan.set(change, of: entity.index)
        if let field = SevenBitFields.transferEncoding(change) {
            plan.byteCount += field.utf8CodeUnitCount - entity.header.encodingFieldBytes
        }
        if entity.header.isMessage, !entity.header.hasVersion {
            plan.byteCount += SevenBitFields.version.utf8CodeUnitCount
        }
    }
}
