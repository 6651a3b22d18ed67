// What ingress asks of the house behind it. The composition satisfies these with header rewriting
// and the spool; ingress knows neither.

import EkidenMail
import EkidenRuntime
import EkidenSMTP

/// A message was not taken: what to answer, and the name of the rule that decided.
package struct IntakeRefusal: Error, Sendable, Equatable {
    package let reply: Reply
    package let rule: String

    package init(_ reply: Reply, rule: String) {
        self.reply = reply
        self.rule = rule
    }
}

/// Takes messages in.
package protocol IngressDoor: Sendable {
    /// Room for a message of that declared size (0: not declared)? Cheap; asked at MAIL and DATA.
    func admit(byteCount: Int) throws(IntakeRefusal)

    /// The name the DNS has for a client. Ends at `deadline` with `unknown`.
    func reverseName(
        of client: HostAddress,
        on loop: Loop,
        until deadline: Instant
    ) async -> ReverseFinding

    /// Begins a message whose envelope is complete; its bytes follow.
    func begin(
        _ envelope: Envelope,
        _ rules: IntakeRules
    ) throws(IntakeRefusal)
        -> any MessageIntake
}

/// What a listener's policy says about the messages it takes.
package struct IntakeRules: Sendable, Equatable {
    /// The client is one we relay for, so that missing Date and Message-ID fields are ours to add
    /// (RFC 6409 §8.1).
    package var mayComplete: Bool
    /// A message that comes with so many Received fields is in a loop (RFC 5321 §6.3).
    package var receivedFields: Int
    package var content: ContentPolicy

    package init(
        mayComplete: Bool,
        receivedFields: Int,
        content: ContentPolicy = ContentPolicy()
    ) {
        self.mayComplete = mayComplete
        self.receivedFields = receivedFields
        self.content = content
    }
}

/// One message on its way in, at home on the connection's loop. Either `finish` or `abandon` ends
/// it; a message that is neither is nowhere.
package protocol MessageIntake: AnyObject {
    var id: QueueID { get }

    /// Message bytes: CRLF lines, not dot-stuffed, in any fragments.
    /// - Returns: when the header block ended within these bytes, the facts of what came behind it;
    ///   whoever receives the body counts on from them.
    func append(_ bytes: UnsafeRawBufferPointer) async throws(IntakeRefusal) -> FactsGatherer?

    /// Returns when the message is on stable storage: from here on it is ours (RFC 5321 §6.1).
    /// - Parameter body: the facts of the body, if the header block has ended.
    func finish(body: FactsGatherer) async throws(IntakeRefusal) -> AcceptedMessage

    /// Forgets what was written so far.
    func abandon() async
}

/// What the log says of a message that was taken in.
package struct AcceptedMessage: Sendable, Equatable {
    package let byteCount: Int
    /// Content of its Message-ID field; empty without one.
    package let messageID: String

    package init(byteCount: Int, messageID: String) {
        self.byteCount = byteCount
        self.messageID = messageID
    }
}
