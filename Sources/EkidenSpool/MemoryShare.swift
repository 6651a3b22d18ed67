// A bound on memory that many tasks hold at once. Any loop.

import Synchronization

final class MemoryShare: Sendable {
    private let bytesMax: Int
    private let taken = Mutex(0)

    init(bytesMax: Int) { self.bytesMax = bytesMax }

    /// False when so much is not to be had; then nothing is taken.
    func take(_ byteCount: Int) -> Bool {
        taken.withLock { taken in
            guard taken + byteCount <= bytesMax else { return false }
            taken += byteCount
            return true
        }
    }

    func giveBack(_ byteCount: Int) { taken.withLock { $0 -= byteCount } }

    /// Bytes taken now.
    var byteCount: Int { taken.withLock { $0 } }
}
