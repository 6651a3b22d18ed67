// What an operator may say about the way from a domain to addresses. One value, replaced whole at
// reload; a look-up under way keeps the value it began with.

import EkidenMail

/// Which addresses of a host may be used, and which are tried first.
package enum AddressFamilyPolicy: String, Sendable, CaseIterable {
    case preferIPv6 = "prefer-ipv6"
    case preferIPv4 = "prefer-ipv4"
    case onlyIPv4 = "ipv4-only"
    case onlyIPv6 = "ipv6-only"
}

/// One host of a route: a name, or an address.
package struct RouteHost: Sendable, Hashable {
    /// Lower case, no trailing dot; the text of the address when it is one.
    package let name: String
    package let port: UInt16
    package let literal: HostAddress?
    /// By LMTP instead of SMTP.
    package var speaksLMTP = false
    /// Of a socket of this machine.
    package var socketPath: String?

    package init(socket path: String) {
        socketPath = path
        name = "unix:" + path
        port = 0
        literal = nil
    }

    /// `name` may be a host name, an address, or an address in brackets (`[192.0.2.1]`,
    /// `[2001:db8::1]`, `[IPv6:2001:db8::1]`).
    package init(_ name: String, port: UInt16) {
        var bare = name[...]
        if bare.hasPrefix("["), bare.hasSuffix("]") { bare = bare.dropFirst().dropLast() }
        literal = HostAddress(bare) ?? Domain(name).literalAddress
        self.name = literal?.text ?? HostName.folded(name)
        self.port = port
    }
}

package struct ResolverSettings: Sendable {
    package var families = AddressFamilyPolicy.preferIPv6
    /// Our own names: of an MX record with one of them we know that it means us.
    package var ownNames: [String] = []
    /// Our own addresses, alone or as networks (`127.0.0.0/8`): of a mail host with one of them we
    /// know that it is us. To hold those under which we are reached on `exchangePort`.
    package var ownAddresses: [NetworkPrefix] = []
    /// The port of hosts found by MX (RFC 5321 §4.5.4.2: 25).
    package var exchangePort: UInt16 = 25
    /// Routes by name; their hosts in the order to be tried.
    package var routes: [String: [RouteHost]] = [:] {
        didSet { routeHostNames = Set(routes.values.joined().map(\.name)) }
    }
    private var routeHostNames: Set<String> = []
    /// Consulted for the host names of `routes`.
    package var hostTable = HostTable.empty

    /// Bounds of what a TTL may ask for, in seconds.
    package var ttlSeconds: ClosedRange<UInt32> = 5...86_400
    /// Longest time a "does not exist" is believed, in seconds (RFC 2308 §5 advises 1 to 3 hours).
    package var negativeTTLSecondsMax: UInt32 = 3600
    /// How long a failure (SERVFAIL, silence) is remembered, so that a queue full of mail for one
    /// broken domain asks once and not once a message (RFC 2308 §7 allows up to five minutes).
    package var failureTTL = Duration.seconds(5)
    /// How long one name's question may take in all, aliases included, whoever waits for it.
    package var questionTimeout = Duration.seconds(20)

    package init() {}

    func isOwn(_ name: String) -> Bool { ownNames.contains { HostName.folded($0) == name } }

    func isOwn(_ address: HostAddress) -> Bool { ownAddresses.contains { $0.contains(address) } }

    /// Addresses that are known without asking: of this machine's own name for itself
    /// (RFC 6761 §6.3), and of a route's host that the host table has.
    func fixedAddresses(of name: String) -> [HostAddress]? {
        if routeHostNames.contains(name), let addresses = hostTable.addresses(of: name) {
            return addresses
        }
        return HostName.isLocal(name) ? [.loopback6, .loopback4] : nil
    }

    var lifetimes: LifetimePolicy {
        LifetimePolicy(
            ttlSeconds: ttlSeconds,
            negativeTTLSecondsMax: negativeTTLSecondsMax,
            failureTTL: failureTTL
        )
    }
}
