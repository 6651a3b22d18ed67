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
    let delivery: EkidenDelivery.DeliverySettings
    let retry: EkidenOutcome.RetrySettings
    let scheduler: EkidenScheduler.SchedulerSettings
    /// What a connection without a job may stay open for.
    let idleTime: Duration
    let hostName: String
    let addsMissingHeaders: Bool
    let returnedBytesMax: Int

    init(_ configuration: Configuration) {
        self.configuration = configuration
        routes = configuration.routes
        delivery = Self.delivery(configuration)
        retry = Self.retry(configuration)
        scheduler = Self.scheduler(configuration)
        idleTime = configuration.delivery.idleTime
        hostName = configuration.relay.hostname.text
        addsMissingHeaders = configuration.rewriting.addMissingHeaders
        returnedBytesMax = configuration.bounces.maxReturned
    }

    private static func delivery(_ c: Configuration) -> EkidenDelivery.DeliverySettings {
        var timeouts = ClientTimeouts()
        timeouts.connect = c.delivery.connectTimeout
        timeouts.greeting = c.delivery.greetingTimeout
        timeouts.hello = c.delivery.helloTimeout
        timeouts.mail = c.delivery.mailTimeout
        timeouts.recipient = c.delivery.recipientTimeout
        timeouts.data = c.delivery.dataTimeout
        timeouts.dataBlock = c.delivery.dataBlockTimeout
        timeouts.endOfData = c.delivery.endOfDataTimeout
        return EkidenDelivery.DeliverySettings(
            helo: c.helo.text,
            timeouts: timeouts,
            attemptTime: c.delivery.attemptTime,
            addressesPerAttempt: c.delivery.maxAddresses,
            sessionsPerAttempt: c.delivery.maxSessions,
            messagesPerConnection: c.delivery.messagesPerConnection,
            source4: c.delivery.sourceIPv4,
            source6: c.delivery.sourceIPv6
        )
    }

    private static func retry(_ c: Configuration) -> EkidenOutcome.RetrySettings {
        var retry = EkidenOutcome.RetrySettings()
        retry.first = c.retry.first
        retry.factor = c.retry.factor
        retry.ceiling = c.retry.ceiling
        retry.jitter = c.retry.jitter.fraction
        retry.lifetime = c.retry.lifetime
        retry.nullSenderLifetime = c.retry.nullSenderLifetime
        retry.delayNoticeAfter =
            c.retry.delayNoticeAfter > .zero ? c.retry.delayNoticeAfter : nil
        retry.postmaster = c.relay.postmaster
        return retry
    }

    private static func scheduler(_ c: Configuration) -> EkidenScheduler.SchedulerSettings {
        var scheduler = EkidenScheduler.SchedulerSettings()
        scheduler.recipientsPerTransaction = c.delivery.recipientsPerTransaction
        scheduler.connectionsMax = c.delivery.maxConnections
        scheduler.windowInitial = c.sites.connectionsStart
        scheduler.windowFloor = c.sites.connectionsMin
        scheduler.windowCeiling = c.sites.connectionsMax
        scheduler.backOffFirst = c.sites.backoffFirst
        scheduler.backOffCeiling = c.sites.backoffCeiling
        scheduler.deadAddressMemory = c.sites.deadAddressTime
        scheduler.longestWait = c.retry.ceiling + c.retry.ceiling / 4
        return scheduler
    }

    /// What the spool goes by; all of it is fixed at start.
    var spool: EkidenSpool.SpoolSettings {
        var spool = EkidenSpool.SpoolSettings()
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
    func resolver(local: [NetworkPrefix], hosts: HostTable) -> EkidenResolver.ResolverSettings {
        let c = configuration
        var resolver = EkidenResolver.ResolverSettings()
        resolver.families =
            switch c.delivery.addressFamily {
            case .preferIPv6: .preferIPv6
            case .preferIPv4: .preferIPv4
            case .ipv4Only: .onlyIPv4
            case .ipv6Only: .onlyIPv6
            }
        resolver.ownNames = c.ownNames.map(\.folded)
        let listensThere = c.listeners.contains { listener in
            listener.listen.contains { $0.port == c.delivery.port }
        }
        resolver.ownAddresses = listensThere ? local : []
        resolver.exchangePort = c.delivery.port
        for route in c.routes.all {
            resolver.routes[route.name] = route.hosts.map {
                EkidenResolver.RouteHost(
                    $0.literal?.text ?? $0.name,
                    port: $0.port ?? c.delivery.port
                )
            }
        }
        resolver.hostTable = hosts
        let seconds = { (duration: Duration) in
            UInt32(clamping: duration.wholeNanoseconds / 1_000_000_000)
        }
        resolver.ttlSeconds = seconds(c.resolver.ttlMin)...seconds(c.resolver.ttlMax)
        resolver.negativeTTLSecondsMax = seconds(c.resolver.negativeTTLMax)
        return resolver
    }

    func policy(of listener: ListenerSettings) -> ListenerPolicy {
        ListenerPolicy(
            name: listener.name,
            relayFor: listener.relayFor,
            lenientFor: listener.lenientFor,
            postmaster: configuration.relay.postmaster,
            session: ServerSettings(
                hostName: hostName,
                messageBytes: listener.maxMessageSize,
                recipients: listener.maxRecipients,
                errors: listener.maxErrors,
                commands: listener.maxCommands
            ),
            connectionsPerClient: listener.maxConnectionsPerClient,
            connections: listener.maxConnections,
            timeouts: .init(
                command: listener.commandTimeout,
                dataBlock: listener.dataBlockTimeout,
                message: listener.messageTimeout
            )
        )
    }
}

extension RouteTable {
    /// Where a recipient goes first: its domain's route, else its domain's mail hosts.
    func nextHop(of address: Address) -> NextHop { nextHop(for: address.domain) }
}
