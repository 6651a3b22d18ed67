// Where a session asks its listener's rules, and does what they say. A part of the driver: it
// gathers the facts, and the decisions are those of ListenerPolicy+Rules.swift.

import EkidenMail
import EkidenRuntime
import EkidenSMTP

extension IngressSession {
    var standing: ClientStanding {
        ClientStanding(
            client.endpoint.address,
            isLoggedIn: session.user != nil,
            at: connection.loop.turnTime
        )
    }

    /// The client may send to anywhere.
    var mayRelay: Bool { policy.mayRelay(standing) }

    // MARK: Connect

    /// Turns a client away that may not connect; true when it did, and the session is over. Asked
    /// when it is known who the client is: at first, and again when a peer says it speaks for
    /// another.
    mutating func turnsAway() async throws(IOFailure) -> Bool {
        if terms.policy.rules.clientLists.isEmpty { return false }
        switch turnAwayByAddress() {
        case .admitted: return false
        case .silent: return true
        case .told:
            try await waitForQuit()
            return true
        }
    }

    private enum Turn { case admitted, silent, told }

    @inline(never)
    private mutating func turnAwayByAddress() -> Turn {
        guard let refusal = policy.refusal(of: client.endpoint.address) else { return .admitted }
        refused.entry = refusal.entry
        log(refusal.reply, rule: refusal.rule)
        // Before the handshake of an implicit-TLS port nothing can be said.
        if policy.tls?.begin == .atOnce, client.tls == nil { return .silent }
        queue(refusal.reply, rule: refusal.rule)
        return .told
    }

    /// RFC 5321 §3.1: who was greeted with 554 is still heard until QUIT, and answered 503; not for
    /// long, and not much of it.
    private mutating func waitForQuit() async throws(IOFailure) {
        connection.setDeadline(connection.loop.turnTime + .seconds(10))
        var reader = CommandLineReader()
        var left = Self.deafCommandsMax
        while left > 0 {
            switch reader.next(in: connection.unread) {
            case .nothing(let consumed):
                connection.consume(consumed)
                do throws(IOFailure) {
                    guard try await connection.fill() else { return }
                } catch {
                    if error == .timedOut { return }
                    throw error
                }
                continue
            case .refused(_, let consumed):
                connection.consume(consumed)
            case .line(let length, let consumed):
                let word = String(decoding: connection.unread[..<length], as: UTF8.self)
                connection.consume(consumed)
                if word.asciiLowercased == "quit" {
                    let text = policy.session.hostName + " closing connection"
                    try await close(Reply(221, EnhancedStatus(2, 0, 0), text), rule: nil)
                    return
                }
            }
            queue(Reply(503, EnhancedStatus(5, 5, 1), "no service here; say QUIT"))
            left -= 1
        }
        try await connection.flush()
        connection.shutdownSending()
    }

    /// Commands of a client that was turned away that are answered.
    private static let deafCommandsMax = 10

    // MARK: EHLO

    /// Answers EHLO and HELO where names are checked.
    mutating func judgeHello() -> ServerEffect {
        guard let refusal = policy.refusal(ofHello: session.helo, from: standing) else {
            return session.helloAccepted()
        }
        return session.helloRefused(refusal.reply, rule: refusal.rule)
    }

    // MARK: MAIL and RCPT

    /// What the rules have against MAIL, from this client and by this sender; nil when they have
    /// nothing.
    mutating func refusal(of mail: MailParameters, _ reverse: PolicyRefusal?) -> ServerEffect? {
        if reverse == nil, terms.policy.rules.senderLists.isEmpty { return nil }
        guard let refusal = reverse ?? policy.refusal(of: mail.sender) else { return nil }
        refused.sender = mail.sender
        refused.entry = refusal.entry
        return session.senderRefused(refusal.reply, rule: refusal.rule)
    }

    func noteRewritten(_ sender: ReversePath, to own: Address) {
        let text = "\(session.user ?? "") sends from \(own.text) instead of \(sender.text)"
        events.emit(.notice(.init(.info, "policy", text)), at: connection.loop.wallNow())
    }

    /// Answers RCPT.
    mutating func judge(_ path: RecipientPath) -> ServerEffect {
        let refusal: PolicyRefusal
        switch policy.verdict(on: path, from: standing) {
        case .success(let address):
            let sender = session.transaction?.mail.sender
            guard let excess = refusalByRate(.recipients, sender: sender) else {
                return session.recipientAccepted(address)
            }
            refusal = PolicyRefusal(excess.reply, rule: excess.rule)
        case .failure(let why): refusal = why
        }
        if case .address(let address) = path { refused.recipient = address.text }
        refused.entry = refusal.entry
        return session.recipientRefused(refusal.reply, rule: refusal.rule)
    }
}
