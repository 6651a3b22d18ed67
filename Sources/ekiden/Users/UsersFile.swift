// The users file on disk: read whole, and replaced whole, so that the relay never sees half of it
// and a crash leaves the old one or the new one. Two commands at once wait for each other.

import EkidenIngress
import Glibc

struct UsersFile {
    let path: String

    /// How long a command waits for another one to finish.
    private static let lockSeconds = 10
    /// Of a new file: its owner writes, its group (the relay's) reads.
    private static let mode: mode_t = 0o640

    func read() throws(CommandProblem) -> UserTable {
        let bytes = try readFile(path, maxBytes: UserTable.bytesMax)
        do throws(UserTableProblem) {
            return try UserTable(parsing: bytes)
        } catch {
            throw CommandProblem(.negative, "\(path):\(error.line): \(error.text)")
        }
    }

    /// Reads, changes and replaces the file under a lock. A file that is not there yet is begun.
    func change(
        _ body: (inout UserTable) throws(CommandProblem) -> Void
    ) throws(CommandProblem) {
        let lock = try takeLock()
        // The lock's file stays: who removed it could let two in.
        defer { close(lock) }
        var users: UserTable
        if access(path, F_OK) == 0 { users = try read() } else { users = UserTable() }
        let isNew = users.count == 0 && users.secret == nil
        try body(&users)
        if isNew { users.begin(secret: randomBytes(32)) }
        try replace(Array(users.text.utf8))
    }

    private func takeLock() throws(CommandProblem) -> Int32 {
        let lock = open(path + ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard lock >= 0 else {
            throw CommandProblem(.negative, "can't write beside \(path): \(systemWords())")
        }
        var tries = 0
        while flock(lock, LOCK_EX | LOCK_NB) != 0 {
            tries += 1
            if errno != EWOULDBLOCK && errno != EINTR || tries > Self.lockSeconds * 20 {
                let words = systemWords()
                close(lock)
                throw CommandProblem(.negative, "can't lock \(path).lock: \(words)")
            }
            usleep(50_000)
        }
        return lock
    }

    /// Owner, group and mode of the old file are kept.
    private func replace(_ bytes: [UInt8]) throws(CommandProblem) {
        // A name of its own, which nobody can have prepared.
        let suffix = randomBytes(8).map { String($0, radix: 16) }.joined()
        let temporary = "\(path).\(suffix).new"
        let descriptor = open(
            temporary,
            O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
            0o600
        )
        guard descriptor >= 0 else {
            throw CommandProblem(.negative, "can't write beside \(path): \(systemWords())")
        }
        var old = stat()
        var isDone = false
        let hasOld = stat(path, &old) == 0
        // Only root may give a file away; then it stays with who replaced it.
        if hasOld { _ = fchown(descriptor, old.st_uid, old.st_gid) }
        isDone =
            fchmod(descriptor, hasOld ? old.st_mode & 0o777 : Self.mode) == 0
            && write(bytes, to: descriptor) && fsync(descriptor) == 0
            && rename(temporary, path) == 0 && syncDirectory()
        let words = systemWords()
        close(descriptor)
        if !isDone {
            unlink(temporary)
            throw CommandProblem(.negative, "can't replace \(path): \(words)")
        }
    }

    private func write(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        var offset = 0
        while offset < bytes.count {
            let count = bytes[offset...].withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress, $0.count)
            }
            if count > 0 { offset += count } else if errno != EINTR { return false }
        }
        return true
    }

    private func syncDirectory() -> Bool {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        let parent = parts.dropLast().joined(separator: "/")
        let directory = parts.count == 1 ? "." : parent.isEmpty ? "/" : parent
        let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return fsync(descriptor) == 0
    }
}
