// What a client asks for beside the addresses, by the extensions it used: how the sender hears of
// the message's fate (DSN, RFC 3461), that addresses may be UTF-8 (RFC 6531), that it travels under
// TLS alone or in spite of it (RFC 8689). Filled by ingress, kept with the message by the spool,
// passed on by delivery, honoured in the relay's own reports by Outcome.

/// When the sender wants to hear of a recipient (RFC 3461 §4.1, NOTIFY). Empty: never.
package struct NotifyWhen: OptionSet, Sendable, Hashable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    package static let success = NotifyWhen(rawValue: 1)
    package static let failure = NotifyWhen(rawValue: 2)
    package static let delay = NotifyWhen(rawValue: 4)

    /// As NOTIFY says it.
    package var text: String {
        if isEmpty { return "NEVER" }
        var words: [String] = []
        if contains(.success) { words.append("SUCCESS") }
        if contains(.failure) { words.append("FAILURE") }
        if contains(.delay) { words.append("DELAY") }
        return words.joined(separator: ",")
    }
}

/// What is asked for one recipient.
package struct RecipientDemands: Sendable, Equatable {
    /// nil: nothing was said.
    package var notify: NotifyWhen?
    /// RFC 3461 §4.2, ORCPT as it came: `addr-type;xtext`, printable ASCII (or UTF-8, RFC 6533 §3).
    package var originalRecipient: String?

    package init(notify: NotifyWhen? = nil, originalRecipient: String? = nil) {
        self.notify = notify
        self.originalRecipient = originalRecipient
    }

    package var isEmpty: Bool { notify == nil && originalRecipient == nil }

    /// RFC 3461 §4.1: who says nothing hears of failures, and of delays where that is the custom.
    package func wants(_ when: NotifyWhen) -> Bool {
        (notify ?? [.failure, .delay]).contains(when)
    }
}

package struct SenderDemands: Sendable, Equatable {
    /// RFC 3461 §4.3, RET: how much of the message a report of failure returns.
    package enum Returned: UInt8, Sendable {
        case full = 1
        case headers = 2

        package var text: String { self == .full ? "FULL" : "HDRS" }
    }

    /// RFC 6531 §3.4: addresses and header may hold UTF-8.
    package var smtpUTF8 = false
    /// RFC 8689 §2, REQUIRETLS: under verified TLS or not at all.
    package var requiresTLS = false
    /// RFC 8689 §3, `TLS-Required: No`: rather without TLS than not at all.
    package var waivesTLS = false
    package var returned: Returned?
    /// RFC 3461 §4.4, ENVID as it came: xtext.
    package var envelopeID: String?
    /// By the envelope's index; empty when nothing was said of any recipient.
    package var recipients: [RecipientDemands] = []

    package init() {}

    package var isEmpty: Bool { self == SenderDemands() }

    package func of(_ recipient: Int) -> RecipientDemands {
        recipients.indices.contains(recipient) ? recipients[recipient] : RecipientDemands()
    }
}
