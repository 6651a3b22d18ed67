// Sites that an operator has rules for: `[[site]]`.

import EkidenMail

extension Configuration {
    /// `[[site]]`: how mail goes to some domains, mail hosts or routes, where that is not as `sites`
    /// and `delivery` have it.
    package struct SiteRule: Sendable, Equatable {
        package var name = ""
        package var domains: [DomainPattern] = []
        package var hosts: [DomainPattern] = []
        /// Names of routes.
        package var routes: [String] = []
        /// nil: as `sites` has it.
        package var connectionsMin: Int?
        package var connectionsStart: Int?
        package var connectionsMax: Int?
        package var backoffFirst: Duration?
        package var backoffCeiling: Duration?
        /// Messages in a time; nil: as fast as connections take them.
        package var rate: Rate?
        /// nil: a second's worth.
        package var burst: Int?
        /// nil: as `delivery` has it.
        package var messagesPerConnection: Int?
        package var connectionTime: Duration?
    }

    /// What holds for the sites of a rule: its own, and the rest so that it goes with it.
    package func sites(under rule: SiteRule) -> Sites {
        var result = sites
        result.connectionsMax =
            rule.connectionsMax
            ?? max(sites.connectionsMax, rule.connectionsStart ?? 0, rule.connectionsMin ?? 0)
        result.connectionsMin =
            rule.connectionsMin
            ?? min(sites.connectionsMin, rule.connectionsStart ?? .max, result.connectionsMax)
        let start = rule.connectionsStart ?? sites.connectionsStart
        result.connectionsStart = min(max(start, result.connectionsMin), result.connectionsMax)
        result.backoffFirst =
            rule.backoffFirst ?? min(sites.backoffFirst, rule.backoffCeiling ?? sites.backoffFirst)
        result.backoffCeiling = max(
            rule.backoffCeiling ?? sites.backoffCeiling,
            result.backoffFirst
        )
        return result
    }
}

extension Check {
    static func siteRules(_ c: Configuration, _ loading: inout Loading) {
        var owner: [DomainPattern: String] = [:]
        var hostOwner: [DomainPattern: String] = [:]
        var routeOwner: [String: String] = [:]
        for (index, rule) in c.siteRules.enumerated() {
            let path = "site[\(index)]"
            if rule.domains.isEmpty, rule.hosts.isEmpty, rule.routes.isEmpty {
                loading.error(
                    at: loading.position(of: path + ".name"),
                    "nothing says where site \"\(rule.name)\" is; set domains, hosts or routes"
                )
            }
            let own = "site \"\(rule.name)\""
            claim(rule.domains, path + ".domains", own, &owner, &loading)
            claim(rule.hosts, path + ".hosts", own, &hostOwner, &loading)
            for route in rule.routes {
                if c.routes.route(named: route) == nil {
                    loading.error(
                        at: loading.position(of: path + ".routes"),
                        "there is no [[route]] \"\(route)\""
                            + Suggestion.question(route, among: c.routes.all.map(\.name))
                    )
                }
                if let other = routeOwner.updateValue(rule.name, forKey: route) {
                    loading.error(
                        at: loading.position(of: path + ".routes"),
                        "route \"\(route)\" is in site \"\(other)\" already; keep it in one of them"
                    )
                }
            }
            for domain in rule.domains {
                warnOfRoute(domain, own, "name the route in routes", c, path, &loading)
            }
            order(rule, path, c, &loading)
        }
    }

    /// Only two settings that were both set can contradict each other.
    private static func order(
        _ rule: Configuration.SiteRule,
        _ path: String,
        _ c: Configuration,
        _ loading: inout Loading
    ) {
        let counts = [
            ("connections_min", rule.connectionsMin), ("connections_start", rule.connectionsStart),
            ("connections_max", rule.connectionsMax),
        ].compactMap { name, count in count.map { (name, $0) } }
        for (low, high) in zip(counts, counts.dropFirst()) where low.1 > high.1 {
            loading.error(
                at: loading.position(of: path + "." + low.0),
                "site.\(low.0) (\(low.1)) is above \(high.0) (\(high.1)); lower it"
            )
        }
        if let most = rule.connectionsMax, most > c.delivery.maxConnections {
            loading.warning(
                at: loading.position(of: path + ".connections_max"),
                "site.connections_max (\(most)) has no effect above delivery.max_connections "
                    + "(\(c.delivery.maxConnections)); lower it"
            )
        }
        if let first = rule.backoffFirst, let ceiling = rule.backoffCeiling, first > ceiling {
            loading.error(
                at: loading.position(of: path + ".backoff_first"),
                "site.backoff_first is longer than backoff_ceiling; shorten it"
            )
        }
        if rule.burst != nil, rule.rate == nil {
            loading.warning(
                at: loading.position(of: path + ".burst"),
                "site.burst has no effect without a rate; set one"
            )
        }
    }
}
