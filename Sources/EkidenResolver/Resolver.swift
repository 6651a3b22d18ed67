// The front door: from a next hop to its site, and from a mail host to its addresses. Called by the
// composition for scheduler and delivery, from tasks of any loop. It asks (through `NameCache`);
// what the answers mean is decided in `MailExchangers` and `HostAddresses`.

import EkidenMail
import EkidenRuntime
import Synchronization

package final class Resolver: Sendable {
    /// Answers kept at a time: some 400 bytes each.
    package static let cacheEntries = 16_384
    /// Literals and routes ask no name server; they are looked at again after this, for a reload
    /// may have changed them.
    package static let fixedSiteLifetime = Duration.seconds(60)

    private let cache: NameCache
    private let random: any RandomSource
    private let current: Mutex<ResolverSettings>

    package init(
        transport: any NameTransport,
        random: any RandomSource,
        settings: ResolverSettings,
        cacheEntries: Int = Resolver.cacheEntries
    ) {
        cache = NameCache(transport: transport, capacity: cacheEntries)
        self.random = random
        current = Mutex(settings)
    }

    /// What look-ups that begin from now on go by. Kept answers stay; `flush` as well when the name
    /// servers changed.
    package func replace(_ settings: ResolverSettings) { current.withLock { $0 = settings } }

    package func flush() { cache.flush() }

    /// Ends all look-ups, under way and to come, with a failure of scope `ours`.
    package func stop(at now: Instant) { cache.stop(at: now) }

    package var statistics: CacheStatistics { cache.statistics }

    // MARK: Next hop → site

    /// Where a next hop leads; from a task of `loop`. Ends at `deadline` with a temporary failure.
    package func resolve(
        _ hop: NextHop,
        on loop: Loop,
        until deadline: Instant
    ) async -> Resolution {
        let settings = current.withLock { $0 }
        switch hop {
        case .route(let name):
            return route(name, settings, loop.turnTime)
        case .domain(let domain) where domain.isLiteral,
            .routed(let domain, _) where domain.isLiteral:
            return literal(domain, settings, loop.turnTime)
        case .domain(let domain), .routed(let domain, _):
            guard let name = domain.lookupName else {
                return .failure(.unconvertible(domain.text))
            }
            return await exchanges(of: name, settings, on: loop, until: deadline)
        }
    }

    private func route(_ name: String, _ settings: ResolverSettings, _ now: Instant) -> Resolution {
        guard let hosts = settings.routes[name], !hosts.isEmpty else {
            return .failure(.noRoute(name))
        }
        let exchanges = hosts.enumerated().map { index, host in
            var exchange = Exchange(
                preference: index,
                name: host.name,
                port: host.port,
                literal: host.literal
            )
            exchange.speaksLMTP = host.speaksLMTP
            exchange.socketPath = host.socketPath
            return exchange
        }
        let site = Site(route: name, exchanges: exchanges)
        return .site(site, validUntil: now + Self.fixedSiteLifetime)
    }

    /// RFC 5321 §5.1: an address literal needs no look-up.
    private func literal(
        _ domain: Domain,
        _ settings: ResolverSettings,
        _ now: Instant
    ) -> Resolution {
        guard let address = domain.literalAddress, address.isUnicastHost else {
            return .failure(.domainNotFound("\(domain.text) is not the address of a host"))
        }
        if settings.isOwn(address) { return .failure(.mailLoop(domain.text)) }
        let exchange = Exchange(
            preference: 0,
            name: address.text,
            port: settings.exchangePort,
            literal: address
        )
        return .site(Site(exchanges: [exchange]), validUntil: now + Self.fixedSiteLifetime)
    }

    private func exchanges(
        of domain: String,
        _ settings: ResolverSettings,
        on loop: Loop,
        until deadline: Instant
    ) async -> Resolution {
        var finding = Finding(.unaskable, validUntil: loop.turnTime)
        if HostName.isValid(domain) {
            let promise = begin(domain, RecordType.mx, settings, on: loop)
            finding = await cache.settle(promise, on: loop, until: deadline)
        }
        let choice = MailExchangers.choose(
            for: domain,
            lookup: finding.lookup,
            port: settings.exchangePort
        )
        guard case .hosts(let hosts) = choice else { return resolution(choice, finding) }

        // All addresses at once: we may be any of the hosts, whatever name it has, and the
        // connection that follows needs them anyway.
        let inquiries = hosts.map { host in
            settings.isOwn(host.name) ? nil : beginHost(host, settings, on: loop)
        }
        var standings: [MailExchangers.Standing] = []
        for inquiry in inquiries {
            guard let inquiry else {
                standings.append(.ours)
                continue
            }
            let host = await settle(inquiry, settings, on: loop, until: deadline)
            standings.append(standing(of: host, settings))
        }
        return resolution(
            MailExchangers.judge(hosts, standings: standings, domain: domain),
            finding
        )
    }

    private func resolution(_ choice: MailExchangers.Choice, _ finding: Finding) -> Resolution {
        switch choice {
        case .hosts(let hosts): .site(Site(exchanges: hosts), validUntil: finding.validUntil)
        case .failure(let failure): .failure(failure)
        }
    }

    private func standing(
        of host: HostLookup,
        _ settings: ResolverSettings
    ) -> MailExchangers.Standing {
        switch host {
        case .found(let v4, let v6):
            v4.contains(where: settings.isOwn) || v6.contains(where: settings.isOwn)
                ? .ours : .reachable
        case .none(let text): .absent(text)
        case .failed(let why): .unknown(why)
        }
    }

    // MARK: Host → addresses

    /// The addresses of a host in the order to be tried; from a task of `loop`. Ends at `deadline`
    /// with a temporary failure. A permanent failure here speaks of this host alone: of a site
    /// without any host with addresses `resolve` says so itself.
    package func addresses(
        of exchange: Exchange,
        on loop: Loop,
        until deadline: Instant
    ) async -> AddressResolution {
        let settings = current.withLock { $0 }
        if let literal = exchange.literal { return .addresses([literal]) }
        let inquiry = beginHost(exchange, settings, on: loop)
        let host = await settle(inquiry, settings, on: loop, until: deadline)
        let peer = PeerHost(name: exchange.name, endpoint: nil)
        switch host {
        case .found(var v4, var v6):
            if case .questions = inquiry {
                v4 = v4.shuffled(by: random)
                v6 = v6.shuffled(by: random)
            }
            return .addresses(settings.families.interleaved(v4: v4, v6: v6))
        case .none(let text):
            let text = "the host \(exchange.name) \(text)"
            return .failure(.noAddress(text, scope: .host, host: peer))
        case .failed(let why):
            return .failure(.lookup(why, scope: .host, host: peer))
        }
    }

    /// A host whose addresses are known without asking, or the questions under way for it.
    private enum HostInquiry {
        case known(HostLookup)
        case questions([NameCache.Promise])
    }

    private func beginHost(
        _ host: Exchange,
        _ settings: ResolverSettings,
        on loop: Loop
    ) -> HostInquiry {
        let families = settings.families
        if let fixed = settings.fixedAddresses(of: host.name) {
            let none = HostLookup.none("has no address that mail can be sent to")
            return .known(families.found(in: fixed) ?? none)
        }
        guard HostName.isValid(host.name) else { return .known(.none("is not the name of a host")) }
        return .questions(families.recordTypes.map { begin(host.name, $0, settings, on: loop) })
    }

    private func settle(
        _ inquiry: HostInquiry,
        _ settings: ResolverSettings,
        on loop: Loop,
        until deadline: Instant
    ) async -> HostLookup {
        switch inquiry {
        case .known(let host): return host
        case .questions(let promises):
            var lookups: [Lookup] = []
            for promise in promises {
                lookups.append(await cache.settle(promise, on: loop, until: deadline).lookup)
            }
            return settings.families.join(lookups)
        }
    }

    /// One look-up from its beginning to its end.
    func ask(
        _ name: String,
        _ type: UInt16,
        on loop: Loop,
        until deadline: Instant
    ) async -> Lookup {
        let promise = begin(name, type, current.withLock { $0 }, on: loop)
        return await cache.settle(promise, on: loop, until: deadline).lookup
    }

    private func begin(
        _ name: String,
        _ type: UInt16,
        _ settings: ResolverSettings,
        on loop: Loop
    ) -> NameCache.Promise {
        cache.begin(
            NameQuestion(name: name, type: type),
            policy: settings.lifetimes,
            timeout: settings.questionTimeout,
            on: loop
        )
    }
}
