import EkidenMail
import Synchronization

/// Counts a listener's connections, in all, per client (an IPv6 one by its /64) and, where the policy
/// limits them, per network, so that no client and no crowd takes every slot. Shared by all loops.
package final class ConnectionLedger: Sendable {
    private struct Counts {
        var total = 0
        var perClient: [HostAddress: Int] = [:]
        var perNetwork: [NetworkPrefix: Int] = [:]
    }

    /// What one customer of a provider, or one rack, usually has.
    private static let networkBits = (v4: 24, v6: 64)

    private let counts = Mutex(Counts())

    package init() {}

    package enum Verdict: Sendable, Equatable {
        case admitted
        /// This listener has no slot left.
        case tooMany(limit: Int)
        /// This client has no slot left.
        case tooManyFromClient(limit: Int)
        /// Its neighbours have taken all of their network's.
        case tooManyFromNetwork(limit: Int, NetworkPrefix)
    }

    /// How many connections there may be at once.
    package struct Bounds: Sendable, Equatable {
        var total: Int
        var perClient: Int
        /// nil: as many as there are slots.
        var perNetwork: Int?
    }

    /// Counts a connection in if the policy has a slot for it; then `leave` counts it out, by the
    /// same policy.
    package func enter(_ client: HostAddress, _ policy: ListenerPolicy) -> Verdict {
        enter(client, policy.bounds)
    }

    func enter(_ client: HostAddress, _ bounds: Bounds) -> Verdict {
        counts.withLock { counts in
            if counts.total >= bounds.total { return .tooMany(limit: bounds.total) }
            let customer = client.customer
            let own = counts.perClient[customer, default: 0]
            if own >= bounds.perClient { return .tooManyFromClient(limit: bounds.perClient) }
            if let limit = bounds.perNetwork {
                let network = Self.network(client)
                let all = counts.perNetwork[network, default: 0]
                if all >= limit { return .tooManyFromNetwork(limit: limit, network) }
                counts.perNetwork[network] = all + 1
            }
            counts.total += 1
            counts.perClient[customer] = own + 1
            return .admitted
        }
    }

    package func leave(_ client: HostAddress, _ policy: ListenerPolicy) {
        leave(client, policy.bounds)
    }

    func leave(_ client: HostAddress, _ bounds: Bounds) {
        counts.withLock { counts in
            counts.total -= 1
            Self.decrement(client.customer, in: &counts.perClient)
            if bounds.perNetwork != nil {
                Self.decrement(Self.network(client), in: &counts.perNetwork)
            }
        }
    }

    private static func network(_ client: HostAddress) -> NetworkPrefix {
        NetworkPrefix(of: client, length: client.isV4 ? networkBits.v4 : networkBits.v6)
    }

    private static func decrement<Key: Hashable>(_ key: Key, in counts: inout [Key: Int]) {
        let left = (counts[key] ?? 1) - 1
        counts[key] = left > 0 ? left : nil
    }

    /// The clients, or networks, with the most connections, most first.
    package struct Crowd: Sendable, Equatable {
        package let who: String
        package let connections: Int
    }

    package func fullestClients(_ places: Int) -> [Crowd] {
        Self.fullest(
            counts.withLock { $0.perClient.map { ($0.key.customerText, $0.value) } },
            places
        )
    }

    /// Empty unless networks are limited.
    package func fullestNetworks(_ places: Int) -> [Crowd] {
        Self.fullest(counts.withLock { $0.perNetwork.map { ($0.key.text, $0.value) } }, places)
    }

    /// Sorted by number and text, so that the order of the table shows nowhere.
    private static func fullest(_ counts: [(String, Int)], _ places: Int) -> [Crowd] {
        counts.sorted { ($1.1, $0.0) < ($0.1, $1.0) }.prefix(places).map {
            Crowd(who: $0.0, connections: $0.1)
        }
    }

    package var total: Int { counts.withLock { $0.total } }
}
