// What is kept of a password, in one of the forms a users file may have: SCRAM keys, which serve
// all mechanisms, or an scrypt hash, which is dearer to guess at and serves those that bring the
// password itself. Called by the users file, its command, and the check of logins.

package enum PasswordRecord: Sendable, Equatable {
    case scram(ScramKeys)
    case scrypt(ScryptHash)

    /// What a check of it costs; made-up records have the costs of real ones.
    package enum Cost: Sendable, Hashable {
        case scram(iterations: Int)
        case scrypt(ScryptHash.Cost)
    }

    /// Milliseconds of a processor that a check takes, about.
    package var milliseconds: Int {
        switch cost {
        case .scram(let iterations): max(iterations / 2000, 1)
        case .scrypt(let cost): max(cost.memoryBytes * cost.parallelization / 400_000, 1)
        }
    }

    package var cost: Cost {
        switch self {
        case .scram(let keys): .scram(iterations: keys.iterations)
        case .scrypt(let hash): .scrypt(hash.cost)
        }
    }

    /// A record of a user there is none of: the same for the same name each time.
    /// - Parameter secret: known to this server alone.
    package init(imaginaryFor name: String, secret: [UInt8], cost: Cost) {
        switch cost {
        case .scram(let iterations):
            self = .scram(
                ScramKeys(imaginaryFor: name, secret: secret, iterations: iterations)
            )
        case .scrypt(let cost):
            self = .scrypt(ScryptHash(imaginaryFor: name, secret: secret, cost: cost))
        }
    }

    /// Whether it is the record of that prepared password; nil: there was no memory to find out. Slow
    /// on purpose: on the loop it would stop everybody.
    package func fit(password: [UInt8]) -> Bool? {
        switch self {
        case .scram(let keys): keys.fit(password: password)
        case .scrypt(let hash): hash.fit(password: password)
        }
    }

    package var text: String {
        switch self {
        case .scram(let keys): keys.text
        case .scrypt(let hash): hash.text
        }
    }

    /// nil where the text is of no form that is known.
    package init?(_ text: some StringProtocol) {
        if let keys = ScramKeys(text) {
            self = .scram(keys)
        } else if let hash = ScryptHash(text) {
            self = .scrypt(hash)
        } else {
            return nil
        }
    }
}
