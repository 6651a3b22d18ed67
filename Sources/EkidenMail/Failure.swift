/// A step of the way to the next hop at which something can fail, in order.
package enum DeliveryStep: String, Sendable, CaseIterable {
    case resolve
    case connect
    case greeting
    case hello
    case startTLS = "starttls"
    case login
    case mail
    case recipient
    case data
    /// The final dot: from here until its reply the peer may have taken the message.
    case endOfData = "end-of-data"
    case reset
    case quit

    /// How the step is called in a sentence: "… while talking to mx.example".
    package var phrase: String {
        switch self {
        case .resolve: "looking up the next hop"
        case .connect: "connecting"
        case .greeting: "waiting for the greeting"
        case .hello: "saying EHLO"
        case .startTLS: "starting TLS"
        case .login: "logging in"
        case .mail: "sending MAIL FROM"
        case .recipient: "sending RCPT TO"
        case .data: "sending DATA"
        case .endOfData: "sending the end of data (the message may be delivered twice)"
        case .reset: "sending RSET"
        case .quit: "sending QUIT"
        }
    }
}

/// A host we talk or talked to.
package struct PeerHost: Sendable, Hashable {
    /// Name as MX record or route gave it; the address's text when there was none.
    package let name: String
    /// nil when it failed before an address was known.
    package let endpoint: Endpoint?

    package init(name: String, endpoint: Endpoint?) {
        self.name = name
        self.endpoint = endpoint
    }

    /// `mx.example[192.0.2.1]:25`.
    package var text: String {
        guard let endpoint else { return name }
        return "\(name)[\(endpoint.address.text)]:\(endpoint.port)"
    }
}

/// What went wrong on the way to a next hop: captured once, where it happened, in the peer's own
/// words. What to do about it is decided elsewhere, once (EkidenOutcome).
package struct Failure: Sendable, Equatable {
    /// What it says something about.
    package enum Scope: String, Sendable {
        /// The next hop as a whole: names, every address dead.
        case site
        /// One host: connection, greeting, drop.
        case host
        /// This message at this host, whoever it is for.
        case message
        /// One recipient.
        case recipient
        /// Ourselves: spool, stop, configuration. Never bounces.
        case ours
    }

    package let scope: Scope
    package let isPermanent: Bool
    package let reason: Reason
    package let step: DeliveryStep
    /// nil where no host was involved yet.
    package let host: PeerHost?
    /// The peer's exact words; nil where it said nothing.
    package let reply: Reply?
    /// Our words; where there is a reply they add to it, else they stand for it.
    package let text: String
    /// The peer's own enhanced status, else the closest of RFC 3463.
    package let status: EnhancedStatus

    package init(
        scope: Scope,
        isPermanent: Bool,
        reason: Reason,
        step: DeliveryStep,
        host: PeerHost? = nil,
        reply: Reply? = nil,
        text: String = "",
        status: EnhancedStatus
    ) {
        self.scope = scope
        self.isPermanent = isPermanent
        self.reason = reason
        self.step = step
        self.host = host
        self.reply = reply
        self.text = text.isEmpty ? reason.sentence : text
        self.status = status
    }

    /// One line for log and queue: the peer's words where there are some, else ours.
    package var oneLine: String { reply?.oneLine ?? "\(status.text) \(text)" }
}
