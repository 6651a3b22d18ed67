// From a host's A and AAAA look-ups to the addresses to try, in order. Pure: the policy of address
// families in one place. RFC 5321 §5.1, RFC 3596.

import EkidenMail
import EkidenRuntime

/// What is known of a host's addresses.
package enum HostLookup: Sendable, Equatable {
    /// At least one, all of families that may be used, without an order yet.
    case found(v4: [HostAddress], v6: [HostAddress])
    /// For good: the name does not exist, or has no address that may be used. The text says which.
    case none(String)
    case failed(LookupFailure)
}

extension AddressFamilyPolicy {
    /// The record types to ask for, all at the same time.
    package var recordTypes: [UInt16] {
        switch self {
        case .preferIPv6: [RecordType.aaaa, RecordType.a]
        case .preferIPv4: [RecordType.a, RecordType.aaaa]
        case .onlyIPv4: [RecordType.a]
        case .onlyIPv6: [RecordType.aaaa]
        }
    }

    private func allows(_ address: HostAddress) -> Bool {
        recordTypes.contains(address.isV4 ? RecordType.a : RecordType.aaaa)
    }

    /// Joins the look-ups of `recordTypes`. What is there is used, even when the other family's
    /// look-up failed; only with nothing at hand does a failure count.
    package func join(_ lookups: [Lookup]) -> HostLookup {
        var addresses: [HostAddress] = []
        var failure: LookupFailure?
        var exists = false
        for lookup in lookups {
            switch lookup {
            case .records(let data):
                exists = true
                for case .address(let address) in data { addresses.append(address) }
            case .noData: exists = true
            case .noName, .unaskable: break
            case .failed(let why): failure = failure ?? why
            }
        }
        let usable = found(in: addresses)
        if let usable { return usable }
        if let failure { return .failed(failure) }
        if !addresses.isEmpty { return .none("has no address that mail can be sent to") }
        return .none(exists ? "has no address" : "does not exist")
    }

    /// Sorts addresses into families, without those that may not be used or that no mail host can
    /// have; nil when none is left.
    package func found(in addresses: [HostAddress]) -> HostLookup? {
        var v4: [HostAddress] = []
        var v6: [HostAddress] = []
        for address in addresses where allows(address) && address.isUnicastHost {
            if address.isV4 {
                if !v4.contains(address) { v4.append(address) }
            } else if !v6.contains(address) {
                v6.append(address)
            }
        }
        return v4.isEmpty && v6.isEmpty ? nil : .found(v4: v4, v6: v6)
    }

    /// The two families in turn, the preferred one first, so that one family that leads nowhere
    /// from here does not use up an attempt's addresses.
    package func interleaved(v4: [HostAddress], v6: [HostAddress]) -> [HostAddress] {
        let (first, second) = self == .preferIPv4 || self == .onlyIPv4 ? (v4, v6) : (v6, v4)
        var order: [HostAddress] = []
        for i in 0..<max(first.count, second.count) {
            if i < first.count { order.append(first[i]) }
            if i < second.count { order.append(second[i]) }
        }
        return order
    }
}

extension HostAddress {
    /// False for addresses that no host can have: unspecified (which Linux would take for this
    /// machine), multicast, broadcast, reserved (RFC 6890 §2.2.2, RFC 4291 §2.7).
    var isUnicastHost: Bool {
        switch self {
        case .v4(let bits): bits >> 24 != 0 && bits >> 29 != 0b111
        case .v6(let high, _): !isUnspecified && high >> 56 != 0xff
        }
    }
}

extension Array {
    /// In a random order (Fisher and Yates), so that load spreads over a host's addresses though
    /// the cache holds them in one order.
    func shuffled(by random: any RandomSource) -> [Element] {
        var copy = self
        var i = copy.count - 1
        while i > 0 {
            copy.swapAt(i, Int(random.below(UInt64(i + 1))))
            i -= 1
        }
        return copy
    }
}
