/// An IPv4 or IPv6 address. IPv4-mapped IPv6 (`::ffff:0:0/96`) is folded to IPv4 on the way in, so
/// that a rule for `192.0.2.0/24` also holds for a client that came through a v6 socket.
package enum HostAddress: Sendable, Hashable {
    case v4(UInt32)
    case v6(high: UInt64, low: UInt64)

    package static let loopback4 = HostAddress.v4(0x7f00_0001)
    package static let loopback6 = HostAddress.v6(high: 0, low: 1)

    package static func ipv6(high: UInt64, low: UInt64) -> HostAddress {
        if high == 0, low >> 32 == 0xffff { return .v4(UInt32(truncatingIfNeeded: low)) }
        return .v6(high: high, low: low)
    }

    /// The address as limits count it: an IPv6 customer has a whole /64 to come from.
    package var customer: HostAddress {
        switch self {
        case .v4: self
        case .v6(let high, _): .v6(high: high, low: 0)
        }
    }

    /// `customer` for a person: `192.0.2.1`, `2001:db8:1:2::/64`.
    package var customerText: String { isV4 ? text : customer.text + "/64" }

    package var isV4: Bool { if case .v4 = self { true } else { false } }

    package var isLoopback: Bool {
        switch self {
        case .v4(let bits): bits >> 24 == 127
        case .v6(let high, let low): high == 0 && low == 1
        }
    }

    /// `0.0.0.0` or `::`.
    package var isUnspecified: Bool {
        switch self {
        case .v4(let bits): bits == 0
        case .v6(let high, let low): high == 0 && low == 0
        }
    }

    package var bitWidth: Int { isV4 ? 32 : 128 }

    /// `192.0.2.1` or RFC 5952 text (`2001:db8::1`).
    package var text: String {
        switch self {
        case .v4(let b): "\(b >> 24).\(b >> 16 & 255).\(b >> 8 & 255).\(b & 255)"
        case .v6(let high, let low): Self.textV6(high, low)
        }
    }

    /// The address literal of RFC 5321 §4.1.3: `[192.0.2.1]`, `[IPv6:2001:db8::1]`.
    package var literal: String { isV4 ? "[\(text)]" : "[IPv6:\(text)]" }

    private static func textV6(_ high: UInt64, _ low: UInt64) -> String {
        let groups = (0..<8).map { i in
            UInt16(truncatingIfNeeded: (i < 4 ? high : low) >> UInt64(48 - 16 * (i % 4)))
        }
        // RFC 5952 §4.2: the first longest run of two or more zero groups becomes "::".
        var best = 0..<0
        var i = 0
        while i < 8 {
            var j = i
            while j < 8, groups[j] == 0 { j += 1 }
            if j - i > max(best.count, 1) { best = i..<j }
            i = max(j, i + 1)
        }
        let hex = { (g: ArraySlice<UInt16>) in
            g.map { String($0, radix: 16) }.joined(separator: ":")
        }
        if best.isEmpty { return hex(groups[...]) }
        return hex(groups[..<best.lowerBound]) + "::" + hex(groups[best.upperBound...])
    }

    /// Parses `192.0.2.1`, `2001:db8::1`, `::ffff:192.0.2.1`; nil for anything else, including
    /// short or octal IPv4 forms and zone identifiers.
    package init?(_ text: some StringProtocol) {
        let bytes = Array(text.utf8)
        if bytes.contains(UInt8(ascii: ":")) {
            guard let address = Self.parseV6(bytes) else { return nil }
            self = address
        } else {
            guard let bits = Self.parseV4(bytes[...]) else { return nil }
            self = .v4(bits)
        }
    }

    private static func parseV4(_ bytes: ArraySlice<UInt8>) -> UInt32? {
        let parts = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bits: UInt32 = 0
        for part in parts {
            guard (1...3).contains(part.count), part.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }),
                part.count == 1 || part.first != 0x30
            else { return nil }
            let value = part.reduce(0) { $0 * 10 + Int($1 - 0x30) }
            guard value <= 255 else { return nil }
            bits = bits << 8 | UInt32(value)
        }
        return bits
    }

    private static func parseV6(_ bytes: [UInt8]) -> HostAddress? {
        var groups: [UInt16] = []
        var gap: Int?
        var i = 0
        if bytes.starts(with: [0x3a, 0x3a]) {
            gap = 0
            i = 2
        }
        while i < bytes.count {
            let end = bytes[i...].firstIndex(of: 0x3a) ?? bytes.count
            let part = bytes[i..<end]
            if part.contains(UInt8(ascii: ".")) {
                guard end == bytes.count, let bits = parseV4(part) else { return nil }
                groups += [UInt16(bits >> 16), UInt16(bits & 0xffff)]
                i = end
                break
            }
            guard (1...4).contains(part.count),
                let value = UInt16(String(decoding: part, as: UTF8.self), radix: 16),
                part.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") })
            else { return nil }
            groups.append(value)
            guard end < bytes.count else { break }
            i = end + 1
            if i < bytes.count, bytes[i] == 0x3a {
                guard gap == nil else { return nil }
                gap = groups.count
                i += 1
            } else if i == bytes.count {
                return nil
            }
        }
        if let gap {
            guard groups.count < 8 else { return nil }
            groups.insert(contentsOf: repeatElement(0, count: 8 - groups.count), at: gap)
        }
        guard groups.count == 8 else { return nil }
        let join = { (g: ArraySlice<UInt16>) in g.reduce(UInt64(0)) { $0 << 16 | UInt64($1) } }
        return .ipv6(high: join(groups[..<4]), low: join(groups[4...]))
    }
}

extension HostAddress: Comparable {
    package static func < (a: HostAddress, b: HostAddress) -> Bool {
        switch (a, b) {
        case (.v4(let x), .v4(let y)): x < y
        case (.v4, .v6): true
        case (.v6, .v4): false
        case (.v6(let h1, let l1), .v6(let h2, let l2)): (h1, l1) < (h2, l2)
        }
    }
}

/// An address and a port.
package struct Endpoint: Sendable, Hashable {
    package let address: HostAddress
    package let port: UInt16

    package init(_ address: HostAddress, _ port: UInt16) {
        self.address = address
        self.port = port
    }

    /// `192.0.2.1:25` or `[2001:db8::1]:25`.
    package var text: String {
        address.isV4 ? "\(address.text):\(port)" : "[\(address.text)]:\(port)"
    }

    package init?(_ text: some StringProtocol) {
        guard let colon = text.lastIndex(of: ":"),
            let port = UInt16(text[text.index(after: colon)...])
        else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard let address = HostAddress(host) else { return nil }
        self.init(address, port)
    }
}

/// A network in CIDR form: `10.0.0.0/8`, `2001:db8::/32`, or one address.
package struct NetworkPrefix: Sendable, Hashable {
    package let base: HostAddress
    package let length: Int

    /// nil when the length is out of range or bits beyond it are set.
    package init?(_ base: HostAddress, length: Int) {
        guard (0...base.bitWidth).contains(length) else { return nil }
        self.base = base
        self.length = length
        guard Self.masked(base, length) == base else { return nil }
    }

    package init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let base = HostAddress(parts[0]) else { return nil }
        guard parts.count == 2 else {
            self.init(base, length: base.bitWidth)
            return
        }
        guard let length = Int(parts[1]), parts[1].allSatisfy(\.isNumber) else { return nil }
        self.init(base, length: length)
    }

    /// The network of that length in which an address is; lengths beyond the address are cut.
    package init(of address: HostAddress, length: Int) {
        self.length = min(max(length, 0), address.bitWidth)
        base = Self.masked(address, self.length)
    }

    package func contains(_ address: HostAddress) -> Bool {
        address.isV4 == base.isV4 && Self.masked(address, length) == base
    }

    package var text: String { "\(base.text)/\(length)" }

    /// As `text`, a single address without its length.
    package var shortText: String { length == base.bitWidth ? base.text : text }

    private static func masked(_ address: HostAddress, _ length: Int) -> HostAddress {
        switch address {
        case .v4(let bits):
            return .v4(length == 0 ? 0 : bits & ~UInt32(0) << UInt32(32 - length))
        case .v6(let high, let low):
            let highMask = length >= 64 ? ~0 : length == 0 ? 0 : ~UInt64(0) << UInt64(64 - length)
            let lowMask = length <= 64 ? 0 : ~UInt64(0) << UInt64(128 - length)
            return .v6(high: high & highMask, low: low & lowMask)
        }
    }
}
