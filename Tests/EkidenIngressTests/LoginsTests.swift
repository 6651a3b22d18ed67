import EkidenCrypto
import EkidenMail
import EkidenRuntime
import EkidenSMTP
import EkidenSimulator
import Testing

@testable import EkidenIngress

private let client = HostAddress.v4(0xc000_0201)
private let other = HostAddress.v4(0xc000_0202)
private func second(_ n: Int64) -> Instant { Instant(nanoseconds: n * 1_000_000_000) }

/// The value in a box, since expectations can't change values.
private final class Book {
    private var ledger = FailureLedger()

    func failed(_ client: HostAddress, user: String, at: Instant) -> FailureLedger.Consequence {
        ledger.failed(client, user: user, at: at)
    }

    func lockedOut(
        _ client: HostAddress,
        user: String,
        at: Instant
    ) -> FailureLedger.LockedOut? {
        ledger.lockedOut(client, user: user, at: at)
    }

    func lockouts(at: Instant) -> (clients: Int, users: Int) { ledger.lockouts(at: at) }
}

@Suite struct FailureLedgerTests {
    @Test func `answers are held back longer and longer`() {
        let ledger = Book()
        let delays = (0..<7).map { ledger.failed(client, user: "u\($0)", at: second($0 + 1)).delay }
        #expect(delays == [1, 2, 4, 8, 10, 10, 10].map { .seconds($0) })
        #expect(ledger.failed(other, user: "x", at: second(9)).delay == .seconds(1))
    }

    @Test func `ten failures in ten minutes lock a client out for fifteen`() {
        let ledger = Book()
        for n in 0..<9 {
            #expect(ledger.failed(client, user: "u\(n)", at: second(0)).lockedOut == nil)
        }
        #expect(ledger.lockedOut(client, user: "x", at: second(599)) == nil)
        #expect(ledger.failed(client, user: "y", at: second(599)).lockedOut == .client)
        #expect(ledger.lockedOut(client, user: "x", at: second(600)) == .client)
        #expect(ledger.lockedOut(other, user: "x", at: second(600)) == nil)
        #expect(ledger.lockedOut(client, user: "x", at: second(599 + 899)) == .client)
        #expect(ledger.lockedOut(client, user: "x", at: second(599 + 900)) == nil)
        #expect(ledger.lockouts(at: second(599 + 900)) == (0, 0))
    }

    @Test func `failures long past count no more`() {
        let ledger = Book()
        for n in 0..<100 {
            let at = second(Int64(n) * 67)
            #expect(ledger.failed(client, user: "u", at: at).lockedOut == nil)
            #expect(ledger.lockedOut(client, user: "u", at: at) == nil)
        }
    }

    @Test func `a user is locked out for those who failed, and for nobody else`() {
        let ledger = Book()
        for n in 0..<10 {
            let locked = ledger.failed(.v4(UInt32(n)), user: "Anna", at: second(1)).lockedOut
            #expect(locked == (n == 9 ? .user : nil))
        }
        #expect(ledger.lockedOut(.v4(3), user: "anna", at: second(2)) == .user)
        #expect(ledger.lockedOut(.v4(3), user: "tim", at: second(2)) == nil)
        #expect(ledger.lockedOut(client, user: "anna", at: second(2)) == nil)
    }

    @Test func `an IPv6 client is its network of 64 bits`() {
        let ledger = Book()
        for n in 0..<10 {
            _ = ledger.failed(.v6(high: 7, low: UInt64(n)), user: "u\(n)", at: second(1))
        }
        #expect(ledger.lockedOut(.v6(high: 7, low: 99), user: "x", at: second(2)) == .client)
        #expect(ledger.lockedOut(.v6(high: 8, low: 0), user: "x", at: second(2)) == nil)
        #expect(ledger.lockedOut(.v4(7), user: "x", at: second(2)) == nil)
    }

    @Test func `a flood of failures is forgotten from its beginning`() {
        let ledger = Book()
        for n in 0..<50_000 {
            _ = ledger.failed(.v4(UInt32(n)), user: "u\(n)", at: second(1))
        }
        // The latest is known to have failed, the first is not.
        #expect(ledger.failed(.v4(49_999), user: "x", at: second(2)).delay == .seconds(2))
        #expect(ledger.failed(.v4(0), user: "x", at: second(2)).delay == .seconds(1))
    }

    @Test func `counts are those of a plain list, whatever happens`() {
        var state: UInt64 = 99
        func next(_ bound: UInt64) -> UInt64 {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return state % bound
        }
        let ledger = Book()
        var past: [(at: Int64, client: UInt32)] = []
        var now: Int64 = 0
        for _ in 0..<5000 {
            now += Int64(next(200))
            let address = UInt32(next(5))
            past.removeAll { $0.at + 600 <= now }
            past.append((now, address))
            let count = past.count { $0.client == address }
            let delay = ledger.failed(.v4(address), user: "u", at: second(now)).delay
            #expect(delay == .seconds(min(1 << min(count - 1, 4), 10)))
        }
    }
}

@Suite struct LoginsTests {
    private func world() throws -> (SimWorld, Logins) {
        let world = SimWorld(seed: 1)
        var users = UserTable()
        users.set("Anna", .scram(anna))
        users.set("eva", .scrypt(eva))
        users.begin(secret: Array(0..<32))
        let logins = Logins(
            users: users,
            workers: SimWorkers(world),
            random: SimRandom(seed: 2)
        )
        return (world, logins)
    }

    private func ask(
        _ question: LoginQuestion,
        _ world: SimWorld,
        _ logins: Logins,
        from address: HostAddress = client
    ) throws -> LoginAnswer {
        let loop = world.loops[0]
        return try world.run { await logins.answer(question, from: address, on: loop) }
    }

    private func password(_ user: String, _ password: String) -> LoginQuestion {
        .password(user: user, password: Array(password.utf8))
    }

    @Test func `the right password comes in, by the name as it is written`() throws {
        let (world, logins) = try world()
        #expect(try ask(password("anna", "sesame"), world, logins) == .accepted("Anna"))
    }

    @Test func `a wrong password and an unknown user get the same answers`() throws {
        for user in ["anna", "nobody"] {
            let (world, logins) = try world()
            for delay: Int64 in [1, 2, 4] {
                #expect(
                    try ask(password(user, "wrong"), world, logins)
                        == .refused(after: .seconds(delay), lockedOut: nil)
                )
            }
        }
    }

    @Test func `locks of different lengths each end in their time`() {
        var ledger = FailureLedger()
        ledger.settings.failures = 1
        ledger.settings.window = .seconds(1)
        _ = ledger.failed(client, user: "a", at: second(0))
        ledger.settings.lockout = .seconds(10)
        _ = ledger.failed(other, user: "b", at: second(5))
        let still = ledger.lockedOutUntil(other, user: "b", at: second(14))
        #expect(still == second(15))
        let over = ledger.lockedOut(other, user: "b", at: second(15))
        #expect(over == nil)
        let counted = ledger.lockouts(at: second(15))
        #expect(counted.clients == 1 && counted.users == 1)
        #expect((second(900) - second(15)).waitText == "15 minutes")
        #expect(Duration.milliseconds(1).waitText == "1 second")
    }

    @Test func `made-up keys stay the same, nonces never do`() throws {
        let (world, logins) = try world()
        guard case .keys(let first, let nonce) = try ask(.keys(user: "nobody"), world, logins),
            case .keys(let again, let other) = try ask(.keys(user: "NOBODY"), world, logins),
            case .keys(let real, _) = try ask(.keys(user: "anna"), world, logins)
        else {
            Issue.record("no keys")
            return
        }
        #expect(first == again && nonce != other && nonce.utf8.count == 32)
        #expect(real == anna && first.salt.count == real.salt.count)
        #expect(first.iterations == real.iterations)
    }

    @Test func `a user with an scrypt hash logs in with the password, and not by SCRAM`() throws {
        let (world, logins) = try world()
        #expect(try ask(password("EVA", "sésame"), world, logins) == .accepted("eva"))
        #expect(
            try ask(password("eva", "sesame"), world, logins)
                == .refused(after: .seconds(1), lockedOut: nil)
        )
        guard case .keys(let keys, _) = try ask(.keys(user: "eva"), world, logins),
            case .keys(let again, _) = try ask(.keys(user: "eva"), world, logins)
        else {
            Issue.record("no keys")
            return
        }
        #expect(keys == again && !keys.fit(password: Array("sésame".utf8)))
        #expect(keys.iterations == anna.iterations)
    }

    @Test func `a proof counts for a user there is`() throws {
        let (world, logins) = try world()
        #expect(
            try ask(.proof(user: "anna", isValid: true), world, logins) == .accepted("Anna")
        )
        #expect(
            try ask(.proof(user: "anna", isValid: false), world, logins)
                == .refused(after: .seconds(1), lockedOut: nil)
        )
        #expect(
            try ask(.proof(user: "gone", isValid: true), world, logins)
                == .refused(after: .seconds(2), lockedOut: nil)
        )
    }

    @Test func `after ten failures not even the right password helps, elsewhere it does`() throws {
        let (world, logins) = try world()
        for n in 1...10 {
            guard
                case .refused(_, let lockedOut, _) = try ask(password("anna", "no"), world, logins)
            else {
                Issue.record("not refused")
                return
            }
            #expect((lockedOut != nil) == (n == 10))
        }
        guard
            case .unavailable(_, "login-locked-out") =
                try ask(password("anna", "sesame"), world, logins)
        else {
            Issue.record("let in")
            return
        }
        #expect(
            try ask(password("anna", "sesame"), world, logins, from: other) == .accepted("Anna")
        )
    }

    @Test func `one client has so many passwords hashed at once and no more`() throws {
        let (world, logins) = try world()
        let loop = world.loops[0]
        final class Tally: @unchecked Sendable { var answers: [LoginAnswer] = [] }
        let tally = Tally()
        for _ in 0..<6 {
            loop.spawn {
                let question = LoginQuestion.password(user: "anna", password: Array("sesame".utf8))
                tally.answers.append(await logins.answer(question, from: client, on: loop))
            }
        }
        world.run(for: .seconds(1))
        #expect(tally.answers.count { $0 == .accepted("Anna") } == 4)
        #expect(tally.answers.count == 6)
        #expect(try ask(password("anna", "sesame"), world, logins) == .accepted("Anna"))
    }

    @Test func `users who are taken away can't come in, and new ones can`() throws {
        let (world, logins) = try world()
        var users = UserTable()
        users.set("tim", .scram(tim))
        logins.adopt(users)
        #expect(logins.userCount == 1)
        #expect(
            try ask(password("anna", "sesame"), world, logins)
                == .refused(after: .seconds(1), lockedOut: nil)
        )
        #expect(try ask(password("tim", "open"), world, logins) == .accepted("tim"))
    }
}
