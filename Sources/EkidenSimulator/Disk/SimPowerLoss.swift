// What a power loss leaves of a simulated disk. The contract of `Disk` allows, of the writes since a
// file's last successful sync, any subset, each torn at any 512-byte sector; and of the names since
// a directory's last sync any subset, as long as nothing survives without what it builds on. That is
// more than one file system does (ext4 and XFS keep the names in the order of their journal), and
// that is the point. What is never drawn, because no disk and file system we know does it: a sector
// half old and half new, a durable byte lost, a file shorter than its durable size, both names of a
// renamed file or none.

import EkidenRuntime

/// The manner of a power loss.
package enum SimPowerLoss: String, Sendable, CaseIterable {
    /// Nothing that was not synced.
    case nothing
    /// Everything that was asked for: the caches of kernel and disk had been written just before.
    case everything
    /// Writes and names in the order they were asked for, up to some moment; the write of that
    /// moment is torn.
    case prefix
    /// Each file draws what it keeps (`SimSurvival`), each change of names whether it is kept.
    case mixture

    static func draw(_ random: SimRandom) -> SimPowerLoss {
        switch random.below(8) {
        case 0: .nothing
        case 1: .everything
        case 2, 3: .prefix
        default: .mixture
        }
    }
}

/// What one file keeps of the writes that were not synced.
enum SimSurvival {
    case nothing
    case everything
    /// Writes numbered below stay whole, the write of that number keeps some sectors.
    case prefix(number: Int)
    /// Whole writes, each with so many chances in eight.
    case writes(ofEight: Int)
    /// Single sectors of 512 bytes, each with so many chances in eight.
    case sectors(ofEight: Int)
    /// All but one write: a hole with good frames behind it.
    case allButOne
    /// All but one sector.
    case allButOneSector

    static func draw(_ random: SimRandom) -> SimSurvival {
        switch random.below(10) {
        case 0: .nothing
        case 1: .everything
        case 2: .writes(ofEight: 4)
        case 3: .writes(ofEight: 7)
        case 4: .sectors(ofEight: 1)
        case 5, 6: .sectors(ofEight: 4)
        case 7: .sectors(ofEight: 7)
        case 8: .allButOne
        default: .allButOneSector
        }
    }

    /// Puts what is kept of `writes`, in their order, into `content`.
    func apply(_ writes: [SimWrite], to content: inout [UInt8], _ random: SimRandom) {
        var lost = -1
        switch self {
        case .allButOne where !writes.isEmpty: lost = Int(random.below(UInt64(writes.count)))
        case .allButOneSector where !writes.isEmpty:
            let sectors = writes.reduce(0) { $0 + Self.sectorCount($1) }
            lost = Int(random.below(UInt64(sectors)))
        default: break
        }
        var sector = 0
        for (index, write) in writes.enumerated() {
            let isWhole =
                switch self {
                case .nothing: false
                case .everything: true
                case .prefix(let number): write.number < number
                case .writes(let chances): random.below(8) < chances
                case .allButOne: index != lost
                case .sectors, .allButOneSector: false
                }
            if isWhole {
                SimInode.apply(write.bytes[...], at: write.offset, to: &content)
                continue
            }
            Self.forEachSector(of: write) { bytes, offset in
                let isKept =
                    switch self {
                    case .prefix(let number): write.number == number && random.below(2) == 0
                    case .sectors(let chances): random.below(8) < chances
                    case .allButOneSector: sector != lost
                    default: false
                    }
                sector += 1
                if isKept { SimInode.apply(bytes, at: offset, to: &content) }
            }
        }
    }

    /// Sectors are 512 bytes of the file, not of the write.
    private static func forEachSector(
        of write: SimWrite,
        _ body: (ArraySlice<UInt8>, Int) -> Void
    ) {
        var start = 0
        while start < write.bytes.count {
            let end = min(start + 512 - (write.offset + start) % 512, write.bytes.count)
            body(write.bytes[start..<end], write.offset + start)
            start = end
        }
    }

    private static func sectorCount(_ write: SimWrite) -> Int {
        (write.end + 511) / 512 - write.offset / 512
    }
}
