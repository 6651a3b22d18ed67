// What happened in a simulated world, line by line in virtual time. The same seed gives the same
// lines; comparing two runs is comparing two hashes.

import EkidenMail

package final class Trace {
    private unowned let world: SimWorld
    /// FNV-1a (Fowler, Noll, Vo), 64 bits, over all lines.
    package private(set) var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    package private(set) var lineCount = 0
    /// The last lines, oldest first.
    package private(set) var tail: [String] = []
    /// Gets every line as it is written.
    package var printed: ((String) -> Void)?

    private static let tailLines = 60

    init(world: SimWorld) { self.world = world }

    package func note(_ text: String) {
        let nanoseconds = world.instant.nanoseconds
        let fraction = String(1_000_000_000 + nanoseconds % 1_000_000_000).dropFirst()
        let line = "\(nanoseconds / 1_000_000_000).\(fraction) \(text)"
        for byte in line.utf8 {
            hash ^= UInt64(byte)
            hash &*= 0x100_0000_01b3
        }
        lineCount += 1
        if tail.count == Self.tailLines { tail.removeFirst() }
        tail.append(line)
        printed?(line)
    }
}
