// The client's side of a session outside of transactions: greeting, EHLO or HELO, STARTTLS, AUTH,
// RSET, QUIT (RFC 5321 §3.1, §3.2, §3.8, RFC 3207, RFC 4954). The driver asks `next` what to do, does it, and reports
// each reply; when it is told `ready` it may run a `ClientTransaction` on the same connection.

import EkidenCrypto
import EkidenMail

package struct ClientSession: Sendable {
    package enum Action: Sendable, Equatable {
        /// Bytes were appended to the buffer: queue them and ask again.
        case send
        /// Read the next reply, within that step's patience; then `received`.
        case awaitReply(DeliveryStep)
        /// Shake hands, as the client of a TLS session; then `secured` or `securingFailed`.
        case secure
        /// Hash this with the login's password, away from the loop; then `derived`.
        case derive(ScramQuestion)
        /// Transactions may run.
        case ready
        /// Close the connection: of no use, and why.
        case failed(Failure)
        /// Close the connection: QUIT was said.
        case closed
    }

    private enum State {
        case awaitingGreeting
        case sayingHello(extended: Bool)
        case awaitingHello(extended: Bool)
        case sayingStartTLS
        case awaitingStartTLS
        case securing
        case sayingAuth(initial: [UInt8]?)
        /// A challenge, or the end. `pending`: an initial response too long for the command.
        case awaitingAuth(pending: [UInt8]?)
        case deriving(ScramQuestion)
        case responding([UInt8])
        case cancelling(String)
        case awaitingCancel(String)
        case ready
        case sayingReset
        case awaitingReset
        case sayingQuit
        case awaitingQuit
        case failed(Failure)
        case closed
    }

    private let helloName: String
    private let host: PeerHost
    private let tls: TLSPolicy
    private let login: ClientLogin?
    private let speaksLMTP: Bool
    private var exchange: SASLClient?
    private var state = State.awaitingGreeting
    /// The TLS session's, once its handshake has ended.
    package private(set) var security: TLSFacts?
    /// What the peer offers; nothing before EHLO and after HELO.
    package private(set) var extensions = Extensions()
    /// The peer gave any reply at all.
    package private(set) var hasHeardPeer = false

    /// - Parameters:
    ///   - helloName: our name, as EHLO says it.
    ///   - tls: whether STARTTLS is said, and what is done without it.
    ///   - login: who we are there; without TLS it is not said.
    ///   - speaksLMTP: LHLO instead of EHLO (RFC 2033 §4.1).
    package init(
        helloName: String,
        host: PeerHost,
        tls: TLSPolicy = TLSPolicy(.none),
        login: ClientLogin? = nil,
        speaksLMTP: Bool = false
    ) {
        self.speaksLMTP = speaksLMTP
        self.helloName = helloName
        self.host = host
        self.tls = tls
        self.login = login
    }

    package mutating func next(into output: inout BytesBuilder) -> Action {
        switch state {
        case .awaitingGreeting: return .awaitReply(.greeting)
        case .sayingHello(let extended):
            let hello = speaksLMTP ? "LHLO" : extended ? "EHLO" : "HELO"
            output.append(text: "\(hello) \(helloName)\r\n")
            state = .awaitingHello(extended: extended)
            return .send
        case .awaitingHello: return .awaitReply(.hello)
        case .sayingStartTLS:
            output.append("STARTTLS\r\n")
            state = .awaitingStartTLS
            return .send
        case .awaitingStartTLS: return .awaitReply(.startTLS)
        case .securing: return .secure
        case .sayingAuth(let initial):
            state = .awaitingAuth(pending: sayAuth(initial, into: &output))
            return .send
        case .awaitingAuth, .awaitingCancel: return .awaitReply(.login)
        case .deriving(let question): return .derive(question)
        case .responding(let response):
            output.append(text: Base64.encode(response) + "\r\n")
            state = .awaitingAuth(pending: nil)
            return .send
        case .cancelling(let why):
            // RFC 4954 §4
            output.append("*\r\n")
            state = .awaitingCancel(why)
            return .send
        case .ready: return .ready
        case .sayingReset:
            output.append("RSET\r\n")
            state = .awaitingReset
            return .send
        case .awaitingReset: return .awaitReply(.reset)
        case .sayingQuit:
            output.append("QUIT\r\n")
            state = .awaitingQuit
            return .send
        case .awaitingQuit: return .awaitReply(.quit)
        case .failed(let failure): return .failed(failure)
        case .closed: return .closed
        }
    }

    /// Ends what a transaction left open. Only when `ready`.
    package mutating func reset() { if case .ready = state { state = .sayingReset } }

    /// Says goodbye. Only when `ready`; otherwise there is nothing to be polite about.
    package mutating func quit() {
        if case .ready = state { state = .sayingQuit } else { state = .closed }
    }

    package mutating func received(_ reply: Reply) {
        hasHeardPeer = true
        switch state {
        case .awaitingGreeting:
            // RFC 5321 §3.1: 220, or 554 (and whatever else peers say) when mail is not taken.
            if reply.code == 220 {
                state = .sayingHello(extended: true)
            } else {
                refused(reply, .greeting, .greetingRefused)
            }
        case .awaitingHello(let extended):
            if reply.code / 100 == 2 {
                extensions = extended ? Extensions(reply) : Extensions()
                hasIntroduced()
            } else if extended, reply.isPermanent, !speaksLMTP {
                // RFC 5321 §3.2 names 500, 501, 502 and 550; 504 is said too. A peer that refuses
                // us as such says so again to HELO.
                state = .sayingHello(extended: false)
            } else {
                refused(reply, .hello, reply.isPermanent ? .peerRejected : .peerDeferred)
            }
        case .awaitingStartTLS:
            if reply.code == 220 {
                state = .securing
            } else if tls.level <= .may, !reply.isPositive, reply.code != 421 {
                // RFC 3207 §4: 454, not available for the moment; the session goes on as it is.
                isSetUp()
            } else {
                refused(reply, .startTLS, .tlsUnavailable)
            }
        case .awaitingAuth(let pending): answered(reply, pending)
        case .awaitingCancel(let why): failLogin(.loginFailed, why)
        case .awaitingReset:
            if reply.code / 100 == 2 {
                state = .ready
            } else {
                refused(reply, .reset, reply.isPermanent ? .peerRejected : .peerDeferred)
            }
        case .awaitingQuit: state = .closed
        case .sayingHello, .sayingStartTLS, .securing, .sayingAuth, .deriving, .responding,
            .cancelling, .ready, .sayingReset, .sayingQuit:
            fail(.protocolError, isPermanent: false, .hello, reply, EnhancedStatus(4, 5, 0))
        case .failed, .closed: break
        }
    }

    /// The peer has taken our EHLO or HELO.
    private mutating func hasIntroduced() {
        if security != nil || tls.level == .none {
            isSetUp()
        } else if extensions.startTLS {
            state = .sayingStartTLS
        } else if tls.level == .may {
            isSetUp()
        } else {
            failTLS(.tlsUnavailable, "the host offers no STARTTLS, and \(asked)", detail: 4)
        }
    }

    private var asked: String { "its TLS policy is \"\(tls.level.rawValue)\"" }

    /// The handshake has ended well.
    package mutating func secured(_ facts: TLSFacts) {
        guard case .securing = state else { preconditionFailure("nobody was to shake hands") }
        security = facts
        // RFC 3207 §4.2: what the peer offered in the clear counts no more.
        extensions = Extensions()
        if tls.accepts(facts) {
            state = .sayingHello(extended: true)
            return
        }
        var why = "it showed no certificate"
        if let peer = facts.peer {
            why =
                tls.level == .fingerprint
                ? "its certificate has the fingerprint \(peer.fingerprint)" : peer.problem
        }
        failTLS(.tlsUnverified, "\(asked): \(why)", detail: 5)
    }

    /// There is no TLS with this peer, which is the connection's end.
    package mutating func securingFailed(_ text: String) {
        guard case .securing = state else { preconditionFailure("nobody was to shake hands") }
        failTLS(.tlsFailed, text, detail: 5)
    }

    /// - Parameter detail: RFC 3463 §3.8: X.7.4, security features not supported; X.7.5,
    ///   cryptographic failure.
    private mutating func failTLS(_ reason: Reason, _ text: String, detail: UInt16) {
        let status = EnhancedStatus(4, 7, detail)
        fail(reason, isPermanent: false, .startTLS, nil, status, text)
    }

    /// The connection broke or a reply took too long (`connectionLost`, `replyTimedOut`), or what
    /// came was no SMTP (`protocolError`).
    package mutating func connectionFailed(_ reason: Reason, text: String = "") {
        let status = EnhancedStatus(
            4,
            reason == .protocolError ? 5 : 4,
            reason == .protocolError ? 0 : 2
        )
        switch state {
        case .failed, .closed: break
        case .sayingQuit, .awaitingQuit: state = .closed
        case .awaitingGreeting: fail(reason, isPermanent: false, .greeting, nil, status, text)
        case .sayingHello where security != nil, .awaitingHello where security != nil,
            .sayingStartTLS, .awaitingStartTLS, .securing:
            // Also behind the handshake: that the host does not like it, it says only then (RFC 8446
            // §4.4.2.4, a certificate that is missing).
            let words = text.isEmpty ? reason.sentence : text
            failTLS(.tlsFailed, "from STARTTLS on: " + words, detail: 5)
        case .sayingHello, .awaitingHello:
            fail(reason, isPermanent: false, .hello, nil, status, text)
        case .sayingAuth, .awaitingAuth, .deriving, .responding, .cancelling, .awaitingCancel:
            fail(reason, isPermanent: false, .login, nil, status, text)
        case .ready, .sayingReset, .awaitingReset:
            fail(reason, isPermanent: false, .reset, nil, status, text)
        }
    }

    private mutating func refused(_ reply: Reply, _ step: DeliveryStep, _ reason: Reason) {
        if reply.isPositive {
            fail(.protocolError, isPermanent: false, step, reply, EnhancedStatus(4, 5, 0))
        } else {
            fail(reason, isPermanent: reply.isPermanent, step, reply, reply.status(at: step))
        }
    }

    private mutating func fail(
        _ reason: Reason,
        isPermanent: Bool,
        _ step: DeliveryStep,
        _ reply: Reply?,
        _ status: EnhancedStatus,
        _ text: String = "",
        scope: Failure.Scope = .host
    ) {
        state = .failed(
            Failure(
                scope: scope,
                isPermanent: isPermanent,
                reason: reason,
                step: step,
                host: host,
                reply: reply,
                text: text,
                status: status
            )
        )
    }
}

// MARK: Logging in

extension ClientSession {
    /// RFC 4954 §4 leaves a command line 512 octets.
    private static let authLineMax = 510

    /// The session is as secure as it gets; what is missing is the login.
    private mutating func isSetUp() {
        guard let login else {
            state = .ready
            return
        }
        guard let security else {
            let text = "there is no TLS, and a password must not cross the network in the clear"
            return failLogin(.loginUnavailable, text)
        }
        let begun = SASLClient(
            login,
            offered: extensions.auth,
            security: security,
            host: host
        )
        guard var begun else {
            let offered =
                extensions.auth.isEmpty ? "no AUTH" : extensions.auth.joined(separator: " ")
            return failLogin(
                .loginUnavailable,
                "the host offers \(offered), and login \(login.name) has a "
                    + (login.secret.isToken ? "token" : "password") + " for other mechanisms"
            )
        }
        state = .sayingAuth(initial: begun.initialResponse())
        exchange = begun
    }

    /// What of the initial response has no room in the command.
    private func sayAuth(_ initial: [UInt8]?, into output: inout BytesBuilder) -> [UInt8]? {
        let command = "AUTH " + (exchange?.mechanism.rawValue ?? "")
        guard let initial else {
            output.append(text: command + "\r\n")
            return nil
        }
        // RFC 4954 §4: an empty one is an equals sign.
        let text = initial.isEmpty ? "=" : Base64.encode(initial)
        if command.utf8.count + 1 + text.utf8.count > Self.authLineMax {
            output.append(text: command + "\r\n")
            return initial
        }
        output.append(text: "\(command) \(text)\r\n")
        return nil
    }

    private mutating func answered(_ reply: Reply, _ pending: [UInt8]?) {
        guard var exchange else { preconditionFailure("an answer to no AUTH") }
        switch reply.code {
        case 334:
            if let pending {
                state = .responding(pending)
                return
            }
            follow(exchange.challenged(reply.lines.first ?? ""))
            self.exchange = exchange
        case 235 where exchange.hasProof:
            self.exchange = nil
            state = .ready
        case 235:
            failLogin(.loginFailed, "the host let us in without proof that it knows the password")
        default:
            failLogin(.loginFailed, "", reply)
        }
    }

    /// The answer to `.derive`: SaltedPassword of RFC 5802 §3.
    package mutating func derived(_ salted: [UInt8]) {
        guard case .deriving = state, var exchange else {
            preconditionFailure("nothing was to be derived")
        }
        follow(exchange.derived(salted))
        self.exchange = exchange
    }

    private mutating func follow(_ step: SASLClient.Step) {
        switch step {
        case .respond(let bytes): state = .responding(bytes)
        case .derive(let question): state = .deriving(question)
        case .cancel(let why): state = .cancelling("\(host.name) can't be logged in to: \(why)")
        }
    }

    /// What is wrong with a login is wrong with all mail for the site, and nobody's message's fault.
    private mutating func failLogin(_ reason: Reason, _ text: String, _ reply: Reply? = nil) {
        fail(
            reason,
            isPermanent: false,
            .login,
            reply,
            reply?.status(at: .login) ?? EnhancedStatus(4, 7, 0),
            text,
            scope: .site
        )
    }
}
