// The configuration, translated once for each stage. Stages don't import each other and none knows
// the configuration; this is the one place where both sides are named.

import EkidenConfiguration
import EkidenDelivery
import EkidenIngress
import EkidenMail
import EkidenOutcome
import EkidenResolver
import EkidenRuntime
import EkidenSMTP
import EkidenScheduler
import EkidenSpool

/// Everything the running relay goes by. Immutable; a reload makes a new one, and whoever began
/// with the old one ends with it.
final class RelaySettings: Sendable {
    let configuration: Configuration
    let routes: RouteTable
    let routeHosts: [String: Set<RouteHost>]
    let outboundTLS: OutboundTLS
    let siteRules: SiteRules
    let streams: Streams
    let delivery: DeliverySettings
    let scheduler: SchedulerSettings
    /// What a connection without a job may stay open for.
    let idleTime: Duration
    let hostName: String
    let addsMissingHeaders: Bool
    let returnedBytesMax: Int
    let descriptors: DescriptorShares

    /// - Parameter descriptors: how many the process may have.
    init(_ configuration: Configuration, descriptors: Int = .max) {
        self.configuration = configuration
        let shares = DescriptorShares(of: descriptors, configuration)
        self.descriptors = shares
        routes = configuration.routes
        routeHosts = Self.routeHosts(configuration)
        outboundTLS = OutboundTLS(configuration)
        siteRules = SiteRules(configuration.siteRules)
        streams = Streams(configuration.streams)
        delivery = Self.delivery(configuration)
        scheduler = Self.scheduler(configuration, connectionsMax: shares.deliveriesMax)
        idleTime = configuration.delivery.idleTime
        hostName = configuration.relay.hostname.text
        addsMissingHeaders = configuration.rewriting.addMissingHeaders
        returnedBytesMax = configuration.bounces.maxReturned
    }

    private static func delivery(_ c: Configuration) -> DeliverySettings {
        var timeouts = ClientTimeouts()
        timeouts.connect = c.delivery.connectTimeout
        timeouts.greeting = c.delivery.greetingTimeout
        timeouts.hello = c.delivery.helloTimeout
        timeouts.mail = c.delivery.mailTimeout
        timeouts.recipient = c.delivery.recipientTimeout
        timeouts.data = c.delivery.dataTimeout
        timeouts.dataBlock = c.delivery.dataBlockTimeout
        timeouts.endOfData = c.delivery.endOfDataTimeout
        var delivery = DeliverySettings(
            helo: c.helo.text,
            timeouts: timeouts,
            attemptTime: c.delivery.attemptTime,
            addressesPerAttempt: c.delivery.maxAddresses,
            sessionsPerAttempt: c.delivery.maxSessions,
            messagesPerConnection: c.delivery.messagesPerConnection,
            source4: c.delivery.sourceIPv4,
            source6: c.delivery.sourceIPv6
        )
        delivery.convertsEightBit = c.delivery.eightBit == .convert
        delivery.rules = c.connectionUses
        for route in c.routes.all {
            delivery.identities[route.name] = DeliverySettings.Identity(
                helo: route.helo?.text ?? c.helo.text,
                source4: route.sourceIPv4 ?? c.delivery.sourceIPv4,
                source6: route.sourceIPv6 ?? c.delivery.sourceIPv6
            )
        }
        return delivery
    }

    /// When mail for that next hop is tried again, with what its route overrides.
    func retry(for hop: NextHop) -> RetrySettings {
        let own = configuration.retry(for: hop)
        var retry = RetrySettings()
        retry.first = own.first
        retry.factor = own.factor
        retry.ceiling = own.ceiling
        retry.jitter = own.jitter.fraction
        retry.lifetime = own.lifetime
        retry.nullSenderLifetime = own.nullSenderLifetime
        retry.delayNoticeAfter = own.delayNoticeAfter > .zero ? own.delayNoticeAfter : nil
        retry.ownFault = own.ownFault
        retry.postmaster = configuration.relay.postmaster
        retry.classes = waits(for: hop, retry)
        retry.fallbackOn = Set(hop.route.flatMap { routes.route(named: $0) }?.fallbackOn ?? [])
        return retry
    }

    /// By class of failure: the first rule that fits, and short waits for who is greylisted.
    private func waits(
        for hop: NextHop,
        _ usual: RetrySettings
    ) -> [FailureClass: RetrySettings.Waits] {
        var classes: [FailureClass: RetrySettings.Waits] = [
            .greylisted: RetrySettings.Waits(
                first: min(usual.first, .seconds(120)),
                ceiling: min(usual.ceiling, .seconds(900))
            )
        ]
        for rule in configuration.retryRules.reversed() {
            guard rule.routes.isEmpty || hop.route.map(rule.routes.contains) ?? false else {
                continue
            }
            for failureClass in rule.classes {
                let first = rule.first ?? min(usual.first, rule.ceiling ?? usual.first)
                classes[failureClass] = RetrySettings.Waits(
                    first: first,
                    ceiling: max(rule.ceiling ?? usual.ceiling, first)
                )
            }
        }
        return classes
    }

    private static func scheduler(
        _ c: Configuration,
        connectionsMax: Int
    ) -> SchedulerSettings {
        var scheduler = SchedulerSettings()
        scheduler.recipientsPerTransaction = c.delivery.recipientsPerTransaction
        scheduler.connectionsMax = connectionsMax
        scheduler.windowInitial = c.sites.connectionsStart
        scheduler.windowFloor = c.sites.connectionsMin
        scheduler.windowCeiling = c.sites.connectionsMax
        scheduler.backOffFirst = c.sites.backoffFirst
        scheduler.backOffCeiling = c.sites.backoffCeiling
        scheduler.rules = c.siteLimits
        scheduler.streams = c.streamRates
        scheduler.deadAddressMemory = c.sites.deadAddressTime
        let ceilings =
            [c.retry.ceiling] + c.routes.all.compactMap(\.retryCeiling)
            + c.retryRules.flatMap { [$0.first, $0.ceiling].compactMap { $0 } }
        let longest = ceilings.reduce(.zero, max)
        scheduler.longestWait = longest + longest / 4
        return scheduler
    }

    /// What the spool goes by; all of it is fixed at start.
    var spool: SpoolSettings {
        var spool = SpoolSettings()
        let c = configuration.spool
        spool.segmentBytes = c.segmentSize
        spool.largeMessageBytes = c.largeMessage
        spool.cacheBytes = c.memoryCache
        spool.messagesMax = c.maxMessages
        spool.queuedBytesMax = c.maxBytes
        spool.freeBytesMin = c.minFreeSpace
        spool.freeInodesMin = c.minFreeInodes
        return spool
    }

    /// - Parameters:
    ///   - local: this machine's addresses; a mail host that has one of them is us, if we listen
    ///     where mail hosts are looked for.
    ///   - hosts: the system's table of host names.
    func resolver(local: [NetworkPrefix], hosts: HostTable) -> ResolverSettings {
        let c = configuration
        var resolver = ResolverSettings()
        resolver.families =
            AddressFamilyPolicy(rawValue: c.delivery.addressFamily.rawValue) ?? .preferIPv6
        resolver.ownNames = c.ownNames.map(\.folded)
        let listensThere = c.listeners.contains { listener in
            listener.listen.contains { $0.port == c.delivery.port }
        }
        resolver.ownAddresses = listensThere ? local : []
        resolver.exchangePort = c.delivery.port
        for route in c.routes.all where route.usesHosts {
            resolver.routes[route.name] = route.hosts.map { host in
                var routeHost = EkidenResolver.RouteHost(
                    host.literal?.text ?? host.name,
                    port: route.port(of: host, usual: c.delivery.port)
                )
                if let path = host.socketPath { routeHost = EkidenResolver.RouteHost(socket: path) }
                routeHost.speaksLMTP = route.target == .lmtp
                return routeHost
            }
        }
        resolver.hostTable = hosts
        let seconds = { (duration: Duration) in
            UInt32(clamping: duration.wholeNanoseconds / 1_000_000_000)
        }
        resolver.ttlSeconds = seconds(c.resolver.ttlMin)...seconds(c.resolver.ttlMax)
        resolver.negativeTTLSecondsMax = seconds(c.resolver.negativeTTLMax)
        resolver.failureTTL = c.resolver.failureTTL
        resolver.questionTimeout = c.resolver.lookupTimeout
        return resolver
    }

    private func auth(of listener: Configuration.Listener) -> AuthSettings? {
        let mode = configuration.auth(of: listener)
        if mode == .off { return nil }
        return AuthSettings(
            mechanisms: configuration.auth.mechanisms.compactMap {
                SASLMechanism(rawValue: $0.rawValue)
            },
            isRequired: mode == .required
        )
    }

    /// Errors: a certificate can't be used.
    func policy(
        of listener: Configuration.Listener,
        _ shelf: TLSShelf,
        _ lists: ListsDesk
    )
        throws(StartFailure) -> ListenerPolicy
    {
        let use = configuration.tls(of: listener)
        let begin: ListenerTLS.Begin = listener.role == .submissions ? .atOnce : .onRequest
        var tls: ListenerTLS?
        if let settings = configuration.tlsSettings(of: listener) {
            do throws(TLSFailure) {
                tls = ListenerTLS(
                    begin,
                    by: try shelf.acceptor(settings),
                    handshakeTimeout: min(listener.commandTimeout, .seconds(60))
                )
            } catch {
                throw StartFailure("listener \"\(listener.name)\" has no TLS: \(error.text)")
            }
        }
        var policy = ListenerPolicy(
            name: listener.name,
            relayFor: listener.relayFor,
            lenientFor: listener.lenientFor,
            authWithoutTLSFor: listener.authWithoutTLSFor,
            postmaster: configuration.relay.postmaster,
            receivedFields: listener.maxReceived,
            session: ServerSettings(
                hostName: hostName,
                banner: listener.banner,
                messageBytes: listener.maxMessageSize,
                recipients: listener.maxRecipients,
                errors: listener.maxErrors,
                commands: listener.maxCommands,
                offersTLS: tls?.begin == .onRequest,
                requiresTLS: use == .required,
                auth: auth(of: listener)
            ),
            connectionsPerClient: listener.maxConnectionsPerClient,
            connections: listener.maxConnections,
            timeouts: .init(
                command: listener.commandTimeout,
                dataBlock: listener.dataBlockTimeout,
                message: listener.messageTimeout
            ),
            tls: tls
        )
        policy.proxyFrom = listener.proxyFrom
        policy.xclientFrom = listener.xclientFrom
        policy.certificateUsers = configuration.certificateUsers.map {
            CertificateUser(name: $0.name, fingerprint: $0.fingerprint, subject: $0.subject)
        }
        listener.apply(to: &policy)
        policy.rates = configuration.rateLimits(of: listener)
        policy.rules = rules(of: listener, lists)
        policy.session.asksHello = policy.rules.helloCheck != .off
        return policy
    }
}

extension Configuration {
    /// What a listener's TLS is made of; nil: it has none.
    package func tlsSettings(of listener: Listener) -> TLSServerSettings? {
        if tls(of: listener) == .off { return nil }
        return TLSServerSettings(
            identities: certificates.map { TLSIdentity(certificate: $0.chain, key: $0.key) },
            clientCertificate: {
                switch listener.clientCertificate {
                case .off: .none
                case .optional: .optional
                case .required: .required
                }
            }(),
            clientAuthorities: listener.clientAuthorities
        )
    }
}
