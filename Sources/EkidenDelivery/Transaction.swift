// One transaction with one host: a thin driver around `ClientTransaction`. It writes what the value
// says, sends header block and body as they are stored, and hears every reply out.

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
    /// Bytes of a stored body read and sent at a time.
    private static let blockBytes = 262_144

    mutating func transact(
        _ job: DeliveryJob,
        _ recipients: [JobRecipient],
        _ content: Content,
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
        var transaction = ClientTransaction(
            sender: job.sender,
            recipients: recipients.map(\.address),
            demands: content.demands,
            recipientDemands: content.demands.recipients.isEmpty
                ? [] : recipients.map { content.demands.of($0.index) },
            byteCount: content.byteCount,
            facts: content.facts,
            extensions: extensions,
            host: host,
            mayRequireTLS: mayRequireTLS,
            speaksLMTP: exchange.speaksLMTP
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
                await sendMessage(content, &transaction)
            case .finished:
                break
            }
        }
        connection.loop.setDeadline(connection.handle, .distantFuture)
        hasEnded()
        outcome.results = transaction.results
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
        _ transaction: inout ClientTransaction
    ) async {
        var stuffer = DotStuffer(facts: content.facts)
        do throws(SendTrouble) {
            var parts = [try Self.stuff(&stuffer, content.header)]
            switch content.body {
            case .memory(let body):
                parts.append(try Self.stuff(&stuffer, body))
            case .stored(let reader, let byteCount):
                try await send(parts)
                parts = []
                var offset = 0
                while offset < byteCount {
                    let block = try await Self.read(reader, offset, byteCount)
                    offset += block.count
                    try await send([try Self.stuff(&stuffer, block)])
                }
            }
            guard let dot = stuffer.finalDot else { throw .unsendable }
            guard mayEnd() else { throw .stopping }
            parts.append(dot)
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

    private static func stuff(
        _ stuffer: inout DotStuffer,
        _ run: Bytes
    ) throws(SendTrouble)
        -> Bytes
    {
        guard let stuffed = stuffer.stuff(run) else { throw .unsendable }
        return stuffed
    }

    private static func read(
        _ reader: any BodyReader,
        _ offset: Int,
        _ byteCount: Int
    )
        async throws(SendTrouble) -> Bytes
    {
        do throws(ContentUnavailable) {
            let block = try await reader.read(
                at: offset,
                count: min(blockBytes, byteCount - offset)
            )
            if block.isEmpty {
                throw ContentUnavailable("the stored body is too short", isDamage: true)
            }
            return block
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
