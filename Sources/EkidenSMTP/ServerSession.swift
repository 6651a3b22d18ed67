// The server's side of one SMTP session as a value (RFC 5321 §3, §4): a command line goes in, an
// effect comes out. The driver reads lines with `CommandLineReader`, carries out the effects, asks
// its policy where the session says so and reports the answer; between `startData` and
// `messageAccepted` or `messageRefused` it feeds a `BodyReceiver` instead. What happens within a
// transaction is in ServerSession+Transaction.swift, messages in chunks in ServerSession+Chunks.swift.
// Order and argument rules are the table's (Verbs.swift), syntax is the grammar's.

import EkidenMail

package struct ServerSession: Sendable {
    package enum Phase: Sendable, Equatable {
        /// Before EHLO or HELO → `ready`.
        case connected
        /// → `askingSender`, `authenticating`, `askingLogin`, `droppingChunk`
        case ready
        /// A challenge was sent → `askingLogin` or `ready`
        case authenticating(SASLExchange)
        /// → `authenticating` or `ready`
        case askingLogin(SASLExchange)
        /// → `transaction` or `ready`
        case askingSender(MailParameters)
        /// → `askingRecipient`, `data`, `chunk`, or `ready` by RSET, EHLO, HELO
        case transaction(ServerTransaction)
        /// → `transaction`
        case askingRecipient(ServerTransaction, RecipientDemands)
        /// → `ready`
        case data(ServerTransaction)
        /// The driver reads this chunk → `chunks`, `failedChunks`, `ready`
        case chunk(ServerTransaction, Chunk)
        /// Between two chunks → `chunk`, or `ready` by RSET, EHLO, HELO
        case chunks(ServerTransaction)
        /// A chunk was refused → `ready` by RSET, EHLO, HELO alone
        case failedChunks(ServerTransaction)
        /// The driver drops a chunk that is refused already.
        indirect case droppingChunk(ChunkRefusal, next: Phase)
        /// A last reply was given.
        case closed
    }

    package let settings: ServerSettings
    /// This client may speak for others (XCLIENT).
    package var mayOverride = false
    package internal(set) var phase = Phase.connected
    /// The argument of the last EHLO or HELO; empty before it.
    package private(set) var helo = ""
    package private(set) var isExtended = false
    /// The TLS session, once there is one.
    package private(set) var security: TLSFacts?
    /// Who the client is by its certificate, in the words of policy; set after `secured`.
    package var certificateLogin: String?
    /// The client is another than whoever holds the connection (XCLIENT).
    package private(set) var isOverridden = false
    /// The client's network is trusted so far that passwords may cross it in clear.
    package var mayLogInWithoutTLS: Bool
    /// Some user has the keys for SCRAM; set before the greeting.
    package var offersSCRAM = true
    /// Name of the user who logged in.
    package internal(set) var login: String?
    /// Whose mail this is: of who logged in, else of whom the client's certificate names.
    package var user: String? { login ?? certificateLogin }
    /// Refusals since the session began or the last message was accepted.
    package internal(set) var errors = 0
    /// All of the session, forgiven or not: grows with each refusal that counts as an error.
    package private(set) var errorsEver = 0
    var commands = 0

    package init(_ settings: ServerSettings, mayLogInWithoutTLS: Bool = false) {
        self.settings = settings
        self.mayLogInWithoutTLS = mayLogInWithoutTLS
    }

    /// The longest line the client may send now, with its CRLF.
    package var lineBytesMax: Int {
        if case .authenticating = phase { Limits.authLineBytes } else { Limits.commandLineBytes }
    }

    package var greeting: Reply { .greeting(settings) }

    /// The open transaction: what the envelope is made of.
    package var transaction: ServerTransaction? {
        switch phase {
        case .transaction(let open), .askingRecipient(let open, _), .data(let open),
            .chunk(let open, _), .chunks(let open), .failedChunks(let open):
            open
        case .droppingChunk(_, .failedChunks(let open)): open
        case .connected, .ready, .authenticating, .askingLogin, .askingSender, .droppingChunk,
            .closed:
            nil
        }
    }

    // MARK: Commands

    /// One command line, or one response within AUTH, without its CRLF.
    /// - Parameter hasMoreInput: bytes behind the line are there already. A DATA that is refused
    ///   while a message follows it ends the session: the message must not be read as commands
    ///   (RFC 2920 §3.1: DATA is the last of its group).
    package mutating func command(
        _ line: UnsafeRawBufferPointer,
        hasMoreInput: Bool = false
    ) -> ServerEffect {
        if case .authenticating = phase {
            // No base64 has a space in it.
            if let foreign = ForeignProtocol.find(atStartOf: line) { return close(on: foreign) }
            return response(line)
        }
        if let refusal = countCommand() { return refusal }
        // RFC 5321 §4.1.1: white space before the CRLF is tolerated.
        var end = line.count
        while end > 0, line[end - 1] == 0x20 || line[end - 1] == 0x09 { end -= 1 }
        let line = UnsafeRawBufferPointer(rebasing: line[..<end])
        let wordEnd = line.firstIndex { $0 == 0x20 || $0 == 0x09 } ?? end
        switch Verb.look(up: UnsafeRawBufferPointer(rebasing: line[..<wordEnd])) {
        case .verb(let verb):
            let effect = run(verb, GrammarScanner(argument(of: line, from: wordEnd)))
            if verb.name == .data, hasMoreInput, case .reject(let reply, _) = effect {
                return close(reply, .pipelining)
            }
            // What came in the clear behind STARTTLS must never be taken for something said within
            // TLS (RFC 3207 §4.2, CVE-2011-0411).
            if case .startTLS = effect, hasMoreInput {
                let text = "STARTTLS ends its group, and something followed it; closing"
                return close(Reply(503, EnhancedStatus(5, 5, 1), text), .pipelining)
            }
            return effect
        case .notOffered:
            return reject(502, 5, 5, 1, "command not offered", .notOffered)
        case .http: return close(on: .http)
        case .unknown:
            return reject(500, 5, 5, 2, "command not recognized", .unknownCommand)
        }
    }

    /// A line the reader refused.
    package mutating func refused(_ refusal: CommandLineReader.Refusal) -> ServerEffect {
        if case .foreign(let foreign) = refusal { return close(on: foreign) }
        if case .authenticating = phase { return refusedResponse(refusal) }
        if let refusal = countCommand() { return refusal }
        switch refusal {
        case .bareNewline:
            let text = "bare CR or LF in a command; lines must end in CRLF"
            return reject(500, 5, 5, 2, text, .bareNewline)
        case .tooLong:
            // RFC 5321 §4.5.3.1.10
            return reject(
                500,
                5,
                5,
                6,
                "a command line has at most \(Limits.commandLineBytes) bytes",
                .lineTooLong
            )
        case .endless:
            let reply = Reply(
                421,
                EnhancedStatus(4, 7, 0),
                "a command line has at most \(Limits.commandLineBytes) bytes; closing"
            )
            return close(reply, .lineTooLong)
        case .controlCharacter:
            return reject(500, 5, 5, 2, "control character in a command", .syntax)
        case .foreign(let foreign): return close(on: foreign)
        }
    }

    private func argument(
        of line: UnsafeRawBufferPointer,
        from start: Int
    ) -> UnsafeRawBufferPointer {
        var start = start
        while start < line.count, line[start] == 0x20 { start += 1 }
        return UnsafeRawBufferPointer(rebasing: line[start...])
    }

    private mutating func run(_ verb: Verb, _ argument: GrammarScanner) -> ServerEffect {
        if verb.name == .starttls && !settings.offersTLS || verb.name == .xclient && !mayOverride {
            return reject(502, 5, 5, 1, "command not offered", .notOffered)
        }
        if verb.name == .auth, settings.auth == nil { return authenticate(argument) }
        if settings.requiresTLS, security == nil {
            switch verb.name {
            // The octets of a BDAT are to be read first.
            case .ehlo, .helo, .starttls, .bdat, .noop, .quit: break
            default: return reject(.needsTLS, .needsTLS)
            }
        }
        guard verb.allowedIn.contains(orderPhase) else { return refuseOrder(of: verb.name) }
        switch verb.argument {
        case .none where !argument.isAtEnd:
            return reject(501, 5, 5, 4, "\(verb.word) takes no argument", .syntax)
        case .required where argument.isAtEnd:
            return reject(501, 5, 5, 4, "\(verb.word) needs an argument", .syntax)
        case .none, .optional, .required:
            break
        }
        switch verb.name {
        case .ehlo: return hello(argument.rest, isExtended: true)
        case .helo: return hello(argument.rest, isExtended: false)
        case .starttls: return startTLS()
        case .auth: return authenticate(argument)
        case .mail: return mail(argument)
        case .rcpt: return recipient(argument)
        case .data: return data()
        case .bdat: return chunk(argument)
        case .xclient: return override(argument)
        case .rset:
            if orderPhase != .connected { phase = .ready }
            return .reply(.resetDone)
        case .noop: return .reply(.noopDone)
        case .vrfy: return verify(argument)
        case .expn: return reject(.noExpansion, .notOffered)
        case .help:
            return .reply(
                .help(
                    settings,
                    isSecured: security != nil,
                    mayLogIn: user == nil && !offeredMechanisms.isEmpty,
                    takesOverride: mayOverride
                )
            )
        case .quit:
            phase = .closed
            let text = settings.hostName + " closing connection"
            return .close(Reply(221, EnhancedStatus(2, 0, 0), text), rule: nil)
        }
    }

    private var orderPhase: Verb.Phases {
        switch phase {
        case .connected: .connected
        case .ready: .ready
        case .transaction: .transaction
        case .chunks, .failedChunks: .chunks
        case .authenticating, .askingLogin, .askingSender, .askingRecipient, .data, .chunk,
            .droppingChunk, .closed:
            preconditionFailure("a command came while the session waited for its driver")
        }
    }

    /// RFC 5321 §4.1.4.
    mutating func refuseOrder(of verb: Verb.Name) -> ServerEffect {
        let text =
            switch (orderPhase, verb) {
            case (.connected, _): "say EHLO or HELO first"
            case (_, .starttls): "a transaction is open; end it or say RSET"
            // RFC 3030 §2: BDAT and DATA are not mixed.
            case (.chunks, _): "the message came in chunks; end it with BDAT LAST or say RSET"
            case (_, .mail): "a transaction is open already; end it or say RSET"
            case (_, .auth): "log in before a transaction, not within it"
            case (_, .data): "say MAIL and RCPT first"
            default: "say MAIL first"
            }
        return reject(503, 5, 5, 1, text, .commandOrder)
    }

    // MARK: EHLO, STARTTLS, VRFY

    private mutating func hello(
        _ name: UnsafeRawBufferPointer,
        isExtended: Bool
    ) -> ServerEffect {
        guard Grammar.isHelloArgument(name) else {
            return reject(501, 5, 5, 4, "give your host name or address literal", .syntax)
        }
        helo = String(decoding: name, as: UTF8.self)
        self.isExtended = isExtended
        // RFC 5321 §4.1.4: also ends an open transaction, as RSET does.
        phase = .ready
        return settings.asksHello ? .askHello : helloAccepted()
    }

    /// The answer to EHLO or HELO; after `askHello`, policy's yes.
    package mutating func helloAccepted() -> ServerEffect {
        .reply(
            isExtended
                ? .hello(
                    settings,
                    isSecured: security != nil,
                    mechanisms: offeredMechanisms,
                    takesOverride: mayOverride
                ) : Reply(250, nil, settings.hostName)
        )
    }

    /// Policy's no to EHLO or HELO: it is as if it had not been said.
    package mutating func helloRefused(_ reply: Reply, rule: String) -> ServerEffect {
        precondition(settings.asksHello, "no hello asked")
        isExtended = false
        phase = .connected
        return reject(reply, rule)
    }

    private mutating func startTLS() -> ServerEffect {
        if security != nil { return reject(503, 5, 5, 1, "TLS is active already", .commandOrder) }
        return .startTLS(.startTLS)
    }

    /// The handshake has ended well.
    package mutating func secured(_ facts: TLSFacts) {
        // RFC 3207 §4.2: what the client said before counts no more, its EHLO least of all.
        beginAnew()
        security = facts
    }

    /// A peer said for whom it speaks: the session is that client's, from the greeting on.
    /// - Parameter login: who logged in at the peer, which is believed like all it says.
    package mutating func overridden(login: String? = nil) -> ServerEffect {
        beginAnew()
        self.login = login
        // The certificate is the peer's own, and so is one it shows later.
        certificateLogin = nil
        isOverridden = true
        return .reply(greeting)
    }

    private mutating func beginAnew() {
        phase = .connected
        helo = ""
        isExtended = false
        login = nil
    }

    /// The word of the `with` clause (RFC 3848).
    package var inboundProtocol: InboundProtocol {
        isExtended ? .extended(isSecured: security != nil, isLoggedIn: login != nil) : .smtp
    }

    /// RFC 6531 §3.7.4.2: a name beyond ASCII comes with the parameter SMTPUTF8.
    private mutating func verify(_ argument: GrammarScanner) -> ServerEffect {
        let words = argument.rest.split(separator: 0x20)
        if argument.rest.allSatisfy({ $0 < 0x80 }) { return .reply(.cannotVerify) }
        guard isExtended, words.count > 1, let last = words.last,
            String(decoding: last, as: UTF8.self).asciiLowercased == "smtputf8"
        else { return refusePath(.nonASCII, subject: 5, detail: 4) }
        var at = 0
        while at < argument.rest.count {
            let bytes =
                argument.rest[at] < 0x80 ? 1 : GrammarScanner.characterBytes(argument.rest, at)
            if bytes == 0 { return refusePath(.notUTF8, subject: 5, detail: 4) }
            at += bytes
        }
        return .reply(.cannotVerify)
    }

    // MARK: Refusals

    private mutating func countCommand() -> ServerEffect? {
        commands += 1
        if commands <= settings.commands { return nil }
        let text = "\(settings.commands) commands without a message are enough; closing"
        return close(Reply(421, EnhancedStatus(4, 7, 0), text), .tooManyCommands)
    }

    mutating func refusePath(
        _ problem: PathProblem,
        subject: UInt16,
        detail: UInt16
    ) -> ServerEffect {
        // RFC 6531 §3.5
        if problem == .nonASCII { return reject(553, 5, 6, 7, problem.rawValue, .syntax) }
        return reject(501, 5, subject, detail, problem.rawValue, .syntax)
    }

    mutating func reject(
        _ code: UInt16,
        _ category: UInt8,
        _ subject: UInt16,
        _ detail: UInt16,
        _ text: String,
        _ rule: ServerRule
    ) -> ServerEffect {
        reject(Reply(code, EnhancedStatus(category, subject, detail), text), rule.rawValue)
    }

    mutating func reject(_ reply: Reply, _ rule: ServerRule) -> ServerEffect {
        reject(reply, rule.rawValue)
    }

    /// Counts the refusal. The last one the session allows is answered with 421 in its place
    /// (RFC 5321 §3.8), named by its own rule when policy already closes.
    mutating func reject(_ reply: Reply, _ rule: String) -> ServerEffect {
        errors += 1
        errorsEver += 1
        if reply.code == 421 {
            phase = .closed
            return .close(reply, rule: rule)
        }
        if errors < settings.errors { return .reject(reply, rule: rule) }
        let last = "\(reply.code) \(reply.lines[0])"
        let text = "\(settings.errors) errors are enough, closing; the last: \(last)"
        return close(Reply(421, EnhancedStatus(4, 7, 0), text), .tooManyErrors)
    }

    mutating func close(_ reply: Reply, _ rule: ServerRule) -> ServerEffect {
        phase = .closed
        return .close(reply, rule: rule.rawValue)
    }
}
