// Which TLS mail has on its way out: the configuration's rules, indexed once, and the connectors that
// make our side of sessions. docs/DELIVERY.md has the order of precedence.

import EkidenConfiguration
import EkidenMail
import EkidenRuntime

/// The rules of one configuration. An object: it is asked for each transaction, and a copy of the
/// configuration is dear.
final class OutboundTLS: Sendable {
    private let configuration: Configuration
    /// Rules by the domains of recipients, and by mail hosts; looked up as routes are.
    private let byDomain: RouteTable
    private let byHost: RouteTable

    init(_ configuration: Configuration) {
        self.configuration = configuration
        byDomain = Self.table(configuration.tlsRules.map { ($0.name, $0.domains) })
        byHost = Self.table(configuration.tlsRules.map { ($0.name, $0.hosts) })
    }

    private static func table(_ rules: [(String, [DomainPattern])]) -> RouteTable {
        RouteTable(
            rules.map { Route(named: $0.0, for: $0.1) }
        )
    }

    /// What a next hop's site has of its own; nil: what its hosts have.
    func policy(of hop: NextHop) -> TLSPolicy? {
        switch hop {
        case .route(let name): return policy(ofRoute: name)
        case .routed(let domain, let name):
            // The stricter of the two; equally strict ones have the domain's names.
            let domains = policy(of: .domain(domain))
            guard var policy = policy(ofRoute: name) else {
                return domains.map { shown(by: name, $0) }
            }
            if let domains, domains.level >= policy.level { return shown(by: name, domains) }
            if policy.level == .verify, policy.names.isEmpty {
                policy.names = Self.names(of: domain)
            }
            return policy
        case .domain(let domain):
            guard let rule = rule(for: domain, in: byDomain) else { return nil }
            var policy = policy(rule)
            if policy.level == .verify, policy.names.isEmpty {
                policy.names = Self.names(of: domain)
            }
            return policy
        }
    }

    /// The name in an MX answer can be forged: a domain's hosts have its own name, or one below it.
    private static func names(of domain: Domain) -> [String] {
        let name = domain.lookupName ?? domain.folded
        return [name, "." + name]
    }

    /// With the certificate that the route shows, where it has one of its own.
    private func shown(by route: String?, _ policy: TLSPolicy) -> TLSPolicy {
        var policy = policy
        let own = route.flatMap { configuration.routes.route(named: $0)?.clientCertificate }
        policy.certificate = own ?? policy.certificate
        return policy
    }

    private func policy(ofRoute name: String) -> TLSPolicy? {
        guard let route = configuration.routes.route(named: name),
            route.tls != nil || route.login != nil
        else { return nil }
        // A password goes to nobody who has not shown who they are, unless the route says so.
        let usual = route.login == nil ? configuration.delivery.tls : TLSPolicy.Level.verify
        return TLSPolicy(
            route.tls ?? usual,
            names: route.tlsNames,
            fingerprints: route.tlsFingerprints,
            certificate: route.clientCertificate ?? configuration.delivery.clientCertificate,
            authorities: configuration.delivery.tlsAuthorities
        )
    }

    /// What a connection to that host must have for that job: the strictest of what its recipients'
    /// next hops have now, which may be more than they had when the job's site was found.
    func policy(of job: DeliveryJob, at exchange: Exchange) -> TLSPolicy {
        // Nothing crosses a network.
        if exchange.socketPath != nil, let name = job.nextHop.route,
            configuration.routes.route(named: name)?.tls == nil
        {
            return TLSPolicy(.none)
        }
        var strictest = policy(of: job.nextHop)
        if !job.isRouted, !configuration.tlsRules.isEmpty {
            for recipient in job.recipients {
                let domain = recipient.address.domain
                let hop =
                    job.nextHop.route.map { NextHop.routed(domain, by: $0) } ?? .domain(domain)
                if let own = policy(of: hop), own.level > strictest?.level ?? .none {
                    strictest = own
                }
            }
        }
        // A route's own hosts have what it says; of those that names lead to, some have rules.
        let ofHost =
            job.isRouted && strictest != nil
            ? nil : rule(for: Domain(exchange.name), in: byHost).map { policy($0) }
        if let strictest, strictest.level >= ofHost?.level ?? .none || job.nextHop.route == nil {
            return strictest
        }
        var usual = TLSPolicy(
            configuration.delivery.tls,
            certificate: configuration.delivery.clientCertificate,
            authorities: configuration.delivery.tlsAuthorities
        )
        if let ofHost { usual = ofHost }
        return shown(by: job.nextHop.route, usual)
    }

    private func rule(for domain: Domain, in table: RouteTable) -> Configuration.TLSRule? {
        guard let name = table.route(for: domain)?.name else { return nil }
        return configuration.tlsRules.first { $0.name == name }
    }

    private func policy(_ rule: Configuration.TLSRule) -> TLSPolicy {
        TLSPolicy(
            rule.level,
            names: rule.names,
            fingerprints: rule.fingerprints,
            certificate: configuration.delivery.clientCertificate,
            authorities: configuration.delivery.tlsAuthorities
        )
    }

    /// What our side of a session is made of.
    /// - Parameter certificate: the name of the one that is shown.
    func settings(showing certificate: String?) -> TLSClientSettings {
        let shown = certificate.flatMap { configuration.certificate(named: $0) }
        return TLSClientSettings(
            authorities: configuration.delivery.tlsAuthorities,
            identity: shown.map { TLSIdentity(certificate: $0.chain, key: $0.key) }
        )
    }

    /// All that connections may need.
    var allSettings: [TLSClientSettings] {
        [settings(showing: nil)]
            + configuration.outboundCertificates.map { settings(showing: $0) }
    }
}

extension Configuration {
    /// What TLS towards next hops is made of, for who checks a configuration without running it.
    package var outboundTLSSettings: [TLSClientSettings] { OutboundTLS(self).allSettings }
}

extension Relay {
    /// Makes all connectors, so that what is wrong with them is known now and not when mail goes out.
    /// Errors: the sentence says what can't be used.
    static func prepareTLS(
        _ settings: RelaySettings,
        _ shelf: TLSShelf
    ) throws(StartFailure) {
        for own in settings.outboundTLS.allSettings {
            do throws(TLSFailure) {
                _ = try shelf.connector(own)
            } catch {
                throw StartFailure("no TLS for mail going out: \(error.text)")
            }
        }
    }
}
