// The parameters of MAIL: SIZE (RFC 1870 §3, §6), BODY (RFC 6152 §2), RET and ENVID (RFC 3461 §4),
// SMTPUTF8 (RFC 6531 §3.4), REQUIRETLS (RFC 8689 §2) and, where AUTH is offered, AUTH (RFC 4954 §5),
// checked and refused here.
// Called by `ServerSession`; a parameter we did not offer is 555 (RFC 5321 §4.1.1.11).

import EkidenMail

/// What MAIL said.
package struct MailParameters: Sendable, Equatable {
    package internal(set) var sender: ReversePath
    package let body: BodyDeclaration
    /// RFC 1870 §5: the client's estimate, in bytes; nil when it made none.
    package let declaredBytes: Int?
    /// RFC 4954 §5: who the client says submitted the message; nil when it said nothing. Nothing
    /// is decided by it.
    package var submitter: ReversePath?
    /// What was asked for besides; of the recipients nothing yet.
    package var demands = SenderDemands()
}

/// Why the parameters of MAIL are refused.
struct ParameterProblem: Error {
    let reply: Reply
    let rule: ServerRule

    init(_ code: UInt16, _ detail: EnhancedStatus, _ text: String, _ rule: ServerRule) {
        reply = Reply(code, detail, text)
        self.rule = rule
    }

    static func malformed(_ text: String) -> ParameterProblem {
        ParameterProblem(501, EnhancedStatus(5, 5, 4), text, .syntax)
    }

    static func unknown(_ text: String) -> ParameterProblem {
        ParameterProblem(555, EnhancedStatus(5, 5, 4), text, .unknownParameter)
    }
}

extension MailParameters {
    /// - Parameters:
    ///   - isExtended: EHLO was said; after HELO there are no parameters (RFC 5321 §2.2.1).
    ///   - isSecured: the session has TLS.
    ///   - takesAuth: AUTH is offered, and so its parameter is known.
    ///   - messageBytes: largest message we take.
    init(
        sender: ReversePath,
        _ given: [ESMTPParameter],
        isExtended: Bool,
        isSecured: Bool,
        takesAuth: Bool,
        messageBytes: Int?
    ) throws(ParameterProblem) {
        if !given.isEmpty, !isExtended { throw .unknown("parameters need EHLO") }
        var body: BodyDeclaration?
        var declared: Int?
        var demands = SenderDemands()
        var submitter: ReversePath?
        for parameter in given {
            switch parameter.keyword {
            case "SIZE":
                guard declared == nil, let bytes = Self.size(parameter.value) else {
                    throw .malformed("SIZE is malformed or given twice")
                }
                declared = bytes
            case "BODY":
                guard body == nil, let value = Self.body(parameter.value) else {
                    throw .malformed("BODY must be 7BIT or 8BITMIME, once")
                }
                body = value
            case "RET":
                guard demands.returned == nil, let value = DSNParameters.returned(parameter.value)
                else { throw .malformed("RET must be FULL or HDRS, once") }
                demands.returned = value
            case "ENVID":
                guard demands.envelopeID == nil,
                    let value = DSNParameters.envelopeID(parameter.value)
                else {
                    throw .malformed("ENVID must be at most 100 characters of xtext, once")
                }
                demands.envelopeID = value
            case "SMTPUTF8":
                guard !demands.smtpUTF8, parameter.value == nil else {
                    throw .malformed("SMTPUTF8 has no value and stands once")
                }
                demands.smtpUTF8 = true
            // RFC 8689 §2: offered, and so known, under TLS alone.
            case "REQUIRETLS" where isSecured:
                guard !demands.requiresTLS, parameter.value == nil else {
                    throw .malformed("REQUIRETLS has no value and stands once")
                }
                demands.requiresTLS = true
            case "AUTH" where takesAuth:
                guard submitter == nil, let value = Self.submitter(parameter.value) else {
                    throw .malformed("AUTH must be <> or an address in xtext, once")
                }
                submitter = value
            default:
                throw .unknown("MAIL parameter not recognized")
            }
        }
        if let declared, let messageBytes, declared > messageBytes {
            // RFC 1870 §6.1
            let text = "message is larger than \(messageBytes) bytes"
            throw ParameterProblem(552, EnhancedStatus(5, 3, 4), text, .messageSize)
        }
        self.init(
            sender: sender,
            body: body ?? .sevenBit,
            declaredBytes: declared,
            submitter: submitter,
            demands: demands
        )
    }

    /// RFC 1870 §3: 1 to 20 digits. More than an `Int` holds is the largest `Int`.
    private static func size(_ value: String?) -> Int? {
        guard let value, (1...20).contains(value.utf8.count),
            value.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 })
        else { return nil }
        return Int(value) ?? .max
    }

    /// RFC 4954 §5: `<>` or an address, either as xtext (RFC 3461 §4).
    private static func submitter(_ value: String?) -> ReversePath? {
        guard let value, let bytes = XText.decode(value) else { return nil }
        if bytes == Array("<>".utf8) { return .null }
        return bytes.withUnsafeBytes { bytes in
            var scanner = GrammarScanner(bytes)
            guard let address = try? scanner.mailbox(), scanner.isAtEnd else { return nil }
            return .address(address)
        }
    }

    private static func body(_ value: String?) -> BodyDeclaration? {
        switch value?.asciiLowercased {
        case "7bit": .sevenBit
        case "8bitmime": .eightBitMIME
        default: nil
        }
    }
}
