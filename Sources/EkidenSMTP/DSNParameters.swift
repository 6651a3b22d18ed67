// The parameters of DSN (RFC 3461 §4): RET and ENVID of MAIL, NOTIFY and ORCPT of RCPT, in their
// plain form and, for addresses beyond ASCII, that of RFC 6533 §3. Called by `MailParameters` and
// `ServerSession`. What passes here may stand in a report and be said to a next hop as it is.

import EkidenMail

enum DSNParameters {
    /// RFC 3461 §4.4.
    static let envelopeIDBytes = 100
    /// RFC 3461 §4.2.
    static let originalRecipientBytes = 500

    /// RFC 3461 §4.3.
    static func returned(_ value: String?) -> SenderDemands.Returned? {
        switch value?.asciiLowercased {
        case "full": .full
        case "hdrs": .headers
        default: nil
        }
    }

    /// RFC 3461 §4.4: xtext of printable characters.
    static func envelopeID(_ value: String?) -> String? {
        guard let value, (1...envelopeIDBytes).contains(value.utf8.count), isPrintableXtext(value)
        else { return nil }
        return value
    }

    /// RFC 3461 §4.1: `NEVER`, or a list of the others.
    static func notify(_ value: String?) -> NotifyWhen? {
        guard let value = value?.asciiLowercased else { return nil }
        if value == "never" { return [] }
        var when: NotifyWhen = []
        for word in value.split(separator: ",", omittingEmptySubsequences: false) {
            switch word {
            case "success": when.insert(.success)
            case "failure": when.insert(.failure)
            case "delay": when.insert(.delay)
            default: return nil
            }
        }
        return when
    }

    /// RFC 3461 §4.2: `addr-type;xtext`; of the type `utf-8` in the form of RFC 6533 §3, from which
    /// whatever came as UTF-8 is put into ASCII, so that every next hop can be told.
    static func originalRecipient(_ value: String?) -> String? {
        guard let value, value.utf8.count <= originalRecipientBytes,
            let semicolon = value.utf8.firstIndex(of: UInt8(ascii: ";"))
        else { return nil }
        let type = value[..<semicolon]
        let address = String(value[value.index(after: semicolon)...])
        guard !type.isEmpty, !address.isEmpty,
            type.utf8.allSatisfy({ GrammarScanner.isAlphanumeric($0) || $0 == 0x2d })
        else { return nil }
        if String(type).asciiLowercased == "utf-8" {
            guard let decoded = UTF8Xtext.decode(address) else { return nil }
            return type + ";" + UTF8Xtext.encode(decoded)
        }
        return isPrintableXtext(address) ? value : nil
    }

    private static func isPrintableXtext(_ text: String) -> Bool {
        guard let bytes = Grammar.decodeXtext(text) else { return false }
        return bytes.allSatisfy { (0x20...0x7e).contains($0) }
    }
}

extension RecipientDemands {
    /// - Parameters:
    ///   - given: the parameters of RCPT.
    ///   - isExtended: EHLO was said; after HELO there are no parameters (RFC 5321 §2.2.1).
    init(_ given: [ESMTPParameter], isExtended: Bool) throws(ParameterProblem) {
        self.init()
        if !given.isEmpty, !isExtended { throw .unknown("parameters need EHLO") }
        for parameter in given {
            switch parameter.keyword {
            case "NOTIFY":
                guard notify == nil, let value = DSNParameters.notify(parameter.value) else {
                    throw .malformed("NOTIFY must be NEVER or of SUCCESS,FAILURE,DELAY, once")
                }
                notify = value
            case "ORCPT":
                guard originalRecipient == nil,
                    let value = DSNParameters.originalRecipient(parameter.value)
                else { throw .malformed("ORCPT must be type;address in xtext, once") }
                originalRecipient = value
            default:
                throw .unknown("RCPT parameter not recognized")
            }
        }
    }
}

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
    package static func encode(_ address: String) -> String {
        var text = ""
        for scalar in address.unicodeScalars {
            let isPlain = (0x21...0x7e).contains(scalar.value)
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
