// One transaction with one host: a thin driver around `ClientTransaction`. It writes what the value
// says, sends header block and body in the form that the host takes, and hears every reply out.

import EkidenMail
import EkidenRuntime
import EkidenSMTP

/// What a transaction brought.
struct TransactionOutcome {
    /// In the order of the recipients given.
    var results: [RecipientResult]
    var aftermath: ClientTransaction.Aftermath
    var peerAnswered: Bool
    /// The connection was gone before the peer heard anything.
    var wasStale: Bool
}

extension PeerConnection {
    /// One transaction, for as many of the recipients as the peer takes at a time.
    mutating func transact(
        _ job: DeliveryJob,
        _ recipients: [JobRecipient],
        _ content: Content,
        as form: OutgoingForm,
        mayRequireTLS: Bool = false,
        until end: Instant
    ) async -> TransactionOutcome {
        // An RSET that the last transaction left to be said.
        if let failure = await makeReady(until: end) {
            return TransactionOutcome(
                results: recipients.map { _ in .failed(failure) },
                aftermath: .mustClose,
                peerAnswered: false,
                wasStale: failure.reason == .connectionLost
            )
        }
        let share = takeShare(of: recipients.map(\.address))
        let asked = share.asked.map { recipients[$0] }
        var transaction = ClientTransaction(
            sender: job.sender,
            recipients: asked.map(\.address),
            demands: content.demands,
            recipientDemands: content.demands.recipients.isEmpty
                ? [] : asked.map { content.demands.of($0.index) },
            byteCount: form.byteCount,
            facts: form.facts,
            extensions: extensions,
            host: host,
            mayRequireTLS: mayRequireTLS,
            speaksLMTP: exchange.speaksLMTP,
            eightBitTrouble: form.trouble
        )
        var outcome = TransactionOutcome(
            results: [],
            aftermath: .mustClose,
            peerAnswered: false,
            wasStale: false
        )
        var output = BytesBuilder(capacity: 256)
        while !transaction.isFinished {
            switch transaction.next(into: &output) {
            case .send:
                connection.queue(output.pointer)
                output.removeAll()
            case .awaitReply(let step):
                let limit = step == .endOfData ? Instant.distantFuture : end
                do throws(PeerTrouble) {
                    transaction.received(try await reply(to: step, until: limit))
                    outcome.peerAnswered = true
                } catch {
                    outcome.wasStale = !outcome.peerAnswered && error.reason == .connectionLost
                    Self.fail(&transaction, error)
                }
            case .sendMessage:
                await sendMessage(content, form, &transaction)
            case .finished:
                break
            }
        }
        connection.loop.setDeadline(connection.handle, .distantFuture)
        hasEnded()
        outcome.results = share.results(transaction.results)
        outcome.aftermath = transaction.aftermath
        return outcome
    }

    private static func fail(_ transaction: inout ClientTransaction, _ trouble: PeerTrouble) {
        if case .cancelled = trouble, transaction.step != .endOfData {
            transaction.abandoned(.stopping)
        } else if case .cancelled = trouble {
            // The dot was out and the time for stopping is over: the peer may have the message.
            transaction.connectionFailed(.connectionLost, text: "the relay stopped")
        } else {
            transaction.connectionFailed(trouble.reason, text: trouble.text)
        }
    }

    /// Sends header block, body and final dot. What can't be sent whole is not ended with a dot:
    /// the connection is closed instead, and the peer throws away what it got (RFC 5321 §4.1.1.4).
    private mutating func sendMessage(
        _ content: Content,
        _ form: OutgoingForm,
        _ transaction: inout ClientTransaction
    ) async {
        var bytes = OutgoingBytes(form)
        do throws(SendTrouble) {
            var parts = [try Self.outgoing(&bytes, content.header)]
            if case .memory(let body) = content.body {
                parts.append(try Self.outgoing(&bytes, body))
            } else {
                try await send(parts)
                parts = []
                var offset = 0
                while offset < content.body.byteCount {
                    let block = try await Self.read(content.body, at: offset)
                    offset += block.count
                    try await send([try Self.outgoing(&bytes, block)])
                }
            }
            guard let end = bytes.end() else { throw .unsendable }
            guard mayEnd() else { throw .stopping }
            parts += end
            transaction.finalDotSent()
            try await send(parts)
        } catch {
            switch error {
            case .peer(let trouble): Self.fail(&transaction, trouble)
            case .content(let problem):
                transaction.abandoned(
                    problem.isDamage ? .damaged : .spoolUnavailable,
                    text: problem.text
                )
            case .unsendable:
                transaction.abandoned(.damaged, text: "the stored message has a bare CR or LF")
            case .stopping: transaction.abandoned(.stopping)
            }
        }
    }

    private enum SendTrouble: Error {
        case peer(PeerTrouble)
        case content(ContentUnavailable)
        case unsendable
        case stopping
    }

    private static func outgoing(
        _ bytes: inout OutgoingBytes,
        _ run: Bytes
    ) throws(SendTrouble) -> Bytes {
        guard let outgoing = bytes.next(run) else { throw .unsendable }
        return outgoing
    }

    private static func read(
        _ body: Content.Body,
        at offset: Int
    ) async throws(SendTrouble) -> Bytes {
        do throws(ContentUnavailable) {
            return try await body.block(at: offset)
        } catch {
            throw .content(error)
        }
    }

    private mutating func send(_ parts: [Bytes]) async throws(SendTrouble) {
        // RFC 5321 §4.5.3.2.5: three minutes for each block.
        connection.setDeadline(connection.loop.now() + timeouts.dataBlock)
        do throws(IOFailure) {
            try await connection.send(parts)
        } catch {
            throw .peer(PeerTrouble(error))
        }
    }
}
