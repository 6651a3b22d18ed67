// Makes the names of large bodies durable. Syncing a directory is as dear as any flush, so it
// begins when a name is made, while the body still arrives, and messages that ask while one runs
// share the next, as the log's appends share theirs. Any loop; the syncs run on the owner's.

import EkidenRuntime
import Synchronization

final class DirectorySync: Sendable {
    /// Number of the sync that makes a name durable.
    struct Ticket: Sendable, Equatable { fileprivate let number: Int }

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
            guard let failed, failed.number >= ticket.number else { return nil }
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

    /// Sees to it that every name made before this call becomes durable; `wait` says when.
    func begin() -> Ticket {
        let (ticket, starts) = state.withLock { state -> (Ticket, Bool) in
            if state.isRunning {
                // It may have begun before the name was made.
                state.mustGoOn = true
                return (Ticket(number: state.begun + 1), false)
            }
            state.isRunning = true
            state.begun += 1
            return (Ticket(number: state.begun), true)
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
                state.waiting.removeAll { $0.ticket.number <= state.begun }
                state.isRunning = state.mustGoOn
                if state.mustGoOn { state.begun += 1 }
                state.mustGoOn = false
                return (served, state.isRunning)
            }
            for one in served { one.continuation.resume(returning: failure) }
            goesOn = again
        }
    }
}
