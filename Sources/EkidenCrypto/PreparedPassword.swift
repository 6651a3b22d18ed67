// A password or user name as it is hashed and compared: SASLprep (RFC 4013) as far as it goes
// without tables of normalisation. Called wherever a secret enters: by the mechanisms and by
// `ekiden user`, so that both sides do the same.
//
// Done: UTF-8, characters mapped to nothing (RFC 3454 B.1), other spaces to U+0020 (C.1.2), control
// characters, private use, noncharacters and the rest of C.2 to C.9 refused. Not done:
// normalisation (NFKC) and the check of mixed directions (RFC 3454 §6); a password outside ASCII is
// the one that was typed, and must come in the same form.

package enum PreparedPassword {
    /// Bytes of a password or name; longer ones are refused unread.
    package static let byteCountMax = 1024

    /// nil: empty, too long, not UTF-8, or with a character that no password may have.
    package static func prepare(_ bytes: some Collection<UInt8>) -> [UInt8]? {
        guard !bytes.isEmpty, bytes.count <= byteCountMax else { return nil }
        if bytes.allSatisfy({ $0 >= 0x20 && $0 < 0x7f }) { return Array(bytes) }
        guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
        var out: [UInt8] = []
        out.reserveCapacity(bytes.count)
        for scalar in text.unicodeScalars {
            switch scalar.value {
            // RFC 3454 B.1
            case 0xad, 0x34f, 0x1806, 0x180b...0x180d, 0x200c, 0x200d, 0x2060, 0xfe00...0xfe0f,
                0xfeff:
                continue
            // RFC 3454 C.1.2
            case 0xa0, 0x1680, 0x2000...0x200b, 0x202f, 0x205f, 0x3000:
                out.append(0x20)
            case _ where isProhibited(scalar.value):
                return nil
            default:
                out.append(contentsOf: UTF8.encode(scalar).map { Array($0) } ?? [])
            }
        }
        return out.isEmpty ? nil : out
    }

    /// RFC 4013 §2.3: tables C.2.1, C.2.2, C.3, C.4, C.6, C.7, C.8 and C.9 of RFC 3454. (C.5,
    /// surrogates, is no UTF-8.)
    private static func isProhibited(_ value: UInt32) -> Bool {
        switch value {
        case 0...0x1f, 0x7f...0x9f, 0x6dd, 0x70f, 0x180e, 0x2028, 0x2029, 0x2061...0x2063,
            0x206a...0x206f, 0xfff9...0xfffd, 0x1d173...0x1d17a:
            true
        case 0xe000...0xf8ff, 0xf0000...0x10ffff: true
        case 0xfdd0...0xfdef, 0x2ff0...0x2ffb: true
        case 0x340, 0x341, 0x200e, 0x200f, 0x202a...0x202e: true
        case 0xe0001, 0xe0020...0xe007f: true
        default: value & 0xfffe == 0xfffe
        }
    }
}
