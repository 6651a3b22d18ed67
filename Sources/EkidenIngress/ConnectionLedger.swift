import EkidenMail
import Synchronization

/// Counts a listener's connections, in all and per client address, so that no client and no crowd
/// takes every slot. Shared by all loops.
package final class ConnectionLedger: Sendable {
    private struct Counts {
        var total = 0
        var perClient: [HostAddress: Int] = [:]
    }

    private let counts = Mutex(Counts())

    package init() {}

    package enum Verdict: Sendable, Equatable {
        case admitted
        /// This listener has no slot left.
        case tooMany(limit: Int)
        /// This client has no slot left.
        case tooManyFromClient(limit: Int)
    }

    /// Counts a connection in if the policy has a slot for it; then `leave` counts it out.
    package func enter(_ client: HostAddress, _ policy: ListenerPolicy) -> Verdict {
        counts.withLock { counts in
            if counts.total >= policy.connections { return .tooMany(limit: policy.connections) }
            let own = counts.perClient[client, default: 0]
            if own >= policy.connectionsPerClient {
                return .tooManyFromClient(limit: policy.connectionsPerClient)
            }
            counts.total += 1
            counts.perClient[client] = own + 1
            return .admitted
        }
    }

    package func leave(_ client: HostAddress) {
        counts.withLock { counts in
            counts.total -= 1
            let left = (counts.perClient[client] ?? 1) - 1
            counts.perClient[client] = left > 0 ? left : nil
        }
    }

    package var total: Int { counts.withLock { $0.total } }
}
