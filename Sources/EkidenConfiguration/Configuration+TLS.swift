// What TLS mail must have on its way out, and who we are there: `[[tls_policy]]`, `[[login]]`, and what
// routes and `delivery` say.

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

    /// `[[login]]`: who we are at a next hop.
    package struct HopLogin: Sendable, Equatable {
        package var name = ""
        package var user = ""
        package var passwordFile: String?
        package var tokenFile: String?
        /// A program's absolute path and its arguments; empty: none.
        package var tokenCommand: [String] = []
        /// How long a token of the command is used.
        package var tokenLifetime = Duration.seconds(2700)
        /// Empty: all that fit.
        package var mechanisms: [HopMechanism] = []

        package var hasToken: Bool { tokenFile != nil || !tokenCommand.isEmpty }
    }

    /// The registered names.
    package enum HopMechanism: String, Sendable, CaseIterable {
        case scramSHA256Plus = "SCRAM-SHA-256-PLUS"
        case scramSHA256 = "SCRAM-SHA-256"
        case plain = "PLAIN"
        case login = "LOGIN"
        case oauthBearer = "OAUTHBEARER"
        case xoauth2 = "XOAUTH2"

        package var takesToken: Bool { self == .oauthBearer || self == .xoauth2 }
    }

    package func hopLogin(named name: String) -> HopLogin? {
        hopLogins.first { $0.name == name }
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
        var owner: [DomainPattern: String] = [:]
        var hostOwner: [DomainPattern: String] = [:]
        for (index, rule) in c.tlsRules.enumerated() {
            let path = "tls_policy[\(index)]"
            if rule.domains.isEmpty == rule.hosts.isEmpty {
                loading.error(
                    at: loading.position(of: path + ".name"),
                    "tls_policy \"\(rule.name)\" is for domains or for hosts; set one of them"
                )
            }
            let own = "tls_policy \"\(rule.name)\""
            claim(rule.domains, path + ".domains", own, &owner, &loading)
            claim(rule.hosts, path + ".hosts", own, &hostOwner, &loading)
            fits(rule.level, rule.names, rule.fingerprints, path + ".level", &loading)
            let remedy = "set route.tls, or a tls_policy for its hosts"
            for domain in rule.domains { warnOfRoute(domain, own, remedy, c, path, &loading) }
        }
        for (index, route) in c.routes.all.enumerated() {
            let path = "route[\(index)]"
            if let level = route.tls ?? (route.login == nil ? nil : .verify) {
                fits(level, route.tlsNames, route.tlsFingerprints, path + ".tls", &loading)
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

    static func hopLogins(_ c: Configuration, _ loading: inout Loading) {
        for (index, login) in c.hopLogins.enumerated() {
            let path = "login[\(index)]"
            secret(of: login, path, &loading)
            if login.user.isEmpty {
                loading.error(
                    at: loading.position(of: path + ".name"),
                    "login \"\(login.name)\" has no user, and no provider that has one for all; add it, "
                        + "such as user = \"relay@example.org\""
                )
            }
            let misfit = login.mechanisms.first { $0.takesToken != login.hasToken }
            if let misfit {
                loading.error(
                    at: loading.position(of: path + ".mechanisms"),
                    "\(misfit.rawValue) takes a "
                        + (misfit.takesToken ? "token, not a password" : "password, not a token")
                        + "; leave it out"
                )
            }
        }
        for (index, route) in c.routes.all.enumerated() {
            guard let name = route.login else { continue }
            let path = "route[\(index)]"
            if c.hopLogin(named: name) == nil {
                loading.error(
                    at: loading.position(of: path + ".login"),
                    "there is no [[login]] \"\(name)\""
                        + Suggestion.question(name, among: c.hopLogins.map(\.name))
                )
            }
            if let tls = route.tls, tls < .encrypt {
                loading.error(
                    at: loading.position(of: path + ".tls"),
                    "route \"\(route.name)\" has a login, which must not cross the network in the "
                        + "clear; leave tls out (\"verify\"), or set it to \"encrypt\""
                )
            }
        }
    }

    private static func secret(
        of login: Configuration.HopLogin,
        _ path: String,
        _ loading: inout Loading
    ) {
        let sources = [
            ("password_file", login.passwordFile != nil), ("token_file", login.tokenFile != nil),
            ("token_command", !login.tokenCommand.isEmpty),
        ].filter(\.1).map(\.0)
        if sources.isEmpty {
            loading.error(
                at: loading.position(of: path + ".name"),
                "login \"\(login.name)\" needs one of password_file, token_file and token_command"
            )
        } else if sources.count > 1 {
            loading.error(
                at: loading.position(of: path + "." + sources[1]),
                "login \"\(login.name)\" has " + sources.joined(separator: " and ")
                    + "; keep one of them"
            )
        }
        if let program = login.tokenCommand.first, !program.hasPrefix("/") {
            loading.error(
                at: loading.position(of: path + ".token_command"),
                "login.token_command begins with the absolute path of a program, for no shell looks "
                    + "for it; write it out"
            )
        }
        if login.tokenCommand.isEmpty, login.tokenLifetime != Configuration.HopLogin().tokenLifetime
        {
            loading.warning(
                at: loading.position(of: path + ".token_lifetime"),
                "login.token_lifetime has no effect without a token_command; leave it out"
            )
        }
    }

    /// - Parameter name: of the rule that has the patterns, as `tls_policy "banks"`.
    static func claim(
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
                    "\"\(pattern.text)\" is in \(other) already; remove one of them"
                )
            }
            owner[pattern] = name
        }
    }

    /// Names and fingerprints at another level would look like a check, and be none.
    private static func fits(
        _ level: TLSPolicy.Level,
        _ names: [String],
        _ fingerprints: [String],
        _ path: String,
        _ loading: inout Loading
    ) {
        let place = loading.position(of: path)
        if level == .fingerprint, fingerprints.isEmpty {
            loading.error(
                at: place,
                "the level \"fingerprint\" needs fingerprints, else no certificate would do"
            )
        }
        if level != .verify, !names.isEmpty {
            loading.error(
                at: place,
                "names are looked at by the level \"verify\" alone, and this one is "
                    + "\"\(level.rawValue)\"; set it to \"verify\", or leave the names out"
            )
        }
        if level != .fingerprint, !fingerprints.isEmpty {
            loading.error(
                at: place,
                "fingerprints are looked at by the level \"fingerprint\" alone, and this one is "
                    + "\"\(level.rawValue)\"; set it to \"fingerprint\", or leave them out"
            )
        }
    }

    /// A policy for a domain says nothing of mail that goes by a route.
    static func warnOfRoute(
        _ domain: DomainPattern,
        _ rule: String,
        _ remedy: String,
        _ c: Configuration,
        _ path: String,
        _ loading: inout Loading
    ) {
        let sample: Domain =
            switch domain {
            case .exact(let domain): domain
            case .below(let parent): Domain("x." + parent)
            case .any: Domain("example.invalid")
            }
        // By the domain's own hosts those of a policy or a site are meant all the same.
        guard let route = c.routes.route(for: sample), route.target != .mx else { return }
        loading.warning(
            at: loading.position(of: path + ".domains"),
            "mail for \"\(domain.text)\" goes by route \"\(route.name)\", for which \(rule) "
                + "does not count; \(remedy)"
        )
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
