// A connection to one mail host with what the session has learned of it: a thin driver around
// `ClientSession` (greeting, EHLO, RSET, QUIT). One reply has one deadline, however it trickles in.

import EkidenMail
import EkidenRuntime
import EkidenSMTP

struct PeerConnection: ~Copyable {
    var connection: Connection
    private(set) var session: ClientSession
    private var reader = ReplyReader()
    let host: PeerHost
    let timeouts: ClientTimeouts
    private let crew: SessionCrew
    /// Transactions run so far.
    var transactions = 0

    init(
        _ connection: consuming Connection,
        host: PeerHost,
        settings: DeliverySettings,
        crew: SessionCrew
    ) {
        self.connection = connection
        self.host = host
        self.crew = crew
        timeouts = settings.timeouts
        session = ClientSession(helloName: settings.helo, host: host)
        crew.join(self.connection.handle, on: self.connection.loop)
    }

    deinit { crew.leave(connection.handle, on: connection.loop) }

    var extensions: Extensions { session.extensions }
    var hasHeardPeer: Bool { session.hasHeardPeer }

    /// Brings the session to where transactions may run; nil when it is there, else why not.
    mutating func makeReady(until end: Instant) async -> Failure? {
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
            case .ready: return nil
            case .failed(let failure): return failure
            case .closed: return Self.stopping(.quit, host)
            }
        }
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
