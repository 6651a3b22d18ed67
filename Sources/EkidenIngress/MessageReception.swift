// The data phase: bytes go from the connection through `BodyReceiver` into the intake, and no reply
// but 354 is given until the message is durable or refused. While it runs, no byte meets the
// command parser.

import EkidenMail
import EkidenRuntime
import EkidenSMTP

extension IngressSession {
    /// Receives one message after DATA.
    /// - Returns: the effect that answers it. Errors: the connection broke; then nothing was taken.
    mutating func receiveMessage(goAhead: Reply) async throws(IOFailure) -> ServerEffect {
        let envelope = envelope()
        let intake: any MessageIntake
        do throws(IntakeRefusal) {
            intake = try beginIntake(envelope)
        } catch {
            // Instead of 354: the client sends no message (RFC 5321 §4.1.1.4).
            refused = RefusalSubject(nil, envelope)
            let effect = session.messageRefused(error.reply, rule: error.rule)
            // What came with it is a message that must not be read as commands (RFC 2920 §3.1).
            if connection.unread.isEmpty { return effect }
            return .close(error.reply, rule: error.rule)
        }
        queue(goAhead)
        let received: Result<FactsGatherer, IntakeRefusal>
        do throws(IOFailure) {
            received = try await receive(into: intake)
        } catch {
            await intake.abandon()
            throw error
        }
        switch received {
        case .success(let body):
            return await finish(intake, body, envelope)
        case .failure(let refusal):
            await intake.abandon()
            refused = RefusalSubject(intake.id, envelope)
            return session.messageRefused(refusal.reply, rule: refusal.rule)
        }
    }

    /// The envelope of the open transaction.
    @inline(never)
    func envelope() -> Envelope {
        guard let transaction = session.transaction else {
            preconditionFailure("a message without a transaction")
        }
        return Envelope(
            sender: transaction.mail.sender,
            recipients: transaction.recipients,
            body: transaction.mail.body,
            client: client,
            arrived: connection.loop.wallNow(),
            demands: transaction.demands
        )
    }

    @inline(never)
    func beginIntake(_ envelope: Envelope) throws(IntakeRefusal) -> any MessageIntake {
        let rules = IntakeRules(
            mayComplete: mayRelay,
            receivedFields: policy.receivedFields,
            content: policy.content
        )
        try door.admit(byteCount: session.transaction?.mail.declaredBytes ?? 0)
        return try door.begin(envelope, rules)
    }

    @inline(never)
    func makeReceiver(_ framing: BodyReceiver.Framing) -> BodyReceiver {
        BodyReceiver(
            framing: framing,
            newlines: policy.isLenient(client.endpoint.address) ? .lenient : .strict,
            nuls: policy.content.nuls,
            sizeLimitBytes: policy.session.messageBytes
        )
    }

    /// Reads to the final dot. A message that can't be taken is read to its end all the same, for
    /// the reply has its place after the dot; its refusal is returned, else the body's facts.
    private mutating func receive(
        into intake: any MessageIntake
    ) async throws(IOFailure)
        -> Result<FactsGatherer, IntakeRefusal>
    {
        var receiver = makeReceiver(.dotStuffed)
        var refusal: IntakeRefusal?
        let end = connection.loop.turnTime + terms.policy.timeouts.message
        var run = MessageRun()
        while true {
            let taken = receiver.receive(connection.unread, into: &run)
            if refusal == nil, !run.isEmpty {
                do throws(IntakeRefusal) {
                    if let first = try await intake.append(run.pointer) {
                        receiver.bodyBegins(with: first)
                    }
                } catch {
                    refusal = error
                }
            }
            // The run was a part of them.
            connection.consume(taken)
            run.removeAll()
            if receiver.isFinished { break }
            // RFC 5321 §4.5.3.2.5 for the block; and a slow drip has an end, too.
            let block = connection.loop.turnTime + terms.policy.timeouts.dataBlock
            connection.setDeadline(min(block, end))
            guard try await connection.fill() else { throw .lost }
        }
        if let problem = receiver.problem {
            return .failure(IntakeRefusal(problem.reply, rule: problem.rule.rawValue))
        }
        noteMended(receiver, intake.id)
        return refusal.map { .failure($0) } ?? .success(receiver.facts)
    }

    /// Says in the log that a message was changed: a lenient network's newlines, NULs left out.
    @inline(never)
    func noteMended(_ receiver: BodyReceiver, _ id: QueueID) {
        let address = client.endpoint.address.text
        if receiver.bareNewlines > 0 {
            let count = receiver.bareNewlines
            note("made \(count) bare CR or LF of \(address) CRLF (lenient_for)", id)
        }
        if receiver.nulls > 0 {
            note("left \(receiver.nulls) NULs out of what \(address) sent (nul)", id)
        }
    }

    private func note(_ text: String, _ id: QueueID) {
        events.emit(
            .notice(.init(.info, "listener", text, id: id)),
            at: connection.loop.wallNow()
        )
    }

    /// Makes the message durable; then, and only then, says 250 (RFC 5321 §6.1).
    @inline(never)
    mutating func finish(
        _ intake: any MessageIntake,
        _ body: FactsGatherer,
        _ envelope: Envelope
    ) async
        -> ServerEffect
    {
        do throws(IntakeRefusal) {
            log(try await intake.finish(body: body), as: intake.id, envelope)
            return session.messageAccepted(.queued(as: intake.id))
        } catch {
            await intake.abandon()
            refused = RefusalSubject(intake.id, envelope)
            return session.messageRefused(error.reply, rule: error.rule)
        }
    }

    @inline(never)
    private func log(_ accepted: AcceptedMessage, as id: QueueID, _ envelope: Envelope) {
        events.emit(
            .accepted(
                .init(
                    id: id,
                    sender: envelope.sender,
                    recipients: envelope.recipients,
                    byteCount: accepted.byteCount,
                    client: client,
                    messageID: accepted.messageID,
                    took: connection.loop.now() - transactionBegan
                )
            ),
            at: connection.loop.wallNow()
        )
    }
}
