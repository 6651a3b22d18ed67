// The names of a simulated disk. A directory has the names programs see and those that are durable;
// a change between the two belongs to the image, in the order of the whole disk, because a rename
// from one directory to another is one change and not two. Used on the world's thread alone.

enum SimNode {
    case file(SimInode)
    case directory(SimDirectory)

    var number: Int {
        switch self {
        case .file(let inode): inode.number
        case .directory(let directory): directory.number
        }
    }
}

final class SimDirectory {
    let number: Int
    var current: [String: SimNode] = [:]
    var durable: [String: SimNode] = [:]

    init(number: Int) { self.number = number }

    /// Bytes of the files named in it and below.
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

    /// Calls `body` for each file named in it and below, by sorted path.
    func forEachFile(_ prefix: String, _ body: (String, SimInode) -> Void) {
        for name in current.keys.sorted() {
            switch current[name] {
            case .file(let inode): body(prefix + name, inode)
            case .directory(let inner): inner.forEachFile(prefix + name + "/", body)
            case nil: break
            }
        }
    }
}

/// Names made, renamed or removed by one operation: durable together or not at all. ext4 and XFS
/// put one rename, also one between two directories, into one transaction of their journal: after
/// a crash there is the old name or the new one, never none and never both.
struct SimChange {
    struct Edit {
        let directory: SimDirectory
        let name: String
        /// What the name stands for from now on; nil when it is gone.
        let node: SimNode?
    }
    /// Place in the order of everything ever written or named on this disk.
    let number: Int
    let edits: [Edit]
    /// The file or directory whose name it is about.
    let subject: Int
    /// A sync of the directory failed since: a later one proves nothing for it.
    var isDoubtful = false

    func touches(_ directory: SimDirectory) -> Bool {
        edits.contains { $0.directory === directory }
    }

    func applyToCurrent() {
        for edit in edits { edit.directory.current[edit.name] = edit.node }
    }

    func makeDurable() {
        for edit in edits { edit.directory.durable[edit.name] = edit.node }
    }
}

/// The changes that others build on: one of the same name or of the same file comes after the ones
/// before it in every world, so it never survives without them.
struct SimChangeChain {
    private struct Entry: Hashable {
        let directory: Int
        let name: String
    }
    private var entries: Set<Entry> = []
    private var subjects: Set<Int> = []

    mutating func add(_ change: SimChange) {
        subjects.insert(change.subject)
        for edit in change.edits {
            entries.insert(Entry(directory: edit.directory.number, name: edit.name))
        }
    }

    func touches(_ change: SimChange) -> Bool {
        subjects.contains(change.subject)
            || change.edits.contains {
                entries.contains(Entry(directory: $0.directory.number, name: $0.name))
            }
    }
}
