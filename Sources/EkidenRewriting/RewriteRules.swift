// What the header rewriter is told, what it answers and what it may refuse. Ingress fills the
// rules in when DATA is accepted; the answers go to the spool with the message.

import EkidenMail

/// The facts of the Received field that the relay puts in front of every message it takes.
package struct ReceivedFacts: Sendable, Equatable {
    /// The client's EHLO or HELO argument; empty when it gave none.
    package var helo: String
    /// Where the client connected from; nil for mail the relay made itself (no `from` clause).
    package var client: HostAddress?
    /// The confirmed name of the client's host.
    package var clientName: String?
    /// Our own host name.
    package var byHost: String
    package var inboundProtocol: InboundProtocol
    /// SMTPUTF8 was asked for (RFC 6531 §4.3).
    package var smtpUTF8 = false
    /// Version and cipher of the TLS session it came over.
    package var tls: String?
    package var id: QueueID
    /// Set only when the message has exactly one recipient: a list would tell each of them who
    /// else got it (RFC 5321 §7.6).
    package var forRecipient: Address?
    package var date: WallTime

    package init(
        helo: String,
        client: HostAddress?,
        byHost: String,
        inboundProtocol: InboundProtocol,
        tls: String? = nil,
        id: QueueID,
        forRecipient: Address?,
        date: WallTime
    ) {
        self.helo = helo
        self.client = client
        self.byHost = byHost
        self.inboundProtocol = inboundProtocol
        self.tls = tls
        self.id = id
        self.forRecipient = forRecipient
        self.date = date
    }

    /// The facts as an envelope has them; `for` only if it has a single recipient.
    package init(envelope: Envelope, id: QueueID, byHost: String, date: WallTime) {
        let client = envelope.client
        self.init(
            helo: client.helo,
            client: client.inboundProtocol == .local ? nil : client.endpoint.address,
            byHost: byHost,
            inboundProtocol: client.inboundProtocol,
            tls: client.tls?.verdictText,
            id: id,
            forRecipient: envelope.recipients.count == 1 ? envelope.recipients[0] : nil,
            date: date
        )
        clientName = client.reverseName
        smtpUTF8 = envelope.demands.smtpUTF8
    }
}

/// What happens to one message's header.
package struct RewriteRules: Sendable, Equatable {
    package var received: ReceivedFacts
    /// Message-ID and Date are added where they are missing; for clients allowed to relay, never
    /// for mail we are only the gateway of (RFC 5321 §6.4). The id is made of the queue id and
    /// `received.byHost`.
    package var addsMissingFields: Bool
    /// Largest header section taken from the client, in bytes.
    package var headerBlockBytes: Int
    /// Most fields of a header section taken from the client.
    package var headerFields = Limits.headerFields
    /// Largest field, with its folds and line ends.
    package var headerFieldBytes = Limits.headerFieldBytes
    /// A message that comes with this many Received fields or more is in a loop.
    package var receivedFields: Int

    package init(
        received: ReceivedFacts,
        addsMissingFields: Bool,
        headerBlockBytes: Int = Limits.headerBlockBytes,
        receivedFields: Int = Limits.receivedFields
    ) {
        self.received = received
        self.addsMissingFields = addsMissingFields
        self.headerBlockBytes = headerBlockBytes
        self.receivedFields = receivedFields
    }
}

/// Why a message can't be taken because of its header. The rest of the data is read and dropped,
/// then `reply` is the answer to its final dot.
package enum HeaderProblem: Error, Sendable, Equatable {
    case tooLarge(limitBytes: Int)
    case tooManyFields(limit: Int)
    case fieldTooLarge(limitBytes: Int)
    case tooManyHops(limit: Int)

    package var reply: Reply {
        switch self {
        case .tooLarge(let limit):
            // RFC 3463 §3.4: X.3.4 message too big for system.
            Reply(552, EnhancedStatus(5, 3, 4), "header larger than \(limit) bytes")
        case .tooManyFields(let limit):
            Reply(552, EnhancedStatus(5, 3, 4), "header has more than \(limit) fields")
        case .fieldTooLarge(let limit):
            Reply(552, EnhancedStatus(5, 3, 4), "a header field is larger than \(limit) bytes")
        case .tooManyHops(let limit):
            // RFC 5321 §6.3; RFC 3463 §3.5: X.4.6 routing loop detected.
            Reply(
                554,
                EnhancedStatus(5, 4, 6),
                "mail loop: the message has \(limit) Received fields or more"
            )
        }
    }

    /// The rule's name in the log.
    package var rule: String {
        switch self {
        case .tooLarge: "header-size"
        case .tooManyFields: "header-fields"
        case .fieldTooLarge: "header-field-size"
        case .tooManyHops: "mail-loop"
        }
    }
}

/// What was seen in the header as the client sent it.
package struct HeaderFindings: Sendable, Equatable {
    /// How the header section ended.
    package enum End: Sendable, Equatable {
        case emptyLine
        /// The message ended first; it has no body.
        case endOfMessage
        /// At a line that can't belong to a header; it and all after it are body.
        case strayLine
    }

    /// Text of the first Message-ID field, unfolded and trimmed, at most
    /// `HeaderRewriter.messageIDBytes`; of the one added when there was none. Empty if the message
    /// goes without.
    package var messageID = ""
    package var hadMessageID = false
    package var hadDate = false
    /// `TLS-Required: No` (RFC 8689 §3).
    package var waivesTLS = false
    /// Received fields before ours.
    package var receivedFields = 0
    /// Bcc, Resent-Bcc and Return-Path fields taken out.
    package var removedFields = 0
    package var end = End.endOfMessage

    package init() {}
}

/// A header as it is stored and sent.
package struct RewrittenHeader: Sendable {
    /// The header block with the empty line that ends it; without one only when the message ended
    /// within its header.
    package let block: Bytes
    /// Bytes that were taken for header and turned out to be the first ones of the body; usually
    /// empty. They come before anything `append` did not consume.
    package let bodyStart: Bytes
    package let findings: HeaderFindings
    /// Facts of `block` alone; the body's are the receiver's to add.
    package let facts: MessageFacts
}
