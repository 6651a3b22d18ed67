import EkidenCrypto
import EkidenMail
import EkidenSMTP

/// A server in miniature, as the ingress stage drives the values: bytes in, bytes out, no I/O.
/// Its policy refuses senders at `bad.example` and recipients at `denied.example`. Its users are
/// `anna` with the password `sesame`, and `tim`, whose password can't be looked up.
package struct ServerDriver {
    package var session: ServerSession
    package var newlines = BodyReceiver.Newlines.strict
    package private(set) var output: [UInt8] = []
    package private(set) var isClosed = false
    package private(set) var messages: [[UInt8]] = []
    package private(set) var envelopes: [ServerTransaction] = []
    package private(set) var rules: [String] = []

    private var reader = CommandLineReader()
    private var receiver: BodyReceiver?
    private var body: [UInt8] = []
    /// Octets of a chunk that are still to come, and whether they are dropped.
    private var chunk: (left: Int, isDropped: Bool)?
    private var chunked: BodyReceiver?
    private var unread: [UInt8] = []

    package static let tls = TLSFacts(version: "TLSv1.3", cipher: "TLS_AES_128_GCM_SHA256")

    /// Of `anna`.
    package static let keys = ScramKeys(
        password: Array("sesame".utf8),
        salt: Array(0..<16),
        iterations: 4096
    )

    package init(
        _ settings: ServerSettings,
        security: TLSFacts? = nil,
        certificateLogin: String? = nil,
        mayLogInWithoutTLS: Bool = false
    ) {
        session = ServerSession(settings, mayLogInWithoutTLS: mayLogInWithoutTLS)
        if let security { session.secured(security) }
        session.certificateLogin = certificateLogin
        send(session.greeting)
    }

    package mutating func takeOutput() -> [UInt8] {
        defer { output = [] }
        return output
    }

    package mutating func receive(_ input: [UInt8]) {
        unread += input
        while !isClosed, !unread.isEmpty {
            if chunk != nil {
                receiveChunk()
            } else if receiver != nil {
                receiveBody()
            } else if !receiveCommand() {
                break
            }
        }
    }

    private mutating func receiveCommand() -> Bool {
        let found = unread.withUnsafeBytes {
            reader.next(in: $0, lineBytesMax: session.lineBytesMax)
        }
        switch found {
        case .nothing(let consume):
            unread.removeFirst(consume)
            return false
        case .refused(let refusal, let consume):
            unread.removeFirst(consume)
            perform(session.refused(refusal))
        case .line(let length, let consume):
            let more = unread.count > consume
            let effect = unread.withUnsafeBytes {
                session.command(.init(rebasing: $0[..<length]), hasMoreInput: more)
            }
            unread.removeFirst(consume)
            perform(effect)
        }
        return true
    }

    private mutating func receiveBody() {
        guard var current = receiver else { return }
        let (taken, received) = current.take(unread)
        unread.removeFirst(taken)
        body += received
        receiver = current
        guard current.isFinished else { return }
        receiver = nil
        if let problem = current.problem {
            perform(session.messageRefused(problem.reply, rule: problem.rule.rawValue))
        } else {
            messages.append(body)
            if let open = session.transaction { envelopes.append(open) }
            perform(session.messageAccepted(.queued(as: QueueID(number: 1))))
        }
        body = []
    }

    private mutating func receiveChunk() {
        guard let (left, isDropped) = chunk else { return }
        let piece = Array(unread.prefix(left))
        unread.removeFirst(piece.count)
        if !isDropped, !piece.isEmpty, var current = chunked {
            body += current.take(piece).run
            chunked = current
        }
        chunk = (left - piece.count, isDropped)
        if left > piece.count { return }
        chunk = nil
        if isDropped { return perform(session.chunkDropped()) }
        guard case .chunk(let open, let announced) = session.phase, var current = chunked
        else { return }
        if announced.isLast { body += current.finish() }
        if let problem = current.problem {
            chunked = nil
            perform(session.chunkRefused(problem.reply, rule: problem.rule.rawValue))
        } else if announced.isLast {
            messages.append(body)
            envelopes.append(open)
            perform(session.messageAccepted(.queued(as: QueueID(number: 1))))
        } else {
            perform(session.chunkTaken())
        }
    }

    private mutating func perform(_ effect: ServerEffect) {
        if !session.isReceivingChunks { (chunked, body) = (nil, []) }
        switch effect {
        case .receiveChunk(let announced):
            chunked =
                chunked
                ?? BodyReceiver(
                    framing: .counted,
                    newlines: newlines,
                    sizeLimitBytes: session.settings.messageBytes
                )
            chunk = (announced.octets, false)
            if announced.octets == 0 { receiveChunk() }
        case .dropChunk(let octets):
            chunk = (octets, true)
            if octets == 0 { receiveChunk() }
        case .reply(let reply): send(reply)
        case .reject(let reply, let rule):
            rules.append(rule)
            send(reply)
        case .close(let reply, let rule):
            if let rule { rules.append(rule) }
            send(reply)
            isClosed = true
        case .askHello: perform(session.helloAccepted())
        case .askLogin(let question, _): perform(answer(question))
        case .askSender(let mail):
            if case .address(let address) = mail.sender, address.domain.folded == "bad.example" {
                let reply = Reply(550, EnhancedStatus(5, 7, 1), "sender refused")
                perform(session.senderRefused(reply, rule: "sender-policy"))
            } else {
                perform(session.senderAccepted())
            }
        case .askRecipient(.postmaster):
            let postmaster = Address(localPart: "root", domain: Domain("relay.example"))
            perform(session.recipientAccepted(postmaster))
        case .askRecipient(.address(let address)):
            if address.domain.folded == "denied.example" {
                let reply = Reply(550, EnhancedStatus(5, 7, 1), "relaying denied")
                perform(session.recipientRefused(reply, rule: "relay-denied"))
            } else {
                perform(session.recipientAccepted(address))
            }
        case .becomeClient: perform(session.overridden())
        case .startTLS(let reply):
            send(reply)
            session.secured(Self.tls)
        case .startData(let reply):
            receiver = BodyReceiver(
                newlines: newlines,
                sizeLimitBytes: session.settings.messageBytes
            )
            send(reply)
        }
    }

    private mutating func answer(_ question: LoginQuestion) -> ServerEffect {
        switch question {
        case .keys: session.loginKeys(Self.keys, nonce: "SERVERNONCE")
        case .password("tim", _): session.loginUnavailable("try again", rule: "login-unavailable")
        case .password("anna", Array("sesame".utf8)), .proof("anna", isValid: true),
            .certificate("anna"):
            session.loginAccepted("anna")
        case .password, .proof, .certificate: session.loginRefused(rule: "login-failed")
        }
    }

    private mutating func send(_ reply: Reply) { output += reply.wire.array }
}
