// Rules between the settings of routes, and between routes.

import EkidenMail

extension Check {
    static func routes(_ c: Configuration, _ loading: inout Loading) {
        let own = c.listeners.flatMap(\.listen)
        var owner: [DomainPattern: String] = [:]
        let fallbacks = Set(c.routes.all.compactMap(\.fallback))
        for (index, route) in c.routes.all.enumerated() {
            let path = "route[\(index)]"
            if let first = route.retryFirst, let ceiling = route.retryCeiling, first > ceiling {
                loading.error(
                    at: loading.position(of: path + ".retry_first"),
                    "route.retry_first is longer than retry_ceiling; lower it"
                )
            }
            conditions(of: route, path, c, fallbacks, &loading)
            target(of: route, path, &loading)
            provider(of: route, path, &loading)
            fallback(of: route, path, c, &loading)
            if !route.isConditional { claim(route, path, &owner, &loading) }
            for host in route.hosts {
                guard let address = host.literal else { continue }
                let target = Endpoint(address, route.port(of: host, usual: c.delivery.port))
                if own.contains(where: { takes($0, target) }) {
                    loading.error(
                        at: loading.position(of: path + ".hosts"),
                        "route \"\(route.name)\" leads to \(target.text), where this relay listens "
                            + "itself: a mail loop; name the next host"
                    )
                }
            }
        }
    }

    private static func claim(
        _ route: Route,
        _ path: String,
        _ owner: inout [DomainPattern: String],
        _ loading: inout Loading
    ) {
        for domain in route.domains {
            if let other = owner[domain] {
                loading.error(
                    at: loading.position(of: path + ".domains"),
                    "\"\(domain.text)\" is already routed by \"\(other)\"; remove one of them"
                )
            }
            owner[domain] = route.name
        }
    }

    private static func conditions(
        of route: Route,
        _ path: String,
        _ c: Configuration,
        _ fallbacks: Set<String>,
        _ loading: inout Loading
    ) {
        let isForNothing =
            route.domains.isEmpty && !route.asksOfMessages && !fallbacks.contains(route.name)
        if isForNothing {
            loading.error(
                at: loading.position(of: path + ".name"),
                "nothing says which mail route \"\(route.name)\" is for; set domains (\"*\" is all "
                    + "mail without another route) or another condition"
            )
        }
        if let least = route.sizeMin, let most = route.sizeMax, least > most {
            loading.error(
                at: loading.position(of: path + ".size_min"),
                "route.size_min is above size_max, so no message fits; lower it"
            )
        }
        listeners(route.listeners, of: path, c, &loading)
    }

    private static func target(of route: Route, _ path: String, _ loading: inout Loading) {
        let target = route.target
        if route.usesHosts, route.hosts.isEmpty {
            loading.error(
                at: loading.position(of: path + ".name"),
                target == .lmtp
                    ? "route \"\(route.name)\" has target = \"lmtp\" and no hosts; set them"
                    : "route \"\(route.name)\" has neither hosts, nor a provider, nor a target; set one of them"
            )
        }
        if target == .hosts, let socket = route.hosts.first(where: { $0.socketPath != nil }) {
            loading.error(
                at: loading.position(of: path + ".hosts"),
                "\"\(socket.text)\" is a socket of this machine, which takes LMTP; set target = "
                    + "\"lmtp\", or name a host"
            )
        }
        let useless: [(name: String, isSet: Bool, isUsed: Bool)] = [
            ("hosts", !route.hosts.isEmpty, route.usesHosts),
            ("login", route.login != nil, target == .hosts),
            ("provider", route.provider != nil, target == .hosts),
            ("text", route.text != nil, target == .bounce),
            ("fallback", route.fallback != nil, route.sends),
            ("on_demand", route.isOnDemand, route.sends),
            ("helo", route.helo != nil, route.sends),
            ("source_ipv4", route.sourceIPv4 != nil, route.sends),
            ("source_ipv6", route.sourceIPv6 != nil, route.sends),
            ("tls", route.tls != nil, route.sends),
            ("client_certificate", route.clientCertificate != nil, route.sends),
        ]
        for setting in useless where setting.isSet && !setting.isUsed {
            loading.error(
                at: loading.position(of: path + "." + setting.name),
                "route.\(setting.name) has no effect with target = \"\(target.rawValue)\"; "
                    + "remove one of them"
            )
        }
        if route.fallbackOn.contains(.ours) {
            loading.error(
                at: loading.position(of: path + ".fallback_on"),
                "route.fallback_on has \"ours\", which is no fault of a host, so that no other helps; "
                    + "remove it"
            )
        }
        if !route.fallbackOn.isEmpty, route.fallback == nil {
            loading.error(
                at: loading.position(of: path + ".fallback_on"),
                "route.fallback_on has no effect without a fallback; name one, or remove it"
            )
        }
        let times = [
            ("schedule", !route.schedule.isEmpty),
            ("open_time", route.openTime != Route().openTime),
        ]
        for (name, isSet) in times where isSet && !route.isOnDemand {
            loading.error(
                at: loading.position(of: path + "." + name),
                "route.\(name) has no effect unless on_demand = true; set that, or remove it"
            )
        }
        if let text = route.text, route.bounceWords == nil {
            loading.error(
                at: loading.position(of: path + ".text"),
                "route.text begins with what is no permanent status (5.x.x): \"\(text)\"; write such "
                    + "as \"5.7.1 no mail for this domain\", or the words alone"
            )
        }
    }

    private static func fallback(
        of route: Route,
        _ path: String,
        _ c: Configuration,
        _ loading: inout Loading
    ) {
        guard let fallback = route.fallback else { return }
        let place = loading.position(of: path + ".fallback")
        var seen = [route.name]
        var next = c.routes.route(named: fallback)
        if next == nil {
            loading.error(
                at: place,
                "there is no route \"\(fallback)\""
                    + Suggestion.question(fallback, among: c.routes.all.map(\.name))
            )
        }
        while let route = next {
            if seen.contains(route.name) {
                loading.error(
                    at: place,
                    "the fallback of route \"\(seen[0])\" comes back to \"\(route.name)\"; end "
                        + "the chain somewhere"
                )
                return
            }
            seen.append(route.name)
            next = route.fallback.flatMap { c.routes.route(named: $0) }
        }
        if seen.count > MessageRoutes.fallbacksMax {
            loading.error(
                at: place,
                "more than \(MessageRoutes.fallbacksMax) fallbacks follow route \"\(seen[0])\"; "
                    + "end the chain sooner"
            )
        }
    }

    /// A connection to `target` surely ends at `listener`. Which of the other addresses are ours is
    /// known to the running relay alone.
    private static func takes(_ listener: Endpoint, _ target: Endpoint) -> Bool {
        listener == target
            || listener.port == target.port && listener.address.isUnspecified
                && listener.address.isV4 == target.address.isV4 && target.address.isLoopback
    }
}
