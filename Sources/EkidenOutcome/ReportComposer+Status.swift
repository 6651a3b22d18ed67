// The part of a report that is for programs: message/delivery-status (RFC 3464), or, where it goes beyond
// ASCII, message/global-delivery-status (RFC 6533 §4).

import EkidenMail

extension ReportComposer {
    var deliveryStatus: String {
        // RFC 3464 §2.2: fields of the message, then a block for each recipient.
        var text = ""
        // RFC 3464 §2.2.1
        if let id = request.demands.envelopeID.flatMap(ReportText.decodeXtext) {
            text += ReportText.field("Original-Envelope-Id", id)
        }
        text += ReportText.field("Reporting-MTA", "dns; \(host)")
        text += ReportText.field("Arrival-Date", request.arrived.mailDate)
        text += ReportText.field("X-Ekiden-Queue-ID", request.originalID.text)
        text += "X-Ekiden-Sender: \(originalSender)\r\n"
        for item in request.plan.items {
            text += "\r\n"
            // RFC 3464 §2.3.1 … §2.3.9.
            let asked = request.demands.of(item.index)
            if let original = asked.originalRecipient.flatMap(charset.originalRecipient) {
                text += "Original-Recipient: \(original)\r\n"
            }
            text += "Final-Recipient: \(charset.typed(item.recipient))\r\n"
            text += ReportText.field("Action", Self.word(item.action))
            text += ReportText.field("Status", item.status.text)
            if let host = item.host {
                text += ReportText.field("Remote-MTA", "dns; \(Self.mta(host))")
            }
            text += ReportText.field("Diagnostic-Code", Self.diagnostic(item))
            text += ReportText.field("Last-Attempt-Date", item.lastAttempt.mailDate)
            if let until = item.willRetryUntil, item.action == .delayed {
                text += ReportText.field("Will-Retry-Until", until.mailDate)
            }
        }
        return text
    }

    private var originalSender: String {
        guard case .address(let address) = request.originalSender else {
            return "rfc822; \(ReportText.ascii(request.originalSender.text))"
        }
        return charset.typed(address)
    }

    private static func mta(_ host: PeerHost) -> String {
        if let address = HostAddress(host.name) { return address.literal }
        return host.name
    }

    private static func diagnostic(_ item: ReportItem) -> String {
        if let reply = item.reply { return "smtp; " + Judgement.oneLine(reply.oneLine) }
        return "x-ekiden; " + Judgement.oneLine(item.failure?.text ?? "")
    }

    private static func word(_ action: ReportItem.Action) -> String {
        switch action {
        case .failed, .expired: "failed"
        case .delayed: "delayed"
        case .relayed: "relayed"
        }
    }
}
