// AUTH in a server session (RFC 4954): who may be asked, how the exchange of a mechanism is carried
// in lines of base64, and how it ends. A part of `ServerSession`; the driver answers the questions
// (`LoginQuestion`) and reads response lines as it reads commands.

import EkidenCrypto
import EkidenMail

/// What a listener offers of AUTH.
package struct AuthSettings: Sendable, Equatable {
    package var mechanisms: [SASLMechanism]
    /// MAIL before AUTH is refused.
    package var isRequired: Bool

    package init(
        mechanisms: [SASLMechanism] = SASLMechanism.allCases,
        isRequired: Bool = false
    ) {
        self.mechanisms = mechanisms
        self.isRequired = isRequired
    }
}

extension ServerSession {
    /// The mechanisms this client may use now, the strongest first; EHLO names them.
    package var offeredMechanisms: [SASLMechanism] {
        // RFC 4954 §4: after a success there is no further AUTH.
        guard let auth = settings.auth, login == nil else { return [] }
        return SASLMechanism.allCases.filter { auth.mechanisms.contains($0) && isUsable($0) }
    }

    private var channel: ChannelFacts {
        guard let security else { return ChannelFacts() }
        let bindings = [
            ChannelBinding(type: "tls-exporter", bytes: security.exporterBinding.array),
            ChannelBinding(type: "tls-server-end-point", bytes: security.endPointBinding.array),
        ]
        return ChannelFacts(
            isProtected: true,
            bindings: bindings.filter { !$0.bytes.isEmpty },
            certificateLogin: certificateLogin
        )
    }

    private func isUsable(_ mechanism: SASLMechanism) -> Bool {
        if !offersSCRAM, mechanism == .scramSHA256 || mechanism == .scramSHA256Plus {
            return false
        }
        guard channel.isProtected else {
            // What hangs on TLS does not work without, however far the network is trusted.
            return mayLogInWithoutTLS && mechanism != .scramSHA256Plus && mechanism != .external
        }
        switch mechanism {
        case .scramSHA256Plus: return !channel.bindings.isEmpty
        case .external: return channel.certificateLogin != nil
        case .scramSHA256, .plain, .login: return true
        }
    }

    // MARK: AUTH and its responses

    mutating func authenticate(_ argument: GrammarScanner) -> ServerEffect {
        guard let auth = settings.auth else {
            return reject(502, 5, 5, 1, "command not offered", .notOffered)
        }
        if login != nil {
            // RFC 4954 §4
            return reject(503, 5, 5, 1, "you are logged in already", .commandOrder)
        }
        guard isExtended else { return reject(503, 5, 5, 1, "say EHLO first", .commandOrder) }
        var argument = argument
        let word = argument.takeUntilSpace()
        argument.skipSpaces()
        let initial = argument.isAtEnd ? nil : argument.takeUntilSpace()
        guard argument.isAtEnd else {
            return reject(501, 5, 5, 4, "write AUTH mechanism [initial-response]", .syntax)
        }
        let offered = offeredMechanisms
        guard let mechanism = SASLMechanism(word), auth.mechanisms.contains(mechanism) else {
            return refuseMechanism("not recognized", offered)
        }
        guard offered.contains(mechanism) else {
            if channel.isProtected || mayLogInWithoutTLS {
                return refuseMechanism("not possible here", offered)
            }
            // RFC 4954 §6
            let text = "encryption is needed to log in"
            let hint = settings.offersTLS ? "; say STARTTLS first" : ""
            return reject(538, 5, 7, 11, text + hint, .loginNeedsTLS)
        }
        var exchange = SASLExchange(
            mechanism,
            channel,
            plusIsOffered: offered.contains(.scramSHA256Plus)
        )
        // RFC 4954 §4: "=" is an initial response of no bytes.
        guard let initial, initial != "=" else {
            return follow(exchange.begin(initial.map { _ in [] }), exchange)
        }
        guard let bytes = Base64.decode(initial) else { return refuseBase64() }
        return follow(exchange.begin(bytes), exchange)
    }

    /// A line of the client's within the exchange.
    mutating func response(_ line: UnsafeRawBufferPointer) -> ServerEffect {
        guard case .authenticating(var exchange) = phase else {
            preconditionFailure("no response was asked for")
        }
        phase = .ready
        // RFC 4954 §4: a single asterisk cancels.
        if line.count == 1, line[0] == UInt8(ascii: "*") {
            return reject(501, 5, 0, 0, "login cancelled", .loginCancelled)
        }
        guard let bytes = Base64.decode(line) else { return refuseBase64() }
        return follow(exchange.respond(bytes), exchange)
    }

    /// A line within the exchange that the reader refused: it ends the exchange.
    mutating func refusedResponse(_ refusal: CommandLineReader.Refusal) -> ServerEffect {
        phase = .ready
        switch refusal {
        case .tooLong:
            // RFC 4954 §4 and §6: 12288 octets.
            return reject(
                500,
                5,
                5,
                6,
                "a response has at most \(Limits.authLineBytes) bytes",
                .lineTooLong
            )
        case .bareNewline:
            let text = "bare CR or LF in a response; lines must end in CRLF"
            return reject(500, 5, 5, 2, text, .bareNewline)
        case .controlCharacter: return refuseBase64()
        case .foreign(let foreign): return close(on: foreign)
        case .endless:
            let reply = Reply(
                421,
                EnhancedStatus(4, 7, 0),
                "a line has at most \(Limits.authLineBytes) bytes; closing"
            )
            return close(reply, .lineTooLong)
        }
    }

    /// Names those that would do: they are what somebody who sets up a client needs to know.
    private mutating func refuseMechanism(
        _ problem: String,
        _ offered: [SASLMechanism]
    ) -> ServerEffect {
        let names = offered.map(\.rawValue).joined(separator: " ")
        let text = "mechanism \(problem)" + (names.isEmpty ? "" : "; use \(names)")
        return reject(504, 5, 5, 4, text, .loginMechanism)
    }

    /// A login is needed before mail (RFC 4954 §6). Where AUTH is not offered yet, says how it is.
    mutating func refuseWithoutLogin() -> ServerEffect {
        let needsTLS = settings.offersTLS && security == nil && offeredMechanisms.isEmpty
        let text = needsTLS ? "log in first; AUTH is offered after STARTTLS" : "log in first"
        return reject(530, 5, 7, 0, text, .loginRequired)
    }

    private mutating func refuseBase64() -> ServerEffect {
        // RFC 4954 §4, §6
        reject(501, 5, 5, 2, "that is not base64", .syntax)
    }

    private mutating func follow(_ step: SASLStep, _ exchange: SASLExchange) -> ServerEffect {
        switch step {
        case .challenge(let bytes):
            phase = .authenticating(exchange)
            return .reply(Reply(334, nil, Base64.encode(bytes)))
        case .ask(let question):
            phase = .askingLogin(exchange)
            return .askLogin(question, exchange.mechanism)
        case .done:
            phase = .ready
            login = exchange.user
            // A log-in is work done: what came before is no sign of a lost client.
            errors = 0
            return .reply(.loggedIn)
        case .malformed(let text):
            phase = .ready
            return reject(501, 5, 5, 2, text, .syntax)
        case .refused(let text):
            phase = .ready
            return reject(535, 5, 7, 8, text, .loginRefused)
        }
    }

    // MARK: The driver's answers

    /// The keys that were asked for; made-up ones where there is no such user.
    /// - Parameter nonce: printable ASCII without comma, never used before and hard to guess.
    package mutating func loginKeys(_ keys: ScramKeys, nonce: String) -> ServerEffect {
        guard case .askingLogin(var exchange) = phase else { preconditionFailure("nobody asked") }
        return follow(exchange.keys(keys, nonce: nonce), exchange)
    }

    /// - Parameter name: the user's, as the users file writes it.
    package mutating func loginAccepted(_ name: String) -> ServerEffect {
        guard case .askingLogin(var exchange) = phase else { preconditionFailure("nobody asked") }
        return follow(exchange.accepted(as: name), exchange)
    }

    /// User and password don't fit; the reply doesn't say which of them (RFC 4954 §6).
    package mutating func loginRefused(rule: String) -> ServerEffect {
        guard case .askingLogin = phase else { preconditionFailure("nobody asked") }
        phase = .ready
        return reject(.loginFailed, rule)
    }

    /// It can't be found out now, or not for this client.
    package mutating func loginUnavailable(_ text: String, rule: String) -> ServerEffect {
        guard case .askingLogin = phase else { preconditionFailure("nobody asked") }
        phase = .ready
        return reject(Reply(454, EnhancedStatus(4, 7, 0), text), rule)
    }
}
