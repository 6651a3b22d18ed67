// Logging in at a next hop: the client's side of the mechanisms, as a value. A challenge goes in, a
// step comes out; it knows neither files nor clocks, and its secret shows in no text of it.
// RFC 4954 §4, RFC 4616 (PLAIN), RFC 5802 and 7677 (SCRAM), RFC 7628 (OAUTHBEARER); LOGIN is
// draft-murchison-sasl-login, XOAUTH2 as Google and Microsoft have it.

import EkidenCrypto
import EkidenMail

/// By its registered name; in the order in which they are preferred.
package enum ClientMechanism: String, Sendable, CaseIterable {
    case scramSHA256Plus = "SCRAM-SHA-256-PLUS"
    case scramSHA256 = "SCRAM-SHA-256"
    case plain = "PLAIN"
    case login = "LOGIN"
    case oauthBearer = "OAUTHBEARER"
    case xoauth2 = "XOAUTH2"

    package var takesToken: Bool { self == .oauthBearer || self == .xoauth2 }
}

/// Who we are at a next hop.
package struct ClientLogin: Sendable, Equatable {
    package enum Secret: Sendable, Equatable {
        case password([UInt8])
        /// An access token of OAuth 2.
        case token(String)

        var isToken: Bool { if case .token = self { true } else { false } }
    }

    /// Of the login, for the log: not the user's.
    package var name: String
    package var user: String
    package var secret: Secret
    /// Those that may be used.
    package var mechanisms: [ClientMechanism]
    /// Ours, for SCRAM: new for each connection, hard to guess, without commas.
    package var nonce: String
    /// The secret is one from before, so there may be another by now.
    package var mayBeOld: Bool

    package init(
        name: String,
        user: String,
        secret: Secret,
        mechanisms: [ClientMechanism] = ClientMechanism.allCases,
        nonce: String,
        mayBeOld: Bool = false
    ) {
        self.mayBeOld = mayBeOld
        self.name = name
        self.user = user
        self.secret = secret
        self.mechanisms = mechanisms
        self.nonce = nonce
    }
}

extension ClientLogin: CustomStringConvertible, CustomReflectable {
    package var description: String { "login \(name) as \(user)" }
    package var customMirror: Mirror { Mirror(self, children: ["name": name, "user": user]) }
}

/// What SCRAM has to hash slowly: away from the loop.
package struct ScramQuestion: Sendable, Equatable {
    package let salt: [UInt8]
    package let iterations: Int

    /// What a host may ask of us: beyond it one login would keep a processor busy for seconds.
    static let iterationsRange = 1...1_000_000
}

struct SASLClient: Sendable, Equatable {
    enum Step: Equatable {
        /// The response to be sent, not yet in base64.
        case respond([UInt8])
        /// The slow part; to be answered by `derived`.
        case derive(ScramQuestion)
        /// The host says what no such host should; the exchange is to be cancelled (`*`).
        case cancel(String)
    }

    private enum State: Equatable {
        case beginning
        case awaitingPassword
        case awaitingChallenge
        case deriving(challenge: String, nonce: String)
        /// The signature that the host will prove itself with.
        case awaitingSignature([UInt8])
        /// Nothing more is to come, but a token's refusal is said in a challenge.
        case said
    }

    let mechanism: ClientMechanism
    private let login: ClientLogin
    private let host: PeerHost
    /// RFC 9266; empty without one.
    private let binding: [UInt8]
    private var state = State.beginning
    /// The host has shown that it knows the password, too, or need not.
    private(set) var hasProof: Bool

    /// The best mechanism that both sides know. nil: there is none.
    init?(_ login: ClientLogin, offered: [String], security: TLSFacts, host: PeerHost) {
        let exporter = security.exporterBinding.array
        let best = ClientMechanism.allCases.first { mechanism in
            mechanism.takesToken == login.secret.isToken && login.mechanisms.contains(mechanism)
                && offered.contains(mechanism.rawValue)
                && (mechanism != .scramSHA256Plus || !exporter.isEmpty)
        }
        guard let best else { return nil }
        mechanism = best
        self.login = login
        self.host = host
        binding = best == .scramSHA256Plus ? exporter : []
        hasProof = best != .scramSHA256 && best != .scramSHA256Plus
    }

    /// The initial response (RFC 4954 §4); nil where the host speaks first.
    mutating func initialResponse() -> [UInt8]? {
        switch (mechanism, login.secret) {
        case (.plain, .password(let password)):
            state = .said
            return [0] + Array(login.user.utf8) + [0] + password
        case (.login, _):
            return nil
        case (.scramSHA256, _), (.scramSHA256Plus, _):
            state = .awaitingChallenge
            return Array((gs2 + firstBare).utf8)
        case (.xoauth2, .token(let token)):
            state = .said
            return Array("user=\(login.user)\u{1}auth=Bearer \(token)\u{1}\u{1}".utf8)
        case (.oauthBearer, .token(let token)):
            state = .said
            let port = host.endpoint.map { "port=\($0.port)\u{1}" } ?? ""
            return Array(
                ("n,a=\(Self.saslName(login.user)),\u{1}host=\(host.name)\u{1}\(port)"
                    + "auth=Bearer \(token)\u{1}\u{1}").utf8
            )
        case (.plain, .token), (.xoauth2, .password), (.oauthBearer, .password):
            preconditionFailure("the mechanism was chosen for the secret")
        }
    }

    /// The host's 334.
    mutating func challenged(_ text: String) -> Step {
        let challenge = Base64.decode(text)
        switch state {
        case .beginning:
            // LOGIN: whatever the question says, the first is for the name.
            state = .awaitingPassword
            return .respond(Array(login.user.utf8))
        case .awaitingPassword:
            guard case .password(let password) = login.secret else { return .respond([]) }
            state = .said
            return .respond(password)
        case .awaitingChallenge:
            guard let challenge, let words = String(validating: challenge, as: UTF8.self),
                let question = question(words)
            else { return .cancel("its SCRAM challenge can't be understood") }
            return .derive(question)
        case .awaitingSignature(let signature):
            guard let challenge, let words = String(validating: challenge, as: UTF8.self) else {
                return .cancel("its SCRAM signature can't be understood")
            }
            // RFC 5802 §7: v= for a proof, e= for an error.
            guard words.hasPrefix("v="),
                let shown = Base64.decode(
                    String(words.dropFirst(2).prefix { $0 != "," })
                ), isEqualInConstantTime(shown, signature)
            else { return .cancel("it does not know the password itself") }
            hasProof = true
            state = .said
            return .respond([])
        case .said:
            // A refused token comes as a challenge (RFC 7628 §3.2.3), and is answered.
            if mechanism == .oauthBearer { return .respond([1]) }
            if mechanism == .xoauth2 { return .respond([]) }
            return .cancel("it asks for more than the mechanism has")
        case .deriving:
            preconditionFailure("a challenge came while nobody listened")
        }
    }

    // MARK: SCRAM

    private var gs2: String {
        mechanism == .scramSHA256Plus ? "p=tls-exporter,," : "n,,"
    }

    private var firstBare: String { "n=\(Self.saslName(login.user)),r=\(login.nonce)" }

    private mutating func question(_ challenge: String) -> ScramQuestion? {
        let parts = challenge.split(separator: ",", omittingEmptySubsequences: false)
        // RFC 5802 §5.1: m= in front is an extension that must be understood.
        guard parts.count >= 3, parts[0].hasPrefix("r=" + login.nonce),
            parts[0].utf8.count > login.nonce.utf8.count + 2,
            parts[1].hasPrefix("s="), parts[2].hasPrefix("i="),
            let salt = Base64.decode(String(parts[1].dropFirst(2))), !salt.isEmpty,
            let iterations = Int(parts[2].dropFirst(2)),
            ScramQuestion.iterationsRange.contains(iterations)
        else { return nil }
        state = .deriving(challenge: challenge, nonce: String(parts[0].dropFirst(2)))
        return ScramQuestion(salt: salt, iterations: iterations)
    }

    /// The answer to `.derive`: SaltedPassword (RFC 5802 §3).
    mutating func derived(_ salted: [UInt8]) -> Step {
        guard case .deriving(let challenge, let nonce) = state else {
            preconditionFailure("nothing was to be derived")
        }
        let withoutProof = "c=" + Base64.encode(Array(gs2.utf8) + binding) + ",r=" + nonce
        let authMessage = Array("\(firstBare),\(challenge),\(withoutProof)".utf8)
        let clientKey = SHA256.hmac(key: salted, Array("Client Key".utf8))
        let signature = SHA256.hmac(key: SHA256.digest(clientKey), authMessage)
        let proof = zip(clientKey, signature).map { $0 ^ $1 }
        let serverKey = SHA256.hmac(key: salted, Array("Server Key".utf8))
        state = .awaitingSignature(SHA256.hmac(key: serverKey, authMessage))
        return .respond(Array((withoutProof + ",p=" + Base64.encode(proof)).utf8))
    }

    /// RFC 5802 §5.1: a comma is `=2C`, an equals sign `=3D`.
    private static func saslName(_ name: String) -> String {
        name.reduce(into: "") { $0 += $1 == "," ? "=2C" : $1 == "=" ? "=3D" : String($1) }
    }
}
