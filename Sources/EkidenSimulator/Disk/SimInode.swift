// One file of a simulated disk: the bytes programs see, the bytes that are durable, and the writes
// in between, each with its number in the order of the whole disk. What a power loss may leave of
// the writes in between is drawn in `SimPowerLoss.swift`. Used on the world's thread alone.

/// Bytes handed to the kernel and not known to be durable.
struct SimWrite {
    /// Place in the order of everything ever written or named on this disk.
    let number: Int
    let offset: Int
    let bytes: [UInt8]

    var end: Int { offset + bytes.count }

    /// What is left of it when `range` has been written anew and made durable.
    func outside(_ range: Range<Int>) -> [SimWrite] {
        if range.lowerBound >= end || range.upperBound <= offset { return [self] }
        var rest: [SimWrite] = []
        if offset < range.lowerBound {
            let kept = Array(bytes[..<(range.lowerBound - offset)])
            rest.append(SimWrite(number: number, offset: offset, bytes: kept))
        }
        if range.upperBound < end {
            let kept = Array(bytes[(range.upperBound - offset)...])
            rest.append(SimWrite(number: number, offset: range.upperBound, bytes: kept))
        }
        return rest
    }
}

final class SimInode {
    let number: Int
    /// What programs see: everything the kernel has.
    var current: [UInt8] = []
    /// What the medium is known to hold.
    var durable: [UInt8] = []
    /// Written since the last sync.
    var dirty: [SimWrite] = []
    /// Written before a sync that failed: no later sync makes these durable, only a new write of
    /// the same bytes followed by its own sync.
    var doubtful: [SimWrite] = []
    /// Names it has in `current` directories; 0 when only open files keep it.
    var linkCount = 0

    init(number: Int) { self.number = number }

    func write(_ bytes: [UInt8], at offset: Int, number: Int) {
        // POSIX write: a count of zero changes nothing, not even the size.
        if bytes.isEmpty { return }
        Self.apply(bytes[...], at: offset, to: &current)
        dirty.append(SimWrite(number: number, offset: offset, bytes: bytes))
    }

    func sync() {
        for write in dirty {
            Self.apply(write.bytes[...], at: write.offset, to: &durable)
            if !doubtful.isEmpty {
                let range = write.offset..<write.end
                doubtful = doubtful.flatMap { $0.outside(range) }
            }
        }
        dirty = []
    }

    /// The kernel marks the pages clean whether or not they reached the medium.
    func failSync() {
        doubtful += dirty
        dirty = []
    }

    /// The kernel drops its clean pages; what a failed sync left is read from the medium anew, which
    /// has any of its sectors.
    func evict(_ random: SimRandom) {
        if doubtful.isEmpty { return }
        let length = current.count
        SimSurvival.sectors(ofEight: 4).apply(doubtful, to: &durable, random)
        doubtful = []
        current = durable
        // The size is the inode's, not a page's: it stays.
        Self.extend(&current, to: length)
        for write in dirty { Self.apply(write.bytes[...], at: write.offset, to: &current) }
    }

    /// Whether the byte at `offset` is the medium's and not waiting in memory.
    func isAtRest(_ offset: Int) -> Bool {
        offset < durable.count
            && !dirty.contains { $0.offset <= offset && offset < $0.end }
            && !doubtful.contains { $0.offset <= offset && offset < $0.end }
    }

    func copy() -> SimInode {
        let copy = SimInode(number: number)
        copy.current = current
        copy.durable = durable
        copy.dirty = dirty
        copy.doubtful = doubtful
        copy.linkCount = linkCount
        return copy
    }

    static func extend(_ content: inout [UInt8], to count: Int) {
        if content.count < count {
            content += [UInt8](repeating: 0, count: count - content.count)
        }
    }

    static func apply(_ bytes: ArraySlice<UInt8>, at offset: Int, to content: inout [UInt8]) {
        let end = offset + bytes.count
        extend(&content, to: end)
        content.withUnsafeMutableBytes { content in
            bytes.withUnsafeBytes { bytes in
                UnsafeMutableRawBufferPointer(rebasing: content[offset..<end])
                    .copyMemory(from: bytes)
            }
        }
    }
}
