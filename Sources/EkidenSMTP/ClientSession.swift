// The client's side of a session outside of transactions: greeting, EHLO or HELO, RSET, QUIT
// (RFC 5321 §3.1, §3.2, §3.8). The driver asks `next` what to do, does it, and reports each reply;
// when it is told `ready` it may run a `ClientTransaction` on the same connection.

import EkidenMail

package struct ClientSession: Sendable {
    package enum Action: Sendable, Equatable {
        /// Bytes were appended to the buffer: queue them and ask again.
        case send
        /// Read the next reply, within that step's patience; then `received`.
        case awaitReply(DeliveryStep)
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
    private var state = State.awaitingGreeting
    /// What the peer offers; nothing before EHLO and after HELO.
    package private(set) var extensions = Extensions()
    /// The peer gave any reply at all.
    package private(set) var hasHeardPeer = false

    /// - Parameter helloName: our name, as EHLO says it.
    package init(helloName: String, host: PeerHost) {
        self.helloName = helloName
        self.host = host
    }

    package mutating func next(into output: inout BytesBuilder) -> Action {
        switch state {
        case .awaitingGreeting: return .awaitReply(.greeting)
        case .sayingHello(let extended):
            output.append(text: "\(extended ? "EHLO" : "HELO") \(helloName)\r\n")
            state = .awaitingHello(extended: extended)
            return .send
        case .awaitingHello: return .awaitReply(.hello)
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
                state = .ready
            } else if extended, reply.isPermanent {
                // RFC 5321 §3.2 names 500, 501, 502 and 550; 504 is said too. A peer that refuses
                // us as such says so again to HELO.
                state = .sayingHello(extended: false)
            } else {
                refused(reply, .hello, reply.isPermanent ? .peerRejected : .peerDeferred)
            }
        case .awaitingReset:
            if reply.code / 100 == 2 {
                state = .ready
            } else {
                refused(reply, .reset, reply.isPermanent ? .peerRejected : .peerDeferred)
            }
        case .awaitingQuit: state = .closed
        case .sayingHello, .ready, .sayingReset, .sayingQuit:
            fail(.protocolError, isPermanent: false, .hello, reply, EnhancedStatus(4, 5, 0))
        case .failed, .closed: break
        }
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
        case .sayingHello, .awaitingHello:
            fail(reason, isPermanent: false, .hello, nil, status, text)
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
        _ text: String = ""
    ) {
        state = .failed(
            Failure(
                scope: .host,
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
