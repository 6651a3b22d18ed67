// Static routes: where mail for a domain goes when not by its MX records. The table is indexed
// once, when the configuration is read; a look-up costs one hash per label of the domain, however
// many routes there are. Used by the composition to turn a recipient's domain into a `NextHop`.

import EkidenMail

/// Which domains a route is for.
package enum DomainPattern: Sendable, Hashable {
    /// `example.org`: that domain alone.
    case exact(Domain)
    /// `.example.org`: every domain below it, not itself. Kept without the dot, folded.
    case below(String)
    /// `*`: every domain that nothing else matches.
    case any

    package var text: String {
        switch self {
        case .exact(let domain): domain.text
        case .below(let parent): "." + parent
        case .any: "*"
        }
    }
}

package struct Route: Sendable, Equatable {
    /// A host of a route, as configured.
    package struct Host: Sendable, Hashable {
        /// Host name, lower case, no trailing dot; or the text of `literal`.
        package let name: String
        /// Set when there is nothing to look up.
        package let literal: HostAddress?
        /// nil: `delivery.port`.
        package let port: UInt16?

        package init(name: String, literal: HostAddress? = nil, port: UInt16? = nil) {
            self.name = name
            self.literal = literal
            self.port = port
        }

        package var text: String {
            let host = literal.map { $0.isV4 ? $0.text : "[\($0.text)]" } ?? name
            return port.map { "\(host):\($0)" } ?? host
        }
    }

    package var name = ""
    package var domains: [DomainPattern] = []
    /// In the order they are tried: the next only when the one before fails.
    package var hosts: [Host] = []
    /// nil: as `retry` says.
    package var retryFirst: Duration?
    package var retryCeiling: Duration?
    package var lifetime: Duration?
    /// nil: as `delivery` says.
    package var tls: TLSPolicy.Level?
    package var tlsNames: [String] = []
    package var tlsFingerprints: [String] = []
    package var clientCertificate: String?
    /// The name of a `[[login]]`.
    package var login: String?

    /// The hosts as a site's exchanges: preference counts up in the order of the list.
    package func exchanges(defaultPort: UInt16) -> [Exchange] {
        hosts.enumerated().map { index, host in
            Exchange(
                preference: index,
                name: host.name,
                port: host.port ?? defaultPort,
                literal: host.literal
            )
        }
    }
}

extension Route {
    /// One that leads nowhere, for who only asks which name has a domain.
    package init(named name: String, for domains: [DomainPattern]) {
        self.init(name: name, domains: domains)
    }
}

package struct RouteTable: Sendable {
    /// As configured, in the order of the file.
    package var all: [Route] { didSet { index() } }

    private var exact: [String: Int] = [:]
    private var below: [String: Int] = [:]
    private var any: Int?
    private var named: [String: Int] = [:]

    package init(_ routes: [Route] = []) {
        all = routes
        index()
    }

    /// The first route that names a pattern has it; `check` reports the second.
    private mutating func index() {
        (exact, below, any, named) = ([:], [:], nil, [:])
        for (number, route) in all.enumerated() {
            if named[route.name] == nil { named[route.name] = number }
            for pattern in route.domains {
                switch pattern {
                case .exact(let domain):
                    if exact[domain.folded] == nil { exact[domain.folded] = number }
                case .below(let parent):
                    if below[parent] == nil { below[parent] = number }
                case .any:
                    any = any ?? number
                }
            }
        }
    }

    /// The route of a domain: its own name first, then the longest `.suffix`, then `*`; nil when
    /// it goes by MX.
    /// - Bounds: one look-up per label.
    package func route(for domain: Domain) -> Route? {
        // Patterns are A-labels (xn--…), addresses as they were written.
        let name = domain.lookupName ?? domain.folded
        if let number = exact[name] { return all[number] }
        if !below.isEmpty, !domain.isLiteral {
            var rest = name[...]
            while let dot = rest.firstIndex(of: ".") {
                rest = rest[rest.index(after: dot)...]
                if let number = below[String(rest)] { return all[number] }
            }
        }
        return any.map { all[$0] }
    }

    /// The route of a name: the other half of `NextHop.route`.
    package func route(named name: String) -> Route? { named[name].map { all[$0] } }

    /// Where mail for a domain goes first.
    package func nextHop(for domain: Domain) -> NextHop {
        route(for: domain).map { .route($0.name) } ?? .domain(domain)
    }
}

extension RouteTable: Equatable {
    package static func == (a: RouteTable, b: RouteTable) -> Bool { a.all == b.all }
}
