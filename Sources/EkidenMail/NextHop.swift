/// Where a recipient goes next, before names are resolved: the key of *due* mail.
package enum NextHop: Sendable, Hashable {
    /// By the domain's MX records (RFC 5321 §5.1), or its address literal.
    case domain(Domain)
    /// The hosts of the configured route of that name.
    case route(String)
    /// By the domain's MX records, as the route of that name has it.
    case routed(Domain, by: String)

    package var text: String {
        switch self {
        case .domain(let domain): domain.folded
        case .route(let name): "route:" + name
        case .routed(let domain, let name): "route:\(name)/\(domain.folded)"
        }
    }

    /// The route that mail there is under; nil: none.
    package var route: String? {
        switch self {
        case .domain: nil
        case .route(let name), .routed(_, let name): name
        }
    }
}

/// One mail host of a next hop: from an MX record, from the domain itself, or from a route.
package struct Exchange: Sendable, Hashable {
    /// Lower is better; hosts of a route count up from 0, a domain without MX has 0.
    package let preference: Int
    /// Host name, lower case, no trailing dot; or the text of an address.
    package let name: String
    package let port: UInt16
    /// Set when `name` is an address literal: nothing to look up.
    package let literal: HostAddress?
    /// It takes mail by LMTP (RFC 2033) instead of SMTP.
    package var speaksLMTP = false
    /// Of a socket of this machine, which `name` names, too; there is no address and no port.
    package var socketPath: String?

    package init(preference: Int, name: String, port: UInt16 = 25, literal: HostAddress? = nil) {
        self.preference = preference
        self.name = name
        self.port = port
        self.literal = literal
    }
}

/// The key of everything that belongs to a set of hosts: connections, window, back-off, dead
/// addresses. Opaque: equal MX sets give equal keys, whatever the domain.
package struct SiteID: Sendable, Hashable, Comparable {
    package let text: String
    package init(_ text: String) { self.text = text }
    package static func < (a: SiteID, b: SiteID) -> Bool { a.text < b.text }
}

/// A resolved next hop.
package struct Site: Sendable, Equatable {
    package let id: SiteID
    /// Best preference first; equal preferences in no particular order (shuffled per attempt).
    package let exchanges: [Exchange]
    /// The operator's rule it is under; nil: what holds for all.
    package var rule: String?

    package init(id: SiteID, exchanges: [Exchange], rule: String? = nil) {
        self.id = id
        self.exchanges = exchanges
        self.rule = rule
    }

    /// The same hosts for mail of a route: another site, with connections of its own.
    package func of(route: String) -> Site {
        Site(id: SiteID(id.text + "+route=" + route), exchanges: exchanges, rule: rule)
    }

    /// The same hosts under a rule that makes one site of all that it fits.
    package func joined(by rule: String) -> Site {
        Site(id: SiteID("site:" + rule), exchanges: exchanges, rule: rule)
    }

    /// One of its hosts: a connection to it serves this site's mail.
    package func has(_ exchange: Exchange) -> Bool {
        exchanges.contains { $0.name == exchange.name && $0.port == exchange.port }
    }

    /// The same hosts for domains under a policy of their own: another site, with other connections.
    package func under(_ policy: TLSPolicy) -> Site {
        let what = [policy.level.rawValue] + policy.names + policy.fingerprints
        return Site(
            id: SiteID(id.text + "+tls=" + what.joined(separator: ",")),
            exchanges: exchanges,
            rule: rule
        )
    }

    /// The site of a set of MX hosts: its name is made of the hosts in a fixed order.
    package init(exchanges: [Exchange]) {
        let names = exchanges.map { $0.port == 25 ? $0.name : "\($0.name):\($0.port)" }
        self.init(
            id: SiteID("mx:" + names.sorted().joined(separator: ",")),
            exchanges: exchanges.sorted { ($0.preference, $0.name) < ($1.preference, $1.name) }
        )
    }

    package init(route: String, exchanges: [Exchange]) {
        self.init(id: SiteID("route:" + route), exchanges: exchanges)
    }
}

/// The answer to "where does this next hop lead".
package enum Resolution: Sendable, Equatable {
    case site(Site, validUntil: Instant)
    /// Permanent (NXDOMAIN, null MX, we are the best MX ourselves) or temporary, as it says.
    case failure(Failure)
}

/// The answer to "which addresses has this host".
package enum AddressResolution: Sendable, Equatable {
    /// In the order to be tried.
    case addresses([HostAddress])
    case failure(Failure)
}
