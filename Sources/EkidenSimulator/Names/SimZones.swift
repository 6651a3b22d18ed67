// What the simulated world's name servers know: names and their records, a plain value that a test
// or a trial changes at any virtual time. Names that are not here do not exist, unless a name below
// them does (RFC 8020 §2: then they exist without data). Who asks is answered by `SimRecursion`.

import EkidenMail
import EkidenRuntime

package struct SimZones: Sendable {
    struct Exchange: Sendable {
        let preference: UInt16
        let host: String
    }

    struct Node: Sendable {
        var alias: String?
        var aliasTTL: UInt32 = 0
        var exchanges: [Exchange] = []
        var exchangesTTL: UInt32 = 0
        var addresses: [HostAddress] = []
        var addressesTTL: UInt32 = 0
        /// Said not to exist, whatever lies below.
        var isDenied = false
    }

    struct Authority: Sendable {
        let zone: String
        let minimumSeconds: UInt32
        let ttlSeconds: UInt32
    }

    private var nodes: [String: Node] = [:]
    /// How many names with a node lie below a name.
    private var descendants: [String: Int] = [:]
    private var authorities: [String: Authority] = [:]
    /// Negative TTL of zones that `setAuthority` did not name, in seconds (RFC 2308 §5).
    package var negativeTTLSeconds = 60

    package init() {}

    // MARK: Changing

    /// The domain's MX records, in place of those it had; `host` may be any name, "." too. An empty
    /// list leaves the name without MX records. `ttl` in seconds, here and below.
    package mutating func setMX(
        _ domain: String,
        _ exchanges: [(preference: Int, host: String)],
        ttl: Int = 300
    ) {
        change(domain) { node in
            node.exchanges = exchanges.map {
                Exchange(preference: UInt16(clamping: $0.preference), host: Self.checked($0.host))
            }
            node.exchangesTTL = UInt32(clamping: ttl)
        }
    }

    /// RFC 7505 §3: one MX record, preference 0, the root for a host.
    package mutating func setNullMX(_ domain: String, ttl: Int = 300) {
        setMX(domain, [(preference: 0, host: ".")], ttl: ttl)
    }

    /// The host's A and AAAA records, in place of those it had. An empty list leaves a name without
    /// addresses, which exists.
    package mutating func setAddresses(_ host: String, _ addresses: [HostAddress], ttl: Int = 300) {
        change(host) { node in
            node.addresses = addresses
            node.addressesTTL = UInt32(clamping: ttl)
        }
    }

    /// A CNAME record, in place of all the name had (RFC 1034 §3.6.2: it stands alone). Chains and
    /// loops are welcome.
    package mutating func setAlias(_ name: String, to target: String, ttl: Int = 300) {
        change(name) { node in
            node = Node()
            node.alias = Self.checked(target)
            node.aliasTTL = UInt32(clamping: ttl)
        }
    }

    /// A name that exists and has no records.
    package mutating func setBare(_ name: String) { change(name) { $0 = Node() } }

    /// A name that is said not to exist though names below it do, as some servers have it.
    package mutating func setDenied(_ name: String) {
        change(name) { node in
            node = Node()
            node.isDenied = true
        }
    }

    /// Takes the name out: it no longer exists, unless names below it do.
    package mutating func remove(_ name: String) {
        let name = Self.folded(name)
        guard nodes.removeValue(forKey: name) != nil else { return }
        for parent in Self.parents(of: name) { descendants[parent, default: 0] -= 1 }
    }

    /// Makes `zone` the top of a zone of its own, whose SOA answers for what is not there.
    package mutating func setAuthority(
        _ zone: String,
        negativeTTLSeconds: Int,
        ttl: Int = 3600
    ) {
        let zone = Self.folded(zone)
        authorities[zone] = Authority(
            zone: zone,
            minimumSeconds: UInt32(clamping: negativeTTLSeconds),
            ttlSeconds: UInt32(clamping: ttl)
        )
    }

    private mutating func change(_ name: String, _ body: (inout Node) -> Void) {
        let name = Self.checked(name)
        if nodes[name] == nil {
            for parent in Self.parents(of: name) { descendants[parent, default: 0] += 1 }
        }
        var node = nodes[name] ?? Node()
        node.isDenied = false
        // What replaces an alias is no longer one; `setAlias` sets it anew.
        node.alias = nil
        body(&node)
        nodes[name] = node
    }

    // MARK: Looking

    /// nil for a name that does not exist. `name` is folded.
    func node(_ name: String) -> Node? {
        if let node = nodes[name] { return node.isDenied ? nil : node }
        return descendants[name, default: 0] > 0 ? Node() : nil
    }

    /// The closest zone that a name lies in; without any, its last label stands for one.
    func authority(of name: String) -> Authority {
        let candidates = [name] + Self.parents(of: name)
        for candidate in candidates {
            if let found = authorities[candidate] { return found }
        }
        let seconds = UInt32(clamping: negativeTTLSeconds)
        let zone = candidates.last ?? "."
        return Authority(zone: zone, minimumSeconds: seconds, ttlSeconds: seconds)
    }

    // MARK: Names

    static func folded(_ name: String) -> String { Domain(name).folded }

    /// `example` and `a.example` of `b.a.example`; the root is left out.
    private static func parents(of name: String) -> [String] {
        var found: [String] = []
        var rest = name[...]
        while let dot = rest.firstIndex(of: ".") {
            rest = rest[rest.index(after: dot)...]
            if !rest.isEmpty { found.append(String(rest)) }
        }
        return found
    }

    /// Whether the name fits the wire: labels of 1 to 63 bytes, 255 in all with their length bytes
    /// (RFC 1035 §2.3.4). The root is ".".
    static func fitsWire(_ name: String) -> Bool {
        if name == "." { return true }
        let labels = name.utf8.split(separator: 0x2e, omittingEmptySubsequences: false)
        return name.utf8.count <= 253 && labels.allSatisfy { (1...63).contains($0.count) }
    }

    private static func checked(_ name: String) -> String {
        let name = folded(name)
        precondition(fitsWire(name), "no zone can hold the name \(name)")
        return name
    }
}
