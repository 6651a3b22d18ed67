// What is on a simulated disk: for each file the bytes that are durable, those that are only
// written, and those a failed sync has made doubtful; for each directory the names that are durable
// and the changes that are not yet. `afterPowerLoss` makes of it what a crash may leave, which is
// the contract of `Disk`.

/// One file. Owned by the image, touched on the world's thread alone.
final class SimInode {
    struct Write {
        let offset: Int
        let bytes: [UInt8]
    }

    var current: [UInt8] = []
    var durable: [UInt8] = []
    /// Written since the last sync.
    var dirty: [Write] = []
    /// Written before a sync that failed: no later sync makes these durable.
    var doubtful: [Write] = []

    func write(_ bytes: [UInt8], at offset: Int) {
        Self.apply(bytes[...], at: offset, to: &current)
        dirty.append(Write(offset: offset, bytes: bytes))
    }

    func sync() {
        for write in dirty { Self.apply(write.bytes[...], at: write.offset, to: &durable) }
        dirty = []
    }

    func failSync() {
        doubtful += dirty
        dirty = []
    }

    static func apply(_ bytes: ArraySlice<UInt8>, at offset: Int, to content: inout [UInt8]) {
        let end = offset + bytes.count
        if content.count < end { content += [UInt8](repeating: 0, count: end - content.count) }
        content.withUnsafeMutableBytes { content in
            bytes.withUnsafeBytes { bytes in
                UnsafeMutableRawBufferPointer(rebasing: content[offset..<end])
                    .copyMemory(from: bytes)
            }
        }
    }

    /// Any subset of the sectors not made durable, in the order written.
    func afterPowerLoss(_ random: SimRandom) -> SimInode {
        var content = durable
        // Sometimes nothing, sometimes everything, sometimes a mixture.
        let keptOfEight = [0, 8, 1, 4, 7][Int(random.below(5))]
        for write in doubtful + dirty {
            var start = 0
            while start < write.bytes.count {
                // Sectors are 512 bytes of the file, not of the write.
                let room = 512 - (write.offset + start) % 512
                let end = min(start + room, write.bytes.count)
                if random.below(8) < keptOfEight {
                    Self.apply(write.bytes[start..<end], at: write.offset + start, to: &content)
                }
                start = end
            }
        }
        let survivor = SimInode()
        survivor.current = content
        survivor.durable = content
        return survivor
    }
}

enum SimNode {
    case file(SimInode)
    case directory(SimDirectory)
}

final class SimDirectory {
    enum Change {
        case link(String, SimNode)
        case unlink(String)
        case rename(String, to: String, SimNode)
    }

    var current: [String: SimNode] = [:]
    var durable: [String: SimNode] = [:]
    var pending: [Change] = []

    func change(_ change: Change) {
        Self.apply(change, to: &current)
        pending.append(change)
    }

    func sync() {
        for change in pending { Self.apply(change, to: &durable) }
        pending = []
    }

    private static func apply(_ change: Change, to entries: inout [String: SimNode]) {
        switch change {
        case .link(let name, let node): entries[name] = node
        case .unlink(let name): entries[name] = nil
        case .rename(let old, let new, let node):
            entries[old] = nil
            entries[new] = node
        }
    }

    func afterPowerLoss(_ random: SimRandom) -> SimDirectory {
        var entries = durable
        let keptOfEight = [0, 8, 4][Int(random.below(3))]
        for change in pending where random.below(8) < keptOfEight {
            Self.apply(change, to: &entries)
        }
        let survivor = SimDirectory()
        for name in entries.keys.sorted() {
            switch entries[name] {
            case .file(let inode): survivor.durable[name] = .file(inode.afterPowerLoss(random))
            case .directory(let directory):
                survivor.durable[name] = .directory(directory.afterPowerLoss(random))
            case nil: break
            }
        }
        survivor.current = survivor.durable
        return survivor
    }

    var totalBytes: Int {
        var total = 0
        for node in current.values {
            switch node {
            case .file(let inode): total += inode.current.count
            case .directory(let directory): total += directory.totalBytes
            }
        }
        return total
    }
}

/// A disk without a machine around it: what outlives a world.
package final class SimDiskImage {
    let root: SimDirectory

    package init() { root = SimDirectory() }
    init(root: SimDirectory) { self.root = root }

    /// What may be left when the power fails.
    package func afterPowerLoss(_ random: SimRandom) -> SimDiskImage {
        SimDiskImage(root: root.afterPowerLoss(random))
    }

    /// Paths of all files and their sizes, sorted; for assertions.
    package var files: [(path: String, byteCount: Int)] {
        var found: [(path: String, byteCount: Int)] = []
        func walk(_ directory: SimDirectory, _ prefix: String) {
            for name in directory.current.keys.sorted() {
                switch directory.current[name] {
                case .file(let inode): found.append((prefix + name, inode.current.count))
                case .directory(let inner): walk(inner, prefix + name + "/")
                case nil: break
                }
            }
        }
        walk(root, "")
        return found
    }

    package func bytes(of path: String) -> [UInt8]? { inode(path)?.current }

    /// Changes a byte where it lies, behind everybody's back: bit rot.
    package func flip(_ path: String, at offset: Int, mask: UInt8 = 0x40) {
        guard let inode = inode(path), offset < inode.current.count else { return }
        inode.current[offset] ^= mask
        inode.durable[offset] ^= mask
    }

    package func remove(_ path: String) {
        let (directory, name) = parent(path)
        directory?.current[name] = nil
        directory?.durable[name] = nil
    }

    /// Puts a file there, durable.
    package func put(_ path: String, _ bytes: [UInt8]) {
        let (directory, name) = parent(path)
        let inode = SimInode()
        inode.current = bytes
        inode.durable = bytes
        directory?.current[name] = .file(inode)
        directory?.durable[name] = .file(inode)
    }

    func inode(_ path: String) -> SimInode? {
        let (directory, name) = parent(path)
        if case .file(let inode) = directory?.current[name] { return inode }
        return nil
    }

    func directory(_ path: String) -> SimDirectory? {
        var directory = root
        for part in path.split(separator: "/") {
            guard case .directory(let inner) = directory.current[String(part)] else { return nil }
            directory = inner
        }
        return directory
    }

    func parent(_ path: String) -> (SimDirectory?, String) {
        let parts = path.split(separator: "/")
        let name = parts.last.map { String($0) } ?? ""
        return (directory(parts.dropLast().joined(separator: "/")), name)
    }
}
