// The queued ids in order, each with its slot: a list of sorted chunks. Ids mostly arrive in order
// and leave anywhere; recovery brings old ones late. Every operation touches one chunk.

/// A sorted map from id to slot. 12 bytes an entry when full.
struct OrderedIDs {
    /// Entries in a chunk at most; half of it after a split in the middle.
    private static let chunkEntriesMax = 512

    private struct Chunk {
        var ids: ContiguousArray<UInt64>
        var slots: ContiguousArray<UInt32>
    }

    private var chunks: ContiguousArray<Chunk> = []
    /// First id of each chunk.
    private var firsts: ContiguousArray<UInt64> = []
    private(set) var count = 0

    /// Number of elements of `ids` below `id` (or not above it).
    private static func position(
        _ ids: ContiguousArray<UInt64>,
        _ id: UInt64,
        orEqual: Bool = false
    ) -> Int {
        var low = 0
        var high = ids.count
        while low < high {
            let middle = (low + high) / 2
            if ids[middle] < id || (orEqual && ids[middle] == id) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }

    func slot(_ id: UInt64) -> UInt32? {
        let c = Self.position(firsts, id, orEqual: true) - 1
        guard c >= 0 else { return nil }
        let i = Self.position(chunks[c].ids, id)
        return i < chunks[c].ids.count && chunks[c].ids[i] == id ? chunks[c].slots[i] : nil
    }

    /// The id must not be there yet.
    mutating func insert(_ id: UInt64, _ slot: UInt32) {
        count += 1
        guard !chunks.isEmpty else {
            addChunk(at: 0, [id], [slot])
            return
        }
        let c = max(0, Self.position(firsts, id, orEqual: true) - 1)
        let i = Self.position(chunks[c].ids, id)
        if chunks[c].ids.count >= Self.chunkEntriesMax {
            if c == chunks.count - 1, i == chunks[c].ids.count {
                addChunk(at: c + 1, [id], [slot])
            } else {
                split(c)
                count -= 1
                insert(id, slot)
            }
            return
        }
        chunks[c].ids.insert(id, at: i)
        chunks[c].slots.insert(slot, at: i)
        if i == 0 { firsts[c] = id }
    }

    private mutating func addChunk(
        at index: Int,
        _ ids: ContiguousArray<UInt64>,
        _ slots: ContiguousArray<UInt32>
    ) {
        var chunk = Chunk(ids: [], slots: [])
        chunk.ids.reserveCapacity(Self.chunkEntriesMax)
        chunk.slots.reserveCapacity(Self.chunkEntriesMax)
        chunk.ids += ids
        chunk.slots += slots
        firsts.insert(chunk.ids[0], at: index)
        chunks.insert(chunk, at: index)
    }

    private mutating func split(_ c: Int) {
        let half = chunks[c].ids.count / 2
        let ids = ContiguousArray(chunks[c].ids[half...])
        let slots = ContiguousArray(chunks[c].slots[half...])
        chunks[c].ids.removeSubrange(half...)
        chunks[c].slots.removeSubrange(half...)
        addChunk(at: c + 1, ids, slots)
    }

    mutating func remove(_ id: UInt64) {
        let c = Self.position(firsts, id, orEqual: true) - 1
        guard c >= 0 else { return }
        let i = Self.position(chunks[c].ids, id)
        guard i < chunks[c].ids.count, chunks[c].ids[i] == id else { return }
        count -= 1
        chunks[c].ids.remove(at: i)
        chunks[c].slots.remove(at: i)
        if chunks[c].ids.isEmpty {
            chunks.remove(at: c)
            firsts.remove(at: c)
            return
        }
        if i == 0 { firsts[c] = chunks[c].ids[0] }
        if chunks[c].ids.count < Self.chunkEntriesMax / 4 { mergeIfSmall(c) }
    }

    /// Thin neighbours become one, so that few old messages don't hold many chunks.
    private mutating func mergeIfSmall(_ c: Int) {
        let left = c > 0 ? c - 1 : c
        guard left + 1 < chunks.count,
            chunks[left].ids.count + chunks[left + 1].ids.count <= Self.chunkEntriesMax / 2
        else { return }
        chunks[left].ids += chunks[left + 1].ids
        chunks[left].slots += chunks[left + 1].slots
        chunks.remove(at: left + 1)
        firsts.remove(at: left + 1)
    }

    /// Up to `limit` slots of ids above `id`, in order of their ids.
    func slots(after id: UInt64, limit: Int) -> [UInt32] {
        var found: [UInt32] = []
        var c = max(0, Self.position(firsts, id, orEqual: true) - 1)
        while c < chunks.count, found.count < limit {
            let start = Self.position(chunks[c].ids, id, orEqual: true)
            let end = min(chunks[c].ids.count, start + limit - found.count)
            if start < end { found += chunks[c].slots[start..<end] }
            c += 1
        }
        return found
    }

    /// Bytes of memory behind it.
    var footprintBytes: Int {
        chunks.reduce(0) { $0 + $1.ids.capacity * 8 + $1.slots.capacity * 4 + 64 }
            + chunks.capacity * MemoryLayout<Chunk>.stride + firsts.capacity * 8
    }
}
