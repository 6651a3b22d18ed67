/// Bounds that are law or house rule rather than settings, each with its unit in its name and its
/// source beside it. What an operator may change is in EkidenConfiguration's schema.
package enum Limits {
    /// A command line with its CRLF. RFC 5321 §4.5.3.1.4 asks for at least 512; extensions add to
    /// it (SIZE, BODY: RFC 1870 §3, RFC 6152 §2), so there is room.
    package static let commandLineBytes = 2048
    /// A response within AUTH with its CRLF. RFC 4954 §4: at least 12288 octets.
    package static let authLineBytes = 12_288 + 2
    /// RFC 5321 §4.5.3.1.1.
    package static let localPartBytes = 64
    /// RFC 5321 §4.5.3.1.2.
    package static let domainBytes = 255
    /// RFC 5321 §4.5.3.1.3: a path with its angle brackets.
    package static let pathBytes = 256
    /// Text lines without CRLF that pass unchanged. RFC 5321 §4.5.3.1.6 asks for 998; mail in the
    /// wild has longer ones, and folding them would break signatures, so longer ones are refused.
    package static let textLineBytes = 65_536
    /// What a BDAT may announce. Larger chunks than messages may be are read and dropped (RFC 3030
    /// §2); what nobody could want to send is taken for a mistake.
    package static let chunkBytes = 4_294_967_295
    /// A header block held while it is rewritten.
    package static let headerBlockBytes = 1_048_576
    /// Fields of a header block, unless a listener has it otherwise: far more than mail has.
    package static let headerFields = 2000
    /// One field of a header block, unless a listener has it otherwise: a To field with some
    /// thousand addresses.
    package static let headerFieldBytes = 262_144
    /// RFC 5321 §6.3: "large enough"; 100 Received fields are a loop.
    package static let receivedFields = 100
    /// One line of a peer's reply. RFC 5321 §4.5.3.1.5 says 512; peers exceed it.
    package static let replyLineBytes = 4096
    /// Lines of one reply that are kept; further ones are read and dropped.
    package static let replyLinesKept = 20
    /// Lines of one reply after which the peer is taken to be endless.
    package static let replyLines = 1000
    /// Bytes of a message body kept in memory; larger bodies stream to their own file (docs/SPOOL.md).
    package static let memoryBodyBytes = 262_144
    /// Characters of a peer's words kept in marks, logs and reports.
    package static let wordsBytes = 1024
}
