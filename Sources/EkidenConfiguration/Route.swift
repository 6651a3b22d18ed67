// A route: which mail it is for, and where that goes. As the configuration has it; `RouteTable` finds
// the one of a recipient. docs/ROUTES.md

import EkidenMail

/// Which domains a route is for.
package enum DomainPattern: Sendable, Hashable {
    /// `example.org`: that domain alone.
    case exact(Domain)
    /// `.example.org`: every domain below it, not itself. Kept without the dot, folded.
    case below(String)
    /// `*`: every domain that nothing else matches.
    case any

    package var text: String {
        switch self {
        case .exact(let domain): domain.text
        case .below(let parent): "." + parent
        case .any: "*"
        }
    }
}

package struct Route: Sendable, Equatable {
    /// A host of a route, as configured.
    package struct Host: Sendable, Hashable {
        /// Host name, lower case, no trailing dot; or the text of `literal`.
        package let name: String
        /// Set when there is nothing to look up.
        package let literal: HostAddress?
        /// nil: `delivery.port`, or 24 for LMTP.
        package let port: UInt16?
        /// Of a socket of this machine, instead of name and port.
        package var socketPath: String?

        package init(name: String, literal: HostAddress? = nil, port: UInt16? = nil) {
            self.name = name
            self.literal = literal
            self.port = port
        }

        package init(socket path: String) {
            self.init(name: "unix:" + path)
            socketPath = path
        }

        package var text: String {
            let host = literal.map { $0.isV4 ? $0.text : "[\($0.text)]" } ?? name
            return port.map { "\(host):\($0)" } ?? host
        }
    }

    /// What becomes of its mail.
    package enum Target: String, Sendable, CaseIterable {
        /// To the route's hosts.
        case hosts
        /// The same by LMTP (RFC 2033).
        case lmtp
        /// To the mail hosts of the recipient's domain.
        case mx
        /// Back to its sender, with `text`.
        case bounce
        /// Nowhere; its sender hears nothing.
        case discard
        /// It waits for an operator.
        case hold
    }

    package var name = ""
    package var domains: [DomainPattern] = []

    // Which mail it is for, besides `domains`; an empty or missing condition fits all mail.
    package var recipients: [MailboxPattern] = []
    package var senders: [MailboxPattern] = []
    package var logins: [String] = []
    package var listeners: [String] = []
    package var header: [HeaderPattern] = []
    /// Bytes of the message.
    package var sizeMin: Int?
    package var sizeMax: Int?

    package var target = Target.hosts
    /// The mail service that its hosts are of; where the file leaves them out, they are filled in.
    package var provider: Provider?
    /// The provider's.
    package var region: String?
    /// In the order they are tried: the next only when the one before fails.
    package var hosts: [Host] = []
    /// For `bounce`.
    package var text: String?
    /// The name of the route that mail goes by from its attempt number `fallbackAfter` + 1 on.
    package var fallback: String?
    package var fallbackAfter = 3
    /// Failures after which the fallback has the mail at once, those for good among them.
    package var fallbackOn: [FailureClass] = []

    /// It is closed but for the times of `schedule` and when an operator opens it.
    package var isOnDemand = false
    package var schedule: [WeekWindow] = []
    /// How long an operator opens it.
    package var openTime: Duration = .seconds(600)

    /// nil: as `retry` says.
    package var retryFirst: Duration?
    package var retryCeiling: Duration?
    package var lifetime: Duration?
    /// nil: as `delivery` says.
    package var helo: Domain?
    package var sourceIPv4: HostAddress?
    package var sourceIPv6: HostAddress?
    package var tls: TLSPolicy.Level?
    package var tlsNames: [String] = []
    package var tlsFingerprints: [String] = []
    package var clientCertificate: String?
    /// The name of a `[[login]]`.
    package var login: String?

    /// Its mail goes to some host.
    package var sends: Bool { usesHosts || target == .mx }

    /// Its mail goes to its hosts.
    package var usesHosts: Bool { target == .hosts || target == .lmtp }

    /// Looked at before those that ask for a domain alone: it asks for more, or for mail that was not
    /// yet released from a hold.
    package var isConditional: Bool { asksOfMessages || target == .hold && !domains.isEmpty }

    package var asksOfMessages: Bool {
        !recipients.isEmpty || !senders.isEmpty || !logins.isEmpty || !listeners.isEmpty
            || !header.isEmpty || sizeMin != nil || sizeMax != nil
    }

    /// What `bounce` says, in two parts; nil: the status is no permanent one. RFC 3463 §3.8: X.7.1,
    /// delivery not authorized, message refused.
    package var bounceWords: (status: EnhancedStatus, text: String)? {
        let usual = EnhancedStatus(5, 7, 1)
        guard let text else { return (usual, "mail is not taken there (route \(name))") }
        let parts = text.split(separator: " ", maxSplits: 1)
        guard let first = parts.first, first.utf8.allSatisfy({ $0.isDigit || $0 == 0x2e }),
            first.contains(".") || first.utf8.count == 3
        else { return (usual, text) }
        guard let status = EnhancedStatus(String(first)), status.category == 5 else { return nil }
        return (status, parts.count > 1 ? String(parts[1]) : "mail is not taken there")
    }

    /// The port of that host. RFC 2033 §3 leaves LMTP without one, but for not being 25; servers use 24.
    package func port(of host: Host, usual: UInt16) -> UInt16 {
        host.port ?? (target == .lmtp ? 24 : usual)
    }
}

extension Route {
    /// One that leads nowhere, for who only asks which name has a domain.
    package init(named name: String, for domains: [DomainPattern]) {
        self.init(name: name, domains: domains)
    }
}

/// `X-Stream: bulk-*`: a header field, and what it says. Without a value any will do.
package struct HeaderPattern: Sendable, Hashable {
    /// In lower case.
    package let name: String
    /// Of the unfolded value, without the spaces around it.
    package let value: Wildcard

    package init(name: String, value: Wildcard = Wildcard("*")) {
        self.name = name.asciiLowercased
        self.value = value
    }

    package var text: String { "\(name): \(value.text)" }
}
