// A connection to one mail host with what the session has learned of it: a thin driver around
// `ClientSession` (greeting, EHLO, STARTTLS, RSET, QUIT). One reply has one deadline, however it
// trickles in.

import EkidenMail
import EkidenRuntime
import EkidenSMTP

struct PeerConnection: ~Copyable {
    var connection: Connection
    private(set) var session: ClientSession
    private var reader = ReplyReader()
    let exchange: Exchange
    let host: PeerHost
    /// What the connection was opened under.
    let policy: TLSPolicy
    let identity: DeliverySettings.Identity
    private let login: ClientLogin?
    var loginName: String? { login?.name }
    let timeouts: ClientTimeouts
    private let crew: SessionCrew
    let openedAt: Instant
    /// Transactions run so far.
    var transactions = 0
    /// Of recipients asked for, where the peer counts them.
    private var domains: Set<Domain> = []

    init(
        _ connection: consuming Connection,
        to candidate: ConnectionPlan.Candidate,
        under policy: TLSPolicy,
        as login: ClientLogin?,
        by identity: DeliverySettings.Identity,
        timeouts: ClientTimeouts,
        crew: SessionCrew
    ) {
        self.connection = connection
        openedAt = self.connection.loop.now()
        exchange = candidate.exchange
        host = candidate.host
        self.policy = policy
        self.login = login
        self.crew = crew
        self.timeouts = timeouts
        self.identity = identity
        session = ClientSession(
            helloName: identity.helo,
            host: candidate.host,
            tls: policy,
            login: login,
            speaksLMTP: exchange.speaksLMTP
        )
        crew.join(self.connection.handle, on: self.connection.loop)
    }

    deinit { crew.leave(connection.handle, on: connection.loop) }

    var extensions: Extensions { session.extensions }
    var hasHeardPeer: Bool { session.hasHeardPeer }
    var security: TLSFacts? { session.security }

    /// Whether mail of that policy may go over it, which need not be the one it was opened under.
    func satisfies(_ policy: TLSPolicy) -> Bool {
        guard let security else { return policy.level <= .may }
        // Who was trusted was trusted for those names, and by those authorities.
        let isSameTrust =
            policy.names(of: exchange) == self.policy.names(of: exchange)
            && policy.authorities == self.policy.authorities
        return policy.accepts(security) && (policy.level != .verify || isSameTrust)
    }

    /// The next transaction's recipients, as far as the peer takes them at a time (RFC 9422).
    mutating func takeShare(of recipients: [Address]) -> TransactionShare {
        let share = TransactionShare(
            of: recipients,
            extensions: extensions,
            domains: domains,
            host: host
        )
        domains = share.domains
        return share
    }

    /// Whether the peer takes another transaction, for some of them at least, in this session.
    func takesMore(for recipients: [Address]) -> Bool {
        TransactionShare.hasRoom(for: recipients, extensions: extensions, domains: domains)
    }

    /// Brings the session to where transactions may run; nil when it is there, else why not.
    /// - Parameter door: makes our side of a TLS session; not needed once the connection is open.
    mutating func makeReady(
        until end: Instant,
        _ door: (any DeliveryDoor)? = nil
    ) async -> Failure? {
        var output = BytesBuilder(capacity: 64)
        while true {
            switch session.next(into: &output) {
            case .send:
                connection.queue(output.pointer)
                output.removeAll()
            case .awaitReply(let step):
                do throws(PeerTrouble) {
                    session.received(try await reply(to: step, until: end))
                } catch {
                    if case .cancelled = error { return Self.stopping(step, host) }
                    session.connectionFailed(error.reason, text: error.text)
                }
            case .secure:
                if let failure = await secure(by: door, until: end) { return failure }
            case .derive(let question):
                guard let door, case .password(let password) = login?.secret else {
                    preconditionFailure("there is a password to be hashed")
                }
                session.derived(await door.salted(password, question))
            case .ready: return nil
            case .failed(let failure): return failure
            case .closed: return Self.stopping(.quit, host)
            }
        }
    }

    /// Shakes hands; what came of it the session knows. A failure: the relay stops.
    private mutating func secure(
        by door: (any DeliveryDoor)?,
        until end: Instant
    ) async -> Failure? {
        guard let door else { preconditionFailure("an open connection is not secured again") }
        guard connection.unread.isEmpty else {
            // RFC 3207 §4.2, from the client's side: what came in the clear must not be taken for
            // something said under TLS.
            session.securingFailed("the host sent more behind its answer to STARTTLS")
            return nil
        }
        let engine: any TLSEngine
        do throws(TLSFailure) {
            engine = try door.tlsEngine(to: exchange, under: policy)
        } catch {
            return oursIsBroken(error)
        }
        // Half of what is left: in the clear there has to be time, too.
        let now = connection.loop.now()
        let patience = min(timeouts.patience(for: .startTLS), Self.handshakePatience)
        connection.setDeadline(min(now + patience, now + (end - now) / 2))
        do throws(SecureFailure) {
            session.secured(try await connection.secure(with: engine))
        } catch {
            switch error {
            case .handshake(let failure): session.securingFailed(failure.text)
            case .connection(.cancelled): return Self.stopping(.startTLS, host)
            case .connection(let failure):
                session.securingFailed("handshake: \(failure.text)")
            }
        }
        return nil
    }

    /// A handshake that takes longer hangs somewhere between.
    private static let handshakePatience = Duration.seconds(60)

    /// No fault of the host, and no reason to talk to it in the clear.
    private func oursIsBroken(_ failure: TLSFailure) -> Failure {
        Failure(
            scope: .ours,
            isPermanent: false,
            reason: .tlsUnavailable,
            step: .connect,
            host: host,
            text: "our own side of TLS: " + failure.text,
            status: EnhancedStatus(4, 3, 5)
        )
    }

    /// After a transaction that left something open at the peer.
    mutating func reset() { session.reset() }

    /// Says QUIT and waits a little for the answer (RFC 5321 §4.1.1.10).
    mutating func quit() async {
        session.quit()
        _ = await makeReady(until: connection.loop.now() + timeouts.quit)
    }

    /// The next reply, after sending what is queued.
    mutating func reply(
        to step: DeliveryStep,
        until end: Instant
    ) async throws(PeerTrouble)
        -> Reply
    {
        let patience = connection.loop.turnTime + timeouts.patience(for: step)
        connection.setDeadline(min(patience, end))
        while true {
            switch reader.next(in: connection.unread) {
            case .reply(let reply, let consumed):
                connection.consume(consumed)
                return reply
            case .protocolError(let text, let consumed):
                connection.consume(consumed)
                throw .notSMTP(text)
            case .nothing(let consumed):
                connection.consume(consumed)
            }
            do throws(IOFailure) {
                guard try await connection.fill() else { throw IOFailure.lost }
            } catch {
                throw PeerTrouble(error)
            }
        }
    }

    /// False when the relay stops and the final dot must not go out.
    func mayEnd() -> Bool { crew.mayEnd(connection.handle, on: connection.loop) }

    func hasEnded() { crew.hasEnded(connection.handle, on: connection.loop) }

    static func stopping(_ step: DeliveryStep, _ host: PeerHost) -> Failure {
        Failure(
            scope: .ours,
            isPermanent: false,
            reason: .stopping,
            step: step,
            host: host,
            status: EnhancedStatus(4, 3, 2)
        )
    }
}

/// Why no reply came.
enum PeerTrouble: Error {
    case lost(String)
    case timedOut
    case cancelled
    case notSMTP(String)

    init(_ failure: IOFailure) {
        switch failure {
        case .timedOut: self = .timedOut
        case .cancelled: self = .cancelled
        case .lost: self = .lost("")
        case .refused, .unreachable, .exhausted, .other: self = .lost(failure.text)
        }
    }

    var reason: Reason {
        switch self {
        case .lost: .connectionLost
        case .timedOut: .replyTimedOut
        case .cancelled: .stopping
        case .notSMTP: .protocolError
        }
    }

    var text: String {
        switch self {
        case .lost(let text), .notSMTP(let text): text
        case .timedOut, .cancelled: ""
        }
    }
}
