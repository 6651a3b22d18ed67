// One client's connection, from greeting to QUIT. The protocol is a value (`ServerSession`): this
// driver reads bytes, asks it, does what it says, and answers it with what policy and the house
// decided. It reads top to bottom like the conversation of RFC 5321 §3; the data phase is in
// MessageReception.swift, BDAT in ChunkReception.swift.

import EkidenMail
import EkidenRuntime
import EkidenSMTP

struct IngressSession: ~Copyable {
    var connection: Connection
    var session: ServerSession
    let terms: ListenerTerms
    let door: any IngressDoor
    let events: any EventSink
    /// nil: nobody can log in.
    let logins: Logins?
    let rates: RateDesk
    private var reader = CommandLineReader()
    var client: ClientFacts
    /// When the present transaction's MAIL came; for the log.
    var transactionBegan = Instant(nanoseconds: 0)
    /// The message that is coming in chunks (BDAT), if one is.
    var chunked: ChunkedMessage?
    /// What the DNS says of the client's host, once it was asked.
    var reverse: ReverseFinding?
    /// What the next refusal is about, where the session can't say it; for the log.
    var refused = RefusalSubject()
    /// Errors of the session, ever, when the last refusal was said.
    var heldErrors = 0

    // Not inlined, as are some below: the frame it would become a part of is each session's, for as long
    // as it lasts.
    @inline(never)
    init(
        _ connection: consuming Connection,
        terms: ListenerTerms,
        door: any IngressDoor,
        events: any EventSink,
        logins: Logins?,
        rates: RateDesk
    ) {
        let policy = terms.policy
        self.rates = rates
        client = ClientFacts(endpoint: connection.peer, listener: policy.name)
        self.logins = logins
        session = ServerSession(
            policy.session,
            mayLogInWithoutTLS: policy.mayLogInWithoutTLS(connection.peer.address)
        )
        self.terms = terms
        self.door = door
        self.events = events
        self.connection = connection
    }

    var handle: Handle { connection.handle }

    /// Async functions go by `terms.policy` instead, as their frames would have room for a copy of all
    /// of it.
    var policy: ListenerPolicy { terms.policy }

    /// The whole session. Ends when the client quits, breaks off, is too slow or too wrong, or
    /// when the relay stops.
    mutating func run(_ verdict: ConnectionLedger.Verdict) async {
        do throws(IOFailure) {
            if let refusal = refusal(verdict) {
                // Before the handshake of an implicit-TLS port nothing can be said.
                if terms.policy.tls?.begin == .atOnce {
                    log(refusal.reply, rule: refusal.rule)
                    return
                }
                try await close(refusal.reply, rule: refusal.rule)
                return
            }
            if !terms.policy.rules.clientLists.isEmpty, try await turnsAway() { return }
            if let tls = terms.policy.tls, tls.begin == .atOnce, try await !secure(by: tls) {
                return
            }
            noteRights()
            if terms.policy.greetDelay != nil, try await !delayGreeting() { return }
            queueGreeting()
            try await converse()
        } catch {
            await end(error)
        }
        await abandonChunks()
    }

    /// What the client may, by its address; a balancer may have said which that is.
    @inline(never)
    private mutating func noteRights() {
        session.mayOverride = policy.mayOverride(client.endpoint.address)
        session.offersSCRAM = logins?.offersSCRAM ?? true
        session.mayLogInWithoutTLS = policy.mayLogInWithoutTLS(client.endpoint.address)
    }

    @inline(never)
    private mutating func queueGreeting() { queue(session.greeting) }

    /// Reads what a balancer says of its client, who is the session's client from then on; nil when
    /// that is no such header or comes too late, and the connection is to be dropped without a word.
    mutating func readProxyHeader() async -> HostAddress? {
        let end = connection.loop.turnTime + terms.policy.timeouts.proxyHeader
        connection.setDeadline(end)
        while true {
            switch ProxyHeader.find(in: connection.unread) {
            case .header(let header, let byteCount):
                connection.consume(byteCount)
                switch header {
                case .client(let endpoint, _): client.endpoint = endpoint
                // It may be anybody: what the balancer's own address may is not theirs. The
                // unspecified address is in no network (as with XCLIENT).
                case .own: client.endpoint = Endpoint(.v4(0), client.endpoint.port)
                }
                return client.endpoint.address
            case .malformed:
                return noProxyHeader("sent no PROXY header, or a malformed one")
            case .incomplete:
                do throws(IOFailure) {
                    guard try await connection.fill() else { return nil }
                } catch {
                    return noProxyHeader("sent no whole PROXY header in time")
                }
            }
        }
    }

    private func noProxyHeader(_ what: String) -> HostAddress? {
        let text =
            "dropped a connection: \(client.endpoint.address.text) is in proxy_from and \(what)"
        events.emit(.notice(.init(.warning, "listener", text)), at: connection.loop.wallNow())
        return nil
    }

    /// The relay is stopping: says so and closes.
    mutating func turnAway() async {
        if terms.policy.tls?.begin == .atOnce { return }
        try? await close(.shutdown(policy.session), rule: nil)
    }

    @inline(never)
    private mutating func converse() async throws(IOFailure) {
        // When the next command must be whole; bytes that drip in don't move it.
        var commandEnd: Instant?
        while true {
            switch takeCommand() {
            case .none:
                // RFC 5321 §4.5.3.2.7: five minutes for the next command, answered 421.
                let end = commandEnd ?? connection.loop.turnTime + terms.policy.timeouts.command
                commandEnd = end
                connection.setDeadline(min(end, chunked?.end ?? end))
                guard try await connection.fill() else { return }
            case .answered:
                commandEnd = nil
            case .unanswered(let rest):
                commandEnd = nil
                if try await !perform(rest) { return }
            }
        }
    }

    private enum Taken {
        /// There was no whole command.
        case none
        case answered
        case unanswered(ServerEffect)
    }

    /// Takes the next command from what has come, and answers it if that needs no waiting.
    @inline(never)
    private mutating func takeCommand() -> Taken {
        let effect: ServerEffect
        switch reader.next(in: connection.unread, lineBytesMax: session.lineBytesMax) {
        case .nothing(let consumed):
            connection.consume(consumed)
            return .none
        case .refused(let refusal, let consumed):
            connection.consume(consumed)
            effect = session.refused(refusal)
        case .line(let length, let consumed):
            let unread = connection.unread
            let line = UnsafeRawBufferPointer(rebasing: unread[..<length])
            effect = session.command(line, hasMoreInput: unread.count > consumed)
            connection.consume(consumed)
        }
        return answer(effect).map { .unanswered($0) } ?? .answered
    }

    /// Does what needs no waiting; the rest, if there is one, is for `perform`. The frames of what may
    /// wait stay with a connection once they were needed, also while it is idle: so one that only says
    /// EHLO, and thousands do, never comes there.
    @inline(never)
    private mutating func answer(_ effect: ServerEffect) -> ServerEffect? {
        let settled = settle(effect)
        guard case .reply(let reply) = settled, chunked == nil else { return settled }
        queue(reply)
        return nil
    }

    /// Asks policy where the protocol does; what follows from its answer.
    @inline(never)
    private mutating func settle(_ effect: ServerEffect) -> ServerEffect {
        switch effect {
        case .askSender(let mail):
            // Where the DNS is asked first, that takes waiting.
            return terms.policy.rules.reverseCheck == .off ? settle(mail, nil) : effect
        case .askHello: return judgeHello()
        case .askRecipient(let path): return judge(path)
        default: return effect
        }
    }

    /// - Parameter reverse: what the name of the client's host has against it.
    @inline(never)
    private mutating func settle(_ mail: MailParameters, _ reverse: PolicyRefusal?) -> ServerEffect
    {
        transactionBegan = connection.loop.turnTime
        noteClient()
        return refusal(of: mail, reverse) ?? judge(mail)
    }

    /// Believes what a peer says of its client.
    @inline(never)
    private mutating func adopt(_ override: ClientOverride) {
        if let address = override.address {
            client.endpoint = Endpoint(address, client.endpoint.port)
        }
        if let port = override.port {
            client.endpoint = Endpoint(client.endpoint.address, port)
        }
        forgetReverseName()
        session.mayLogInWithoutTLS = policy.mayLogInWithoutTLS(client.endpoint.address)
    }

    /// Carries out what the protocol asked for; false when the session is over.
    @inline(never)
    mutating func perform(_ effect: ServerEffect) async throws(IOFailure) -> Bool {
        if !session.isReceivingChunks { await abandonChunks() }
        switch effect {
        case .reply(let reply):
            queue(reply)
        case .reject(let reply, let rule):
            // First, for the connection may break before the reply is out.
            log(reply, rule: rule)
            if terms.policy.tarpit != nil { try await holdBack() }
            queue(reply, rule: rule)
        case .close(let reply, let rule):
            try await close(reply, rule: rule)
            return false
        case .askSender(let mail):
            return try await perform(settle(mail, await reverseRefusal()))
        case .askHello, .askRecipient:
            return try await perform(settle(effect))
        case .becomeClient(let override):
            adopt(override)
            if try await turnsAway() { return false }
            let login = override.login.flatMap { $0.isEmpty ? nil : $0 }
            return try await perform(session.overridden(login: login))
        case .askLogin(let question, let mechanism):
            return try await judge(question, mechanism)
        case .startTLS(let reply):
            guard let tls = terms.policy.tls else { preconditionFailure("TLS is not offered here") }
            queue(reply)
            try await connection.flush()
            return try await secure(by: tls)
        case .startData(let reply):
            return try await perform(try await receiveMessage(goAhead: reply))
        case .receiveChunk(let chunk):
            return try await perform(try await receive(chunk))
        case .dropChunk(let octets):
            try await drop(octets)
            return try await perform(session.chunkDropped())
        }
        return true
    }

    @inline(never)
    private mutating func noteSecured(_ facts: TLSFacts) {
        session.secured(facts)
        session.certificateLogin =
            session.isOverridden ? nil : facts.peer.flatMap { policy.user(of: $0) }
        client.tls = facts
    }

    /// Shakes hands; false when that failed, which ends the session: in the clear it would go on
    /// with a client that asked for more (RFC 3207 §4.1).
    @inline(never)
    private mutating func secure(by tls: ListenerTLS) async throws(IOFailure) -> Bool {
        connection.setDeadline(connection.loop.turnTime + tls.handshakeTimeout)
        do throws(SecureFailure) {
            let engine = tls.acceptor.makeEngine()
            if tls.begin == .atOnce, !connection.unread.isEmpty {
                // What came in one piece with a balancer's header is the client's handshake.
                engine.take(connection.unread)
                connection.consume(connection.unread.count)
            }
            let facts = try await connection.secure(with: engine)
            noteSecured(facts)
            return true
        } catch {
            switch error {
            case .connection(let failure):
                // Whether the relay stops or the client was too slow: words in the clear would be
                // taken for a part of the handshake.
                if failure == .timedOut { log(.timeout(policy.session), rule: "timeout") }
                throw .lost
            case .handshake(let failure):
                log(
                    Reply(421, EnhancedStatus(4, 7, 0), "TLS handshake failed: " + failure.text),
                    rule: "tls-handshake"
                )
                return false
            }
        }
    }

    // MARK: Policy

    private mutating func judge(_ mail: MailParameters) -> ServerEffect {
        // Whose address it is comes first: what is counted is counted for the sender that stands.
        let ownership = policy.rules.ownership(of: mail.sender, by: session.user)
        if case .refused(let refusal) = ownership {
            refused.sender = mail.sender
            return session.senderRefused(refusal.reply, rule: refusal.rule)
        }
        var own: ReversePath?
        if case .rewritten(let address) = ownership { own = .address(address) }
        do throws(IntakeRefusal) {
            try door.admit(byteCount: mail.declaredBytes ?? 0)
            if let refusal = refusalByRate(.messages, sender: own ?? mail.sender) { throw refusal }
        } catch {
            refused.sender = mail.sender
            return session.senderRefused(error.reply, rule: error.rule)
        }
        if case .rewritten(let address) = ownership { noteRewritten(mail.sender, to: address) }
        return session.senderAccepted(as: own)
    }

    @inline(never)
    private func refusal(_ verdict: ConnectionLedger.Verdict) -> IntakeRefusal? {
        switch verdict {
        case .admitted:
            return refusalByRate(.connections)
        case .tooMany(let limit):
            let reply = Reply.tooBusy(policy.session, limit: limit)
            return IntakeRefusal(reply, rule: "max-connections")
        case .tooManyFromClient(let limit):
            let text = "\(limit) connections from \(client.endpoint.address.text) are enough"
            return IntakeRefusal(
                Reply(421, EnhancedStatus(4, 7, 0), text),
                rule: "max-connections-per-client"
            )
        case .tooManyFromNetwork(let limit, let network):
            let text = "\(limit) connections from \(network.text) are enough"
            return IntakeRefusal(
                Reply(421, EnhancedStatus(4, 7, 0), text),
                rule: "max-connections-per-network"
            )
        }
    }

    /// Takes over what the session knows of the client by now.
    mutating func noteClient() {
        client.helo = session.helo
        client.inboundProtocol = session.inboundProtocol
        client.login = session.user
    }

    // MARK: Words

    mutating func queue(_ reply: Reply) { connection.queue(reply.wire) }

    /// A refusal, with the name of its rule.
    @inline(never)
    mutating func queue(_ reply: Reply, rule: String) { queue(reply.naming(rule)) }

    @inline(never)
    mutating func log(_ reply: Reply, rule: String) {
        noteClient()
        events.emit(
            .rejected(
                .init(
                    client: client,
                    sender: refused.sender ?? session.transaction?.mail.sender,
                    recipient: refused.recipient,
                    id: refused.id,
                    rule: rule,
                    entry: refused.entry,
                    reply: reply
                )
            ),
            at: connection.loop.wallNow()
        )
        refused = RefusalSubject()
    }

    @inline(never)
    mutating func close(_ reply: Reply, rule: String?) async throws(IOFailure) {
        if let rule {
            log(reply, rule: rule)
            queue(reply, rule: rule)
        } else {
            queue(reply)
        }
        connection.setDeadline(connection.loop.turnTime + .seconds(5))
        try await connection.flush()
        connection.shutdownSending()
    }

    /// The conversation broke: says why where somebody may still listen.
    @inline(never)
    private mutating func end(_ failure: IOFailure) async {
        switch failure {
        case .timedOut: try? await close(.timeout(policy.session), rule: "timeout")
        case .cancelled: try? await close(.shutdown(policy.session), rule: nil)
        case .refused, .unreachable, .lost, .exhausted, .other: return
        }
    }
}

/// Whom and what a refusal is about.
struct RefusalSubject {
    /// The message, if it had an id already.
    var id: QueueID?
    var sender: ReversePath?
    var recipient: String?
    /// The entry of a list that decided.
    var entry: String?
}

extension RefusalSubject {
    /// A refusal after DATA, when the protocol has ended the transaction.
    init(_ id: QueueID?, _ envelope: Envelope) {
        self.id = id
        sender = envelope.sender
        // Of several none is the one it is about.
        recipient = envelope.recipients.count == 1 ? envelope.recipients[0].text : nil
    }
}
