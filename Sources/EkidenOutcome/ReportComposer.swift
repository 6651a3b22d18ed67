// Writes delivery status notifications: bounces, delay notices and double bounces, as
// multipart/report (RFC 6522) with a message/delivery-status part (RFC 3464), null sender, marked
// automatic (RFC 3834). Pure: what is to be said comes in as a `ReportRequest`, a message ready to
// be queued goes out. People read the first part first, so it speaks plainly.

import EkidenMail

/// What a report is made from.
package struct ReportRequest: Sendable {
    package var plan: ReportPlan
    /// The relay's own host name: Reporting-MTA, From, Message-ID.
    package var reportingHost: String
    /// The report's own id, already given out.
    package var id: QueueID
    package var originalID: QueueID
    package var originalSender: ReversePath
    /// When the original was accepted.
    package var arrived: WallTime
    package var now: WallTime
    package var originalHeader: Bytes
    /// nil when it is too large to return or can't be read.
    package var originalBody: Bytes?
    /// The sender's (RFC 3461 §4): RET, ENVID, ORCPT.
    package var demands = SenderDemands()
    /// Larger messages return only their header.
    package var wholeBytesMax = 65_536
    /// False where it is known that the way back takes 7-bit mail only.
    package var allowsEightBit = true

    package init(
        plan: ReportPlan,
        reportingHost: String,
        id: QueueID,
        originalID: QueueID,
        originalSender: ReversePath,
        arrived: WallTime,
        now: WallTime,
        originalHeader: Bytes,
        originalBody: Bytes?
    ) {
        self.plan = plan
        self.reportingHost = reportingHost
        self.id = id
        self.originalID = originalID
        self.originalSender = originalSender
        self.arrived = arrived
        self.now = now
        self.originalHeader = originalHeader
        self.originalBody = originalBody
    }
}

package struct ReportComposer {
    let request: ReportRequest
    let charset: ReportCharset
    let host: String
    private let returned: ReturnedContent

    package init(_ request: ReportRequest) {
        self.request = request
        host = ReportText.ascii(request.reportingHost)
        charset = ReportCharset(
            to: request.plan.to,
            messageCameWithUTF8: request.demands.smtpUTF8
        )
        returned = ReturnedContent(
            header: request.returnableHeader,
            body: request.returnsHeaderAlone ? nil : request.originalBody,
            wholeBytesMax: request.wholeBytesMax,
            allowsEightBit: request.allowsEightBit || charset == .plain,
            charset: charset
        )
    }

    /// The report as a message to be queued.
    package func message() -> NewMessage {
        let parts = [
            ReportPart(
                ("text/plain; charset=us-ascii", "text/plain; charset=utf-8"),
                "Explanation",
                Bytes(humanText.joined(separator: "\r\n") + "\r\n"),
                charset
            ),
            // RFC 6533 §4
            ReportPart(
                ("message/delivery-status", "message/global-delivery-status"),
                "Delivery status",
                Bytes(deliveryStatus),
                charset
            ),
            returned.part,
        ]
        let hasEightBit = parts.contains(where: \.hasEightBit)
        let boundary = Self.boundary(request.id, notIn: parts.map(\.bytes))
        let header = Bytes(headerText(boundary, hasEightBit) + "\r\n")
        let byteCount = parts.reduce(0) { $0 + $1.bytes.count }
        var body = BytesBuilder(capacity: byteCount + 1024)
        body.append(text: "This is a delivery report in MIME format.\r\n\r\n")
        for part in parts {
            body.append(text: "--\(boundary)\r\nContent-Type: \(part.type)\r\n")
            body.append(text: "Content-Description: \(part.description)\r\n")
            if let encoding = part.encoding {
                body.append(text: "Content-Transfer-Encoding: \(encoding)\r\n")
            }
            body.append("\r\n")
            body.append(part.bytes)
            body.append("\r\n")
        }
        body.append(text: "--\(boundary)--\r\n")
        let bytes = body.finish()
        return NewMessage(
            id: request.id,
            envelope: Envelope(
                // RFC 3464 §2, RFC 5321 §4.5.5: the null reverse-path, so nothing comes back.
                sender: .null,
                recipients: [request.plan.to],
                body: hasEightBit || demands.smtpUTF8 ? .eightBitMIME : .sevenBit,
                client: ClientFacts(
                    endpoint: Endpoint(.loopback4, 0),
                    helo: host,
                    inboundProtocol: .local,
                    listener: "local"
                ),
                arrived: request.now,
                demands: demands
            ),
            content: Content(
                header: header,
                body: .memory(bytes),
                facts: ReportText.facts(header: header, body: bytes)
            )
        )
    }

    private var demands: SenderDemands {
        var demands = SenderDemands()
        demands.smtpUTF8 = !request.plan.to.isASCII
        return demands
    }

    // MARK: Header

    private func headerText(_ boundary: String, _ hasEightBit: Bool) -> String {
        var text = ""
        text += ReportText.field("Date", request.now.mailDate)
        text += "From: Mail Delivery System <MAILER-DAEMON@\(host)>\r\n"
        // RFC 6532 §3.1: UTF-8 where the address has it; it came with SMTPUTF8 and goes with it.
        let to = request.plan.to
        text += "To: <\(to.isASCII ? ReportText.ascii(to.text) : to.text)>\r\n"
        text += ReportText.field("Subject", subject)
        text += "Message-ID: <\(request.id.text)@\(host)>\r\n"
        let ids = ReportText.messageIDs(
            ReportText.value(of: "message-id", in: request.originalHeader)
        )
        if let original = ids.first {
            let before = ReportText.messageIDs(
                ReportText.value(of: "references", in: request.originalHeader)
            )
            text += ReportText.field("In-Reply-To", original)
            text += ReportText.field(
                "References",
                (before.suffix(10) + [original]).joined(separator: " ")
            )
        }
        // RFC 3834 §5.
        text += "Auto-Submitted: auto-replied\r\n"
        text += "MIME-Version: 1.0\r\n"
        // RFC 6522 §3.
        text += "Content-Type: multipart/report; report-type=delivery-status;\r\n"
        text += " boundary=\"\(boundary)\"\r\n"
        if hasEightBit { text += "Content-Transfer-Encoding: 8bit\r\n" }
        return text
    }

    private var subject: String {
        switch request.plan.kind {
        case .bounce: "Your message could not be delivered"
        case .delayNotice: "Your message is delayed; delivery is still being tried"
        case .relayNotice: "Your message was passed on"
        case .doubleBounce: "A bounce could not be delivered"
        }
    }

    /// Derived from the id; changed until no part has it (RFC 2046 §5.1).
    private static func boundary(_ id: QueueID, notIn parts: [Bytes]) -> String {
        var n = 0
        while true {
            let boundary = "=_\(id.text)_\(n)"
            let needle = Array(boundary.utf8)
            if !parts.contains(where: { occurs(needle, in: $0) }) { return boundary }
            n += 1
        }
    }

    private static func occurs(_ needle: [UInt8], in bytes: Bytes) -> Bool {
        let hay = bytes.pointer
        guard hay.count >= needle.count else { return false }
        for start in 0...(hay.count - needle.count) where hay[start] == needle[0] {
            var i = 1
            while i < needle.count, hay[start + i] == needle[i] { i += 1 }
            if i == needle.count { return true }
        }
        return false
    }

    // MARK: For people

    private var humanText: [String] {
        var lines = ReportText.wrap("This is the mail system at host \(host).")
        lines.append("")
        lines += ReportText.wrap(opening)
        lines.append("")
        lines += aboutTheMessage
        for item in request.plan.items {
            lines.append("")
            lines += paragraph(item)
        }
        lines.append("")
        lines += ReportText.wrap(closing)
        return lines.map { $0.hasPrefix("--") ? " " + $0 : $0 }
    }

    private var opening: String {
        let several = request.plan.items.count > 1
        switch request.plan.kind {
        case .bounce:
            return several
                ? "Your message could not be delivered to the recipients below. It is not tried"
                    + " again for them; other recipients are not affected."
                : "Your message could not be delivered to the recipient below. It is not tried"
                    + " again; other recipients, if any, are not affected."
        case .delayNotice:
            return "Your message has not been delivered yet to the "
                + (several ? "recipients" : "recipient")
                + " below. You need not do anything: it is still being tried, and you will be told"
                + " if it fails for good."
        case .relayNotice:
            return "You asked to be told of the delivery of your message. It was passed on for the "
                + (several ? "recipients" : "recipient")
                + " below, to a mail system that does not report deliveries: unless you hear of a"
                + " failure, it arrived."
        case .doubleBounce:
            return "A notification that has no sender of its own could not be delivered. It is"
                + " returned to you as the postmaster of this system and not tried again."
        }
    }

    private var aboutTheMessage: [String] {
        var lines: [String] = []
        let add = { (label: String, name: String) in
            if let value = ReportText.value(of: name, in: request.originalHeader), !value.isEmpty {
                let indent = String(repeating: " ", count: 14)
                var wrapped = ReportText.wrap(value, first: 14, continuation: indent)
                wrapped[0] = "  \(label) " + wrapped[0]
                lines += wrapped
            }
        }
        if !request.demands.requiresTLS { add("Subject:   ", "subject") }
        add("Sent:      ", "date")
        add("Message-ID:", "message-id")
        lines.append("  Accepted:   \(request.arrived.mailDate)")
        lines.append("  Queue id:   \(request.originalID.text)")
        return lines
    }

    private func paragraph(_ item: ReportItem) -> [String] {
        var lines = ["<\(charset.text(of: item.recipient))>"]
        let indent = "    "
        func say(_ text: String) {
            lines += ReportText.wrap(ReportText.ascii(text)).map { indent + $0 }
        }
        guard let failure = item.failure else {
            let who = item.host?.text ?? "The next mail host"
            say("\(who) took it and said: \(item.reply?.oneLine ?? "yes")")
            return lines
        }
        switch item.action {
        case .failed, .relayed: break
        case .expired:
            let since = "since \(request.arrived.mailDate)"
            say(
                item.attempts == 0
                    ? "It has been waiting \(since), could not be tried, and is given up now:"
                    : "It was tried \(times(item)) \(since) and is given up now."
                        + " The last time this happened:"
            )
        case .delayed:
            let until = item.willRetryUntil.map { " It is tried until \($0.mailDate)." } ?? ""
            say(
                item.attempts == 0
                    ? "It could not be tried yet.\(until) It waits for this:"
                    : "It was tried \(times(item)) so far.\(until) The last time this happened:"
            )
        }
        if let reply = failure.reply {
            let who = failure.host?.text ?? "The next mail host"
            // Its reply to the final dot leaves no doubt, unlike its silence.
            let doing = failure.step == .endOfData ? "sending the message" : failure.step.phrase
            say("\(who) said while we were \(doing):")
            for (i, line) in reply.lines.enumerated() {
                let code = i == 0 ? head(of: reply) : ""
                for wrapped in ReportText.wrap(ReportText.ascii(code + line)) {
                    lines.append(indent + indent + wrapped)
                }
            }
        } else {
            say(circumstances(failure) + ".")
        }
        if let advice = advice(failure, item.action) { say(advice) }
        return lines
    }

    /// Where, what and when, as far as the words for it do not say so themselves.
    private func circumstances(_ failure: Failure) -> String {
        switch (failure.step, failure.reason) {
        case (.connect, _): return failure.text
        case (_, .routeBounces), (_, .routeClosed): return failure.text
        default:
            let place = failure.host.map { "\($0.text): " } ?? ""
            return "\(place)\(failure.text) (while \(failure.step.phrase))"
        }
    }

    private func times(_ item: ReportItem) -> String {
        item.attempts == 1 ? "once" : "\(item.attempts) times"
    }

    private func head(of reply: Reply) -> String {
        reply.status.map { "\(reply.code) \($0.text) " } ?? "\(reply.code) "
    }

    /// What the reader can do, where there is something.
    private func advice(_ failure: Failure, _ action: ReportItem.Action) -> String? {
        guard action != .delayed, request.plan.kind == .bounce else { return nil }
        switch failure.reason {
        case .domainNotFound:
            return "Please check the part of the address after the @ for a typing error."
        case .nullExchange: return "This domain takes no mail at all. Please check the address."
        case .messageTooLarge: return "Please send a smaller message."
        case .utf8Unsupported:
            return "Please use an address of plain ASCII, and no other characters in the header."
        case .tlsRequired:
            return "Please send it again without asking for TLS (REQUIRETLS), or another way."
        case .eightBitUnsupported:
            return failure.text.contains("header")
                ? "Please encode what is not ASCII in its header (RFC 2047) and send it again."
                : "Please send it again encoded in 7-bit form (quoted-printable or base64)."
        case .mailLoop, .tooManyHops:
            return "Mail for this address goes round in a circle; only the administrators of the"
                + " hosts involved can mend that."
        case .peerRejected where failure.scope == .recipient && failure.status.subject == 1:
            return "Please check the address for a typing error."
        default: return nil
        }
    }

    private var closing: String {
        request.plan.kind == .doubleBounce
            ? "The returned message is attached."
            : "If you need help, please give this report to your postmaster; it has all the"
                + " details. Your message, or its header, is attached."
    }
}

extension ReportRequest {
    /// RFC 8689 §5: what had to travel under TLS does not go back without.
    var returnableHeader: Bytes {
        guard demands.requiresTLS else { return originalHeader }
        let id = ReportText.value(of: "message-id", in: originalHeader) ?? ""
        return Bytes(ReportText.field("Message-ID", id) + "\r\n")
    }

    /// RFC 3461 §4.3: as RET says, which is about failures alone; other reports return the header.
    var returnsHeaderAlone: Bool {
        if demands.requiresTLS { return true }
        return switch plan.kind {
        case .bounce, .doubleBounce: demands.returned == .headers
        case .delayNotice: demands.returned != nil
        case .relayNotice: true
        }
    }
}
