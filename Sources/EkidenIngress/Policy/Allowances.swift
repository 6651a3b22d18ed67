// Clients that may relay for a while, as if they had logged in: what `ekiden allow` grants, by hand
// or from the login hook of a POP or IMAP server. Asked by sessions of all loops; changed from the
// control socket. Time is the loop's monotonic clock, so that a step of the wall clock neither
// prolongs nor ends an allowance. Kept over a reload, gone with the process.

import EkidenMail
import EkidenRuntime
import Synchronization

package final class Allowances: Sendable {
    /// The longest an allowance lasts.
    package static let timeMax: Duration = .seconds(24 * 3600)
    /// Allowances at a time: some 100 bytes each.
    package static let countMax = 100_000
    /// The widest networks that can be allowed.
    package static let lengthMin4 = 16
    package static let lengthMin6 = 32

    private let table = Mutex(NetworkTable<Instant>())

    package init() {}

    package struct Allowance: Sendable, Equatable {
        package let network: NetworkPrefix
        package let until: Instant
    }

    /// A network that is too wide to be allowed for even a minute.
    package static func isTooWide(_ network: NetworkPrefix) -> Bool {
        network.length < (network.base.isV4 ? lengthMin4 : lengthMin6)
    }

    /// Allows a network until then, or longer if it was allowed for longer already.
    /// - Returns: until when it is allowed now; nil when there are too many.
    package func grant(_ network: NetworkPrefix, until: Instant, at now: Instant) -> Instant? {
        precondition(!Self.isTooWide(network) && until <= now + Self.timeMax)
        return table.withLock { table in
            if let old = table[network], old > now {
                let later = max(old, until)
                table[network] = later
                return later
            }
            if table.count >= Self.countMax { table.remove { $0 <= now } }
            if table.count >= Self.countMax { return nil }
            table[network] = until
            return until
        }
    }

    /// False when it was not allowed.
    package func revoke(_ network: NetworkPrefix, at now: Instant) -> Bool {
        table.withLock { table in
            defer { table[network] = nil }
            return table[network].map { $0 > now } ?? false
        }
    }

    package func covers(_ client: HostAddress, at now: Instant) -> Bool {
        table.withLock { table in table.match(client) { $0 > now } != nil }
    }

    /// Those that last, in the order of their addresses.
    package func all(at now: Instant) -> [Allowance] {
        table.withLock { table in
            table.remove { $0 <= now }
            return table.all.map { Allowance(network: $0.network, until: $0.value) }
        }
    }

    package func count(at now: Instant) -> Int {
        table.withLock { table in
            table.remove { $0 <= now }
            return table.count
        }
    }
}
