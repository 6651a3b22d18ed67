import EkidenMail
import EkidenRuntime
import EkidenSMTP

/// A listener's policy, as data: who may do what, and how much of it. One value per configuration;
/// a session keeps the one it began with.
package struct ListenerPolicy: Sendable {
    /// Name of the listener in the configuration, for the log.
    package var name: String
    /// Networks whose clients may send to any recipient (loopback by default).
    package var relayFor: [NetworkPrefix]
    /// Networks whose bare CR and LF are made CRLF instead of refused.
    package var lenientFor: [NetworkPrefix]
    /// Balancers, which begin each connection with a PROXY header.
    package var proxyFrom: [NetworkPrefix] = []
    /// Peers that may say for whom they speak (XCLIENT).
    package var xclientFrom: [NetworkPrefix] = []
    /// Networks whose clients may log in without TLS.
    package var authWithoutTLSFor: [NetworkPrefix]
    /// Client certificates that stand for users; the first that fits counts.
    package var certificateUsers: [CertificateUser] = []
    /// Where bare `<postmaster>` goes; nil: answered 451 (RFC 5321 §4.5.1).
    package var postmaster: Address?
    /// Received fields at which a message is in a loop.
    package var receivedFields: Int
    package var session: ServerSettings
    /// Connections of one client address at once.
    package var connectionsPerClient: Int
    /// Connections of this listener at once.
    package var connections: Int
    package var timeouts: Timeouts
    package var tls: ListenerTLS?
    /// nil: the banner is sent at once, and who talks before it is none the worse for it.
    package var greetDelay: GreetDelay?
    /// nil: replies to errors come at once, to the last.
    package var tarpit: Tarpit?
    /// Connections of one network (/24, /64) at once; nil: as many as there are slots.
    package var connectionsPerNetwork: Int?
    package var content = ContentPolicy()
    /// The rate limits its clients are under.
    package var rates: [RateLimit] = []
    /// Whom and what it takes mail from and for, beyond `relayFor`.
    package var rules = ListenerRules()

    /// How long a client may take. RFC 5321 §4.5.3.2 gives the minima for servers: five minutes
    /// for a command (§4.5.3.2.7), three for a block of data (§4.5.3.2.5).
    package struct Timeouts: Sendable, Equatable {
        package var command: Duration
        package var dataBlock: Duration
        /// From 354 to the end of data, whatever happens in between; so that a slow drip ends.
        package var message: Duration
        /// For a balancer's header, from the connection on (proxy-protocol.txt §2: it is the first
        /// thing sent).
        package var proxyHeader: Duration = .seconds(5)

        package init(
            command: Duration = .seconds(300),
            dataBlock: Duration = .seconds(180),
            message: Duration = .seconds(3600)
        ) {
            self.command = command
            self.dataBlock = dataBlock
            self.message = message
        }
    }

    package init(
        name: String,
        relayFor: [NetworkPrefix],
        lenientFor: [NetworkPrefix] = [],
        authWithoutTLSFor: [NetworkPrefix] = [],
        postmaster: Address? = nil,
        receivedFields: Int = Limits.receivedFields,
        session: ServerSettings,
        connectionsPerClient: Int = 200,
        connections: Int = 2000,
        timeouts: Timeouts = Timeouts(),
        tls: ListenerTLS? = nil
    ) {
        self.name = name
        self.relayFor = relayFor
        self.lenientFor = lenientFor
        self.authWithoutTLSFor = authWithoutTLSFor
        self.postmaster = postmaster
        self.receivedFields = receivedFields
        self.session = session
        self.connectionsPerClient = connectionsPerClient
        self.connections = connections
        self.timeouts = timeouts
        self.tls = tls
    }

    var bounds: ConnectionLedger.Bounds {
        ConnectionLedger.Bounds(
            total: connections,
            perClient: connectionsPerClient,
            perNetwork: connectionsPerNetwork
        )
    }

    package func mayRelay(_ client: HostAddress) -> Bool {
        relayFor.contains { $0.contains(client) }
    }

    package func isProxy(_ peer: HostAddress) -> Bool {
        proxyFrom.contains { $0.contains(peer) }
    }

    package func mayOverride(_ client: HostAddress) -> Bool {
        xclientFrom.contains { $0.contains(client) }
    }

    package func mayLogInWithoutTLS(_ client: HostAddress) -> Bool {
        authWithoutTLSFor.contains { $0.contains(client) }
    }

    /// Whose the certificate is; nil: nobody's whom this listener knows.
    package func user(of certificate: PeerCertificate) -> String? {
        certificateUsers.first { rules.admits(user: $0.name) && $0.fits(certificate) }?.name
    }

    package func isLenient(_ client: HostAddress) -> Bool {
        lenientFor.contains { $0.contains(client) }
    }
}

/// A policy as its sessions share it: thousands of them would keep a copy each.
final class ListenerTerms: Sendable {
    let policy: ListenerPolicy

    init(_ policy: ListenerPolicy) { self.policy = policy }

    @inline(never)
    func admits(user: String) -> Bool { policy.rules.admits(user: user) }

    @inline(never)
    func isProxy(_ peer: HostAddress) -> Bool { policy.isProxy(peer) }
}

/// For async functions, whose frames would otherwise have room for a copy of the whole policy.
extension ConnectionLedger {
    @inline(never)
    func enter(_ client: HostAddress, _ terms: ListenerTerms) -> Verdict {
        enter(client, terms.policy)
    }

    @inline(never)
    func leave(_ client: HostAddress, _ terms: ListenerTerms) { leave(client, terms.policy) }
}

/// How a listener's sessions come to TLS.
package struct ListenerTLS: Sendable, Equatable {
    package enum Begin: Sendable, Equatable {
        /// After STARTTLS (RFC 3207).
        case onRequest
        /// With the connection (RFC 8314 §3.3, port 465).
        case atOnce
    }

    package var begin: Begin
    package var acceptor: any TLSAcceptor
    /// A client that has begun must have ended its handshake by then.
    package var handshakeTimeout: Duration

    package init(
        _ begin: Begin,
        by acceptor: any TLSAcceptor,
        handshakeTimeout: Duration = .seconds(60)
    ) {
        self.begin = begin
        self.acceptor = acceptor
        self.handshakeTimeout = handshakeTimeout
    }

    package static func == (a: ListenerTLS, b: ListenerTLS) -> Bool {
        a.begin == b.begin && a.acceptor === b.acceptor && a.handshakeTimeout == b.handshakeTimeout
    }
}
