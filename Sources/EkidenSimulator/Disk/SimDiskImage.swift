// A disk without a machine around it: what outlives a process and a world. The files and names as
// programs see them, those that are durable, and the order of everything in between. A `SimDisk`
// works on it; tests look into it and change it behind everybody's back.

import EkidenRuntime

/// `@unchecked Sendable`: used on the world's one thread, as the `SimDisk` on it.
package final class SimDiskImage: @unchecked Sendable {
    private(set) var root: SimDirectory
    /// Changes of names not yet durable, in the order asked for.
    private(set) var changes: [SimChange] = []
    /// The next number of a file, directory, write or change of names.
    private var nextNumber = 1

    package init() { root = SimDirectory(number: 0) }

    func number() -> Int {
        defer { nextNumber += 1 }
        return nextNumber
    }

    // MARK: What crashes leave

    /// What is left when the process is killed and the machine runs on: all the kernel has, synced
    /// or not. Nothing becomes durable by it: a power loss that follows may still lose it. The
    /// result is a copy; the process's end lets go of its locks and of files without a name.
    package func afterKill() -> SimDiskImage { copy() }

    /// What may be left when the power fails: drawn from `random`, or in the manner `kind`.
    package func afterPowerLoss(_ random: SimRandom, _ kind: SimPowerLoss? = nil) -> SimDiskImage {
        let survivor = copy()
        survivor.losePower(kind ?? .draw(random), random)
        return survivor
    }

    /// The same disk once more, sharing nothing: what happens to one is unknown to the other.
    package func copy() -> SimDiskImage {
        let copy = SimDiskImage()
        var copier = SimCopier()
        copy.root = copier.copy(root)
        copy.changes = changes.map { change in
            SimChange(
                number: change.number,
                edits: change.edits.map { edit in
                    SimChange.Edit(
                        directory: copier.copy(edit.directory),
                        name: edit.name,
                        node: edit.node.map { copier.copy($0) }
                    )
                },
                subject: change.subject,
                isDoubtful: change.isDoubtful
            )
        }
        copy.nextNumber = nextNumber
        return copy
    }

    /// The kernel forgets what it need not remember. Reads after it see what the medium has of the
    /// writes before a failed sync.
    package func dropCaches(_ random: SimRandom) {
        root.forEachFile("") { _, inode in inode.evict(random) }
    }

    private func losePower(_ kind: SimPowerLoss, _ random: SimRandom) {
        var first = Int.max
        var last = 0
        for change in changes {
            (first, last) = (min(first, change.number), max(last, change.number))
        }
        root.forEachFile("") { _, inode in
            for write in inode.doubtful + inode.dirty {
                (first, last) = (min(first, write.number), max(last, write.number))
            }
        }
        var moment = 0
        if kind == .prefix, first <= last {
            moment = first + Int(random.below(UInt64(last - first + 2)))
        }
        keepNames(kind, moment, random)
        var seen: Set<Int> = []
        settle(root, &seen) { inode in
            let survival: SimSurvival =
                switch kind {
                case .nothing: .nothing
                case .everything: .everything
                case .prefix: .prefix(number: moment)
                case .mixture: .draw(random)
                }
            // The size may be durable before the bytes are: then zeros are read.
            let keepsSize = kind == .mixture && random.below(4) == 0
            survival.apply(inode.doubtful + inode.dirty, to: &inode.durable, random)
            if keepsSize { SimInode.extend(&inode.durable, to: inode.current.count) }
            inode.current = inode.durable
            inode.dirty = []
            inode.doubtful = []
        }
    }

    private func keepNames(_ kind: SimPowerLoss, _ moment: Int, _ random: SimRandom) {
        let chances: UInt64 = kind == .mixture ? [0, 2, 4, 7, 8][Int(random.below(5))] : 0
        // Half of the mixtures keep the order of the journal, as ext4 and XFS do.
        let inOrder = kind == .mixture && random.below(2) == 0
        var lost = SimChangeChain()
        var isOver = false
        for change in changes {
            var isKept =
                switch kind {
                case .nothing: false
                case .everything: true
                case .prefix: change.number < moment
                case .mixture: random.below(8) < chances
                }
            if inOrder, isOver { isKept = false }
            if isKept, !lost.touches(change) {
                change.makeDurable()
            } else {
                lost.add(change)
                isOver = true
            }
        }
        changes = []
    }

    /// Makes the durable names the current ones and calls `body` once for each file they name.
    private func settle(
        _ directory: SimDirectory,
        _ seen: inout Set<Int>,
        _ body: (SimInode) -> Void
    ) {
        directory.current = directory.durable
        for name in directory.current.keys.sorted() {
            switch directory.current[name] {
            case .file(let inode):
                guard seen.insert(inode.number).inserted else { break }
                inode.linkCount = 1
                body(inode)
            case .directory(let inner): settle(inner, &seen, body)
            case nil: break
            }
        }
    }

    // MARK: Changing names

    /// One operation's edits; `subject` is the file or directory they are about.
    func change(_ subject: Int, _ edits: [SimChange.Edit]) {
        for edit in edits {
            if case .file(let old) = edit.directory.current[edit.name] { old.linkCount -= 1 }
            if case .file(let new) = edit.node { new.linkCount += 1 }
        }
        let change = SimChange(number: number(), edits: edits, subject: subject)
        change.applyToCurrent()
        changes.append(change)
    }

    /// Makes durable what was changed in the directory, and what that builds on.
    func sync(_ directory: SimDirectory) {
        var needed = SimChangeChain()
        var isNeeded = [Bool](repeating: false, count: changes.count)
        for index in changes.indices.reversed() {
            let change = changes[index]
            let isHere = !change.isDoubtful && change.touches(directory)
            guard isHere || needed.touches(change) else { continue }
            isNeeded[index] = true
            needed.add(change)
        }
        for index in changes.indices where isNeeded[index] { changes[index].makeDurable() }
        changes = changes.indices.filter { !isNeeded[$0] }.map { changes[$0] }
    }

    /// fsync(2) says nothing of which part failed: each change of the directory may be durable or
    /// not, and the error is told once.
    func failSync(_ directory: SimDirectory) {
        for index in changes.indices where changes[index].touches(directory) {
            changes[index].isDoubtful = true
        }
    }

    // MARK: Looking into it and changing it

    /// Paths of all files and their sizes, sorted; for assertions.
    package var files: [(path: String, byteCount: Int)] {
        var found: [(path: String, byteCount: Int)] = []
        root.forEachFile("") { path, inode in found.append((path, inode.current.count)) }
        return found
    }

    /// What a program would read of the file; nil when there is none.
    package func bytes(of path: String) -> [UInt8]? { inode(path)?.current }

    /// A hash of all names and of what programs would read. Equal for equal content, in every
    /// process and build; what is durable and what isn't doesn't count.
    package var fingerprint: UInt64 {
        var hash = SimHash()
        hash.add(root)
        return hash.value
    }

    /// Whether every byte and every name is durable: a power loss would change nothing.
    package var isDurable: Bool {
        var isDurable = changes.isEmpty
        root.forEachFile("") { _, inode in
            if !inode.dirty.isEmpty || !inode.doubtful.isEmpty { isDurable = false }
        }
        return isDurable
    }

    /// Changes a byte where it lies, behind everybody's back: bit rot.
    package func flip(_ path: String, at offset: Int, mask: UInt8 = 0x40) {
        guard let inode = inode(path), offset < inode.current.count else { return }
        inode.current[offset] ^= mask
        if offset < inode.durable.count { inode.durable[offset] ^= mask }
    }

    package func remove(_ path: String) {
        let (directory, name) = parent(path)
        if case .file(let inode) = directory?.current[name] { inode.linkCount -= 1 }
        directory?.current[name] = nil
        directory?.durable[name] = nil
    }

    /// Puts a file there, durable.
    package func put(_ path: String, _ bytes: [UInt8]) {
        remove(path)
        let (directory, name) = parent(path)
        let inode = SimInode(number: number())
        inode.current = bytes
        inode.durable = bytes
        inode.linkCount = 1
        directory?.current[name] = .file(inode)
        directory?.durable[name] = .file(inode)
    }

    func inode(_ path: String) -> SimInode? {
        if case .file(let inode) = node(path) { return inode }
        return nil
    }

    func node(_ path: String) -> SimNode? {
        let (directory, name) = parent(path)
        return name.isEmpty ? directory.map { .directory($0) } : directory?.current[name]
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

/// Copies each file and directory once, however many names lead to it.
private struct SimCopier {
    private var inodes: [Int: SimInode] = [:]
    private var directories: [Int: SimDirectory] = [:]

    mutating func copy(_ node: SimNode) -> SimNode {
        switch node {
        case .file(let inode): .file(copy(inode))
        case .directory(let directory): .directory(copy(directory))
        }
    }

    mutating func copy(_ inode: SimInode) -> SimInode {
        if let copy = inodes[inode.number] { return copy }
        let copy = inode.copy()
        inodes[inode.number] = copy
        return copy
    }

    mutating func copy(_ directory: SimDirectory) -> SimDirectory {
        if let copy = directories[directory.number] { return copy }
        let copy = SimDirectory(number: directory.number)
        directories[directory.number] = copy
        for (name, node) in directory.current { copy.current[name] = self.copy(node) }
        for (name, node) in directory.durable { copy.durable[name] = self.copy(node) }
        return copy
    }
}

/// A 64-bit hash that is the same in every process: words folded by multiplication and rotation.
private struct SimHash {
    private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func add(_ word: UInt64) {
        value = (value ^ word) &* 0x9e37_79b9_7f4a_7c15
        value = value << 29 | value >> 35
    }

    mutating func add(_ bytes: [UInt8]) {
        add(UInt64(bytes.count))
        let whole = bytes.count / 8 * 8
        bytes.withUnsafeBytes { bytes in
            for at in stride(from: 0, to: whole, by: 8) {
                add(UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)))
            }
        }
        for byte in bytes[whole...] { add(UInt64(byte)) }
    }

    mutating func add(_ directory: SimDirectory) {
        add(UInt64(directory.current.count))
        for name in directory.current.keys.sorted() {
            add(Array(name.utf8))
            switch directory.current[name] {
            case .file(let inode): add(inode.current)
            case .directory(let inner): add(inner)
            case nil: break
            }
        }
    }
}
