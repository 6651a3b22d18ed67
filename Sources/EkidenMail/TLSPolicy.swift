// What TLS mail must have on its way to the next hop. Configuration says it, the site carries it,
// delivery obeys it; docs/DELIVERY.md has the table.

package struct TLSPolicy: Sendable, Hashable {
    /// In order of strictness.
    package enum Level: String, Sendable, CaseIterable, Comparable {
        /// In the clear, always.
        case none
        /// TLS where it is to be had (RFC 7435).
        case may
        /// TLS or nothing, with whom ever.
        case encrypt
        /// And the host has shown who it is.
        case verify
        /// And it is one of those that are known.
        case fingerprint

        private var rank: Int {
            switch self {
            case .none: 0
            case .may: 1
            case .encrypt: 2
            case .verify: 3
            case .fingerprint: 4
            }
        }

        package static func < (a: Level, b: Level) -> Bool { a.rank < b.rank }
    }

    package var level: Level
    /// Names one of which a certificate must have at `verify`: `mx.example.org`, or `.example.org` for
    /// any name below; empty: the mail host's own.
    package var names: [String]
    /// SHA-256 of the certificates at `fingerprint`: hexadecimal digits, lower case.
    package var fingerprints: [String]
    /// Which of our certificates is shown to a host that asks: its name in the configuration.
    package var certificate: String?
    /// Who vouches for hosts: a file; nil: the system's.
    package var authorities: String?

    package init(
        _ level: Level = .may,
        names: [String] = [],
        fingerprints: [String] = [],
        certificate: String? = nil,
        authorities: String? = nil
    ) {
        self.certificate = certificate
        self.authorities = authorities
        self.level = level
        self.names = names
        self.fingerprints = fingerprints
    }

    /// The names a host's certificate is held against.
    package func names(of exchange: Exchange) -> [String] {
        names.isEmpty ? [exchange.name] : names
    }

    /// Whether what a handshake has shown is enough.
    package func accepts(_ facts: TLSFacts) -> Bool {
        switch level {
        case .none, .may, .encrypt: true
        case .verify: facts.peer?.isTrusted ?? false
        case .fingerprint: facts.peer.map { fingerprints.contains($0.fingerprint) } ?? false
        }
    }
}
