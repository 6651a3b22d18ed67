// Everything an administrator can decide, as one value: sections in the order of the paper path.
// The values written here are the defaults; a relay without a file runs with them and relays for
// this machine alone. What each setting means, its unit and range, is in Schema.swift; this file
// is only its shape. Read by the composition, which hands each stage its section.

import EkidenMail

package struct Configuration: Sendable, Equatable {
    package var relay: Relay
    package var log = Log()
    package var history = History()
    package var control = Control()
    package var certificates: [Certificate] = []
    /// At least one.
    package var listeners = [Listener()]
    package var rates: [RateLimit] = []
    package var lists: [AccessList] = []
    package var auth = Auth()
    package var certificateUsers: [CertificateUser] = []
    package var rewriting = Rewriting()
    package var spool = Spool()
    package var retry = Retry()
    package var sites = Sites()
    package var siteRules: [SiteRule] = []
    package var streams: [Stream] = []
    package var retryRules: [RetryRule] = []
    package var routes = RouteTable()
    package var tlsRules: [TLSRule] = []
    package var hopLogins: [HopLogin] = []
    package var resolver = Resolver()
    package var delivery = Delivery()
    package var bounces = Bounces()
    package var limits = ProcessLimits()

    /// The configuration of a relay without a file.
    /// - Parameter hostname: the name of this machine, as the system gives it.
    package init(hostname: String) {
        relay = Relay(hostname: Domain(hostname))
    }

    /// How a listener has TLS: what it says, else what its role and the certificates make of it.
    package func tls(of listener: Listener) -> TLSUse {
        if listener.role == .submissions { return .required }
        if let tls = listener.tls { return tls }
        if listener.role == .submission { return .required }
        return certificates.isEmpty ? .off : .optional
    }

    /// Whether clients of a listener may log in: what it says, else what its role makes of it.
    package func auth(of listener: Listener) -> AuthMode {
        if let auth = listener.auth { return auth }
        // RFC 6409 §4.3: submission without authentication is refused by default.
        return listener.role == .relay || !hasUsers ? .off : .required
    }

    package func senderOwnership(of listener: Listener) -> SenderOwnership {
        listener.senderOwnership ?? (auth.senders == nil ? .off : .refuse)
    }

    /// Somebody could log in.
    package var hasUsers: Bool { auth.users != nil || !certificateUsers.isEmpty }

    /// Names that are this relay: for recognising itself among the mail hosts of a domain.
    package var ownNames: [Domain] { [relay.hostname] + relay.names }

    /// Where the control socket is.
    package var controlSocketPath: String {
        control.socket ?? spool.directory + "/control.socket"
    }

    /// The name given in EHLO.
    package var helo: Domain { delivery.helo ?? relay.hostname }

    /// When mail for a next hop is tried again: `retry`, with what its route says otherwise.
    package func retry(for hop: NextHop) -> Retry {
        guard let name = hop.route, let route = routes.route(named: name) else {
            return retry
        }
        var result = retry
        result.first = route.retryFirst ?? min(retry.first, route.retryCeiling ?? retry.first)
        result.ceiling = max(route.retryCeiling ?? retry.ceiling, result.first)
        result.lifetime = route.lifetime ?? retry.lifetime
        result.nullSenderLifetime = min(retry.nullSenderLifetime, result.lifetime)
        return result
    }
}

extension Configuration {
    package struct Relay: Sendable, Equatable {
        package var hostname: Domain
        package var names: [Domain] = []
        package var postmaster: Address?
        package var stopTime: Duration = .seconds(30)
    }

    package enum LogFormat: String, Sendable, CaseIterable {
        case text
        case json
    }

    package struct Log: Sendable, Equatable {
        package var format = LogFormat.text
        package var level = EventLevel.info
    }

    /// `[[retry_rule]]`: waits of their own for some classes of failure.
    package struct RetryRule: Sendable, Equatable {
        package var name = ""
        package var classes: [FailureClass] = []
        /// Names of routes; none: all mail.
        package var routes: [String] = []
        /// nil: as `retry` or the route has it.
        package var first: Duration?
        package var ceiling: Duration?
    }

    package struct History: Sendable, Equatable {
        /// Zero: none is kept.
        package var keep: Duration = .seconds(14 * 86_400)
        package var maxSize = 512 << 20
    }

    package struct Control: Sendable, Equatable {
        /// nil: in the spool directory; see `Configuration.controlSocketPath`.
        package var socket: String?
        package var group: String?
    }

    /// A certificate with its key, for listeners to show.
    package struct Certificate: Sendable, Equatable {
        package var name = "mail"
        /// PEM file: the certificate, then those that vouch for it.
        package var chain = ""
        /// PEM file.
        package var key = ""
    }

    /// What a listener is for.
    package enum Role: String, Sendable, CaseIterable {
        /// Mail hosts and programs of one's own, on port 25.
        case relay
        /// People and programs with TLS by STARTTLS, on port 587 (RFC 6409).
        case submission
        /// The same with TLS from the first byte, on port 465 (RFC 8314).
        case submissions
    }

    package enum TLSUse: String, Sendable, CaseIterable {
        case off
        /// STARTTLS is offered.
        case optional
        /// Nothing is taken without it.
        case required
    }

    package enum ClientCertificateUse: String, Sendable, CaseIterable {
        case off
        case optional
        case required
    }

    package struct Listener: Sendable, Equatable {
        package var name = "relay"
        package var role = Role.relay
        package var listen = [
            Endpoint(.loopback4, 2525), Endpoint(.loopback6, 2525),
        ]
        package var relayFor = NetworkPrefix.loopback
        package var relayDomains: [DomainPattern] = []
        /// Path of a list file.
        package var recipients: String?
        package var lenientFor: [NetworkPrefix] = []
        /// nil: as its role has it and certificates allow; see `Configuration.tls(of:)`.
        package var tls: TLSUse?
        package var clientCertificate = ClientCertificateUse.off
        package var clientAuthorities: String?
        package var proxyFrom: [NetworkPrefix] = []
        package var xclientFrom: [NetworkPrefix] = []
        /// nil: as its role has it; see `Configuration.auth(of:)`.
        package var auth: AuthMode?
        /// Empty: all there are.
        package var users: [String] = []
        package var authWithoutTLSFor: [NetworkPrefix] = []
        /// nil: refuse where there is a list of senders, else off.
        package var senderOwnership: SenderOwnership?
        package var helloCheck = HelloCheck.off
        package var reverseDNS = ReverseDNS.off
        package var banner = "ESMTP Ekiden"
        package var maxConnections = 1000
        package var maxConnectionsPerClient = 250
        package var maxMessageSize = 50 * 1_048_576
        package var maxRecipients = 1000
        package var maxErrors = 20
        package var maxCommands = 100
        package var maxReceived = Limits.receivedFields
        package var commandTimeout: Duration = .seconds(300)
        package var dataBlockTimeout: Duration = .seconds(180)
        package var messageTimeout: Duration = .seconds(3600)
        /// nil: a network may have all connections there are.
        package var maxConnectionsPerNetwork: Int?
        package var maxHeaderSize = Limits.headerBlockBytes
        package var maxHeaderFields = Limits.headerFields
        package var maxHeaderFieldSize = Limits.headerFieldBytes
        package var nul = NULUse.keep
        package var eightBitHeaders = EightBitHeaders.accept
        package var greetDelay: Duration = .zero
        package var earlyTalker = EarlyTalker.refuse
        /// nil: errors are answered at once.
        package var tarpitAfter: Int?
        package var tarpitDelay: Duration = .seconds(1)
    }

    /// "60/m"
    package struct Rate: Sendable, Equatable {
        package var count: Int
        package var period: Duration

        package init(_ count: Int, per period: Duration) {
            self.count = count
            self.period = period
        }
    }

    package struct RateLimit: Sendable, Equatable {
        package enum Event: String, Sendable, CaseIterable {
            case connections
            case messages
            case recipients
        }

        package enum Counter: String, Sendable, CaseIterable {
            case client
            case network
            case user
            case sender
        }

        package var name = ""
        package var of = Event.messages
        package var per = Counter.client
        package var limit = Rate(60, per: .seconds(60))
        /// nil: one period's worth.
        package var burst: Int?
        /// Empty: all of them.
        package var listeners: [String] = []
        package var exceptFor: [NetworkPrefix] = []
        package var prefixIPv4 = 24
        package var prefixIPv6 = 64

        package init() {}
    }

    package enum NULUse: String, Sendable, CaseIterable {
        case keep
        case strip
        case refuse
    }

    package enum EightBitHeaders: String, Sendable, CaseIterable {
        case accept
        case refuse
    }

    package enum EarlyTalker: String, Sendable, CaseIterable {
        case refuse
        case log
    }

    /// A client certificate that stands for a user.
    package struct CertificateUser: Sendable, Equatable {
        /// The user's.
        package var name = "user"
        /// SHA-256 of the certificate, 64 hexadecimal digits in lower case.
        package var fingerprint: String?
        /// A name in a certificate that the listener's client_authorities vouch for.
        package var subject: String?
    }

    package enum HelloCheck: String, Sendable, CaseIterable {
        case off
        case strict
    }

    package enum ReverseDNS: String, Sendable, CaseIterable {
        case off
        case note
        case require
    }

    package enum ListAction: String, Sendable, CaseIterable {
        case allow
        case deny
    }

    package enum ListSubject: String, Sendable, CaseIterable {
        case clients
        case senders
        case recipients
    }

    /// An entry of a list; which kinds go with which subject `Check` says.
    package enum ListEntry: Sendable, Equatable {
        case network(NetworkPrefix)
        case mailbox(Address)
        case domain(DomainPattern)
    }

    /// Whom to let in, or to keep out.
    package struct AccessList: Sendable, Equatable {
        package var name = ""
        package var action = ListAction.deny
        package var of = ListSubject.senders
        package var entries: [ListEntry] = []
        /// Path of a file with further entries.
        package var file: String?
        /// Names of listeners; empty: all.
        package var listeners: [String] = []
    }

    /// What becomes of a sender that is not an address of the user who is logged in.
    package enum SenderOwnership: String, Sendable, CaseIterable {
        case off
        case refuse
        case rewrite
    }

    package enum AuthMode: String, Sendable, CaseIterable {
        case off
        case optional
        case required
    }

    /// By the registered names.
    package enum Mechanism: String, Sendable, CaseIterable {
        case scramSHA256Plus = "SCRAM-SHA-256-PLUS"
        case scramSHA256 = "SCRAM-SHA-256"
        case external = "EXTERNAL"
        case plain = "PLAIN"
        case login = "LOGIN"
    }

    package struct Auth: Sendable, Equatable {
        /// nil: there are no users.
        package var users: String?
        /// nil: users have the addresses that are their names.
        package var senders: String?
        package var mechanisms = Mechanism.allCases
        package var maxFailures = 10
        package var failureTime: Duration = .seconds(10 * 60)
        package var lockoutTime: Duration = .seconds(15 * 60)
    }

    package struct Rewriting: Sendable, Equatable {
        package var addMissingHeaders = true
    }

    package struct Spool: Sendable, Equatable {
        package var directory = "spool"
        package var segmentSize = 64 * 1_048_576
        package var memoryCache = 64 * 1_048_576
        package var largeMessage = Limits.memoryBodyBytes
        package var maxMessages = 2_000_000
        package var maxBytes = 100 * 1_073_741_824
        package var minFreeSpace = 256 * 1_048_576
        package var minFreeInodes = 1000
    }

    package struct Retry: Sendable, Equatable {
        package var first: Duration = .seconds(5 * 60)
        package var factor = 2.0
        package var ceiling: Duration = .seconds(4 * 3600)
        package var jitter = Percentage(whole: 10)
        package var lifetime: Duration = .seconds(5 * 86_400)
        package var nullSenderLifetime: Duration = .seconds(86_400)
        package var ownFault: Duration = .seconds(60)
        /// Zero: no notice.
        package var delayNoticeAfter: Duration = .seconds(4 * 3600)
    }

    package struct Sites: Sendable, Equatable {
        package var connectionsMin = 1
        package var connectionsStart = 5
        package var connectionsMax = 20
        package var backoffFirst: Duration = .seconds(60)
        package var backoffCeiling: Duration = .seconds(30 * 60)
        package var deadAddressTime: Duration = .seconds(10 * 60)
    }

    package struct Resolver: Sendable, Equatable {
        /// Empty: the servers of resolv.conf.
        package var servers: [Endpoint] = []
        /// nil: that of resolv.conf, or 2 s.
        package var timeout: Duration?
        /// nil: that of resolv.conf, or 3.
        package var attempts: Int?
        package var lookupTimeout: Duration = .seconds(20)
        package var cacheMax = 20_000
        package var ttlMin: Duration = .seconds(5)
        package var ttlMax: Duration = .seconds(86_400)
        package var negativeTTLMax: Duration = .seconds(3600)
        package var failureTTL: Duration = .seconds(5)
    }

    package enum AddressFamily: String, Sendable, CaseIterable {
        case preferIPv6 = "prefer-ipv6"
        case preferIPv4 = "prefer-ipv4"
        case ipv4Only = "ipv4-only"
        case ipv6Only = "ipv6-only"
    }

    /// What becomes of 8-bit content at a host that takes none.
    package enum EightBitContent: String, Sendable, CaseIterable {
        case convert
        case bounce
    }

    package struct Delivery: Sendable, Equatable {
        package var helo: Domain?
        package var addressFamily = AddressFamily.preferIPv6
        package var sourceIPv4: HostAddress?
        package var sourceIPv6: HostAddress?
        package var tls = TLSPolicy.Level.may
        package var tlsAuthorities: String?
        package var clientCertificate: String?
        package var port: UInt16 = 25
        package var eightBit = EightBitContent.convert
        package var maxConnections = 500
        package var maxAddresses = 5
        package var maxSessions = 2
        package var recipientsPerTransaction = 100
        package var messagesPerConnection = 1000
        package var idleTime: Duration = .seconds(5)
        package var attemptTime: Duration = .seconds(300)
        // RFC 5321 §4.5.3.2: the least a client should wait at each step.
        package var connectTimeout: Duration = .seconds(30)
        package var greetingTimeout: Duration = .seconds(300)
        package var helloTimeout: Duration = .seconds(300)
        package var mailTimeout: Duration = .seconds(300)
        package var recipientTimeout: Duration = .seconds(300)
        package var dataTimeout: Duration = .seconds(120)
        package var dataBlockTimeout: Duration = .seconds(180)
        package var endOfDataTimeout: Duration = .seconds(600)
    }

    package struct Bounces: Sendable, Equatable {
        package var maxReturned = 64 * 1024
    }

    package struct ProcessLimits: Sendable, Equatable {
        /// 0: one per core.
        package var loops = 0
        package var openFiles = 65_536
    }
}

extension NetworkPrefix {
    /// `127.0.0.0/8` and `::1/128`.
    package static let loopback: [NetworkPrefix] =
        [NetworkPrefix(.v4(0x7f00_0000), length: 8), NetworkPrefix(.loopback6, length: 128)]
        .compactMap(\.self)
}

/// A share, in hundredths of a percent so that it compares exactly.
package struct Percentage: Sendable, Hashable {
    package let basisPoints: Int

    package init(basisPoints: Int) { self.basisPoints = basisPoints }
    package init(whole: Int) { basisPoints = whole * 100 }

    /// 0.1 for 10 %.
    package var fraction: Double { Double(basisPoints) / 10_000 }
}
