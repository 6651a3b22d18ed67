// Cuts runs of bytes, of any size and cut anywhere, into lines, so that what reads a message does not
// depend on how it was read from the disk.

import EkidenMail
import Glibc

struct LineCutter: Sendable {
    /// A line with its line end, where it lies; or put together from several runs.
    enum Line {
        case inPlace(UnsafeRawBufferPointer)
        case carried([UInt8])
    }

    /// Longer lines are not let in by the receiver; here they would be cut, so that memory stays bounded.
    static let lineBytesMax = Limits.textLineBytes + 2

    /// The beginning of a line whose end has not come yet.
    private var carry: [UInt8] = []

    /// The next line of `run` from `offset`, which moves behind it; nil: the rest waits for the next run.
    mutating func next(in run: UnsafeRawBufferPointer, from offset: inout Int) -> Line? {
        guard offset < run.count, let base = run.baseAddress else { return nil }
        let room = min(run.count - offset, Self.lineBytesMax - carry.count)
        let end: Int
        if let found = memchr(base + offset, 0x0a, room) {
            end = UnsafeRawPointer(found) - base + 1
        } else {
            end = offset + room
            if carry.count + room < Self.lineBytesMax {
                carry += run[offset..<end]
                offset = end
                return nil
            }
        }
        let piece = UnsafeRawBufferPointer(rebasing: run[offset..<end])
        offset = end
        if carry.isEmpty { return .inPlace(piece) }
        defer { carry = [] }
        return .carried(carry + piece)
    }

    /// What the message ends with behind its last line end; nil: nothing.
    mutating func last() -> Line? {
        if carry.isEmpty { return nil }
        defer { carry = [] }
        return .carried(carry)
    }
}

/// Bytes of the line end: 2 for CRLF, 0 for none and for a bare LF.
func lineEndBytes(_ line: UnsafeRawBufferPointer) -> Int {
    let count = line.count
    return count >= 2 && line[count - 1] == 0x0a && line[count - 2] == 0x0d ? 2 : 0
}

/// Without its CRLF.
func lineText(_ line: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: line[..<(line.count - lineEndBytes(line))])
}
