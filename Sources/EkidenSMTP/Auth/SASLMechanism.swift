// The ways to log in that we speak (RFC 4422), what a session offers of them, and what a mechanism
// asks of those who know the users. Mechanisms are values: bytes go in, a step comes out
// (SASLExchange.swift); they know neither files nor clocks.

import EkidenCrypto
import EkidenMail

/// By its name in the registry; in the order in which EHLO offers them, the strongest first.
package enum SASLMechanism: String, Sendable, CaseIterable {
    /// RFC 5802, 7677, bound to the TLS channel it runs in.
    case scramSHA256Plus = "SCRAM-SHA-256-PLUS"
    case scramSHA256 = "SCRAM-SHA-256"
    /// RFC 4422 appendix A: whoever the client's certificate says.
    case external = "EXTERNAL"
    /// RFC 4616.
    case plain = "PLAIN"
    /// draft-murchison-sasl-login: PLAIN in two questions, for old clients.
    case login = "LOGIN"

    /// What the password itself crosses the wire with.
    package var sendsPassword: Bool { self == .plain || self == .login }

    /// - Parameter word: in any case (RFC 4422 §3.1 has upper case; clients have both).
    init?(_ word: some StringProtocol) {
        let upper = word.utf8.map(GrammarScanner.upper)
        self.init(rawValue: String(decoding: upper, as: UTF8.self))
    }
}

/// Bytes that only the two ends of one TLS channel have (RFC 5056).
package struct ChannelBinding: Sendable, Equatable {
    /// The registered name: `tls-exporter` (RFC 9266), `tls-server-end-point` (RFC 5929 §4).
    package let type: String
    package let bytes: [UInt8]

    package init(type: String, bytes: [UInt8]) {
        self.type = type
        self.bytes = bytes
    }
}

/// What logging in depends on besides the mechanism's own words.
package struct ChannelFacts: Sendable, Equatable {
    /// Nobody between can read along.
    package var isProtected: Bool
    package var bindings: [ChannelBinding]
    /// Who the client is by its verified certificate, in the words of policy.
    package var certificateLogin: String?

    package init(
        isProtected: Bool = false,
        bindings: [ChannelBinding] = [],
        certificateLogin: String? = nil
    ) {
        self.isProtected = isProtected
        self.bindings = bindings
        self.certificateLogin = certificateLogin
    }
}

/// What a mechanism asks of whoever knows the users.
package enum LoginQuestion: Sendable, Equatable {
    /// The keys of that user; made-up ones where there is none. To be answered by `loginKeys`.
    case keys(user: String)
    /// Does the password fit? Slow to find out.
    case password(user: String, password: [UInt8])
    /// The mechanism has looked at a proof itself; may this user come in?
    case proof(user: String, isValid: Bool)
    /// The certificate says so; may this user come in?
    case certificate(user: String)

    package var user: String {
        switch self {
        case .keys(let user), .password(let user, _), .proof(let user, _), .certificate(let user):
            user
        }
    }
}

/// What follows a client's words in a mechanism.
enum SASLStep: Equatable {
    /// Sent in base64 behind 334.
    case challenge([UInt8])
    case ask(LoginQuestion)
    /// The mechanism is through.
    case done
    /// The words are not the mechanism's.
    case malformed(String)
    /// The words are understood and can't be accepted.
    case refused(String)
}

/// The name of a user as it is looked up.
package enum LoginName {
    /// Bytes of a name; more than any mail address has.
    package static let byteCountMax = 320

    /// nil: not a name. Prepared like a password, of one word, and nothing that would part fields
    /// of the users file.
    package static func prepare(_ bytes: some Collection<UInt8>) -> String? {
        guard let prepared = PreparedPassword.prepare(bytes), prepared.count <= byteCountMax,
            !prepared.contains(0x20), !prepared.contains(UInt8(ascii: ":")),
            prepared.first != UInt8(ascii: "#")
        else { return nil }
        return String(decoding: prepared, as: UTF8.self)
    }
}
