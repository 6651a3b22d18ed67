// One mail transaction from the client's side (RFC 5321 §3.3) as a value with two cursors: what is
// sent next, and whose reply is awaited next. With PIPELINING the first runs ahead to DATA in one
// write (RFC 2920 §3.1), without it they go in step. The driver asks `next`, does it, and reports
// each reply; at the end there is one result for each recipient, and a word on the connection.
// It captures what went wrong once, with the peer's words; what to do about it is Outcome's.

import EkidenMail

package struct ClientTransaction: Sendable {
    package enum Action: Sendable, Equatable {
        /// Bytes were appended to the buffer: queue them and ask again.
        case send
        /// Read the next reply, within that step's patience; then `received`.
        case awaitReply(DeliveryStep)
        /// Send header block and body through a `DotStuffer`; call `finalDotSent` just before the
        /// final dot goes out, then ask again.
        case sendMessage
        /// See `results` and `aftermath`.
        case finished
    }

    /// What can be done with the connection when the transaction is over.
    package enum Aftermath: Sendable, Equatable {
        /// Another transaction may begin at once.
        case reusable
        /// After an RSET.
        case needsReset
        case mustClose
    }

    private enum Cursor: Equatable {
        case mail
        case recipient(Int)
        case data
        /// Header block and body.
        case message
        case endOfData
        case done
    }

    private let sender: ReversePath
    private let recipients: [Address]
    private let demands: SenderDemands
    private let recipientDemands: [RecipientDemands]
    private let byteCount: Int
    private let extensions: Extensions
    private let hasEightBit: Bool
    private let eightBitTrouble: String
    /// Of reverse-path or headers something is beyond ASCII, so that no recipient can do without UTF-8.
    private let needsUTF8: Bool
    /// MAIL says SMTPUTF8.
    private let saysUTF8: Bool
    /// Recipients that can't be said to this peer, by their places.
    private let isLeftOut: [Bool]
    private let host: PeerHost
    private let mayRequireTLS: Bool
    private let speaksLMTP: Bool
    private var sending = Cursor.mail
    private var awaiting = Cursor.mail
    private var outcomes: [RecipientResult?]
    /// Recipients the peer took and whose fate is open.
    private var accepted = 0
    private var isMailRefused = false
    /// The peer has a transaction open, as far as its replies tell.
    private var isOpenAtPeer = false
    package private(set) var aftermath = Aftermath.reusable

    /// - Parameters:
    ///   - recipients: at least one; results come in the same order.
    ///   - byteCount: header block and body as they are sent, as SIZE counts (RFC 1870 §5).
    ///   - facts: of what is sent.
    ///   - eightBitTrouble: where the peer takes no 8-bit content: why it gets no other; empty: nothing
    ///     is to be said of it.
    ///   - extensions: what the peer offers.
    ///   - recipientDemands: by the order of the recipients; fewer where nothing was asked.
    ///   - mayRequireTLS: the host is verified as RFC 8689 §4.2.1 has it.
    ///   - speaksLMTP: after the final dot there is a reply for each recipient (RFC 2033 §4.2).
    package init(
        sender: ReversePath,
        recipients: [Address],
        demands: SenderDemands = SenderDemands(),
        recipientDemands: [RecipientDemands] = [],
        byteCount: Int,
        facts: MessageFacts,
        extensions: Extensions,
        host: PeerHost,
        mayRequireTLS: Bool = false,
        speaksLMTP: Bool = false,
        eightBitTrouble: String = ""
    ) {
        self.eightBitTrouble = eightBitTrouble
        self.speaksLMTP = speaksLMTP
        self.sender = sender
        self.recipients = recipients
        self.demands = demands
        self.recipientDemands = recipientDemands
        self.byteCount = byteCount
        self.extensions = extensions
        self.host = host
        self.mayRequireTLS = mayRequireTLS
        hasEightBit = facts.hasEightBit
        // RFC 6531 §3.4: what was declared and is not so may go without.
        needsUTF8 = demands.smtpUTF8 && (facts.headerHasEightBit || !sender.isASCII)
        // An 8-bit body may have parts with UTF-8 in their headers (§3.2).
        saysUTF8 =
            demands.smtpUTF8 && extensions.smtpUTF8
            && (facts.hasEightBit || !sender.isASCII || !recipients.allSatisfy(\.isASCII))
        let saysUTF8 = saysUTF8
        isLeftOut = recipients.map { demands.smtpUTF8 && !saysUTF8 && !$0.isASCII }
        outcomes = Array(repeating: nil, count: recipients.count)
        refuseHere()
        if recipients.isEmpty { finish(.reusable) }
    }

    /// The results, in the order of the recipients; complete once `next` says `finished`.
    package var results: [RecipientResult] { outcomes.compactMap { $0 } }

    package var isFinished: Bool { awaiting == .done }

    /// The step that a failure now would belong to.
    package var step: DeliveryStep {
        switch awaiting {
        case .mail: .mail
        case .recipient: .recipient
        case .data, .message: .data
        case .endOfData, .done: .endOfData
        }
    }

    // MARK: Sending

    package mutating func next(into output: inout BytesBuilder) -> Action {
        if awaiting == .done { return .finished }
        if awaiting == .message {
            if accepted > 0 { return .sendMessage }
            if isMailRefused || speaksLMTP {
                // A peer that refuses the sender and then wants the message is out of step: even
                // an empty one might be taken for mail. It gets none. So is one that wants it for
                // nobody where each recipient has a reply (RFC 2033 §4.2: DATA must fail with 503).
                finish(.mustClose)
                return .finished
            }
            // RFC 2920 §3.1: no recipient is left but the peer said 354: an empty message.
            output.append(".\r\n")
            sending = .done
            awaiting = .endOfData
            return .send
        }
        if extensions.pipelining, sending == .mail {
            // RFC 2920 §3.1: DATA is the last command of the group.
            while sending != .message { writeCommand(into: &output) }
            return .send
        }
        if sending == awaiting {
            writeCommand(into: &output)
            return .send
        }
        return .awaitReply(step)
    }

    /// The final dot is about to go out: from here the peer may have the message.
    package mutating func finalDotSent() {
        precondition(awaiting == .message)
        sending = .done
        awaiting = .endOfData
    }

    private mutating func writeCommand(into output: inout BytesBuilder) {
        switch sending {
        case .mail:
            output.append("MAIL FROM:<")
            Self.write(path: sender.text, asUTF8: saysUTF8, into: &output)
            output.append(">")
            // RFC 1870 §5
            if extensions.size { output.append(text: " SIZE=\(byteCount)") }
            // RFC 6152 §2
            if hasEightBit { output.append(" BODY=8BITMIME") }
            // RFC 6531 §3.4
            if saysUTF8 { output.append(" SMTPUTF8") }
            // RFC 8689 §4.2.1; `refuseHere` has seen to it that the peer knows the word.
            if demands.requiresTLS { output.append(" REQUIRETLS") }
            writeDemands(into: &output)
            output.append("\r\n")
            sending = recipient(from: 0)
        case .recipient(let index):
            output.append("RCPT TO:<")
            Self.write(path: recipients[index].text, asUTF8: saysUTF8, into: &output)
            output.append(">")
            writeDemands(ofRecipient: index, into: &output)
            output.append("\r\n")
            sending = recipient(from: index + 1)
        case .data:
            output.append("DATA\r\n")
            sending = .message
        case .message, .endOfData, .done:
            break
        }
    }

    private func writeDemands(into output: inout BytesBuilder) {
        guard extensions.dsn else { return }
        // RFC 3461 §5.2.1: passed on as they came.
        if let returned = demands.returned { output.append(text: " RET=" + returned.text) }
        if let envelopeID = demands.envelopeID {
            output.append(" ENVID=")
            Self.write(path: envelopeID, into: &output)
        }
    }

    private func writeDemands(ofRecipient index: Int, into output: inout BytesBuilder) {
        guard extensions.dsn, recipientDemands.indices.contains(index) else { return }
        let demands = recipientDemands[index]
        if let notify = demands.notify { output.append(text: " NOTIFY=" + notify.text) }
        if let original = demands.originalRecipient {
            output.append(" ORCPT=")
            Self.write(path: original, into: &output)
        }
    }

    /// Addresses were checked by the grammar when they came in; should one ever not have been, its
    /// control characters still can't become commands.
    private static func write(
        path: String,
        asUTF8: Bool = false,
        into output: inout BytesBuilder
    ) {
        let isFit = { (byte: UInt8) in
            byte >= 0x20 && byte < 0x7f || asUTF8 && byte >= 0x80
        }
        if path.utf8.allSatisfy(isFit) {
            output.append(text: path)
        } else {
            output.append(contentsOf: path.utf8.map { isFit($0) ? $0 : 0x3f })
        }
    }

    /// The first one to be said from that place on; behind the last of them comes DATA.
    private func recipient(from index: Int) -> Cursor {
        isLeftOut[index...].firstIndex(of: false).map { .recipient($0) } ?? .data
    }

    // MARK: Replies

    /// The reply to the step awaited; or, while the message is being sent, an early one.
    package mutating func received(_ reply: Reply) {
        if awaiting == .done { return }
        // RFC 5321 §3.8: 421 at any step ends the session.
        if reply.code == 421 {
            failUndecided(failure(.host, reply))
            return finish(.mustClose)
        }
        switch awaiting {
        case .mail: mailAnswered(reply)
        case .recipient(let index): recipientAnswered(index, reply)
        case .data: dataAnswered(reply)
        case .message:
            // The peer has heard enough; but the message can't be broken off, so we hang up.
            if reply.isPositive { return protocolError(reply) }
            failUndecided(failure(.message, reply))
            finish(.mustClose)
        case .endOfData: endAnswered(reply)
        case .done: break
        }
    }

    private mutating func mailAnswered(_ reply: Reply) {
        switch reply.code / 100 {
        case 2:
            isOpenAtPeer = true
            awaiting = recipient(from: 0)
        case 4, 5:
            failUndecided(failure(.message, reply))
            isMailRefused = true
            if extensions.pipelining { awaiting = recipient(from: 0) } else { finish(.reusable) }
        default: protocolError(reply)
        }
    }

    private mutating func recipientAnswered(_ index: Int, _ reply: Reply) {
        if reply.code / 100 == 3 { return protocolError(reply) }
        var isLimitReached = false
        if reply.isPositive {
            isOpenAtPeer = true
            if outcomes[index] == nil { accepted += 1 }
        } else if outcomes[index] == nil {
            isLimitReached = accepted > 0 && Self.saysTooMany(reply)
            outcomes[index] = .failed(
                isLimitReached ? tooManyRecipients(reply) : failure(.recipient, reply)
            )
        }
        awaiting = recipient(from: index + 1)
        if isLimitReached, !extensions.pipelining { skipRecipients(after: index, reply) }
        if !extensions.pipelining, awaiting == .data, accepted == 0 { finish(.needsReset) }
    }

    /// Without pipelining those not asked for yet need not be asked for in vain.
    private mutating func skipRecipients(after index: Int, _ reply: Reply) {
        for rest in recipients.indices where rest > index && !isLeftOut[rest] {
            outcomes[rest] = .failed(tooManyRecipients(reply))
        }
        sending = .data
        awaiting = .data
    }

    private mutating func dataAnswered(_ reply: Reply) {
        switch reply.code / 100 {
        case 3: awaiting = .message
        case 4, 5:
            failUndecided(failure(.message, reply))
            finish(isOpenAtPeer ? .needsReset : .reusable)
        default: protocolError(reply)
        }
    }

    private mutating func endAnswered(_ reply: Reply) {
        if speaksLMTP { return recipientEnded(reply) }
        switch reply.code / 100 {
        case 2:
            for index in outcomes.indices where outcomes[index] == nil {
                outcomes[index] = .delivered(reply)
            }
            finish(.reusable)
        case 4, 5:
            failUndecided(failure(.message, reply))
            finish(.reusable)
        default: protocolError(reply)
        }
    }

    /// RFC 2033 §4.2: a reply for each recipient that was taken, in their order.
    private mutating func recipientEnded(_ reply: Reply) {
        guard let index = outcomes.firstIndex(where: { $0 == nil }) else {
            return finish(.mustClose)
        }
        switch reply.code / 100 {
        case 2: outcomes[index] = .delivered(reply)
        case 4, 5: outcomes[index] = .failed(failure(.recipient, reply))
        default: return protocolError(reply)
        }
        if !outcomes.contains(where: { $0 == nil }) { finish(.reusable) }
    }

    /// RFC 5321 §4.5.3.1.10: 452, and 552 from old servers; with an enhanced status it must be
    /// X.5.3, since the same codes also speak of full mailboxes and disks.
    private static func saysTooMany(_ reply: Reply) -> Bool {
        if let status = reply.status { return status.subject == 5 && status.detail == 3 }
        return reply.code == 452 || reply.code == 552
    }

    // MARK: Failures

    /// The connection broke or a reply took too long (`connectionLost`, `replyTimedOut`), or what
    /// came was no SMTP (`protocolError`). After the final dot the peer may have the message.
    package mutating func connectionFailed(_ reason: Reason, text: String = "") {
        if awaiting == .done { return }
        let isProtocol = reason == .protocolError
        breakOff(.host, reason, text, EnhancedStatus(4, isProtocol ? 5 : 4, isProtocol ? 0 : 2))
    }

    /// We can't go on ourselves: the message can't be read, the relay stops.
    package mutating func abandoned(_ reason: Reason, text: String = "") {
        if awaiting == .done { return }
        breakOff(.ours, reason, text, EnhancedStatus(4, 3, 0))
    }

    private mutating func breakOff(
        _ scope: Failure.Scope,
        _ reason: Reason,
        _ text: String,
        _ status: EnhancedStatus
    ) {
        failUndecided(
            Failure(
                scope: scope,
                isPermanent: false,
                reason: reason,
                step: step,
                host: host,
                text: text,
                status: status
            )
        )
        finish(.mustClose)
    }

    private mutating func protocolError(_ reply: Reply) {
        failUndecided(
            Failure(
                scope: .host,
                isPermanent: false,
                reason: .protocolError,
                step: step,
                host: host,
                reply: reply,
                status: EnhancedStatus(4, 5, 0)
            )
        )
        finish(.mustClose)
    }

    /// What the peer can't take is refused before a word is said.
    private mutating func refuseHere() {
        if let limit = extensions.messageBytes, byteCount > limit {
            // RFC 1870 §6.1
            let text = "the host takes messages of \(limit) bytes, this one has \(byteCount)"
            failHere(.messageTooLarge, text, EnhancedStatus(5, 3, 4))
        } else if demands.requiresTLS, !mayRequireTLS || !extensions.requireTLS {
            // RFC 8689 §4.2.1
            let text =
                mayRequireTLS
                ? "the sender requires TLS all the way, and the host offers no REQUIRETLS"
                : "the sender requires TLS all the way (REQUIRETLS), and who the host is can't be "
                    + "verified"
            failHere(.tlsRequired, text, EnhancedStatus(5, 7, 30))
        } else if needsUTF8, !extensions.smtpUTF8 {
            // RFC 6531 §3.5
            failHere(.utf8Unsupported, "", EnhancedStatus(5, 6, 7))
        } else if hasEightBit, !extensions.eightBitMIME {
            // RFC 6152 §3
            failHere(.eightBitUnsupported, eightBitTrouble, EnhancedStatus(5, 6, 3))
        } else {
            leaveOut()
        }
    }

    /// RFC 6531 §3.5: an address beyond ASCII can't be said to a peer without SMTPUTF8; the others can.
    private mutating func leaveOut() {
        for index in recipients.indices where isLeftOut[index] {
            outcomes[index] = .failed(
                Failure(
                    scope: .recipient,
                    isPermanent: true,
                    reason: .utf8Unsupported,
                    step: .recipient,
                    host: host,
                    status: EnhancedStatus(5, 6, 7)
                )
            )
        }
        if !outcomes.contains(where: { $0 == nil }) { finish(.reusable) }
    }

    private mutating func failHere(_ reason: Reason, _ text: String, _ status: EnhancedStatus) {
        failUndecided(
            Failure(
                scope: .message,
                isPermanent: true,
                reason: reason,
                step: .mail,
                host: host,
                text: text,
                status: status
            )
        )
        finish(.reusable)
    }

    private func failure(_ scope: Failure.Scope, _ reply: Reply) -> Failure {
        let status = reply.status(at: step)
        let isTooLarge = scope == .message && status == EnhancedStatus(5, 3, 4)
        let words: Reason = reply.isPermanent ? .peerRejected : .peerDeferred
        return Failure(
            scope: scope,
            isPermanent: reply.isPermanent,
            reason: isTooLarge ? .messageTooLarge : words,
            step: step,
            host: host,
            reply: reply,
            status: status
        )
    }

    private func tooManyRecipients(_ reply: Reply) -> Failure {
        Failure(
            scope: .recipient,
            isPermanent: false,
            reason: .tooManyRecipients,
            step: .recipient,
            host: host,
            reply: reply,
            status: EnhancedStatus(4, 5, 3)
        )
    }

    private mutating func failUndecided(_ failure: Failure) {
        for index in outcomes.indices where outcomes[index] == nil {
            outcomes[index] = .failed(failure)
        }
        accepted = 0
    }

    private mutating func finish(_ aftermath: Aftermath) {
        sending = .done
        awaiting = .done
        self.aftermath = aftermath
    }
}
