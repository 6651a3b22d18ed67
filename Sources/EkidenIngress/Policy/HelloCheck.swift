// What a client calls itself in EHLO or HELO, checked against what can't be true. Off by default:
// RFC 5321 §4.1.4 wants no mail refused for a name that does not verify, and this goes beyond it as
// far as an operator asks. Pure; asked by the rules of a listener.

import EkidenMail
import EkidenSMTP

package enum HelloCheck: String, Sendable, Equatable {
    case off
    case strict
}

/// What is wrong with a name; the words are the log's.
enum HelloComplaint: String {
    /// A word without a dot, or no name at all.
    case noFullName = "helo-no-full-name"
    /// An address literal of another address than the client's.
    case foreignAddress = "helo-foreign-address"
    /// A name of this relay, from somebody else.
    case ownName = "helo-own-name"

    init?(_ name: String, of client: HostAddress, ownNames: [String], isOwnAddress: Bool) {
        if name.utf8.first == UInt8(ascii: "[") {
            // The grammar let addresses through, with or without the tag of RFC 5321 §4.1.3.
            let inner = name.asciiLowercased.dropFirst().dropLast()
            let literal = HostAddress(inner.hasPrefix("ipv6:") ? inner.dropFirst(5) : inner)
            guard literal != client else { return nil }
            self = .foreignAddress
            return
        }
        let folded = Domain(name).folded
        if !Grammar.isDomain(folded) || !folded.contains(".") || HostAddress(folded) != nil {
            self = .noFullName
        } else if ownNames.contains(folded), !isOwnAddress {
            self = .ownName
        } else {
            return nil
        }
    }

    var words: String {
        switch self {
        case .noFullName: "is no full host name; give one such as host.example.org, or your address"
        case .foreignAddress: "is not your address; give your host name"
        case .ownName: "is this relay's own name; give yours"
        }
    }
}
