// Addresses beyond ASCII where only ASCII may stand (RFC 6533 §3): in ORCPT, and in the status part of
// a report. Called by the protocol and by report writing.

/// `utf-8-addr-xtext` and `utf-8-addr-unitext` of RFC 6533 §3: characters beyond ASCII, and those
/// that xtext minds, as `\x{20AC}`.
package enum UTF8Xtext {
    /// The address; nil when malformed, or when it holds a control character.
    package static func decode(_ text: String) -> String? {
        var scalars = String.UnicodeScalarView()
        var rest = Substring(text).unicodeScalars
        while let scalar = rest.popFirst() {
            switch scalar {
            case "\\":
                guard let decoded = embedded(&rest) else { return nil }
                scalars.append(decoded)
            case "+", "=": return nil
            case _ where scalar.value <= 0x20 || (0x7f...0x9f).contains(scalar.value): return nil
            default: scalars.append(scalar)
            }
        }
        return String(scalars)
    }

    /// `x{`, two to six upper-case hexadecimal digits, `}`.
    private static func embedded(_ rest: inout Substring.UnicodeScalarView) -> Unicode.Scalar? {
        guard rest.popFirst() == "x", rest.popFirst() == "{" else { return nil }
        var value: UInt32 = 0
        var digits = 0
        while let scalar = rest.popFirst() {
            switch scalar {
            case "}":
                guard (2...6).contains(digits), value > 0x1f, !(0x7f...0x9f).contains(value)
                else { return nil }
                return Unicode.Scalar(value)
            case "0"..."9": value = value << 4 | (scalar.value - 0x30)
            case "A"..."F": value = value << 4 | (scalar.value - 0x41 + 10)
            default: return nil
            }
            digits += 1
            if digits > 6 { return nil }
        }
        return nil
    }

    /// In ASCII, whatever it holds.
    /// - Parameter keepsUnicode: characters beyond ASCII stay (utf-8-addr-unitext), but for controls.
    package static func encode(_ address: String, keepsUnicode: Bool = false) -> String {
        var text = ""
        for scalar in address.unicodeScalars {
            let isPlain =
                (0x21...0x7e).contains(scalar.value) || keepsUnicode && scalar.value > 0x9f
            if isPlain, scalar != "\\", scalar != "+", scalar != "=" {
                text.unicodeScalars.append(scalar)
            } else {
                let hex = String(scalar.value, radix: 16, uppercase: true)
                text += "\\x{" + (hex.utf8.count < 2 ? "0" : "") + hex + "}"
            }
        }
        return text
    }
}
