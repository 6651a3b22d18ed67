// Fresh messages stay in memory until they are delivered or pushed out by newer ones: the usual
// message is never read from disk. Any loop.

import EkidenMail
import Synchronization

/// Least recently used goes first. Counts the memory that is kept alive, not just the bytes used.
final class ContentCache: Sendable {
    private struct Entry {
        var content: Content
        var bytes: Int
        var older: UInt64
        var newer: UInt64
    }

    private struct State {
        var entries: [UInt64: Entry] = [:]
        var bytes = 0
        /// Ends of the list; 0 when empty.
        var oldest: UInt64 = 0
        var newest: UInt64 = 0

        mutating func unlink(_ entry: Entry) {
            if entry.older == 0 {
                oldest = entry.newer
            } else {
                entries[entry.older]?.newer = entry.newer
            }
            if entry.newer == 0 {
                newest = entry.older
            } else {
                entries[entry.newer]?.older = entry.older
            }
        }

        mutating func link(_ id: UInt64, _ entry: Entry) {
            var entry = entry
            entry.older = newest
            entry.newer = 0
            if newest == 0 { oldest = id } else { entries[newest]?.newer = id }
            newest = id
            entries[id] = entry
        }

        mutating func remove(_ id: UInt64) {
            guard let entry = entries.removeValue(forKey: id) else { return }
            bytes -= entry.bytes
            unlink(entry)
        }
    }

    private let state = Mutex(State())
    private let bytesMax: Int

    init(bytesMax: Int) { self.bytesMax = bytesMax }

    func insert(_ id: QueueID, _ content: Content) {
        var bytes = content.header.retainedBytes + 256
        switch content.body {
        case .memory(let body): bytes += body.retainedBytes
        case .stored(let reader as LargeBodyReader, _): bytes += reader.retainedBytes
        case .stored: break
        }
        guard bytes <= bytesMax else { return }
        state.withLock { state in
            state.remove(id.number)
            state.link(id.number, Entry(content: content, bytes: bytes, older: 0, newer: 0))
            state.bytes += bytes
            while state.bytes > bytesMax, state.oldest != 0 { state.remove(state.oldest) }
        }
    }

    func content(_ id: QueueID) -> Content? {
        state.withLock { state in
            guard let entry = state.entries[id.number] else { return nil }
            if state.newest != id.number {
                state.unlink(entry)
                state.link(id.number, entry)
            }
            return entry.content
        }
    }

    func remove(_ id: QueueID) { state.withLock { $0.remove(id.number) } }

    var byteCount: Int { state.withLock { $0.bytes } }
}
