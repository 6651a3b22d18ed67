// The history of messages, for `ekiden trace`: the log's lines about them, kept in files of the spool for
// a while. docs/HISTORY.md. Used by one thread, the log's.

import EkidenMail
import Glibc

package struct HistorySettings: Sendable, Equatable {
    package var directory: String
    /// Zero: no history.
    package var keep: Duration
    /// Bytes of all files.
    package var maxBytes: Int

    package init(directory: String, keep: Duration, maxBytes: Int) {
        self.directory = directory
        self.keep = keep
        self.maxBytes = maxBytes
    }
}

package struct History: ~Copyable {
    private var settings: HistorySettings
    private var descriptor: Int32 = -1
    private var path = ""
    private var fileBytes = 0
    private var openedAt = WallTime(nanoseconds: 0)
    private var isWell = true

    package init(_ settings: HistorySettings) { self.settings = settings }

    deinit { if descriptor >= 0 { Glibc.close(descriptor) } }

    package mutating func reconfigure(_ settings: HistorySettings) {
        if settings.directory != self.settings.directory || settings.keep <= .zero { closeFile() }
        self.settings = settings
        if settings.keep <= .zero {
            for file in Self.files(in: settings.directory) { unlink(file.path) }
        }
    }

    package var isKept: Bool { settings.keep > .zero }

    /// Appends whole lines.
    /// - Returns: what to tell the log: that it does not work, once, and that it works again.
    package mutating func append(_ lines: Bytes, at now: WallTime) -> Event? {
        if lines.isEmpty || !isKept { return nil }
        let isOld = now - openedAt > min(settings.keep / 16, .seconds(86_400)) || now < openedAt
        if descriptor < 0 || isOld || fileBytes >= max(settings.maxBytes / 16, 65_536) {
            closeFile()
            makeRoom(at: now)
            if let problem = openFile(at: now) { return failed(problem) }
        }
        var offset = 0
        while offset < lines.count {
            let rest = UnsafeRawBufferPointer(rebasing: lines.pointer[offset...])
            let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
            if count < 0, errno == EINTR { continue }
            if count <= 0 {
                let words = String(cString: strerror(errno))
                // What was written of a line is cut by the next one's file; an empty one is none.
                if fileBytes == 0, offset == 0 { unlink(path) }
                closeFile()
                return failed(words)
            }
            offset += count
        }
        fileBytes += lines.count
        if isWell { return nil }
        isWell = true
        return .notice(.init(.info, "log", "the history of messages is written again"))
    }

    private mutating func failed(_ words: String) -> Event? {
        guard isWell else { return nil }
        isWell = false
        return .notice(
            .init(
                .warning,
                "log",
                "the history of messages can't be written to \(settings.directory): \(words); "
                    + "ekiden trace will not know of them"
            )
        )
    }

    private mutating func closeFile() {
        if descriptor >= 0 { Glibc.close(descriptor) }
        descriptor = -1
        fileBytes = 0
    }

    /// - Returns: the system's words when it can't be opened.
    private mutating func openFile(at now: WallTime) -> String? {
        _ = mkdir(settings.directory, 0o750)
        path = settings.directory + "/" + Self.name(at: now)
        openedAt = now
        // Two within a second share one.
        descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o640)
        return descriptor < 0 ? String(cString: strerror(errno)) : nil
    }

    /// `2026-11-21T02-07-58.jsonl`, in UTC: names sort as times do.
    static func name(at time: WallTime) -> String {
        time.timestamp.prefix(19).map { $0 == ":" ? "-" : String($0) }.joined() + Self.suffix
    }

    static let suffix = ".jsonl"

    /// Removes files that are too old, and the oldest while there are too many bytes.
    private func makeRoom(at now: WallTime) {
        var files = Self.files(in: settings.directory)
        var total = files.reduce(0) { $0 + $1.byteCount }
        // A file more comes now.
        let most = settings.maxBytes - settings.maxBytes / 16
        while let oldest = files.first {
            guard total > most || now - oldest.modified > settings.keep else { break }
            unlink(oldest.path)
            total -= oldest.byteCount
            files.removeFirst()
        }
    }

    package struct File: Sendable, Equatable {
        package let path: String
        package let byteCount: Int
        package let modified: WallTime
    }

    /// The files of a history, oldest first; none when there is no such directory.
    package static func files(in directory: String) -> [File] {
        guard let listing = opendir(directory) else { return [] }
        defer { closedir(listing) }
        var found: [File] = []
        while let entry = readdir(listing) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            let path = directory + "/" + name
            var facts = stat()
            guard name.hasSuffix(suffix), stat(path, &facts) == 0 else { continue }
            found.append(
                File(
                    path: path,
                    byteCount: Int(facts.st_size),
                    modified: WallTime(seconds: Int64(facts.st_mtim.tv_sec))
                )
            )
        }
        return found.sorted { $0.path < $1.path }
    }
}

extension Event {
    /// It says what became of a message.
    package var belongsToHistory: Bool {
        switch self {
        case .accepted, .attempt, .moved: true
        case .rejected(let rejected): rejected.id != nil
        case .notice(let notice): notice.id != nil
        case .login, .site: false
        }
    }
}
