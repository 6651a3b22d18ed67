// What becomes of mail whose route leads to no host: the operator's word, as a next hop that can't be
// reached for good. What is done about it is the policy table's (EkidenOutcome).

import EkidenConfiguration
import EkidenMail

extension RelaySettings {
    /// nil: the next hop leads somewhere.
    func ending(of hop: NextHop) -> Failure? {
        guard case .route(let name) = hop, let route = routes.route(named: name) else { return nil }
        switch route.target {
        case .hosts, .lmtp, .mx: return nil
        case .bounce:
            let words = route.bounceWords ?? (EnhancedStatus(5, 7, 1), route.text ?? "")
            return Self.ending(.routeBounces, words.text, words.status)
        case .discard:
            return Self.ending(
                .routeDiscards,
                "discarded by route \(name)",
                EnhancedStatus(5, 7, 1)
            )
        case .hold:
            return Self.ending(.routeHolds, "held by route \(name)", EnhancedStatus(4, 7, 1))
        }
    }

    /// A route's hosts, as they are now, have this one among them: else nothing of the route is for it, a
    /// password least of all. Other next hops lead where names do.
    func leads(_ hop: NextHop, to exchange: Exchange) -> Bool {
        guard case .route(let name) = hop else { return true }
        return routeHosts[name]?.contains(RouteHost(exchange)) ?? false
    }

    /// A host of a route as a connection has it; asked for once a transaction, so without the route.
    struct RouteHost: Hashable {
        let name: String
        let port: UInt16

        init(_ exchange: Exchange) {
            name = exchange.name
            port = exchange.port
        }

        init(_ host: Route.Host, of route: Route, usualPort: UInt16) {
            name = host.name
            // A socket has its path for a name, and no port.
            port = host.socketPath == nil ? route.port(of: host, usual: usualPort) : 0
        }
    }

    static func routeHosts(_ c: Configuration) -> [String: Set<RouteHost>] {
        var hosts: [String: Set<RouteHost>] = [:]
        for route in c.routes.all where route.usesHosts {
            hosts[route.name] = Set(
                route.hosts.map { RouteHost($0, of: route, usualPort: c.delivery.port) }
            )
        }
        return hosts
    }

    private static func ending(
        _ reason: Reason,
        _ text: String,
        _ status: EnhancedStatus
    ) -> Failure {
        Failure(
            scope: .site,
            isPermanent: status.category == 5,
            reason: reason,
            step: .resolve,
            text: text,
            status: status
        )
    }
}
