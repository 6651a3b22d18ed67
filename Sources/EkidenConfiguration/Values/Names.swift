// Hosts, domains, addresses, networks and routes.

import EkidenMail

/// The syntax of host names: RFC 1123 §2.1, plus the underscore that is found in the wild.
enum HostName {
    /// What is wrong with a name; nil when it is fine.
    static func complaint(_ text: String) -> String? {
        if text.utf8.contains(where: { $0 > 127 }) {
            return "write the name in its ASCII form (xn--…)"
        }
        let name = text.hasSuffix(".") ? text.dropLast() : text[...]
        // RFC 1035 §3.1: 255 bytes on the wire are 253 in text.
        guard !name.isEmpty, name.utf8.count <= 253 else { return "a name has 1 to 253 characters" }
        for label in name.split(separator: ".", omittingEmptySubsequences: false) {
            guard (1...63).contains(label.utf8.count) else {
                return "each part between dots has 1 to 63 characters"
            }
            guard label.utf8.allSatisfy({ $0.isLetter || $0.isDigit || "-_".utf8.contains($0) })
            else {
                return "a name has letters, digits, dots and hyphens only"
            }
            guard label.utf8.first != UInt8(ascii: "-"), label.utf8.last != UInt8(ascii: "-") else {
                return "no part of a name begins or ends with a hyphen"
            }
        }
        if HostAddress(name) != nil || name.utf8.allSatisfy({ $0.isDigit || $0 == 0x2e }) {
            return "this is an address, not a name"
        }
        return nil
    }
}

extension ValueType<Domain> {
    static let hostName = ValueType<Domain>(
        "a host name",
        decode: { node throws(Misfit) in
            let text = try node.text("a host name", like: "mail.example.org")
            if let complaint = HostName.complaint(text) {
                throw Misfit("is a host name, not \(quoted(text)); \(complaint)")
            }
            return Domain(text.hasSuffix(".") ? String(text.dropLast()) : text)
        },
        encode: { quoted($0.text) }
    )
}

extension ValueType<Address> {
    /// A mailbox with a plain local part.
    static let mailbox = ValueType<Address>(
        "a mail address",
        decode: { node throws(Misfit) in
            let text = try node.text("a mail address", like: "postmaster@example.org")
            let malformed = Misfit(
                "is a mail address such as \"admin@example.org\", not \(quoted(text))"
            )
            guard let address = Address(text), isDotAtom(address.localPart) else { throw malformed }
            if address.domain.isLiteral {
                guard address.domain.literalAddress != nil else { throw malformed }
            } else if let complaint = HostName.complaint(address.domain.text) {
                throw Misfit(malformed.sentence + "; " + complaint)
            }
            return address
        },
        encode: { quoted($0.text) }
    )

    /// RFC 5321 §4.1.2 Dot-string; RFC 5322 §3.2.3 atext.
    private static func isDotAtom(_ text: String) -> Bool {
        guard text.utf8.count <= Limits.localPartBytes else { return false }
        return text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { atom in
            !atom.isEmpty
                && atom.utf8.allSatisfy {
                    $0.isLetter || $0.isDigit || "!#$%&'*+-/=?^_`{|}~".utf8.contains($0)
                }
        }
    }
}

extension ValueType<HostAddress> {
    /// One of our own addresses of a family, without a port.
    static func source(isV4: Bool) -> ValueType<HostAddress> {
        let family = isV4 ? "IPv4" : "IPv6"
        let example = isV4 ? "192.0.2.1" : "2001:db8::1"
        return ValueType(
            "an \(family) address",
            decode: { node throws(Misfit) in
                let text = try node.text("an \(family) address", like: example)
                guard let address = HostAddress(text), address.isV4 == isV4 else {
                    throw Misfit(
                        "is an \(family) address such as \"\(example)\", not \(quoted(text))"
                    )
                }
                return address
            },
            encode: { quoted($0.text) }
        )
    }
}

extension ValueType<Endpoint> {
    /// An address of this machine with a port.
    static let listen = ValueType<Endpoint>(
        "an address with port",
        decode: { node throws(Misfit) in
            let text = try node.text("an address with a port", like: "127.0.0.1:2525")
            guard let endpoint = Endpoint(text), endpoint.port > 0 else {
                throw Misfit(
                    "is an address with a port such as \"127.0.0.1:2525\" or \"[::1]:2525\" "
                        + "(\"0.0.0.0:25\" and \"[::]:25\" are all addresses), not \(quoted(text))"
                )
            }
            return endpoint
        },
        encode: { quoted($0.text) }
    )

    /// A name server; its port is 53 unless it says otherwise.
    static let nameServer = ValueType<Endpoint>(
        "an address, with or without port",
        decode: { node throws(Misfit) in
            let text = try node.text("the address of a name server", like: "192.0.2.53")
            if let address = HostAddress(text) { return Endpoint(address, 53) }
            guard let endpoint = Endpoint(text), endpoint.port > 0 else {
                throw Misfit(
                    "is the address of a name server such as \"192.0.2.53\", \"192.0.2.53:5353\" "
                        + "or \"[2001:db8::53]:53\", not \(quoted(text))"
                )
            }
            return endpoint
        },
        encode: { quoted($0.text) }
    )
}

extension ValueType<NetworkPrefix> {
    static let network = ValueType<NetworkPrefix>(
        "a network",
        decode: { node throws(Misfit) in
            let text = try node.text("a network", like: "10.0.0.0/8")
            if let network = NetworkPrefix(text) { return network }
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            if parts.count == 2, let base = HostAddress(parts[0]), let length = Int(parts[1]),
                (0...base.bitWidth).contains(length)
            {
                throw Misfit(
                    "is a network, but \(quoted(text)) has bits set beyond /\(length); write the "
                        + "network's first address, or /\(base.bitWidth) for this one address"
                )
            }
            throw Misfit(
                "is a network such as \"10.0.0.0/8\", \"2001:db8::/32\" or \"192.0.2.7\", not "
                    + quoted(text)
            )
        },
        encode: { quoted($0.text) }
    )
}

extension ValueType<DomainPattern> {
    static let domainPattern = ValueType<DomainPattern>(
        "a domain",
        decode: { node throws(Misfit) in
            let text = try node.text("a domain", like: "example.org")
            if text == "*" { return .any }
            let hint =
                "is a domain (\"example.org\"), the domains below one (\".example.org\") or \"*\", "
                + "not \(quoted(text))"
            if text.hasPrefix("*.") {
                throw Misfit(hint + ", did you mean \(quoted(String(text.dropFirst())))?")
            }
            if Domain(text).literalAddress != nil { return .exact(Domain(text)) }
            let isBelow = text.hasPrefix(".")
            let name = isBelow ? String(text.dropFirst()) : text
            if let complaint = HostName.complaint(name) { throw Misfit(hint + "; " + complaint) }
            let domain = Domain(name)
            return isBelow ? .below(domain.folded) : .exact(domain)
        },
        encode: { quoted($0.text) }
    )
}

extension ValueType<Configuration.ListEntry> {
    /// A network, a mail address or a domain: which one shows in how it is written.
    static let listEntry = ValueType<Configuration.ListEntry>(
        "an entry",
        range: "a network, a mail address, a domain",
        decode: { node throws(Misfit) in
            let text = try node.text("a network, an address or a domain", like: "y.example")
            if text.contains("/") || HostAddress(text) != nil {
                return .network(try ValueType<NetworkPrefix>.network.decode(node))
            }
            return try mailboxEntry(text, node)
        },
        encode: { entry in
            switch entry {
            case .network(let network): quoted(network.text)
            case .mailbox(let address): quoted(address.text)
            case .domain(let pattern): quoted(pattern.text)
            }
        }
    )

    /// One that is no network.
    fileprivate static func mailboxEntry(
        _ text: String,
        _ node: TOMLNode
    ) throws(Misfit) -> Configuration.ListEntry {
        if text.hasPrefix("@") {
            let domain = TOMLNode(.string(String(text.dropFirst())), at: node.position)
            return .domain(try ValueType<DomainPattern>.listDomain.decode(domain))
        }
        if text.contains("@") {
            return .mailbox(try ValueType<Address>.mailbox.decode(node))
        }
        return .domain(try ValueType<DomainPattern>.listDomain.decode(node))
    }
}

extension ValueType<DomainPattern> {
    fileprivate static let listDomain = ValueType<DomainPattern>(
        "a domain",
        decode: { node throws(Misfit) in
            let pattern = try domainPattern.decode(node)
            if pattern == .any {
                throw Misfit("can't have \"*\"; write a network, a mail address or a domain")
            }
            return pattern
        },
        encode: { quoted($0.text) }
    )

    /// As for a route, without "*": to relay for every domain is to be an open relay.
    static let relayDomain = ValueType<DomainPattern>(
        "a domain",
        decode: { node throws(Misfit) in
            let pattern = try domainPattern.decode(node)
            guard pattern != .any else {
                throw Misfit(
                    "can't be \"*\", which would let anybody send to anywhere; list your domains"
                )
            }
            return pattern
        },
        encode: { quoted($0.text) }
    )
}

extension ValueType<MailboxPattern> {
    /// - Parameter allowsNull: `<>` may be among them.
    static func mailboxPattern(allowsNull: Bool) -> ValueType<MailboxPattern> {
        ValueType(
            "an address or domain",
            range: "addresses, domains, .domain, * within an address" + (allowsNull ? ", <>" : ""),
            decode: { node throws(Misfit) in
                let text = try node.text("an address or domain", like: "anna@example.org")
                if allowsNull, text == "<>" { return .null }
                if text.contains("*") {
                    let parts = text.split(separator: "@", omittingEmptySubsequences: false)
                    guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty }) else {
                        throw Misfit(
                            "has \"*\" in addresses alone, such as \"news-*@example.org\", not "
                                + quoted(text) + "; for all mail leave the setting out"
                        )
                    }
                    let domain = parts[1].hasSuffix(".") ? parts[1].dropLast() : parts[1]
                    // A star stands for at least a letter, as far as names go.
                    let sample = String(domain.map { $0 == "*" ? "x" : $0 })
                    if let complaint = HostName.complaint(sample) {
                        throw Misfit(
                            "has no host name behind the @ in \(quoted(text)); \(complaint)"
                        )
                    }
                    return .like(Wildcard("\(parts[0])@\(domain)"))
                }
                switch try ValueType<Configuration.ListEntry>.mailboxEntry(text, node) {
                case .mailbox(let address): return .mailbox(address)
                case .domain(.exact(let domain)): return .domain(domain)
                case .domain(.below(let parent)): return .below(Domain(parent))
                case .domain(.any), .network:
                    throw Misfit("is an address or a domain, not \(quoted(text))")
                }
            },
            encode: { quoted($0.text) }
        )
    }
}

extension ValueType<HeaderPattern> {
    static let headerPattern = ValueType<HeaderPattern>(
        "a header field",
        range: "its name, or name and value; * stands for anything in the value",
        decode: { node throws(Misfit) in
            let text = try node.text("a header field", like: "X-Stream: bulk-*")
            let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            // RFC 5322 §2.2: printable ASCII without the colon.
            let isName = parts[0].utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f }
            guard !parts[0].isEmpty, isName, text.utf8.count <= 998 else {
                throw Misfit(
                    "is a header field such as \"X-Stream: bulk-*\" or \"List-Id\", not "
                        + quoted(text)
                )
            }
            if parts[0].contains("*") {
                throw Misfit("can't have * in the name of the field, as \(quoted(text)) has")
            }
            // RFC 5322 §3.6.3, RFC 5321 §4.4: these are gone before anybody looks.
            if ["bcc", "resent-bcc", "return-path"].contains(parts[0].lowercased()) {
                throw Misfit("can't be \(quoted(String(parts[0]))), which the relay removes")
            }
            let value = parts.count > 1 ? parts[1].drop { $0 == " " } : ""
            return HeaderPattern(
                name: String(parts[0]),
                value: Wildcard(value.isEmpty ? "*" : String(value))
            )
        },
        encode: { quoted($0.text) }
    )
}

extension ValueType<Route.Host> {
    static let routeHost = ValueType<Route.Host>(
        "a host, with or without port",
        decode: { node throws(Misfit) in
            let text = try node.text("a host", like: "smtp.example.org:25")
            if text.hasPrefix("unix:") {
                let path = String(text.dropFirst(5))
                // unix(7): sun_path has 108 bytes, one of them the final zero.
                guard path.hasPrefix("/"), path.utf8.count <= 107, !path.utf8.contains(0) else {
                    throw Misfit(
                        "is a socket such as \"unix:/run/dovecot/lmtp\", its path from / on and at "
                            + "most 107 bytes long, not \(quoted(text))"
                    )
                }
                return Route.Host(socket: path)
            }
            if let host = Route.Host(parsing: text) { return host }
            throw Misfit(
                "is a host such as \"smtp.example.org\", \"smtp.example.org:587\", "
                    + "\"192.0.2.1:25\" or \"[2001:db8::1]:25\", not \(quoted(text))"
            )
        },
        encode: { quoted($0.text) }
    )
}

extension Route.Host {
    init?(parsing text: String) {
        // Addresses, bare or in brackets, before names: "2001:db8::25" has no port.
        if let address = HostAddress(text) ?? Domain(text).literalAddress {
            self.init(name: address.text, literal: address)
            return
        }
        if text.hasPrefix("["), text.hasSuffix("]"),
            let address = HostAddress(text.dropFirst().dropLast())
        {
            self.init(name: address.text, literal: address)
            return
        }
        var host = text[...]
        var port: UInt16?
        if let colon = text.lastIndex(of: ":") {
            let digits = text[text.index(after: colon)...]
            guard digits.utf8.allSatisfy(\.isDigit), let number = UInt16(digits), number > 0 else {
                return nil
            }
            port = number
            host = text[..<colon]
        }
        if host.hasPrefix("["), host.hasSuffix("]") {
            let inner = host.dropFirst().dropLast()
            guard let address = HostAddress(inner) ?? Domain(String(host)).literalAddress else {
                return nil
            }
            self.init(name: address.text, literal: address, port: port)
        } else if let address = HostAddress(host), address.isV4 {
            self.init(name: address.text, literal: address, port: port)
        } else {
            guard HostName.complaint(String(host)) == nil else { return nil }
            self.init(name: Domain(String(host)).folded, port: port)
        }
    }
}
