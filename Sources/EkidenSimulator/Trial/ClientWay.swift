// How a client comes in: in the clear or under TLS, with a login or without, its messages whole or
// in chunks. What the relay writes into its Received field follows from it.

import EkidenCrypto
import EkidenMail
import EkidenRuntime

/// Whether the relay knows users, and takes mail from nobody else.
enum TrialLogins: CaseIterable { case none, offered, required }

struct ClientWay {
    enum Login { case none, plain, login, scram }

    /// Through which of the relay's listeners.
    enum Entrance: Int, CaseIterable {
        case direct
        /// TLS from the first byte.
        case implicitTLS
        /// Behind a balancer that writes a PROXY header, of version 1 or 2.
        case proxied1
        case proxied2
        /// A peer that says for whom it speaks (XCLIENT).
        case overridden

        var port: UInt16 {
            switch self {
            case .direct: 25
            case .implicitTLS: 465
            case .proxied1, .proxied2: 2525
            case .overridden: 2526
            }
        }
        /// The relay hears of another address than that of the connection.
        var isBehind: Bool { port > 2000 }
    }

    var entrance = Entrance.direct
    var isSecure = false
    var login = Login.none
    /// BDAT in place of DATA (RFC 3030).
    var usesChunks = false

    /// The word behind `with` (RFC 3848).
    var protocolWord: String {
        "ESMTP" + (isSecure ? "S" : "") + (login == .none ? "" : "A")
    }
}

extension TrialClient {
    /// Where the connection comes from.
    static func source(_ number: Int) -> HostAddress { .v4(0x0a00_0100 + UInt32(number)) }

    /// The client's address as the relay is to know it.
    func address(_ number: Int) -> HostAddress {
        way.entrance.isBehind ? Self.behind(number) : Self.source(number)
    }

    /// Of a client behind a balancer or a peer: 192.0.2.0/24 (RFC 5737).
    static func behind(_ number: Int) -> HostAddress { .v4(0xc000_0200 + UInt32(number)) }
}

/// The users of a simulated relay. Their records are made once for each process and cost next to
/// nothing, for most of a world's time would go into them.
enum TrialUsers {
    static let file = "/users"
    private static let password = "sesame"

    static let text: String = {
        let salt: [UInt8] = Array(1...16)
        let word = Array(password.utf8)
        let cheap = ScryptHash.Cost(log2N: 10, blockSize: 1)
        guard let hash = ScryptHash(password: word, salt: salt, cost: cheap) else { return "" }
        let keys = ScramKeys(password: word, salt: salt, iterations: 4096)
        return "plain:\(hash.text)\nscram:\(keys.text)\n"
    }()

    /// The argument of AUTH PLAIN (RFC 4616).
    static func plain(isRight: Bool) -> String {
        Base64.encode(Array("\0plain\0\(isRight ? password : "tahini")".utf8))
    }

    /// What AUTH LOGIN is told, one after the other.
    static func login(isRight: Bool) -> [String] {
        [
            Base64.encode(Array("plain".utf8)),
            Base64.encode(Array((isRight ? password : "tahini").utf8)),
        ]
    }

    static func scramFirst(nonce: String) -> String { "n=scram,r=\(nonce)" }

    /// The client's last message for a challenge (RFC 5802 §3); nil where that is none.
    static func scramFinal(nonce: String, challenge: String, isRight: Bool) -> String? {
        let parts = challenge.split(separator: ",")
        guard parts.count == 3, parts[0].hasPrefix("r=\(nonce)"), parts[2] == "i=4096",
            parts[1] == "s=\(Base64.encode(Array(1...16)))"
        else { return nil }
        let withoutProof = "c=biws,\(parts[0])"
        let authMessage = scramFirst(nonce: nonce) + ",\(challenge),\(withoutProof)"
        let signature = SHA256.hmac(key: SHA256.digest(clientKey), Array(authMessage.utf8))
        var proof = zip(clientKey, signature).map { $0 ^ $1 }
        if !isRight { proof[7] ^= 1 }
        return withoutProof + ",p=" + Base64.encode(proof)
    }

    private static let clientKey: [UInt8] = {
        let salted = SHA256.pbkdf2(
            password: Array(password.utf8),
            salt: Array(1...16),
            iterations: 4096
        )
        return SHA256.hmac(key: salted, Array("Client Key".utf8))
    }()
}

extension MailClient {
    /// EHLO, TLS and a login, as the client has them. Errors: the connection's, or a refusal.
    func introduce(_ wire: inout Wire) async throws {
        let header = Self.proxyHeader(way.entrance, number)
        if !header.isEmpty { try await wire.send(header, within: Self.patience) }
        if way.entrance == .implicitTLS { try await secure(&wire) }
        try await expect(&wire, 220)
        try await hello(&wire)
        if way.isSecure, way.entrance != .implicitTLS {
            try await wire.say("STARTTLS", within: Self.patience)
            try await expect(&wire, 220)
            guard wire.connection.unread.isEmpty else {
                town.ledger.violation("words in the clear behind the answer to STARTTLS")
                throw IOFailure.lost
            }
            try await secure(&wire)
            try await hello(&wire)
        }
        if way.entrance == .overridden {
            let name = TrialClient.behind(number).text
            try await wire.say("XCLIENT ADDR=\(name) PORT=4711", within: Self.patience)
            try await expect(&wire, 220)
            try await hello(&wire)
        }
        town.count("entered-\(way.entrance)")
        guard way.login != .none else { return }
        if town.plan.logins == .required, !town.isCalm, random.once(in: 6) {
            try await sneak(&wire)
        }
        // A wrong password first, now and then; a few of them lead to a lock-out.
        if !town.isCalm, random.once(in: 6) {
            if try await logIn(&wire, isRight: false) == 235 {
                town.ledger.violation("client \(number) logged in with a wrong password")
            }
        }
        let code = try await logIn(&wire, isRight: true)
        town.count(code == 235 ? "logged-in" : "login-put-off")
        if code != 235 { throw IOFailure.other("\(code) to a login") }
    }

    private func secure(_ wire: inout Wire) async throws {
        wire.connection.setDeadline(town.outside.now() + Self.patience)
        _ = try await wire.connection.secure(with: SimTLSEngine(askingFor: "relay.test"))
    }

    /// What a balancer says first of the client it has (proxy-protocol.txt §2.1, §2.2).
    private static func proxyHeader(_ entrance: ClientWay.Entrance, _ number: Int) -> [UInt8] {
        switch entrance {
        case .direct, .implicitTLS, .overridden: return []
        case .proxied1:
            let name = TrialClient.behind(number).text
            return Array("PROXY TCP4 \(name) 198.51.100.1 4711 25\r\n".utf8)
        case .proxied2:
            let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10]
            let addresses: [UInt8] = [192, 0, 2, UInt8(number), 198, 51, 100, 1]
            // Version 2, PROXY; TCP over IPv4; twelve bytes follow, ports 4711 and 25 last.
            return signature + [0x21, 0x11, 0, 12] + addresses + [0x12, 0x67, 0, 25]
        }
    }

    private func hello(_ wire: inout Wire) async throws {
        try await wire.say("EHLO client\(number).test", within: Self.patience)
        try await expect(&wire, 250)
    }

    /// Tries what only users may.
    private func sneak(_ wire: inout Wire) async throws {
        try await wire.say("MAIL FROM:<s.k0@\(TrialPlan.origin)>", within: Self.patience)
        let (code, text) = try await wire.reply(within: Self.patience)
        // 421 when it is stopping.
        if code != 530, code != 421 {
            town.ledger.violation("MAIL without a login got \(code) \(text)")
        }
    }

    private func logInByLogin(_ wire: inout Wire, isRight: Bool) async throws -> Int {
        try await wire.say("AUTH LOGIN", within: Self.patience)
        for word in TrialUsers.login(isRight: isRight) {
            let (code, _) = try await wire.reply(within: Self.patience)
            if code != 334 { return code }
            try await wire.say(word, within: Self.patience)
        }
        return try await wire.reply(within: Self.patience).0
    }

    /// The reply's code: 235 for a login, 535 for a wrong password, 454 for one put off.
    private func logIn(_ wire: inout Wire, isRight: Bool) async throws -> Int {
        if way.login == .plain {
            let argument = TrialUsers.plain(isRight: isRight)
            try await wire.say("AUTH PLAIN " + argument, within: Self.patience)
            return try await wire.reply(within: Self.patience).0
        }
        if way.login == .login { return try await logInByLogin(&wire, isRight: isRight) }
        let nonce = "n\(random.next())"
        let first = "n,," + TrialUsers.scramFirst(nonce: nonce)
        let initial = Base64.encode(Array(first.utf8))
        try await wire.say("AUTH SCRAM-SHA-256 " + initial, within: Self.patience)
        let (code, text) = try await wire.reply(within: Self.patience)
        if code != 334 { return code }
        let challenge = String(decoding: Base64.decode(text) ?? [], as: UTF8.self)
        let final = TrialUsers.scramFinal(nonce: nonce, challenge: challenge, isRight: isRight)
        guard let final else {
            town.ledger.violation("no challenge of SCRAM: \(challenge)")
            return 0
        }
        try await wire.say(Base64.encode(Array(final.utf8)), within: Self.patience)
        let (proven, _) = try await wire.reply(within: Self.patience)
        if proven != 334 { return proven }
        try await wire.say("", within: Self.patience)
        return try await wire.reply(within: Self.patience).0
    }
}
