import EkidenMail

/// An open file of the spool; only the disk that gave it out knows what the number means.
package struct DiskFile: Sendable, Hashable {
    package let number: Int
    package init(number: Int) { self.number = number }
}

/// Which threads work for a file. Writes and syncs of the log lane run one at a time, in the order
/// asked for. The bulk lane has several threads: what must come in order there is awaited in order.
/// Reading, sizes and preallocation are bulk work whatever the file's lane.
package enum DiskLane: Sendable {
    /// The log: short appends and their syncs; nothing slow ever goes here.
    case log
    /// Everything else: large bodies, cold reads, preparing segments, directories.
    case bulk
}

package enum DiskOpenMode: Sendable {
    case read
    /// Reads and writes an existing file.
    case readWrite
    /// Makes the file; fails with `exists` when it is there already.
    case create
}

/// What went wrong on the disk. Every operation may fail with any of these at any time.
package struct DiskFailure: Error, Equatable, Sendable {
    package enum Kind: String, Sendable {
        case noSpace
        case noInodes
        case inputOutput
        case notFound
        case exists
        case locked
        case denied
        case readOnly
        case other
    }
    package let kind: Kind
    /// The system's words with operation and path: "fdatasync spool/log/…: Input/output error".
    package let text: String

    package init(_ kind: Kind, _ text: String) {
        self.kind = kind
        self.text = text
    }
}

package struct DiskSpace: Sendable, Equatable {
    package let freeBytes: Int
    /// `Int.max` where the file system has no fixed number of inodes.
    package let freeInodes: Int
    package init(freeBytes: Int, freeInodes: Int) {
        self.freeBytes = freeBytes
        self.freeInodes = freeInodes
    }
}

package struct DiskEntry: Sendable, Equatable {
    package let name: String
    package let byteCount: Int
    package let isDirectory: Bool
    package init(name: String, byteCount: Int, isDirectory: Bool) {
        self.name = name
        self.byteCount = byteCount
        self.isDirectory = isDirectory
    }
}

/// The spool's disk. Paths are relative to the spool directory ("" is the directory itself).
///
/// What a crash may leave, which is the contract the spool is written against: of the writes of a
/// file since its last successful `sync`, any subset, each possibly torn at a 512-byte sector; of
/// the names made, renamed or removed in a directory since its last `syncDirectory`, any subset in
/// which no change is without an earlier one of the same name or file; a rename is one change, also
/// between two directories, and leaves one of its names. After a failed `sync` nothing is known of
/// the writes before it, and a later `sync` that succeeds proves nothing for them; so with a failed
/// `syncDirectory` and names. A write that fails may have written any first part of its bytes.
package protocol Disk: Sendable {
    func open(
        _ path: String,
        _ mode: DiskOpenMode,
        lane: DiskLane
    )
        async throws(DiskFailure) -> DiskFile
    func close(_ file: DiskFile) async
    func size(_ file: DiskFile) async throws(DiskFailure) -> Int

    /// Writes all parts one after another from `offset`; then calls `written` (on any thread: the
    /// bytes are the kernel's and survive the end of this process); then, if `sync`, makes all
    /// earlier writes of the file durable; then returns. A short write is an error.
    func write(
        _ parts: [Bytes],
        to file: DiskFile,
        at offset: Int,
        sync: Bool,
        written: (@Sendable () -> Void)?
    ) async throws(DiskFailure)

    /// Makes all earlier writes of the file durable (fdatasync).
    func sync(_ file: DiskFile) async throws(DiskFailure)

    /// Up to `count` bytes from `offset`; fewer only at the end of the file.
    func read(_ file: DiskFile, at offset: Int, count: Int) async throws(DiskFailure) -> Bytes

    /// As `read`, but never waits: nil when the bytes are not in memory.
    func readIfCached(_ file: DiskFile, at offset: Int, count: Int) -> Bytes?

    /// Makes the file `byteCount` long with its blocks allocated and written as zeros, and syncs it.
    func preallocate(_ file: DiskFile, byteCount: Int) async throws(DiskFailure)

    /// The entries of a directory, sorted by name, without `.` and `..`. A directory's `byteCount`
    /// is 0.
    func list(_ path: String) async throws(DiskFailure) -> [DiskEntry]
    func makeDirectory(_ path: String) async throws(DiskFailure)
    func rename(_ path: String, to new: String) async throws(DiskFailure)
    func remove(_ path: String) async throws(DiskFailure)
    /// Makes names made, renamed and removed in the directory durable.
    func syncDirectory(_ path: String) async throws(DiskFailure)

    /// Takes the exclusive lock of that file, made if missing, until the process ends or `close`;
    /// fails with `locked` when another process holds it.
    func lock(_ path: String) async throws(DiskFailure) -> DiskFile
    func space() async throws(DiskFailure) -> DiskSpace
}
