// What is kept of a password: the keys of SCRAM-SHA-256, from which the password can't be had back
// and with which a stolen users file still lets nobody log in. The same keys check a password that
// came in plain. Called by the users file, its command, and the login mechanisms.
// RFC 5802 §3, RFC 7677.

package struct ScramKeys: Sendable, Equatable {
    package let iterations: Int
    package let salt: [UInt8]
    /// H(HMAC(SaltedPassword, "Client Key")).
    package let storedKey: [UInt8]
    /// HMAC(SaltedPassword, "Server Key").
    package let serverKey: [UInt8]

    /// RFC 7677 §4 asks for at least 4096; more costs the server as much as the attacker.
    package static let iterationsDefault = 10_000
    /// What a users file may ask for: beyond it, one login would keep a processor busy for seconds.
    package static let iterationsRange = 4096...1_000_000
    package static let saltBytes = 16

    package init(iterations: Int, salt: [UInt8], storedKey: [UInt8], serverKey: [UInt8]) {
        self.iterations = iterations
        self.salt = salt
        self.storedKey = storedKey
        self.serverKey = serverKey
    }

    /// The keys of a prepared password (`PreparedPassword`). Slow on purpose.
    package init(password: [UInt8], salt: [UInt8], iterations: Int) {
        let salted = SHA256.pbkdf2(password: password, salt: salt, iterations: iterations)
        let clientKey = SHA256.hmac(key: salted, Array("Client Key".utf8))
        self.init(
            iterations: iterations,
            salt: salt,
            storedKey: SHA256.digest(clientKey),
            serverKey: SHA256.hmac(key: salted, Array("Server Key".utf8))
        )
    }

    /// Keys of a user there is none of: the same for the same name each time, and no password fits.
    /// - Parameter secret: known to this server alone; who knew it could tell these from real ones.
    package init(imaginaryFor name: String, secret: [UInt8], iterations: Int) {
        let part = { (label: String) in SHA256.hmac(key: secret, Array((label + name).utf8)) }
        self.init(
            iterations: iterations,
            salt: Array(part("salt ").prefix(Self.saltBytes)),
            storedKey: part("stored "),
            serverKey: part("server ")
        )
    }

    /// Whether these are the keys of that prepared password. As slow as making them.
    package func fit(password: [UInt8]) -> Bool {
        let made = ScramKeys(password: password, salt: salt, iterations: iterations)
        return isEqualInConstantTime(made.storedKey, storedKey)
    }

    /// Whether a client's proof shows that it knows the password (RFC 5802 §3):
    /// H(ClientProof XOR HMAC(StoredKey, AuthMessage)) = StoredKey.
    package func accept(proof: [UInt8], authMessage: [UInt8]) -> Bool {
        guard proof.count == SHA256.byteCount else { return false }
        let signature = SHA256.hmac(key: storedKey, authMessage)
        let clientKey = zip(proof, signature).map { $0 ^ $1 }
        return isEqualInConstantTime(SHA256.digest(clientKey), storedKey)
    }

    /// ServerSignature: shows the client that the server knows its keys.
    package func signature(authMessage: [UInt8]) -> [UInt8] {
        SHA256.hmac(key: serverKey, authMessage)
    }
}

// MARK: As text

extension ScramKeys {
    private static let scheme = "{SCRAM-SHA-256}"

    /// `{SCRAM-SHA-256}iterations,salt,StoredKey,ServerKey`, the last three in base64.
    package var text: String {
        "\(Self.scheme)\(iterations),\(Base64.encode(salt)),\(Base64.encode(storedKey)),"
            + Base64.encode(serverKey)
    }

    /// nil where the text is not of that form, a key is no SHA-256 key, or the iterations are out
    /// of bounds.
    package init?(_ text: some StringProtocol) {
        guard text.hasPrefix(Self.scheme) else { return nil }
        let parts = text.dropFirst(Self.scheme.count)
            .split(separator: ",", omittingEmptySubsequences: false)
        guard parts.count == 4,
            (1...7).contains(parts[0].utf8.count),
            parts[0].utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }),
            let iterations = Int(parts[0]), Self.iterationsRange.contains(iterations),
            let salt = Base64.decode(String(parts[1])), (8...64).contains(salt.count),
            let storedKey = Base64.decode(String(parts[2])), storedKey.count == SHA256.byteCount,
            let serverKey = Base64.decode(String(parts[3])), serverKey.count == SHA256.byteCount
        else { return nil }
        self.init(iterations: iterations, salt: salt, storedKey: storedKey, serverKey: serverKey)
    }
}
