// Answers, for a whole buffer at once, the questions that everything about message bytes hangs on:
// does each CR stand before an LF and each LF behind a CR, is there a byte above 127, or a NUL?
// Called by the body receiver on the way in and by the dot stuffer on the way out.
// RFC 5321 §2.3.8: CR and LF appear only together.

import Glibc

var carriageReturn: UInt8 { 0x0d }
var lineFeed: UInt8 { 0x0a }
var dot: UInt8 { 0x2e }

struct NewlineScan {
    /// A CR not followed by LF, or an LF not preceded by CR. A CR that is the last byte is not
    /// judged here: what follows it is not known yet.
    let hasBareNewline: Bool
    let hasEightBit: Bool
    let hasNUL: Bool

    /// - Parameter afterCR: the byte before the first one was a CR that still lacks its LF.
    init(_ bytes: UnsafeRawBufferPointer, afterCR: Bool) {
        guard let base = bytes.baseAddress, bytes.count > 0 else {
            hasBareNewline = false
            hasEightBit = false
            hasNUL = false
            return
        }
        // Each position is a pair: "this byte is CR" must equal "the next byte is LF". Written so
        // that the compiler makes vector code of it: no branch, byte-wide sums, no check.
        let byte = base.assumingMemoryBound(to: UInt8.self)
        let last = bytes.count &- 1
        var bare: UInt8 = 0
        var union: UInt8 = byte[last]
        var least: UInt8 = byte[last]
        var i = 0
        while i < last {
            let isCR: UInt8 = byte[i] == carriageReturn ? 1 : 0
            let isLF: UInt8 = byte[i &+ 1] == lineFeed ? 1 : 0
            bare |= isCR ^ isLF
            union |= byte[i]
            least = min(least, byte[i])
            i &+= 1
        }
        hasBareNewline = bare != 0 || (byte[0] == lineFeed) != afterCR
        hasEightBit = union & 0x80 != 0
        hasNUL = least == 0
    }
}

/// Position of the first `byte` in `bytes[start...]`, or nil.
@inline(__always)
func firstIndex(of byte: UInt8, in bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
    guard start < bytes.count, let base = bytes.baseAddress,
        let found = memchr(base + start, Int32(byte), bytes.count - start)
    else { return nil }
    return UnsafeRawPointer(found) - base
}

/// True when every CR is followed by an LF and every LF preceded by a CR: nothing in these bytes
/// can be taken for a line end that is not one (RFC 5321 §2.3.8).
package func isCleanCRLF(_ bytes: UnsafeRawBufferPointer) -> Bool {
    !NewlineScan(bytes, afterCR: false).hasBareNewline && bytes.last != carriageReturn
}
