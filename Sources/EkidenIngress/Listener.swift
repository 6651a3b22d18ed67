// One listening endpoint: accepts on loop 0 and deals connections out to the loop that has the
// fewest (docs/decisions/0003). Called by the composition; promises that a full house is answered
// and not hung up on, and that running out of descriptors pauses accepting instead of spinning.

import EkidenMail
import EkidenRuntime
import Glibc
import Synchronization

package final class Listener: Sendable {
    package let endpoint: Endpoint
    package let name: String
    package let ledger: ConnectionLedger

    private let loop: Loop
    private let handle: Handle
    private let crew: IngressCrew
    private let terms: Mutex<ListenerTerms>
    private let isStopping = Mutex(false)

    /// Connections the kernel keeps for us while we are busy.
    private static let backlog = 1024
    /// After running out of descriptors or memory.
    private static let pause: Duration = .milliseconds(100)

    /// Listens; from a task of `loop` (loop 0). Errors: the address is in use, not ours, or needs
    /// a privilege.
    package init(
        on endpoint: Endpoint,
        policy: ListenerPolicy,
        crew: IngressCrew,
        ledger: ConnectionLedger,
        loop: Loop
    ) throws(SystemError) {
        let handle = loop.makeHandle()
        let result = loop.backend.listen(handle, on: endpoint, backlog: Self.backlog)
        if result < 0 {
            loop.releaseHandle(handle)
            throw SystemError(code: Int32(-result))
        }
        self.handle = handle
        self.loop = loop
        self.crew = crew
        self.ledger = ledger
        terms = Mutex(ListenerTerms(policy))
        self.endpoint = loop.backend.localEndpoint(handle) ?? endpoint
        name = policy.name
    }

    package var currentPolicy: ListenerPolicy { terms.withLock { $0 }.policy }

    /// New connections take this policy; open ones keep theirs.
    package func adopt(_ policy: ListenerPolicy) {
        terms.withLock { $0 = ListenerTerms(policy) }
    }

    package func start() { loop.spawn { await self.serve() } }

    /// Accepts no more; from a task of the listener's loop. Open connections are the crew's.
    package func stop() {
        let first = isStopping.withLock { stopping in
            defer { stopping = true }
            return !stopping
        }
        if first { loop.cancel(handle) }
    }

    /// Accepted in one go, before the loop's other work has its turn.
    private static let acceptsPerTurn = 64

    private func serve() async {
        var budget = Self.acceptsPerTurn
        while await loop.wait(handle, for: .readable) == .ready {
            budget -= 1
            if budget == 0 {
                // Waiting does not suspend while connections stand in line.
                await Task.yield()
                budget = Self.acceptsPerTurn
            }
            switch loop.backend.accept(handle) {
            case .success(let socket):
                crew.take(socket, terms: terms.withLock { $0 }, ledger: ledger)
            case .failure(let error) where error.isWouldBlock:
                loop.clear(.readable, of: handle)
            case .failure(let error) where [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(error.code):
                crew.report(
                    .warning,
                    "can't accept on \(endpoint.text): \(error.text); pausing. "
                        + "Raise the limit of open files or lower max_connections"
                )
                await loop.sleep(for: Self.pause)
            case .failure(let error) where error.code == ECONNABORTED:
                // The client went away between its connect and our accept.
                continue
            case .failure:
                // Trouble of the network or a packet filter, which may stay: no spinning.
                await loop.sleep(for: Self.pause)
            }
        }
        loop.backend.close(handle)
        loop.releaseHandle(handle)
    }
}
