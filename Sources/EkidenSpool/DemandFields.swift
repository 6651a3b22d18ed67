// How the demands of a message's sender stand in its record. They are rare: a message without any
// has none of these fields, and one of an older release never had them.

import EkidenMail

extension SenderDemands {
    private static let smtpUTF8Flag: UInt64 = 1
    private static let requiresTLSFlag: UInt64 = 2
    private static let waivesTLSFlag: UInt64 = 4
    /// RET in two bits: 0 nothing said, 1 FULL, 2 HDRS.
    private static let returnedShift: UInt64 = 3

    func put(_ w: inout FieldWriter) {
        if isEmpty { return }
        var flags = UInt64(returned?.rawValue ?? 0) << Self.returnedShift
        if smtpUTF8 { flags |= Self.smtpUTF8Flag }
        if requiresTLS { flags |= Self.requiresTLSFlag }
        if waivesTLS { flags |= Self.waivesTLSFlag }
        if flags != 0 { w.put(.demandFlags, flags) }
        if let envelopeID { w.put(.envelopeID, envelopeID) }
        for (index, recipient) in recipients.enumerated() where !recipient.isEmpty {
            var inner = FieldWriter(capacity: 64)
            inner.put(.index, index)
            if let notify = recipient.notify { inner.put(.notify, UInt64(notify.rawValue)) }
            if let original = recipient.originalRecipient {
                inner.put(.originalRecipient, original)
            }
            w.put(.recipientDemands, inner.finish())
        }
    }

    mutating func takeFlags(_ flags: UInt64) {
        smtpUTF8 = flags & Self.smtpUTF8Flag != 0
        requiresTLS = flags & Self.requiresTLSFlag != 0
        waivesTLS = flags & Self.waivesTLSFlag != 0
        returned = Returned(rawValue: UInt8(flags >> Self.returnedShift & 3))
    }

    mutating func takeRecipient(_ bytes: Bytes) throws(BadFields) {
        var reader = try FieldReader(bytes)
        var index = -1
        var demands = RecipientDemands()
        while let field = try reader.next() {
            switch field.known {
            case .index: index = field.int
            case .notify: demands.notify = NotifyWhen(rawValue: UInt8(field.value & 7))
            case .originalRecipient: demands.originalRecipient = field.text
            default: break
            }
        }
        // Indices come in order; those between had nothing.
        guard index >= recipients.count, index < 1_000_000 else { throw BadFields("demands") }
        while recipients.count < index { recipients.append(RecipientDemands()) }
        recipients.append(demands)
    }
}
