// How what goes wrong with names is said to the rest of the relay: reason, permanence and the
// status code of RFC 3463, in one place.

import EkidenMail

extension Failure {
    /// X.1.2, bad destination system address (RFC 3463 §3.2).
    static func domainNotFound(_ text: String) -> Failure {
        names(.domainNotFound, isPermanent: true, text, EnhancedStatus(5, 1, 2))
    }

    /// X.6.7, non-ASCII addresses not permitted (RFC 6531 §4.1).
    static func unconvertible(_ domain: String) -> Failure {
        let text =
            "the domain \(domain) can't be put into ASCII for the DNS here; use its xn-- form"
        return names(.utf8Unsupported, isPermanent: true, text, EnhancedStatus(5, 6, 7))
    }

    /// RFC 7505 §4.1: 5.1.10, recipient address has null MX.
    static func nullExchange(_ domain: String) -> Failure {
        let text = "the domain \(domain) says that it takes no mail (null MX)"
        return names(.nullExchange, isPermanent: true, text, EnhancedStatus(5, 1, 10))
    }

    /// X.4.6, routing loop detected (RFC 3463 §3.5).
    static func mailLoop(_ domain: String) -> Failure {
        let text = "mail for \(domain) loops back: its best mail host is this relay itself"
        return names(.mailLoop, isPermanent: true, text, EnhancedStatus(5, 4, 6))
    }

    /// X.4.4, unable to route (RFC 3463 §3.5).
    static func noAddress(
        _ text: String,
        scope: Scope = .site,
        host: PeerHost? = nil
    ) -> Failure {
        Failure(
            scope: scope,
            isPermanent: true,
            reason: .noAddress,
            step: .resolve,
            host: host,
            text: text,
            status: EnhancedStatus(5, 4, 4)
        )
    }

    /// X.4.3, directory server failure (RFC 3463 §3.5); X.3.2, not accepting messages, when it is
    /// we who stop.
    static func lookup(_ why: LookupFailure, scope: Scope, host: PeerHost? = nil) -> Failure {
        let isOurs = why.reason == .stopping
        return Failure(
            scope: isOurs ? .ours : scope,
            isPermanent: false,
            reason: why.reason,
            step: .resolve,
            host: host,
            text: why.text,
            status: isOurs ? EnhancedStatus(4, 3, 2) : EnhancedStatus(4, 4, 3)
        )
    }

    /// A next hop names a route that the configuration (no longer) has. Ours to mend: mail waits.
    static func noRoute(_ name: String) -> Failure {
        Failure(
            scope: .ours,
            isPermanent: false,
            reason: .noRoute,
            step: .resolve,
            text: "the configuration has no route \"\(name)\" with hosts",
            status: EnhancedStatus(4, 3, 5)
        )
    }

    private static func names(
        _ reason: Reason,
        isPermanent: Bool,
        _ text: String,
        _ status: EnhancedStatus
    ) -> Failure {
        Failure(
            scope: .site,
            isPermanent: isPermanent,
            reason: reason,
            step: .resolve,
            text: text,
            status: status
        )
    }
}
