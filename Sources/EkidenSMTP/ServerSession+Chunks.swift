// Messages in chunks (CHUNKING, RFC 3030 §2) as the server's session sees them: which BDAT may come
// when, and what follows one that may not. Whatever becomes of a BDAT, the octets it announced are
// read before anything else is; where they can't be counted the session ends, so that none of them
// is ever taken for a command.

import EkidenMail

/// What BDAT announced.
package struct Chunk: Sendable, Equatable {
    /// Octets behind the command line.
    package let octets: Int
    package let isLast: Bool
}

/// The answer to a chunk that is dropped.
package struct ChunkRefusal: Sendable, Equatable {
    fileprivate let reply: Reply
    fileprivate let rule: ServerRule
    /// Said of chunks that were under way when an earlier one was refused; no error of the client's.
    fileprivate var isConsequence = false
}

extension ServerSession {
    /// A message is coming in chunks: what the driver has of it is still wanted.
    package var isReceivingChunks: Bool {
        switch phase {
        case .chunk, .chunks: true
        default: false
        }
    }

    /// The driver has a whole message, or the last of it.
    var isEndOfMessage: Bool {
        switch phase {
        case .data: true
        case .chunk(_, let chunk): chunk.isLast
        default: false
        }
    }

    mutating func chunk(_ argument: GrammarScanner) -> ServerEffect {
        var argument = argument
        guard let chunk = argument.chunk() else {
            // Whatever comes next may be octets of a message.
            let text = "BDAT needs a size in octets, then LAST or nothing; closing"
            return close(Reply(501, EnhancedStatus(5, 5, 4), text), .syntax)
        }
        switch phase {
        case _ where settings.requiresTLS && security == nil:
            return drop(chunk, ChunkRefusal(reply: .needsTLS, rule: .needsTLS), next: phase)
        case _ where !isExtended:
            return drop(chunk, order("say EHLO first"), next: phase)
        case .transaction(let open) where open.recipients.isEmpty:
            let reply = Reply(554, EnhancedStatus(5, 5, 1), "no valid recipients; say RSET")
            return drop(
                chunk,
                ChunkRefusal(reply: reply, rule: .noRecipients),
                next: .failedChunks(open)
            )
        case .transaction(let open), .chunks(let open):
            // A message may have any number of chunks, but not of empty ones.
            if chunk.octets > 0 { commands -= 1 }
            phase = .chunk(open, chunk)
            return .receiveChunk(chunk)
        case .failedChunks:
            // RFC 3030 §2: further chunks may be in the pipeline already.
            var refusal = order("an earlier chunk was refused; say RSET")
            refusal.isConsequence = true
            return drop(chunk, refusal, next: phase)
        default:
            return drop(chunk, order("say MAIL and RCPT first"), next: phase)
        }
    }

    private func order(_ text: String) -> ChunkRefusal {
        ChunkRefusal(reply: Reply(503, EnhancedStatus(5, 5, 1), text), rule: .commandOrder)
    }

    private mutating func drop(
        _ chunk: Chunk,
        _ refusal: ChunkRefusal,
        next: Phase
    ) -> ServerEffect {
        phase = .droppingChunk(refusal, next: next)
        return .dropChunk(octets: chunk.octets)
    }

    // MARK: The driver's answers

    /// The octets were read; the chunk was not the last.
    package mutating func chunkTaken() -> ServerEffect {
        guard case .chunk(let open, let chunk) = phase, !chunk.isLast else {
            preconditionFailure("no chunk was being received")
        }
        phase = .chunks(open)
        return .reply(Reply(250, EnhancedStatus(2, 0, 0), "\(chunk.octets) octets received"))
    }

    /// The octets were read, and the message can't be taken. After the last chunk the transaction
    /// is over, as after DATA; before it the client has to say so (RFC 3030 §2).
    package mutating func chunkRefused(_ reply: Reply, rule: String) -> ServerEffect {
        guard case .chunk(let open, let chunk) = phase else {
            preconditionFailure("no chunk was being received")
        }
        phase = chunk.isLast ? .ready : .failedChunks(open)
        return reject(reply, rule)
    }

    /// The octets of a refused chunk were read and dropped.
    package mutating func chunkDropped() -> ServerEffect {
        guard case .droppingChunk(let refusal, let next) = phase else {
            preconditionFailure("no chunk was being dropped")
        }
        phase = next
        if refusal.isConsequence { return .reject(refusal.reply, rule: refusal.rule.rawValue) }
        return reject(refusal.reply, refusal.rule.rawValue)
    }
}
