// What is written well and changes nothing: warned of, for somebody meant it to.

import EkidenMail

extension Check {
    static func unused(_ c: Configuration, _ loading: inout Loading) {
        unusedStreams(c, &loading)
        unusedRoutes(c, &loading)
        unusedSites(c, &loading)
        unusedLogins(c, &loading)
    }

    /// The first one that fits has the mail.
    private static func unusedStreams(_ c: Configuration, _ loading: inout Loading) {
        for (index, stream) in c.streams.enumerated() {
            let path = "stream[\(index)]"
            unknownLogins(stream.logins, path, c, &loading)
            let first = c.streams[..<index].first {
                $0.senders == stream.senders && $0.logins == stream.logins
                    && $0.listeners == stream.listeners
            }
            guard let first else { continue }
            loading.warning(
                at: loading.position(of: path + ".name"),
                "stream \"\(stream.name)\" never has any mail: stream \"\(first.name)\" before it "
                    + "asks for the same; remove one of them"
            )
        }
    }

    private static func unusedRoutes(_ c: Configuration, _ loading: inout Loading) {
        let fallbacks = Set(c.routes.all.compactMap(\.fallback))
        for (index, route) in c.routes.all.enumerated() where route.isConditional {
            let path = "route[\(index)]"
            unknownLogins(route.logins, path, c, &loading)
            let first = c.routes.all[..<index].first { $0.isConditional && asksTheSame($0, route) }
            guard let first, !fallbacks.contains(route.name) else { continue }
            loading.warning(
                at: loading.position(of: path + ".name"),
                "route \"\(route.name)\" never has any mail: route \"\(first.name)\" before it asks "
                    + "for the same; remove one of them"
            )
        }
    }

    private static func asksTheSame(_ a: Route, _ b: Route) -> Bool {
        func conditions(_ route: Route) -> Route {
            var only = Route()
            only.domains = route.domains
            only.recipients = route.recipients
            only.senders = route.senders
            only.logins = route.logins
            only.listeners = route.listeners
            only.header = route.header
            only.sizeMin = route.sizeMin
            only.sizeMax = route.sizeMax
            // Released mail passes by a route that holds.
            only.target = route.target == .hold ? .hold : .hosts
            return only
        }
        return conditions(a) == conditions(b)
    }

    private static func unusedSites(_ c: Configuration, _ loading: inout Loading) {
        let named = Set(c.siteRules.flatMap(\.routes))
        for (index, rule) in c.siteRules.enumerated() {
            let path = "site[\(index)]"
            var bare = Configuration.SiteRule()
            bare.name = rule.name
            bare.domains = rule.domains
            bare.hosts = rule.hosts
            bare.routes = rule.routes
            // Together several are one site, which is something.
            if bare == rule, rule.hosts.isEmpty, rule.domains.count + rule.routes.count == 1 {
                loading.warning(
                    at: loading.position(of: path + ".name"),
                    "site \"\(rule.name)\" changes nothing; set a rate, connections_max or another "
                        + "limit"
                )
            }
            for route in c.routes.all where route.usesHosts && !named.contains(route.name) {
                let host = route.hosts.first { host in
                    host.literal == nil && rule.hosts.contains { covers($0, Domain(host.name)) }
                }
                guard let host else { continue }
                loading.warning(
                    at: loading.position(of: path + ".hosts"),
                    "route \"\(route.name)\" has the host \"\(host.name)\", for which site "
                        + "\"\(rule.name)\" does not count (hosts are those of MX records); name the "
                        + "route in routes"
                )
            }
        }
    }

    private static func covers(_ pattern: DomainPattern, _ name: Domain) -> Bool {
        RouteTable([Route(named: "", for: [pattern])]).route(for: name) != nil
    }

    private static func unusedLogins(_ c: Configuration, _ loading: inout Loading) {
        let used = Set(c.routes.all.compactMap(\.login))
        for (index, login) in c.hopLogins.enumerated() where !used.contains(login.name) {
            loading.warning(
                at: loading.position(of: "login[\(index)].name"),
                "no route has login \"\(login.name)\"; set route.login, or remove it"
            )
        }
    }

    private static func unknownLogins(
        _ logins: [String],
        _ path: String,
        _ c: Configuration,
        _ loading: inout Loading
    ) {
        guard !logins.isEmpty, c.auth.users == nil else { return }
        loading.warning(
            at: loading.position(of: path + ".logins"),
            "nobody can log in, so nothing has a login; set auth.users"
        )
    }
}
