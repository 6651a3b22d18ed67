// Who may log in: answers the questions of the mechanisms from the users file, keeps guessing slow
// and short, and hashes passwords away from the event loops. One for the whole relay, shared by all
// sessions; the composition gives it the users and swaps them when the file changes.

import EkidenCrypto
import EkidenMail
import EkidenRuntime
import EkidenSMTP
import Synchronization

/// The answer to a `LoginQuestion`.
package enum LoginAnswer: Sendable, Equatable {
    case keys(ScramKeys, nonce: String)
    /// The user's name as the users file writes it.
    case accepted(String)
    /// Wrong, or right and not for this listener, which the client can't tell apart. To be said after
    /// `after`; `lockedOut` when this failure was the one too many.
    case refused(
        after: Duration,
        lockedOut: FailureLedger.LockedOut?,
        rule: String = "login-failed"
    )
    /// Not now, or not from there.
    case unavailable(String, rule: String)
}

package final class Logins: Sendable {
    private struct State {
        var users: UserTable
        var ledger: FailureLedger
        /// Passwords being hashed or waiting for it, in all and per client.
        var pending = 0
        /// In milliseconds of a processor.
        var pendingWork = 0
        var pendingOf: [HostAddress: Int] = [:]
    }

    /// Passwords being hashed or waiting for it: at some milliseconds each, the last of them still
    /// has its answer within a second or so.
    private static let pendingMax = 128
    private static let pendingWorkMax = 2000
    private static let pendingPerClientMax = 4
    private static let busy =
        "\(pendingPerClientMax) logins of a client and \(pendingMax) in all are checked at once; "
        + "try again"
    /// Random bits of our part of a SCRAM nonce, in words.
    private static let nonceWords = 3

    private let state: Mutex<State>
    private let workers: any Workers
    private let random: any RandomSource
    /// For made-up keys where the file has no secret.
    private let ownSecret: [UInt8]

    /// - Parameter random: hard to guess; for nonces.
    package init(
        users: UserTable,
        lockout: LockoutSettings = LockoutSettings(),
        workers: any Workers,
        random: any RandomSource
    ) {
        state = Mutex(State(users: users, ledger: FailureLedger(lockout)))
        self.workers = workers
        self.random = random
        ownSecret = Self.bytes(random, words: 4)
    }

    /// From now on these are the users; who is logged in stays so.
    package func adopt(_ users: UserTable) { state.withLock { $0.users = users } }

    package func adopt(_ lockout: LockoutSettings) {
        state.withLock { $0.ledger.settings = lockout }
    }

    package var userCount: Int { state.withLock { $0.users.count } }

    /// SCRAM is worth offering: a client that takes it where nobody has keys is refused for good.
    package var offersSCRAM: Bool {
        state.withLock { $0.users.count == 0 || $0.users.hasSCRAMKeys }
    }

    /// Clients and users locked out now.
    package func lockouts(at now: Instant) -> (clients: Int, users: Int) {
        state.withLock { $0.ledger.lockouts(at: now) }
    }

    /// Answers a mechanism's question for a client; from a task of `loop`. An unknown user costs
    /// the same time and gets the same answers as a wrong password, and so does one who may not log in
    /// at this listener.
    func answer(
        _ question: LoginQuestion,
        from client: HostAddress,
        on loop: Loop,
        at terms: ListenerTerms
    ) async -> LoginAnswer {
        let answer = await answer(question, from: client, on: loop)
        guard case .accepted(let name) = answer, !terms.admits(user: name) else { return answer }
        return failed(name, client, loop, rule: "login-elsewhere")
    }

    package func answer(
        _ question: LoginQuestion,
        from client: HostAddress,
        on loop: Loop
    ) async -> LoginAnswer {
        let now = loop.now()
        let lockedUntil = state.withLock {
            $0.ledger.lockedOutUntil(client, user: question.user, at: now)
        }
        if let lockedUntil {
            return .unavailable(
                "too many failed logins; try again in \((lockedUntil - now).waitText)",
                rule: "login-locked-out"
            )
        }
        switch question {
        case .keys(let user):
            return .keys(keys(of: user), nonce: nonce())
        case .certificate(let user):
            return .accepted(user)
        case .proof(let user, let isValid):
            let known = state.withLock { $0.users.user(named: user) }
            guard let known, isValid else { return failed(user, client, loop) }
            return .accepted(known.name)
        case .password(let user, let password):
            let (name, record) = record(of: user)
            let work = record.milliseconds
            guard enter(client, work) else {
                return .unavailable(Self.busy, rule: "login-busy")
            }
            let fits = await workers.run(on: loop) { record.fit(password: password) }
            leave(client, work)
            guard let fits else {
                return .unavailable("no memory to check a password; try again", rule: "login-busy")
            }
            guard fits, let name else { return failed(user, client, loop) }
            return .accepted(name)
        }
    }

    private func failed(
        _ user: String,
        _ client: HostAddress,
        _ loop: Loop,
        rule: String = "login-failed"
    ) -> LoginAnswer {
        let now = loop.now()
        let consequence = state.withLock { $0.ledger.failed(client, user: user, at: now) }
        return .refused(after: consequence.delay, lockedOut: consequence.lockedOut, rule: rule)
    }

    /// The user's keys for SCRAM; made-up ones, which no proof fits, where there is no such user or
    /// only an scrypt hash.
    private func keys(of user: String) -> ScramKeys {
        state.withLock { state in
            if case .scram(let keys) = state.users.user(named: user)?.record { return keys }
            return ScramKeys(
                imaginaryFor: user.asciiLowercased,
                secret: state.users.secret ?? ownSecret,
                iterations: state.users.usualIterations
            )
        }
    }

    /// The name as it is written, and what is kept of the password; a made-up record and no name
    /// where there is no such user.
    private func record(of user: String) -> (name: String?, record: PasswordRecord) {
        state.withLock { state in
            if let known = state.users.user(named: user) { return (known.name, known.record) }
            let secret = state.users.secret ?? ownSecret
            return (
                nil,
                PasswordRecord(
                    imaginaryFor: user.asciiLowercased,
                    secret: secret,
                    cost: state.users.cost(forNobody: user.asciiLowercased, secret: secret)
                )
            )
        }
    }

    private func enter(_ client: HostAddress, _ work: Int) -> Bool {
        state.withLock { state in
            let own = state.pendingOf[client, default: 0]
            guard state.pending < Self.pendingMax, own < Self.pendingPerClientMax,
                state.pending == 0 || state.pendingWork + work <= Self.pendingWorkMax
            else { return false }
            state.pending += 1
            state.pendingWork += work
            state.pendingOf[client] = own + 1
            return true
        }
    }

    private func leave(_ client: HostAddress, _ work: Int) {
        state.withLock { state in
            state.pending -= 1
            state.pendingWork -= work
            let left = (state.pendingOf[client] ?? 1) - 1
            state.pendingOf[client] = left > 0 ? left : nil
        }
    }

    private func nonce() -> String { Base64.encode(Self.bytes(random, words: Self.nonceWords)) }

    private static func bytes(_ random: any RandomSource, words: Int) -> [UInt8] {
        (0..<words).flatMap { _ in
            let word = random.next()
            return (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64($0 * 8)) }
        }
    }
}
