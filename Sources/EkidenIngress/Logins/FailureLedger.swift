// Failed logins of the last minutes, counted per client and per user, and who is locked out for
// them. A value without a clock; `Logins` asks it before a password is looked at and tells it of
// every failure. Nothing here grows without bound, whatever attackers do.

import EkidenMail
import EkidenRuntime

/// When guessing ends.
package struct LockoutSettings: Sendable, Equatable {
    /// Failures within `window` after which a client, or a user, is locked out.
    package var failures = 10
    package var window: Duration = .seconds(600)
    package var lockout: Duration = .seconds(900)

    package init() {}
}

package struct FailureLedger: Sendable {
    /// A client as failures are counted: an IPv6 customer has a whole /64 to come from.
    struct Client: Hashable, Sendable {
        private let high: UInt64
        private let isV4: Bool

        init(_ address: HostAddress) {
            switch address {
            case .v4(let bits): (high, isV4) = (UInt64(bits), true)
            case .v6(let high, _): (self.high, isV4) = (high, false)
            }
        }
    }

    private struct Failure: Sendable {
        let at: Instant
        let client: Client
        /// In lower case.
        let user: String
    }

    private struct Lock<Key: Hashable & Sendable>: Sendable {
        let key: Key
        let until: Instant
    }

    /// Failures remembered; beyond it the oldest are forgotten before their time.
    static let failuresMax = 20_000
    private static let locksMax = 10_000

    package var settings: LockoutSettings
    /// Oldest first.
    private var failures: [Failure] = []
    /// How many of them, from the first, are out of the window.
    private var gone = 0
    private var byClient: [Client: Int] = [:]
    private var byUser: [String: Int] = [:]
    private var clientLocks: [Client: Instant] = [:]
    private var userLocks: [String: Instant] = [:]
    /// In the order in which they end, as all last equally long.
    private var clientLockEnds: [Lock<Client>] = []
    private var userLockEnds: [Lock<String>] = []

    package init(_ settings: LockoutSettings = LockoutSettings()) { self.settings = settings }

    package enum LockedOut: Sendable, Equatable {
        case client
        /// Only for clients that failed before, so that nobody can lock out somebody else.
        case user
    }

    /// Why that client may not try that user's password now.
    package mutating func lockedOut(
        _ address: HostAddress,
        user: String,
        at now: Instant
    ) -> LockedOut? {
        expire(now)
        let client = Client(address)
        // Locks of different lengths, after a change of settings, don't end in their order.
        if let end = clientLocks[client], end > now { return .client }
        if byClient[client] != nil, let end = userLocks[user.asciiLowercased], end > now {
            return .user
        }
        return nil
    }

    /// Until when that client may not try that user's password; nil when it may.
    mutating func lockedOutUntil(
        _ address: HostAddress,
        user: String,
        at now: Instant
    ) -> Instant? {
        switch lockedOut(address, user: user, at: now) {
        case nil: nil
        case .client: clientLocks[Client(address)]
        case .user: userLocks[user.asciiLowercased]
        }
    }

    /// What a failure has led to.
    package struct Consequence: Sendable, Equatable {
        /// How long the answer is to be held back: 1, 2, 4, 8, 10 s.
        package let delay: Duration
        /// Locked out by this very failure.
        package let lockedOut: LockedOut?
    }

    package mutating func failed(
        _ address: HostAddress,
        user: String,
        at now: Instant
    ) -> Consequence {
        expire(now)
        let client = Client(address)
        let user = user.asciiLowercased
        if failures.count - gone >= Self.failuresMax { forgetOldest() }
        failures.append(Failure(at: now, client: client, user: user))
        let ofClient = byClient[client, default: 0] + 1
        byClient[client] = ofClient
        let ofUser = byUser[user, default: 0] + 1
        byUser[user] = ofUser
        let delay = Duration.seconds(min(1 << min(ofClient - 1, 4), 10))
        let until = now + settings.lockout
        if ofUser >= settings.failures, userLocks[user] == nil {
            lock(user, until, in: &userLocks, &userLockEnds)
            if ofClient < settings.failures {
                return Consequence(delay: delay, lockedOut: .user)
            }
        }
        if ofClient >= settings.failures, clientLocks[client] == nil {
            lock(client, until, in: &clientLocks, &clientLockEnds)
            return Consequence(delay: delay, lockedOut: .client)
        }
        return Consequence(delay: delay, lockedOut: nil)
    }

    /// Clients and users locked out now.
    package mutating func lockouts(at now: Instant) -> (clients: Int, users: Int) {
        expire(now)
        return (clientLocks.values.count { $0 > now }, userLocks.values.count { $0 > now })
    }

    private func lock<Key: Hashable & Sendable>(
        _ key: Key,
        _ until: Instant,
        in locks: inout [Key: Instant],
        _ ends: inout [Lock<Key>]
    ) {
        if ends.count >= Self.locksMax { locks[ends.removeFirst().key] = nil }
        locks[key] = until
        ends.append(Lock(key: key, until: until))
    }

    private mutating func expire(_ now: Instant) {
        while gone < failures.count, failures[gone].at + settings.window <= now { forgetOldest() }
        Self.expire(now, &clientLocks, &clientLockEnds)
        Self.expire(now, &userLocks, &userLockEnds)
    }

    private static func expire<Key: Hashable & Sendable>(
        _ now: Instant,
        _ locks: inout [Key: Instant],
        _ ends: inout [Lock<Key>]
    ) {
        let over = ends.prefix { $0.until <= now }.count
        guard over > 0 else { return }
        for lock in ends[..<over] { locks[lock.key] = nil }
        ends.removeFirst(over)
    }

    private mutating func forgetOldest() {
        let failure = failures[gone]
        Self.decrement(failure.client, in: &byClient)
        Self.decrement(failure.user, in: &byUser)
        gone += 1
        if gone >= 1024, gone * 2 >= failures.count {
            failures.removeFirst(gone)
            gone = 0
        }
    }

    private static func decrement<Key: Hashable>(_ key: Key, in counts: inout [Key: Int]) {
        let left = (counts[key] ?? 1) - 1
        counts[key] = left > 0 ? left : nil
    }
}
