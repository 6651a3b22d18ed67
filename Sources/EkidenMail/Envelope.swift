/// What the client declared about the bytes of the body (RFC 6152 §2).
package enum BodyDeclaration: UInt8, Sendable {
    /// No BODY parameter, or `BODY=7BIT`.
    case sevenBit = 0
    case eightBitMIME = 1
}

/// The protocol a message came in by: the `with` clause of Received (RFC 3848).
package enum InboundProtocol: UInt8, Sendable {
    case smtp = 0
    case esmtp = 1
    /// Made by the relay itself: bounces and notices.
    case local = 2
    // RFC 3848: S over TLS, A after a login.
    case esmtps = 3
    case esmtpa = 4
    case esmtpsa = 5

    /// Of a client that said EHLO.
    package static func extended(isSecured: Bool, isLoggedIn: Bool) -> InboundProtocol {
        switch (isSecured, isLoggedIn) {
        case (false, false): .esmtp
        case (true, false): .esmtps
        case (false, true): .esmtpa
        case (true, true): .esmtpsa
        }
    }

    package var text: String {
        switch self {
        case .smtp: "SMTP"
        case .esmtp: "ESMTP"
        case .local: "local"
        case .esmtps: "ESMTPS"
        case .esmtpa: "ESMTPA"
        case .esmtpsa: "ESMTPSA"
        }
    }
}

/// Who handed us a message, as far as we know it ourselves.
package struct ClientFacts: Sendable, Equatable {
    package var endpoint: Endpoint
    /// The argument of EHLO or HELO, already checked by the grammar; empty before it.
    package var helo: String
    package var inboundProtocol: InboundProtocol
    /// Name of the listener in the configuration.
    package var listener: String
    /// The name of its host by the DNS, confirmed by leading back. Not stored either.
    package var reverseName: String?
    /// The TLS session it came over. Not stored: with a message it is in the Received field.
    package var tls: TLSFacts?
    /// Who logged in.
    package var login: String?

    package init(
        endpoint: Endpoint,
        helo: String = "",
        inboundProtocol: InboundProtocol = .smtp,
        listener: String = "relay"
    ) {
        self.endpoint = endpoint
        self.helo = helo
        self.inboundProtocol = inboundProtocol
        self.listener = listener
    }
}

/// An envelope: who it is from, who it is for, and how it came (RFC 5321 §2.3.1).
package struct Envelope: Sendable, Equatable {
    package var sender: ReversePath
    /// At least one once accepted; the index in this array names a recipient for good.
    package var recipients: [Address]
    package var body: BodyDeclaration
    package var client: ClientFacts
    /// When the relay took responsibility for it.
    package var arrived: WallTime
    package var demands: SenderDemands
    /// Names of the routes whose `header` fits the message's.
    package var headerRoutes: [String] = []

    package var origin: Origin {
        Origin(listener: client.listener, login: client.login, headerRoutes: headerRoutes)
    }

    package init(
        sender: ReversePath,
        recipients: [Address],
        body: BodyDeclaration = .sevenBit,
        client: ClientFacts,
        arrived: WallTime,
        demands: SenderDemands = SenderDemands()
    ) {
        self.sender = sender
        self.recipients = recipients
        self.body = body
        self.client = client
        self.arrived = arrived
        self.demands = demands
    }
}
