// Messages in chunks (BDAT, RFC 3030 §2): the octets of each chunk go from the connection through
// `BodyReceiver` into the intake, as those of DATA do, and what was announced is read to the last
// octet whatever becomes of it. Between chunks the message waits in the session; whatever ends its
// transaction, the end of the connection included, abandons it.

import EkidenMail
import EkidenRuntime
import EkidenSMTP

/// A message of which some chunks came. An object, so that sessions without one have no room for it.
final class ChunkedMessage {
    let intake: any MessageIntake
    let envelope: Envelope
    var receiver: BodyReceiver
    /// When its last octet must be here.
    let end: Instant

    init(
        intake: any MessageIntake,
        envelope: Envelope,
        receiver: BodyReceiver,
        end: Instant
    ) {
        self.intake = intake
        self.envelope = envelope
        self.receiver = receiver
        self.end = end
    }
}

extension IngressSession {
    /// Receives the chunk the session asked for.
    /// - Returns: the effect that answers it. Errors: the connection broke; then nothing was taken.
    mutating func receive(_ chunk: Chunk) async throws(IOFailure) -> ServerEffect {
        do throws(IntakeRefusal) {
            if chunked == nil { chunked = try beginChunks() }
        } catch {
            // RFC 3030 §2: even a full disk is reported after the octets were read.
            let about = RefusalSubject(nil, envelope())
            try await drop(chunk.octets)
            refused = about
            return session.chunkRefused(error.reply, rule: error.rule)
        }
        let refusal = try await read(chunk)
        guard let message = chunked.take() else { preconditionFailure("the message is gone") }
        if let refusal {
            await message.intake.abandon()
            refused = RefusalSubject(message.intake.id, message.envelope)
            return session.chunkRefused(refusal.reply, rule: refusal.rule)
        }
        if chunk.isLast {
            noteMended(message.receiver, message.intake.id)
            return await finish(message.intake, message.receiver.facts, message.envelope)
        }
        chunked = message
        return session.chunkTaken()
    }

    @inline(never)
    private func beginChunks() throws(IntakeRefusal) -> ChunkedMessage {
        let envelope = envelope()
        return ChunkedMessage(
            intake: try beginIntake(envelope),
            envelope: envelope,
            receiver: makeReceiver(.counted),
            end: connection.loop.turnTime + policy.timeouts.message
        )
    }

    /// Reads the octets of a chunk into `chunked`, all of them even when the message can't be taken;
    /// its refusal is returned.
    private mutating func read(_ chunk: Chunk) async throws(IOFailure) -> IntakeRefusal? {
        guard let message = chunked else { return nil }
        var refusal: IntakeRefusal?
        var left = chunk.octets
        var run = MessageRun()
        while left > 0 {
            try await waitForOctets(until: message.end)
            let piece = UnsafeRawBufferPointer(rebasing: connection.unread.prefix(left))
            _ = message.receiver.receive(piece, into: &run)
            if refusal == nil { refusal = await Self.append(run.pointer, to: message) }
            // The run was a part of them.
            connection.consume(piece.count)
            left -= piece.count
            run.removeAll()
        }
        if chunk.isLast {
            message.receiver.end(into: &run)
            if refusal == nil { refusal = await Self.append(run.pointer, to: message) }
        }
        if let problem = message.receiver.problem {
            return IntakeRefusal(problem.reply, rule: problem.rule.rawValue)
        }
        return refusal
    }

    private static func append(
        _ run: UnsafeRawBufferPointer,
        to message: ChunkedMessage
    ) async -> IntakeRefusal? {
        if run.isEmpty { return nil }
        do throws(IntakeRefusal) {
            if let first = try await message.intake.append(run) {
                message.receiver.bodyBegins(with: first)
            }
            return nil
        } catch {
            return error
        }
    }

    /// Reads so many octets and forgets them.
    mutating func drop(_ octets: Int) async throws(IOFailure) {
        let end = connection.loop.turnTime + terms.policy.timeouts.message
        var left = octets
        while left > 0 {
            try await waitForOctets(until: end)
            let count = min(left, connection.unread.count)
            connection.consume(count)
            left -= count
        }
    }

    private mutating func waitForOctets(until end: Instant) async throws(IOFailure) {
        while connection.unread.isEmpty {
            // RFC 5321 §4.5.3.2.5 for the block; and a slow drip has an end, too.
            let block = connection.loop.turnTime + terms.policy.timeouts.dataBlock
            connection.setDeadline(min(block, end))
            guard try await connection.fill() else { throw .lost }
        }
    }

    /// Forgets a message of which not all chunks came.
    mutating func abandonChunks() async {
        if let message = chunked.take() { await message.intake.abandon() }
    }
}
