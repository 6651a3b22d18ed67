// Which [[site]] mail belongs to on its way out: the configuration's rules, indexed once. docs/DELIVERY.md
// has the order of precedence.

import EkidenConfiguration
import EkidenDelivery
import EkidenMail
import EkidenScheduler

/// The rules of one configuration. An object: each look-up of a next hop asks it.
final class SiteRules: Sendable {
    private let byDomain: RouteTable
    private let byHost: RouteTable
    private let byRoute: [String: String]
    private let isEmpty: Bool

    init(_ rules: [Configuration.SiteRule]) {
        byDomain = RouteTable(rules.map { Route(named: $0.name, for: $0.domains) })
        byHost = RouteTable(rules.map { Route(named: $0.name, for: $0.hosts) })
        byRoute = Dictionary(
            rules.flatMap { rule in rule.routes.map { ($0, rule.name) } },
            uniquingKeysWith: { first, _ in first }
        )
        isEmpty = rules.isEmpty
    }

    /// The site as its rule has it.
    func apply(to site: Site, of hop: NextHop) -> Site {
        if isEmpty { return site }
        switch hop {
        case .route(let name):
            guard let rule = byRoute[name] else { return site }
            return Site(id: site.id, exchanges: site.exchanges, rule: rule)
        case .domain(let domain): return apply(to: site, of: domain)
        case .routed(let domain, let name):
            guard let rule = byRoute[name] else { return apply(to: site, of: domain) }
            return Site(id: site.id, exchanges: site.exchanges, rule: rule)
        }
    }

    private func apply(to site: Site, of domain: Domain) -> Site {
        let rule = byDomain.route(for: domain)?.name ?? rule(ofHosts: site.exchanges)
        return rule.map { site.joined(by: $0) } ?? site
    }

    /// The rule that all of the hosts have.
    private func rule(ofHosts exchanges: [Exchange]) -> String? {
        guard let first = exchanges.first,
            let rule = byHost.route(for: Domain(first.name))?.name
        else { return nil }
        let isEverywhere = exchanges.dropFirst().allSatisfy {
            byHost.route(for: Domain($0.name))?.name == rule
        }
        return isEverywhere ? rule : nil
    }
}

extension Configuration {
    /// What the scheduler has for each rule.
    var siteLimits: [String: SiteLimits] {
        var limits: [String: SiteLimits] = [:]
        for rule in siteRules {
            let sites = sites(under: rule)
            var own = SchedulerSettings().usual
            own.windowInitial = sites.connectionsStart
            own.windowFloor = sites.connectionsMin
            own.windowCeiling = sites.connectionsMax
            own.backOffFirst = sites.backoffFirst
            own.backOffCeiling = sites.backoffCeiling
            own.pace = rule.rate.map { PaceSettings($0, burst: rule.burst) }
            limits[rule.name] = own
        }
        return limits
    }

    /// What delivery has for each rule.
    var connectionUses: [String: DeliverySettings.ConnectionUse] {
        var uses: [String: DeliverySettings.ConnectionUse] = [:]
        for rule in siteRules {
            uses[rule.name] = DeliverySettings.ConnectionUse(
                messages: rule.messagesPerConnection ?? delivery.messagesPerConnection,
                time: rule.connectionTime
            )
        }
        return uses
    }
}

extension PaceSettings {
    init(_ rate: Configuration.Rate, burst: Int?) {
        let perSecond = rate.count / max(1, Int(rate.period.components.seconds))
        self.init(interval: rate.period / rate.count, burst: burst ?? perSecond)
    }
}
