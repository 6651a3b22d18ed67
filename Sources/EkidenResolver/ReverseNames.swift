// From an address to the name of its host, believed only when the name leads back to the address:
// whoever owns an address can have the DNS call it anything (RFC 1912 §2.1, RFC 8601 §2.7.3). Called
// by the composition for the rules of listeners, from tasks of any loop.

import EkidenMail
import EkidenRuntime

/// What the DNS says of the host that has an address.
package enum ReverseLookup: Sendable, Equatable {
    /// A name that leads back to the address.
    case confirmed(String)
    /// There is none, and that is certain for now; the text says why.
    case missing(String)
    /// It could not be found out.
    case failed(LookupFailure)
}

extension Resolver {
    /// Names of one address that are looked at; some have hundreds (RFC 8601 §3: a limit is due).
    package static let reverseNamesMax = 10

    /// Ends at `deadline` with a failure.
    package func reverseName(
        of address: HostAddress,
        on loop: Loop,
        until deadline: Instant
    ) async -> ReverseLookup {
        let pointers = await ask(address.reverseName, RecordType.ptr, on: loop, until: deadline)
        var names: [String] = []
        switch pointers {
        case .records(let data):
            for case .pointer(let name) in data where HostName.isValid(name) { names.append(name) }
        case .failed(let why): return .failed(why)
        case .noData, .noName, .unaskable: return .missing("\(address.text) has no name (PTR)")
        }
        guard let first = names.first else {
            return .missing("\(address.text) has no name that a host can have")
        }
        let type = address.isV4 ? RecordType.a : RecordType.aaaa
        var failure: LookupFailure?
        for name in names.prefix(Self.reverseNamesMax) {
            switch await ask(name, type, on: loop, until: deadline) {
            case .records(let data):
                if data.contains(.address(address)) { return .confirmed(name) }
            case .failed(let why): failure = failure ?? why
            case .noData, .noName, .unaskable: break
            }
        }
        if let failure { return .failed(failure) }
        return .missing("its name \(first) does not lead back to \(address.text)")
    }
}

extension HostAddress {
    /// The name whose PTR record names the host: RFC 1035 §3.5, RFC 3596 §2.5.
    package var reverseName: String {
        switch self {
        case .v4(let bits):
            return (0..<4).map { "\(bits >> UInt32(8 * $0) & 255)." }.joined() + "in-addr.arpa"
        case .v6(let high, let low):
            let nibbles = (0..<32).map { index in
                let word = index < 16 ? low : high
                return String(word >> UInt64(4 * (index % 16)) & 15, radix: 16) + "."
            }
            return nibbles.joined() + "ip6.arpa"
        }
    }
}
