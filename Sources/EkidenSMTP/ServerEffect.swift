// What a step of `ServerSession` asks of its driver: the closed set of things that can follow a
// command. Compared by equality in tests.

import EkidenMail

/// What the driver does next.
package enum ServerEffect: Sendable, Equatable {
    case reply(Reply)
    /// A refusal by the named rule: send the reply, log the refusal, go on.
    case reject(Reply, rule: String)
    /// Send the reply and close. `rule` is nil where the client asked for it (QUIT).
    case close(Reply, rule: String?)
    /// Ask whoever knows the users; then `loginKeys` (to `.keys` alone), `loginAccepted`,
    /// `loginRefused` or `loginUnavailable`.
    case askLogin(LoginQuestion, SASLMechanism)
    /// Ask policy about `helo`; then `helloAccepted` or `helloRefused`. Only where the settings
    /// say that it is asked.
    case askHello
    /// Ask policy; then `senderAccepted` or `senderRefused`.
    case askSender(MailParameters)
    /// Ask policy; then `recipientAccepted` or `recipientRefused`.
    case askRecipient(RecipientPath)
    /// Believe what a peer says of its client; then `overridden`.
    case becomeClient(ClientOverride)
    /// Send the reply (220), shake hands; then `secured`, or close.
    case startTLS(Reply)
    /// Read exactly these octets into the message; then `chunkTaken` (for the last chunk
    /// `messageAccepted`) or `chunkRefused`.
    case receiveChunk(Chunk)
    /// Read so many octets and drop them; then `chunkDropped`.
    case dropChunk(octets: Int)
    /// Send the reply (354), receive the message; then `messageAccepted` or `messageRefused`.
    case startData(Reply)
}
