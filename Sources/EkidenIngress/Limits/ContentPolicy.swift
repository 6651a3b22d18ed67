import EkidenMail
import EkidenSMTP

/// What a listener asks of the content of messages; all of it is looked at while the bytes come in.
package struct ContentPolicy: Sendable, Equatable {
    /// Of a header block as the client sends it.
    package var headerBytes = Limits.headerBlockBytes
    /// Fields of a header block.
    package var headerFields = Limits.headerFields
    /// Of one field with its name, folds and line ends.
    package var headerFieldBytes = Limits.headerFieldBytes
    package var nuls = BodyReceiver.NULs.keep
    /// Bytes above 127 in the header of a message that did not ask for SMTPUTF8 (RFC 6532 §3) are
    /// refused.
    package var refusesEightBitHeaders = false

    package init() {}
}
