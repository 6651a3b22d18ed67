// How far a report may go beyond ASCII, and how its parts then travel (RFC 6533). A report has no sender
// to tell when a next hop can't take it, so it never asks a hop for more than its own address does.

import EkidenMIME
import EkidenMail

enum ReportCharset {
    /// Everything in ASCII: who sent the message has not shown that UTF-8 is understood.
    case ascii
    /// UTF-8 in parts that are encoded: it is understood, but the way back may be 7-bit. RFC 6533 lets
    /// all of its media types be encoded.
    case encoded
    /// UTF-8 as it is: the report's own address needs SMTPUTF8, and with it 8BITMIME (RFC 6531 §3.1).
    case plain

    init(to: Address, messageCameWithUTF8: Bool) {
        self = !to.isASCII ? .plain : messageCameWithUTF8 ? .encoded : .ascii
    }

    /// For people, between angle brackets.
    func text(of address: Address) -> String {
        if address.isASCII { return ReportText.ascii(address.text) }
        return self == .ascii ? UTF8Xtext.encode(address.text) : Self.clean(address.text)
    }

    /// For programs: of the type `utf-8` where it is beyond ASCII, in ASCII all the same where the
    /// report is (RFC 6533 §3).
    func typed(_ address: Address) -> String {
        address.isASCII
            ? "rfc822; \(ReportText.ascii(address.text))" : "utf-8; \(unitext(address.text))"
    }

    /// RFC 3464 §2.3.1: type and address of an ORCPT, the address as it was before xtext. One of the
    /// type `utf-8` is kept in ASCII. nil: it is none.
    func originalRecipient(_ parameter: String) -> String? {
        let parts = parameter.split(separator: ";", maxSplits: 1)
        guard parts.count == 2 else { return nil }
        let (type, address) = (ReportText.ascii(String(parts[0])), String(parts[1]))
        if type.asciiLowercased != "utf-8" {
            return "\(type);\(ReportText.decodeXtext(address) ?? "")"
        }
        let decoded = self == .ascii ? nil : UTF8Xtext.decode(address)
        return "\(type);\(decoded.map(unitext) ?? ReportText.ascii(address))"
    }

    private func unitext(_ address: String) -> String {
        self == .ascii
            ? UTF8Xtext.encode(address) : UTF8Xtext.encode(address, keepsUnicode: true)
    }

    /// Without what could end a line.
    private static func clean(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.map {
                    $0.value < 0x20 || (0x7f...0x9f).contains($0.value) ? "?" : $0
                }
            )
        )
    }
}

/// A part of a report as it travels.
struct ReportPart {
    let type: String
    let description: String
    let bytes: Bytes
    /// Content-Transfer-Encoding; nil: 7-bit.
    let encoding: String?

    /// - Parameters:
    ///   - type: of the two the first where the bytes are ASCII.
    init(
        _ type: (ascii: String, utf8: String),
        _ description: String,
        _ bytes: Bytes,
        _ charset: ReportCharset
    ) {
        let hasEightBit = bytes.pointer.contains { $0 >= 0x80 }
        self.type = hasEightBit ? type.utf8 : type.ascii
        self.description = description
        switch charset {
        case .encoded where hasEightBit:
            encoding = "quoted-printable"
            self.bytes = QuotedPrintable.encode(bytes)
        default:
            encoding = hasEightBit ? "8bit" : nil
            self.bytes = bytes
        }
    }

    var hasEightBit: Bool { encoding == "8bit" }
}
