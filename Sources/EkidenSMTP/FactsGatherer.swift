// Counts what must be known of a message's bytes before they can be sent on: lines, the longest of
// them, leading dots, bytes above 127. The body receiver gathers as bytes come in; whoever changes
// a header block gathers over the new one. Runs may be cut anywhere, even between CR and LF.

import EkidenMail

package struct FactsGatherer: Sendable, Equatable {
    package private(set) var lines = 0
    /// Longest line, without its CRLF, in bytes; the unfinished last line included.
    package var longestLineBytes: Int { max(longestFinishedBytes, lineBytes) }
    package internal(set) var hasLeadingDot = false
    package internal(set) var hasEightBit = false

    private var longestFinishedBytes = 0
    /// Bytes of the line being gathered, without a CR that may turn out to end it.
    var lineBytes = 0
    private var afterCR = false

    package init() {}

    /// Adds a run of message bytes in which every CR and LF is part of a CRLF.
    package mutating func gather(_ run: UnsafeRawBufferPointer) {
        guard run.count > 0 else { return }
        if NewlineScan(run, afterCR: afterCR).hasEightBit { hasEightBit = true }
        var i = 0
        if afterCR {
            endLine()
            i = 1
        }
        afterCR = false
        while i < run.count {
            guard let cr = firstIndex(of: carriageReturn, in: run, from: i) else {
                addText(run, i..<run.count)
                return
            }
            addText(run, i..<cr)
            afterCR = cr + 1 == run.count
            if !afterCR { endLine() }
            i = cr + 2
        }
    }

    @inline(__always)
    mutating func addText(_ run: UnsafeRawBufferPointer, _ range: Range<Int>) {
        if lineBytes == 0, !range.isEmpty, run[range.lowerBound] == dot { hasLeadingDot = true }
        lineBytes &+= range.count
    }

    @inline(__always)
    mutating func endLine() {
        lines &+= 1
        if lineBytes > longestFinishedBytes { longestFinishedBytes = lineBytes }
        lineBytes = 0
    }
}

extension MessageFacts {
    /// The facts of a message from those of its two parts.
    package init(header: FactsGatherer, body: FactsGatherer) {
        self.init()
        lines = header.lines + body.lines
        longestLineBytes = max(header.longestLineBytes, body.longestLineBytes)
        hasLeadingDot = header.hasLeadingDot || body.hasLeadingDot
        headerHasEightBit = header.hasEightBit
        bodyHasEightBit = body.hasEightBit
    }
}
