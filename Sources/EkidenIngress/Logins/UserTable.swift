// The users file as a value: who may log in, and the records their passwords are checked with. Read by
// the running relay, read and written by `ekiden user`; comments and order stay as they are. The
// format is docs/USERS.md; a file with one line that can't be understood is refused whole, since
// half of the users would be locked out in silence.

import EkidenCrypto
import EkidenMail
import EkidenSMTP

/// A line of the users file that can't be understood.
package struct UserTableProblem: Error, Sendable, Equatable {
    /// From 1.
    package let line: Int
    package let text: String
}

package struct UserTable: Sendable, Equatable {
    package struct User: Sendable, Equatable {
        /// As the file writes it.
        package let name: String
        package let record: PasswordRecord
        fileprivate var line: Int
    }

    /// Bytes of a users file; it has room for a hundred thousand users.
    package static let bytesMax = 16 * 1_048_576
    private static let secretMark = "#secret "
    private static let secretBytes = 16...64

    private var lines: [String] = []
    /// By the name in lower case; never iterated.
    private var users: [String: User] = [:]
    /// How many users' records cost what.
    private var costs: [PasswordRecord.Cost: Int] = [:]
    /// What made-up keys of unknown users are made with; nil in a file written by hand.
    package private(set) var secret: [UInt8]?

    package init() {}

    /// Somebody can log in by SCRAM; scrypt alone has no keys for it.
    package var hasSCRAMKeys: Bool {
        costs.keys.contains { if case .scram = $0 { true } else { false } }
    }

    package init(parsing bytes: [UInt8]) throws(UserTableProblem) {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw UserTableProblem(line: 1, text: "the file is not UTF-8")
        }
        let parts = text.utf8.split(separator: 0x0a, omittingEmptySubsequences: false)
            .map { String(Substring($0)) }
        lines = parts.last == "" ? parts.dropLast() : parts
        for (index, line) in lines.enumerated() {
            if line.hasPrefix(Self.secretMark) {
                guard let secret = Base64.decode(String(line.dropFirst(Self.secretMark.count))),
                    Self.secretBytes.contains(secret.count), self.secret == nil
                else {
                    throw UserTableProblem(
                        line: index + 1,
                        text: "#secret is followed by base64 of 16 to 64 bytes, once"
                    )
                }
                self.secret = secret
            } else if !line.utf8.allSatisfy({ $0 == 0x20 }), line.utf8.first != 0x23 {
                try take(line, at: index)
            }
        }
    }

    private mutating func take(_ line: String, at index: Int) throws(UserTableProblem) {
        let problem = { (text: String) in UserTableProblem(line: index + 1, text: text) }
        let fields = line.utf8.split(
            separator: UInt8(ascii: ":"),
            maxSplits: 2,
            omittingEmptySubsequences: false
        ).map { String(Substring($0)) }
        guard fields.count >= 2 else { throw problem("there is no colon behind the name") }
        guard LoginName.prepare(Array(fields[0].utf8)) == fields[0] else {
            throw problem("that is no user name")
        }
        guard let record = PasswordRecord(fields[1]) else {
            throw problem(
                "behind the name stands {SCRAM-SHA-256}iterations,salt,StoredKey,ServerKey or "
                    + "$scrypt$ln=15,r=8,p=1$salt$hash as ekiden user writes it"
            )
        }
        let user = User(name: fields[0], record: record, line: index)
        if let other = users.updateValue(user, forKey: user.name.asciiLowercased) {
            throw problem("\(user.name) is in line \(other.line + 1) already")
        }
        costs[record.cost, default: 0] += 1
    }

    // MARK: Asking

    package var count: Int { users.count }

    /// Names don't differ by the case of ASCII letters.
    package func user(named name: String) -> User? { users[name.asciiLowercased] }

    /// All users, in the file's order.
    package var all: [User] { users.values.sorted { $0.line < $1.line } }

    /// What the record of a made-up user should cost, so that nobody can tell it from a real one:
    /// the same for a name each time, and among many names as common as among users.
    /// - Parameter secret: known to this server alone.
    package func cost(forNobody name: String, secret: [UInt8]) -> PasswordRecord.Cost {
        let draw = SHA256.hmac(key: secret, Array(("cost " + name).utf8)).prefix(8)
            .reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        var place = users.isEmpty ? 0 : Int(draw % UInt64(users.count))
        for (cost, count) in costs.sorted(by: { $0.key.rank < $1.key.rank }) {
            if place < count { return cost }
            place -= count
        }
        return .scram(iterations: ScramKeys.iterationsDefault)
    }

    /// The iterations that most users with SCRAM keys have: what a made-up user's challenge says.
    package var usualIterations: Int {
        var best = (iterations: ScramKeys.iterationsDefault, count: 0)
        for (cost, count) in costs {
            guard case .scram(let iterations) = cost else { continue }
            if (count, iterations) > (best.count, best.count == 0 ? 0 : best.iterations) {
                best = (iterations, count)
            }
        }
        return best.iterations
    }

    // MARK: Changing

    /// Adds a user at the end, or gives the one of that name another record in the same place. What
    /// stands behind the record in its line stays.
    package mutating func set(_ name: String, _ record: PasswordRecord) {
        precondition(LoginName.prepare(Array(name.utf8)) == name, "not prepared: \(name)")
        let folded = name.asciiLowercased
        costs[record.cost, default: 0] += 1
        guard let old = users[folded] else {
            users[folded] = User(name: name, record: record, line: lines.count)
            lines.append("\(name):\(record.text)")
            return
        }
        forget(old.record.cost)
        let rest = lines[old.line].utf8.split(separator: UInt8(ascii: ":"), maxSplits: 2)
        lines[old.line] =
            "\(old.name):\(record.text)" + (rest.count > 2 ? ":" + String(Substring(rest[2])) : "")
        users[folded] = User(name: old.name, record: record, line: old.line)
    }

    /// False when there is no such user.
    package mutating func remove(_ name: String) -> Bool {
        guard let gone = users.removeValue(forKey: name.asciiLowercased) else { return false }
        lines.remove(at: gone.line)
        forget(gone.record.cost)
        users = users.mapValues { user in
            var user = user
            if user.line > gone.line { user.line -= 1 }
            return user
        }
        return true
    }

    private mutating func forget(_ cost: PasswordRecord.Cost) {
        let left = (costs[cost] ?? 1) - 1
        costs[cost] = left > 0 ? left : nil
    }

    /// Gives a new file its secret and a line that says what it is.
    package mutating func begin(secret: [UInt8]) {
        precondition(self.secret == nil && Self.secretBytes.contains(secret.count))
        self.secret = secret
        let head = [
            "# Users of Ekiden; made by `ekiden user`, see docs/USERS.md.",
            Self.secretMark + Base64.encode(secret),
        ]
        lines = head + lines
        users = users.mapValues { user in
            var user = user
            user.line += head.count
            return user
        }
    }

    /// The file.
    package var text: String { lines.reduce(into: "") { $0 += $1 + "\n" } }
}

extension PasswordRecord.Cost {
    /// An order among costs, so that a tie always ends the same way.
    fileprivate var rank: Int {
        switch self {
        case .scram(let iterations): iterations
        case .scrypt(let cost):
            1 << 40 | cost.log2N << 16 | cost.blockSize << 8 | cost.parallelization
        }
    }
}
