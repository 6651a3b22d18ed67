// What TLS mail must have on its way out: `[[tls_policy]]`, and what routes and `delivery` say.

import EkidenMail

extension Configuration {
    /// `[[tls_policy]]`: TLS for domains, or for mail hosts whatever they take mail for.
    package struct TLSRule: Sendable, Equatable {
        package var name = ""
        package var domains: [DomainPattern] = []
        package var hosts: [DomainPattern] = []
        package var level = TLSPolicy.Level.encrypt
        package var names: [String] = []
        package var fingerprints: [String] = []
    }

    /// The certificate of that name.
    package func certificate(named name: String) -> Certificate? {
        certificates.first { $0.name == name }
    }

    /// Names of certificates that are shown to next hops.
    package var outboundCertificates: [String] {
        let all = [delivery.clientCertificate] + routes.all.map(\.clientCertificate)
        var names: [String] = []
        for case let name? in all where !names.contains(name) { names.append(name) }
        return names
    }
}

extension Check {
    static func outboundTLS(_ c: Configuration, _ loading: inout Loading) {
        var names: Set<String> = []
        var owner: [DomainPattern: String] = [:]
        var hostOwner: [DomainPattern: String] = [:]
        for (index, rule) in c.tlsRules.enumerated() {
            let path = "tls_policy[\(index)]"
            if !names.insert(rule.name).inserted {
                loading.error(
                    at: loading.position(of: path + ".name"),
                    "there is already a tls_policy \"\(rule.name)\"; give this one another name"
                )
            }
            if rule.domains.isEmpty == rule.hosts.isEmpty {
                loading.error(
                    at: loading.position(of: path + ".name"),
                    "tls_policy \"\(rule.name)\" is for domains or for hosts; set one of them"
                )
            }
            claim(rule.domains, path + ".domains", rule.name, &owner, &loading)
            claim(rule.hosts, path + ".hosts", rule.name, &hostOwner, &loading)
            fingerprints(rule.level, rule.fingerprints, path + ".level", &loading)
        }
        for (index, route) in c.routes.all.enumerated() {
            let path = "route[\(index)]"
            if let level = route.tls {
                fingerprints(level, route.tlsFingerprints, path + ".tls", &loading)
            } else if !route.tlsNames.isEmpty || !route.tlsFingerprints.isEmpty {
                let name = route.tlsNames.isEmpty ? "tls_fingerprints" : "tls_names"
                loading.warning(
                    at: loading.position(of: path + "." + name),
                    "route.\(name) has no effect without route.tls; set it to "
                        + (route.tlsNames.isEmpty ? "\"fingerprint\"" : "\"verify\"")
                )
            }
            known(route.clientCertificate, c, path + ".client_certificate", &loading)
        }
        known(c.delivery.clientCertificate, c, "delivery.client_certificate", &loading)
        if c.delivery.tls == .fingerprint {
            loading.error(
                at: loading.position(of: "delivery.tls"),
                "delivery.tls can't be \"fingerprint\", for there is no one certificate that all "
                    + "hosts have; set it in a [[tls_policy]] or a [[route]]"
            )
        }
    }

    private static func claim(
        _ patterns: [DomainPattern],
        _ path: String,
        _ name: String,
        _ owner: inout [DomainPattern: String],
        _ loading: inout Loading
    ) {
        for pattern in patterns {
            if let other = owner[pattern] {
                loading.error(
                    at: loading.position(of: path),
                    "\"\(pattern.text)\" is in tls_policy \"\(other)\" already; remove one of them"
                )
            }
            owner[pattern] = name
        }
    }

    private static func fingerprints(
        _ level: TLSPolicy.Level,
        _ fingerprints: [String],
        _ path: String,
        _ loading: inout Loading
    ) {
        if level == .fingerprint, fingerprints.isEmpty {
            loading.error(
                at: loading.position(of: path),
                "the level \"fingerprint\" needs fingerprints, else no certificate would do"
            )
        }
    }

    private static func known(
        _ name: String?,
        _ c: Configuration,
        _ path: String,
        _ loading: inout Loading
    ) {
        guard let name, c.certificate(named: name) == nil else { return }
        loading.error(
            at: loading.position(of: path),
            "there is no [[certificate]] \"\(name)\""
                + Suggestion.question(name, among: c.certificates.map(\.name))
        )
    }
}
