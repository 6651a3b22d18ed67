// Makes the names in a directory durable. Syncing one is as dear as any flush, so for a large body it
// begins when the name is made, while the body still arrives, and all who ask while one runs share
// the next, as the log's appends share theirs. Nobody else may sync the directory: a failed sync
// takes the names of all with it (`Disk`). Any loop; the syncs run on the owner's.

import EkidenRuntime
import Synchronization

final class DirectorySync: Sendable {
    /// A moment before a name is changed: number of the first sync that may come upon the change.
    struct Mark: Sendable, Equatable { fileprivate let number: Int }

    /// Number of the sync that makes a name durable; none since the mark may have failed.
    struct Ticket: Sendable, Equatable {
        fileprivate let mark: Mark
        fileprivate let number: Int
    }

    private struct State {
        /// Syncs begun; the last of them may still run.
        var begun = 0
        var isRunning = false
        /// Someone holds a ticket for the sync after the one that runs.
        var mustGoOn = false
        var waiting: [(ticket: Ticket, continuation: UnsafeContinuation<DiskFailure?, Never>)] = []
        /// The last sync that failed: names before it are of unknown state, whatever came later.
        var failed: (number: Int, why: DiskFailure)?

        func outcome(of ticket: Ticket) -> DiskFailure? {
            guard let failed, failed.number >= ticket.mark.number else { return nil }
            return failed.why
        }

        func isDone(_ ticket: Ticket) -> Bool {
            ticket.number < begun || (ticket.number == begun && !isRunning)
        }
    }

    private let disk: any Disk
    private let owner: Loop
    private let path: String
    private let state = Mutex(State())

    init(disk: any Disk, owner: Loop, path: String) {
        self.disk = disk
        self.owner = owner
        self.path = path
    }

    /// To be asked for before a name is made, renamed or removed.
    func mark() -> Mark {
        state.withLock { Mark(number: $0.isRunning ? $0.begun : $0.begun + 1) }
    }

    /// Makes the changes since the mark durable, which have been made. Errors: the disk's; the
    /// changes may be durable or not, and only a name changed anew can become so for certain.
    func sync(since mark: Mark) async throws(DiskFailure) {
        try await wait(for: begin(since: mark))
    }

    /// Sees to it that every name made since the mark becomes durable; `wait` says when.
    func begin(since mark: Mark) -> Ticket {
        let (ticket, starts) = state.withLock { state -> (Ticket, Bool) in
            if state.isRunning {
                // It may have begun before the name was made.
                state.mustGoOn = true
                return (Ticket(mark: mark, number: state.begun + 1), false)
            }
            state.isRunning = true
            state.begun += 1
            return (Ticket(mark: mark, number: state.begun), true)
        }
        if starts { owner.call { self.owner.spawn { await self.run() } } }
        return ticket
    }

    /// Returns when the names made before `begin` are durable. Errors: the disk's.
    func wait(for ticket: Ticket) async throws(DiskFailure) {
        let failure: DiskFailure? = await withUnsafeContinuation { continuation in
            let isDone = state.withLock { state in
                if state.isDone(ticket) { return true }
                state.waiting.append((ticket, continuation))
                return false
            }
            if isDone { continuation.resume(returning: state.withLock { $0.outcome(of: ticket) }) }
        }
        if let failure { throw failure }
    }

    private func run() async {
        var goesOn = true
        while goesOn {
            var failure: DiskFailure?
            do throws(DiskFailure) { try await disk.syncDirectory(path) } catch { failure = error }
            let (served, again) = state.withLock { state in
                if let failure { state.failed = (state.begun, failure) }
                let served = state.waiting.filter { $0.ticket.number <= state.begun }
                    .map { ($0.continuation, state.outcome(of: $0.ticket)) }
                state.waiting.removeAll { $0.ticket.number <= state.begun }
                state.isRunning = state.mustGoOn
                if state.mustGoOn { state.begun += 1 }
                state.mustGoOn = false
                return (served, state.isRunning)
            }
            for (continuation, outcome) in served { continuation.resume(returning: outcome) }
            goesOn = again
        }
    }
}
