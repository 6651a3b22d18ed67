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
