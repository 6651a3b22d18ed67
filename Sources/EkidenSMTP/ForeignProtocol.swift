// Clients of other protocols at the mail port: browsers made to post a form whose lines are SMTP
// commands (the cross-protocol attack), scanners, and mail clients that begin TLS where the port
// begins in plain text. Found at the start of a command, before its line has ended; nothing they
// send is read as a command after that. Asked by `CommandLineReader` and `ServerSession`.

import EkidenMail

package enum ForeignProtocol: Sendable, Equatable {
    case http
    /// A TLS handshake in the place of a command.
    case tls

    /// Request methods (RFC 9110 §9, RFC 5789; PRI is the preface of HTTP/2, RFC 9113 §3.4) and the
    /// header fields that follow them, should the request itself have come some other way.
    private static let httpWords: [StaticString] = [
        "GET", "POST", "PUT", "HEAD", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PRI",
        "HOST:", "USER-AGENT:", "CONTENT-TYPE:", "CONTENT-LENGTH:",
    ]
    private static let httpWordBytesMax = 15

    /// That word is none of SMTP's but one that HTTP begins its lines with.
    static func isHTTP(word: UnsafeRawBufferPointer) -> Bool {
        httpWords.contains { Verb.isSame($0, word) }
    }

    /// What the first bytes of a line give away, whether its end has come or not; nil while it may
    /// be a command.
    static func find(atStartOf line: UnsafeRawBufferPointer) -> ForeignProtocol? {
        // RFC 8446 §5.1: a record's type (22, handshake) and its legacy version (3.x).
        if line.count >= 2, line[0] == 0x16, line[1] == 0x03 { return .tls }
        guard let end = line.prefix(httpWordBytesMax + 1).firstIndex(of: 0x20) else { return nil }
        return isHTTP(word: UnsafeRawBufferPointer(rebasing: line[..<end])) ? .http : nil
    }
}

extension ServerSession {
    /// Ends the session with one reply: whatever comes behind such a line is no mail client's.
    mutating func close(on foreign: ForeignProtocol) -> ServerEffect {
        let (text, rule): (String, ServerRule) =
            switch foreign {
            case .http: ("this is a mail server and speaks no HTTP; closing", .httpOnSMTP)
            case .tls where security != nil:
                ("TLS within TLS is not spoken here; closing", .tlsOnSMTP)
            case .tls:
                (
                    "this port begins in plain text; use "
                        + (settings.offersTLS ? "STARTTLS, or " : "")
                        + "a submissions port (465) for TLS from the first byte; closing",
                    .tlsOnSMTP
                )
            }
        // RFC 5321 §3.8: 421 is what a server may say before it closes, whatever came.
        return close(Reply(421, EnhancedStatus(4, 7, 0), text), rule)
    }
}
