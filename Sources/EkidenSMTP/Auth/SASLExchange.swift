// One exchange of one mechanism, the server's side, as a value: decoded responses of the client go
// in, steps come out. Called by `ServerSession`, which carries them in SMTP (RFC 4954) and hands
// questions on to its driver.

import EkidenCrypto
import EkidenMail

package struct SASLExchange: Sendable, Equatable {
    private enum State: Sendable, Equatable {
        /// Nothing was said yet.
        case fresh
        /// LOGIN: the name is asked for, then the password.
        case userName
        case password(user: String)
        case scramFinal(ScramServer)
        /// SCRAM: the server's own proof is sent, and only an empty response can follow.
        case scramDone
        /// A question is open, or the exchange is over.
        case waiting
        case waitingForKeys(ScramFirst)
        case waitingForProof(signature: [UInt8])
    }

    package let mechanism: SASLMechanism
    /// Who may come in, once that is known.
    private(set) var user = ""
    private let channel: ChannelFacts
    /// Offered to this client: who claims not to see it was lied to by somebody between.
    private let plusIsOffered: Bool
    private var state = State.fresh

    init(_ mechanism: SASLMechanism, _ channel: ChannelFacts, plusIsOffered: Bool) {
        self.mechanism = mechanism
        self.channel = channel
        self.plusIsOffered = plusIsOffered
    }

    /// Begins. All mechanisms but LOGIN let the client speak first; without an initial response
    /// it is asked to by an empty challenge (RFC 4954 §4).
    mutating func begin(_ initial: [UInt8]?) -> SASLStep {
        if let initial {
            if mechanism == .login { state = .userName }
            return respond(initial)
        }
        if mechanism == .login {
            state = .userName
            return .challenge(Array("Username:".utf8))
        }
        return .challenge([])
    }

    /// What the client answered to the last challenge.
    mutating func respond(_ response: [UInt8]) -> SASLStep {
        let present = state
        state = .waiting
        switch present {
        case .fresh:
            switch mechanism {
            case .plain: return plain(response)
            case .external: return external(response)
            case .scramSHA256, .scramSHA256Plus: return scram(response)
            case .login: return .malformed("LOGIN asks first")
            }
        case .userName:
            // Some clients end both words in NUL, as the draft has its prompts.
            guard let user = LoginName.prepare(Self.withoutFinalNUL(response)) else {
                return .malformed("that is no user name")
            }
            state = .password(user: user)
            return .challenge(Array("Password:".utf8))
        case .password(let user):
            return ask(user: user, password: Self.withoutFinalNUL(response))
        case .scramFinal(let server):
            switch server.finish(response) {
            case .malformed(let text): return .malformed(text)
            case .proof(let isValid, let signature):
                state = .waitingForProof(signature: signature)
                return .ask(.proof(user: server.first.user, isValid: isValid))
            }
        case .scramDone:
            return response.isEmpty ? .done : .malformed("nothing was left to say")
        case .waiting, .waitingForKeys, .waitingForProof:
            preconditionFailure("a response came while a question was open")
        }
    }

    /// The answer to `.keys`.
    /// - Parameter nonce: printable ASCII without comma, never used before.
    mutating func keys(_ keys: ScramKeys, nonce: String) -> SASLStep {
        guard case .waitingForKeys(let first) = state else {
            preconditionFailure("no keys were asked for")
        }
        let server = ScramServer(first: first, keys: keys, nonce: nonce)
        state = .scramFinal(server)
        return .challenge(Array(server.challenge.utf8))
    }

    /// The user may come in: the server's last word, if the mechanism has one.
    mutating func accepted(as name: String) -> SASLStep {
        user = name
        if case .waitingForProof(let signature) = state {
            state = .scramDone
            // RFC 5802 §7: server-final-message.
            return .challenge(Array(("v=" + Base64.encode(signature)).utf8))
        }
        return .done
    }

    // MARK: Mechanisms

    /// RFC 4616 §2: [authzid] NUL authcid NUL passwd.
    private func plain(_ message: [UInt8]) -> SASLStep {
        let parts = message.split(separator: 0, omittingEmptySubsequences: false)
        guard parts.count == 3 else { return .malformed("PLAIN has three parts") }
        guard let user = LoginName.prepare(parts[1]) else {
            return .malformed("that is no user name")
        }
        if !parts[0].isEmpty, !Self.isSame(LoginName.prepare(parts[0]), user) {
            return .refused("nobody may act for somebody else here")
        }
        return ask(user: user, password: parts[2])
    }

    private func ask(user: String, password: some Collection<UInt8>) -> SASLStep {
        // RFC 4616 §2: at least one character. What a client sends whose password was not set.
        if password.isEmpty { return .malformed("the password is empty") }
        guard let prepared = PreparedPassword.prepare(password) else {
            return .malformed("the password is too long, no UTF-8, or has control characters")
        }
        return .ask(.password(user: user, password: prepared))
    }

    /// RFC 4422 appendix A: the response is the identity to act as, or empty.
    private func external(_ response: [UInt8]) -> SASLStep {
        guard let user = channel.certificateLogin else {
            return .refused("no certificate says who you are")
        }
        if !response.isEmpty, !Self.isSame(LoginName.prepare(response), user) {
            return .refused("the certificate is another's")
        }
        return .ask(.certificate(user: user))
    }

    private mutating func scram(_ response: [UInt8]) -> SASLStep {
        do throws(ScramProblem) {
            let first = try ScramFirst(
                response,
                bindings: mechanism == .scramSHA256Plus ? channel.bindings : nil,
                plusIsOffered: plusIsOffered
            )
            state = .waitingForKeys(first)
            return .ask(.keys(user: first.user))
        } catch {
            switch error {
            case .malformed(let text): return .malformed(text)
            case .refused(let text): return .refused(text)
            }
        }
    }

    private static func withoutFinalNUL(_ bytes: [UInt8]) -> ArraySlice<UInt8> {
        bytes.last == 0 ? bytes.dropLast() : bytes[...]
    }

    private static func isSame(_ a: String?, _ b: String) -> Bool {
        a?.asciiLowercased == b.asciiLowercased
    }
}
