// What may stand for a host. Names in the DNS may hold any byte; a name that mail is sent to may
// not, so that no odd byte of a stranger's zone reaches logs, reports or further questions.

import EkidenMail

package enum HostName {
    /// Lower case without a trailing dot; the root stays ".".
    package static func folded(_ name: String) -> String { Domain(name).folded }

    /// Letters, digits, hyphens (not at a label's ends: RFC 1123 §2.1) and underscores, which the
    /// host rules forbid and hosts in the wild have; labels of 1 to 63 bytes, at most 253 in all
    /// (RFC 1035 §2.3.4). The last label is not all digits: `192.0.2.1` in an MX record is an
    /// address where a name belongs (RFC 1123 §2.1, RFC 5321 §5.1).
    package static func isValid(_ name: String) -> Bool {
        let bytes = Array(name.utf8)
        guard (1...253).contains(bytes.count) else { return false }
        let labels = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard let last = labels.last, !last.allSatisfy(isDigit) else { return false }
        return labels.allSatisfy { label in
            (1...63).contains(label.count) && label.allSatisfy(isHostByte)
                && label.first != UInt8(ascii: "-") && label.last != UInt8(ascii: "-")
        }
    }

    /// Printable ASCII in labels of 1 to 63 bytes: no host's name perhaps, but one that can be asked
    /// for and shown.
    package static func isPlain(_ name: String) -> Bool {
        guard (1...253).contains(name.utf8.count) else { return false }
        return name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
            .allSatisfy { label in
                (1...63).contains(label.count)
                    && label.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "\\") }
            }
    }

    /// True when `name` is `zone` or lies below it.
    package static func isWithin(_ name: String, zone: String) -> Bool {
        zone == "." || name == zone || name.hasSuffix("." + zone)
    }

    /// `localhost` and names below it are this machine whatever a name server says
    /// (RFC 6761 §6.3).
    package static func isLocal(_ name: String) -> Bool { isWithin(name, zone: "localhost") }

    private static func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }

    private static func isHostByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: false
        }
    }
}
