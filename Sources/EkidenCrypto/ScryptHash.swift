// A password as scrypt keeps it: each guess from a stolen file costs megabytes of memory as well as
// time, which is what guessing machines are short of. It checks passwords that come in plain and
// serves no other mechanism. Called by the users file and its command.
// RFC 7914; the text is the PHC string format, as other programs write it.

import COpenSSL

package struct ScryptHash: Sendable, Equatable {
    /// What one hash costs (RFC 7914 §2).
    package struct Cost: Sendable, Hashable {
        /// Binary logarithm of N.
        package var log2N: Int
        package var blockSize: Int
        package var parallelization: Int

        package init(log2N: Int, blockSize: Int = 8, parallelization: Int = 1) {
            self.log2N = log2N
            self.blockSize = blockSize
            self.parallelization = parallelization
        }

        /// 32 MiB, and 70 to 90 ms of a processor.
        package static let usual = Cost(log2N: 15)
        /// What `ekiden user` offers, at the usual block size.
        package static let log2NRange = 12...16

        /// Bytes of memory while one hash is made: 128 · N · r.
        package var memoryBytes: Int { 128 * blockSize << log2N }

        /// What a users file may ask for: 64 MiB, and a few tenths of a second for each login.
        package var isBearable: Bool {
            (10...20).contains(log2N) && (1...32).contains(blockSize)
                && (1...4).contains(parallelization) && memoryBytes <= 64 << 20
        }
    }

    package static let saltBytes = 16
    private static let hashBytes = 32

    package let cost: Cost
    package let salt: [UInt8]
    package let hash: [UInt8]

    /// The hash of a prepared password (`PreparedPassword`). Slow on purpose. nil: out of memory.
    /// - Parameter cost: a bearable one.
    package init?(password: [UInt8], salt: [UInt8], cost: Cost) {
        guard
            let hash = Self.derive(password, salt: salt, cost: cost, byteCount: Self.hashBytes)
        else { return nil }
        self.init(cost: cost, salt: salt, hash: hash)
    }

    /// The hash of a user there is none of. No password is known to fit; none will be looked for.
    package init(imaginaryFor name: String, secret: [UInt8], cost: Cost) {
        let part = { (label: String) in SHA256.hmac(key: secret, Array((label + name).utf8)) }
        self.init(
            cost: cost,
            salt: Array(part("salt ").prefix(Self.saltBytes)),
            hash: part("hash ")
        )
    }

    package init(cost: Cost, salt: [UInt8], hash: [UInt8]) {
        self.cost = cost
        self.salt = salt
        self.hash = hash
    }

    /// Whether this is the hash of that prepared password; nil: out of memory. As slow as making it.
    package func fit(password: [UInt8]) -> Bool? {
        Self.derive(password, salt: salt, cost: cost, byteCount: hash.count)
            .map { isEqualInConstantTime($0, hash) }
    }

    /// scrypt (RFC 7914 §6); nil where memory is short.
    static func derive(
        _ password: [UInt8],
        salt: [UInt8],
        cost: Cost,
        byteCount: Int
    ) -> [UInt8]? {
        var key = [UInt8](repeating: 0, count: byteCount)
        let isMade = password.withUnsafeBytes { password in
            EVP_PBE_scrypt(
                password.baseAddress?.assumingMemoryBound(to: CChar.self),
                password.count,
                salt,
                salt.count,
                1 << UInt64(cost.log2N),
                UInt64(cost.blockSize),
                UInt64(cost.parallelization),
                // The blocks of all lanes come on top of the large table.
                UInt64(cost.memoryBytes + 128 * cost.blockSize * (cost.parallelization + 2)),
                &key,
                byteCount
            )
        }
        return isMade == 1 ? key : nil
    }
}

// MARK: As text

extension ScryptHash {
    private static let scheme = "$scrypt$"

    /// `$scrypt$ln=15,r=8,p=1$salt$hash`, the last two in base64 without padding.
    package var text: String {
        "\(Self.scheme)ln=\(cost.log2N),r=\(cost.blockSize),p=\(cost.parallelization)"
            + "$\(Base64.encodeUnpadded(salt))$\(Base64.encodeUnpadded(hash))"
    }

    /// nil where the text is not of that form, or asks for more than is bearable.
    package init?(_ text: some StringProtocol) {
        guard text.hasPrefix(Self.scheme) else { return nil }
        let parts = text.dropFirst(Self.scheme.count)
            .split(separator: "$", omittingEmptySubsequences: false)
        guard parts.count == 3 else { return nil }
        let costs = parts[0].split(separator: ",", omittingEmptySubsequences: false)
        guard costs.count == 3,
            let log2N = Self.number(costs[0], of: "ln="),
            let blockSize = Self.number(costs[1], of: "r="),
            let parallelization = Self.number(costs[2], of: "p=")
        else { return nil }
        let cost = Cost(log2N: log2N, blockSize: blockSize, parallelization: parallelization)
        guard cost.isBearable,
            let salt = Base64.decodeUnpadded(String(parts[1])), (8...64).contains(salt.count),
            let hash = Base64.decodeUnpadded(String(parts[2])), (16...64).contains(hash.count)
        else { return nil }
        self.init(cost: cost, salt: salt, hash: hash)
    }

    private static func number(_ text: some StringProtocol, of name: String) -> Int? {
        guard text.hasPrefix(name) else { return nil }
        let digits = text.utf8.dropFirst(name.utf8.count)
        guard (1...2).contains(digits.count),
            digits.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), digits.first != 0x30
        else { return nil }
        return digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
    }
}
