// The name servers of now: those of the settings, or else of /etc/resolv.conf, which is looked at
// again every few seconds while questions are asked, on a thread that may block, never on a loop.
// Also remembers which servers kept silent lately, so that a dead one at the head of the list costs
// one question its patience and not every question.

import EkidenMail
import EkidenRuntime
import Glibc
import Synchronization

package struct NameServerSettings: Sendable, Equatable {
    /// In the order to be asked; empty: those of `path`.
    package var servers: [Endpoint] = []
    package var path = "/etc/resolv.conf"
    /// For the first answer of one server; nil: the file's `timeout`, else 2 s.
    package var timeout: Duration?
    /// Rounds over all servers; nil: the file's `attempts`, else 3.
    package var attempts: Int?

    package init() {}
}

final class NameServers: Sendable {
    /// Between two looks at the file.
    static let checkInterval = Duration.seconds(5)
    /// A server that kept silent is asked last for this long.
    static let suspicion = Duration.seconds(30)

    /// Tells one content of the file from another without reading it.
    private struct FileIdentity: Equatable {
        let device: UInt64
        let inode: UInt64
        let size: Int
        let seconds: Int
        let nanoseconds: Int
    }

    private struct State {
        var settings: NameServerSettings
        var fromFile: ServerPlan
        var identity: FileIdentity?
        /// nil until the first question, which comes soon after the file was read.
        var nextCheck: Instant?
        var isChecking = false
        var isStopped = false
        var rotation = 0
        /// A few at most: one for each server.
        var suspects: [(server: Endpoint, until: Instant)] = []
    }

    private let state: Mutex<State>
    private let workers: WorkQueue

    /// Reads the file once, here and now: for the start.
    init(_ settings: NameServerSettings, workers: WorkQueue) {
        self.workers = workers
        state = Mutex(State(settings: settings, fromFile: ResolverFile.parse([])))
        if settings.servers.isEmpty { reread(settings.path) }
    }

    /// From now on these settings; blocks for the file, as at the start.
    func replace(_ settings: NameServerSettings) {
        state.withLock { state in
            state.settings = settings
            state.identity = nil
            state.suspects = []
        }
        if settings.servers.isEmpty { reread(settings.path) }
    }

    /// The plan for one question, servers in the order to be asked.
    func plan(at now: Instant) -> ServerPlan {
        let (plan, staleFile) = state.withLock { state -> (ServerPlan, String?) in
            var stale: String?
            let isDue = state.nextCheck.map { $0 <= now && !state.isChecking } ?? false
            if isDue, state.settings.servers.isEmpty, !state.isStopped {
                state.isChecking = true
                stale = state.settings.path
            }
            if isDue || state.nextCheck == nil { state.nextCheck = now + Self.checkInterval }
            return (Self.plan(&state, at: now), stale)
        }
        if let staleFile { workers.submit { self.reread(staleFile) } }
        return plan
    }

    private static func plan(_ state: inout State, at now: Instant) -> ServerPlan {
        var plan = state.fromFile
        if !state.settings.servers.isEmpty {
            plan.servers = state.settings.servers
            plan.rotates = false
            plan.timeout = ServerPlan.timeout
            plan.attempts = ServerPlan.attempts
        }
        plan.timeout = state.settings.timeout ?? plan.timeout
        plan.attempts = max(state.settings.attempts ?? plan.attempts, 1)
        if plan.rotates {
            let first = state.rotation % plan.servers.count
            state.rotation &+= 1
            plan.servers = Array(plan.servers[first...] + plan.servers[..<first])
        }
        state.suspects.removeAll { $0.until <= now }
        let suspects = state.suspects.map(\.server)
        plan.servers =
            plan.servers.filter { !suspects.contains($0) }
            + plan.servers.filter { suspects.contains($0) }
        return plan
    }

    /// No look at the file begins after this.
    func stop() { state.withLock { $0.isStopped = true } }

    func keptSilent(_ server: Endpoint, at now: Instant) {
        state.withLock { state in
            state.suspects.removeAll { $0.server == server }
            state.suspects.append((server, now + Self.suspicion))
        }
    }

    func answered(_ server: Endpoint) {
        state.withLock { state in
            if !state.suspects.isEmpty { state.suspects.removeAll { $0.server == server } }
        }
    }

    /// Blocks for as long as the file system does. A file that can't be read leaves the last plan
    /// as it is.
    private func reread(_ path: String) {
        let identity = Self.identity(of: path)
        let isKnown = state.withLock { state in
            state.isChecking = false
            return identity == nil || identity == state.identity
        }
        if isKnown { return }
        guard let text = try? LinuxFiles().readNow(path, maxBytes: ResolverFile.bytesMax) else {
            return
        }
        let plan = ResolverFile.parse(text)
        state.withLock { state in
            guard state.settings.path == path else { return }
            state.fromFile = plan
            state.identity = identity
        }
    }

    private static func identity(of path: String) -> FileIdentity? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return FileIdentity(
            device: UInt64(status.st_dev),
            inode: UInt64(status.st_ino),
            size: Int(status.st_size),
            seconds: status.st_mtim.tv_sec,
            nanoseconds: status.st_mtim.tv_nsec
        )
    }
}
