// xtext (RFC 3461 §4): how arbitrary text stands in an ESMTP parameter, `+` and `=` and what is not
// printable as `+` and two digits. Called for AUTH= of MAIL.

package enum XText {
    /// The bytes meant, or nil where the text is not xtext. The digits must be upper case.
    package static func decode(_ text: String) -> [UInt8]? {
        var out: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "+"):
                guard let high = rest.popFirst().flatMap(digit),
                    let low = rest.popFirst().flatMap(digit)
                else { return nil }
                out.append(high << 4 | low)
            case 0x21...0x7e where byte != UInt8(ascii: "="): out.append(byte)
            default: return nil
            }
        }
        return out
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x37
        default: nil
        }
    }
}
