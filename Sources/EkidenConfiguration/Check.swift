// Rules between settings, each of which is fine by itself: what can't work is an error, what is
// probably not meant a warning. Run on every load, after the rows have been read without error.

import EkidenMail

enum Check {
    static func run(_ configuration: Configuration, _ loading: inout Loading) {
        relay(configuration, &loading)
        names(configuration, &loading)
        listeners(configuration, &loading)
        rates(configuration, &loading)
        certificates(configuration, &loading)
        certificateUsers(configuration, &loading)
        openRelays(configuration, &loading)
        logins(configuration, &loading)
        relayDomains(configuration, &loading)
        lists(configuration, &loading)
        helloChecks(configuration, &loading)
        spool(configuration, &loading)
        retry(configuration, &loading)
        retryRules(configuration, &loading)
        sites(configuration, &loading)
        routes(configuration, &loading)
        siteRules(configuration, &loading)
        streams(configuration, &loading)
        outboundTLS(configuration, &loading)
        hopLogins(configuration, &loading)
        unused(configuration, &loading)
        resolver(configuration, &loading)
        delivery(configuration, &loading)
        limits(configuration, &loading)
    }

    private static func relay(_ c: Configuration, _ loading: inout Loading) {
        let hostname = c.relay.hostname
        let place = loading.position(of: "relay.hostname")
        if let complaint = HostName.complaint(hostname.text) {
            loading.error(
                at: place,
                "the system's host name, \"\(hostname.text)\", can't be used in SMTP (\(complaint)); "
                    + "set relay.hostname"
            )
        } else if !hostname.folded.contains(".") || hostname.folded == "localhost.localdomain" {
            loading.warning(
                at: place,
                "relay.hostname is \"\(hostname.text)\", which is no full name; many hosts refuse "
                    + "mail from such a name, set one like \"mail.example.org\""
            )
        }
        if c.relay.postmaster == nil {
            loading.warning(
                at: loading.position(of: "relay.postmaster"),
                "relay.postmaster is not set; mail to <postmaster> will be refused with 451, and "
                    + "bounces that can't be returned have nowhere to go"
            )
        }
        // unix(7): sun_path has 108 bytes, one of them the final zero.
        if c.controlSocketPath.utf8.count > 107 {
            let isSet = c.control.socket != nil
            loading.error(
                at: loading.position(of: isSet ? "control.socket" : "spool.directory"),
                "the control socket's path is longer than 107 bytes; "
                    + (isSet ? "choose a shorter one" : "set control.socket to a shorter one")
            )
        }
    }

    /// No two sections of a kind may have the same name, but for certificates of one user.
    private static func names(_ c: Configuration, _ loading: inout Loading) {
        unique(c.listeners, "listener", &loading)
        unique(c.rates, "rate", &loading)
        unique(c.certificates, "certificate", &loading)
        unique(c.lists, "list", &loading)
        unique(c.retryRules, "retry_rule", &loading)
        unique(c.streams, "stream", &loading)
        unique(c.siteRules, "site", &loading)
        unique(c.routes.all, "route", &loading)
        unique(c.tlsRules, "tls_policy", &loading)
        unique(c.hopLogins, "login", &loading)
    }

    private static func unique(
        _ sections: [some NamedSection],
        _ kind: String,
        _ loading: inout Loading
    ) {
        var names: Set<String> = []
        for (index, section) in sections.enumerated()
        where !names.insert(section.name).inserted {
            loading.error(
                at: loading.position(of: "\(kind)[\(index)].name"),
                "there is already a \(kind) \"\(section.name)\"; give this one another name"
            )
        }
    }

    /// Listeners that a route or a stream names, and `local`, are there.
    static func listeners(
        _ names: [String],
        of path: String,
        _ c: Configuration,
        _ loading: inout Loading
    ) {
        let known = c.listeners.map(\.name) + ["local"]
        for name in names where !known.contains(name) {
            loading.error(
                at: loading.position(of: path + ".listeners"),
                "there is no listener \"\(name)\"" + Suggestion.question(name, among: known)
            )
        }
    }

    private static func listeners(_ c: Configuration, _ loading: inout Loading) {
        var endpoints: [Endpoint] = []
        for (index, listener) in c.listeners.enumerated() {
            let path = "listener[\(index)]"
            for endpoint in listener.listen {
                if let other = endpoints.first(where: { overlap($0, endpoint) }) {
                    loading.error(
                        at: loading.position(of: path + ".listen"),
                        "\(endpoint.text) "
                            + (other == endpoint
                                ? "is listed twice; keep one of them"
                                : "is already covered by \(other.text); remove one of them")
                    )
                }
                endpoints.append(endpoint)
            }
            if listener.maxConnectionsPerClient > listener.maxConnections {
                loading.warning(
                    at: loading.position(of: path + ".max_connections_per_client"),
                    "listener.max_connections_per_client (\(listener.maxConnectionsPerClient)) has "
                        + "no effect above max_connections (\(listener.maxConnections)); lower it"
                )
            }
            if listener.maxMessageSize > c.spool.maxBytes {
                loading.error(
                    at: loading.position(of: path + ".max_message_size", "spool.max_bytes"),
                    "listener.max_message_size is larger than all of spool.max_bytes; lower it, or "
                        + "raise spool.max_bytes"
                )
            }
            // RFC 5321 §4.5.3.1.8 and §4.5.3.1.7: the least a server takes.
            if listener.maxRecipients < 100 {
                loading.warning(
                    at: loading.position(of: path + ".max_recipients"),
                    "listener.max_recipients is under 100, which clients may rely on; raise it"
                )
            }
            if listener.maxMessageSize < 65_536 {
                loading.warning(
                    at: loading.position(of: path + ".max_message_size"),
                    "listener.max_message_size is under 64KiB, which clients may rely on; raise it"
                )
            }
            defences(listener, path, &loading)
            if listener.messageTimeout < listener.dataBlockTimeout,
                loading.isSet(path + ".data_block_timeout")
            {
                loading.warning(
                    at: loading.position(
                        of: path + ".message_timeout",
                        path + ".data_block_timeout"
                    ),
                    "listener.message_timeout is shorter than data_block_timeout, which then has no "
                        + "effect; raise it"
                )
            }
        }
    }

    private static func certificates(_ c: Configuration, _ loading: inout Loading) {
        for (index, listener) in c.listeners.enumerated() {
            let path = "listener[\(index)]"
            let use = c.tls(of: listener)
            if use != .off, c.certificates.isEmpty {
                loading.error(
                    at: loading.position(of: path + ".tls", path + ".role"),
                    "listener \"\(listener.name)\" needs TLS, and there is no [[certificate]]; add one"
                        + (listener.role == .submissions ? "" : ", or set tls to \"off\"")
                )
            }
            if listener.role == .submissions, let tls = listener.tls, tls != .required {
                loading.error(
                    at: loading.position(of: path + ".tls"),
                    "with the role submissions TLS is there from the first byte; leave tls out"
                )
            }
            if listener.role == .submission, listener.tls == .off {
                loading.warning(
                    at: loading.position(of: path + ".tls"),
                    "listener \"\(listener.name)\" is for submission, and what is sent to it can be "
                        + "read on the way; leave tls out"
                )
            }
            if listener.clientCertificate != .off, use == .off {
                loading.error(
                    at: loading.position(of: path + ".client_certificate"),
                    "client certificates are shown within TLS, which this listener has not; set tls"
                )
            }
            if listener.clientCertificate == .required, listener.clientAuthorities == nil {
                loading.error(
                    at: loading.position(of: path + ".client_certificate"),
                    "nobody vouches for the clients' certificates; set client_authorities"
                )
            }
        }
    }

    /// Two sockets that can't both be bound.
    private static func overlap(_ a: Endpoint, _ b: Endpoint) -> Bool {
        guard a.port == b.port, a.address.isV4 == b.address.isV4 else { return false }
        return a.address == b.address || a.address.isUnspecified || b.address.isUnspecified
    }

    private static func openRelays(_ c: Configuration, _ loading: inout Loading) {
        for (index, listener) in c.listeners.enumerated() {
            let isReachable = listener.listen.contains { !$0.address.isLoopback }
            guard isReachable, let wide = listener.relayFor.first(where: isWide) else { continue }
            loading.error(
                at: loading.position(of: "listener[\(index)].relay_for"),
                "listener \"\(listener.name)\" would be an open relay, as relay_for covers "
                    + "\(wide.text) and it can be reached from other machines; list your own "
                    + "networks instead"
            )
        }
    }

    private static func certificateUsers(_ c: Configuration, _ loading: inout Loading) {
        let isAsked = c.listeners.contains { $0.clientCertificate != .off }
        for (index, user) in c.certificateUsers.enumerated() {
            let path = "certificate_user[\(index)]"
            if user.fingerprint == nil, user.subject == nil {
                loading.error(
                    at: loading.position(of: path + ".name"),
                    "nothing says which certificate is \(user.name)'s; set fingerprint or subject"
                )
            }
            if !isAsked {
                loading.warning(
                    at: loading.position(of: path + ".name"),
                    "no listener asks for client certificates; set listener.client_certificate"
                )
            }
            let vouched = c.listeners.contains { $0.clientAuthorities != nil }
            if user.subject != nil, isAsked, !vouched {
                loading.error(
                    at: loading.position(of: path + ".subject"),
                    "a name in a certificate proves nothing while nobody vouches for it; set "
                        + "listener.client_authorities, or a fingerprint instead"
                )
            }
        }
    }

    private static func logins(_ c: Configuration, _ loading: inout Loading) {
        for (index, listener) in c.listeners.enumerated() {
            let path = "listener[\(index)]"
            let auth = c.auth(of: listener)
            if !listener.users.isEmpty, auth == .off, listener.clientCertificate == .off {
                loading.warning(
                    at: loading.position(of: path + ".users"),
                    "listener.users has no effect where nobody can log in; set listener.auth, or "
                        + "remove it"
                )
            }
            if auth != .off, !c.hasUsers {
                loading.error(
                    at: loading.position(of: path + ".auth"),
                    "listener \"\(listener.name)\" lets clients log in, but there are no users; "
                        + "set auth.users, or list certificates with [[certificate_user]]"
                )
            }
            if auth == .off, !listener.authWithoutTLSFor.isEmpty {
                loading.warning(
                    at: loading.position(of: path + ".auth_without_tls_for"),
                    "listener.auth_without_tls_for has no effect while listener.auth is \"off\"; "
                        + "remove one of them"
                )
            }
            let isReachable = listener.listen.contains { !$0.address.isLoopback }
            if isReachable, let wide = listener.authWithoutTLSFor.first(where: isWide) {
                loading.error(
                    at: loading.position(of: path + ".auth_without_tls_for"),
                    "listener \"\(listener.name)\" would take passwords in clear from "
                        + "\(wide.text); list networks of your own, or leave it to TLS"
                )
            }
        }
    }

    /// Larger than any one organisation's: no IPv4 network is assigned wider than /8, nor an IPv6
    /// one wider than /16, but for the local ones (RFC 4193 §3.1, RFC 4291 §2.5.6).
    private static func isWide(_ network: NetworkPrefix) -> Bool {
        if network.base.isV4 { return network.length < 8 }
        if network.length >= 16 { return false }
        guard network.length >= 7, case .v6(let high, _) = network.base else { return true }
        let isUniqueLocal = high >> 57 == 0xfc >> 1
        let isLinkLocal = network.length >= 10 && high >> 54 == 0xfe80 >> 6
        return !isUniqueLocal && !isLinkLocal
    }

    private static func spool(_ c: Configuration, _ loading: inout Loading) {
        // A message that gets no file of its own has to fit into a segment with room to spare.
        if c.spool.largeMessage > c.spool.segmentSize / 4 {
            loading.error(
                at: loading.position(of: "spool.large_message", "spool.segment_size"),
                "spool.large_message is more than a quarter of spool.segment_size; lower it, or "
                    + "raise spool.segment_size"
            )
        }
        if c.spool.maxBytes < 4 * c.spool.segmentSize {
            loading.warning(
                at: loading.position(of: "spool.max_bytes", "spool.segment_size"),
                "spool.max_bytes is less than four segments; the log takes more than that on disk, "
                    + "lower spool.segment_size too"
            )
        }
        if c.spool.minFreeSpace < c.spool.segmentSize {
            loading.warning(
                at: loading.position(of: "spool.min_free_space", "spool.segment_size"),
                "spool.min_free_space is less than one segment; the disk may fill up before new "
                    + "mail is refused, raise it"
            )
        }
    }

    private static func retry(_ c: Configuration, _ loading: inout Loading) {
        let retry = c.retry
        if retry.first > retry.ceiling {
            loading.error(
                at: loading.position(of: "retry.first"),
                "retry.first is longer than retry.ceiling; lower it, or raise retry.ceiling"
            )
        }
        if retry.lifetime < retry.first {
            loading.error(
                at: loading.position(of: "retry.lifetime"),
                "retry.lifetime is shorter than retry.first, so nothing would be tried twice; "
                    + "raise it"
            )
        }
        if retry.nullSenderLifetime > retry.lifetime {
            loading.warning(
                at: loading.position(of: "retry.null_sender_lifetime"),
                "retry.null_sender_lifetime is longer than retry.lifetime; bounces would be tried "
                    + "longer than mail, lower it"
            )
        }
        if retry.delayNoticeAfter >= retry.lifetime, loading.isSet("retry.delay_notice_after") {
            loading.warning(
                at: loading.position(of: "retry.delay_notice_after"),
                "retry.delay_notice_after is not shorter than retry.lifetime, so no notice would "
                    + "ever be sent; lower it, or write \"0s\" to say so"
            )
        }
    }

    private static func sites(_ c: Configuration, _ loading: inout Loading) {
        let sites = c.sites
        if !(sites.connectionsMin...max(sites.connectionsMin, sites.connectionsMax))
            .contains(sites.connectionsStart) || sites.connectionsMin > sites.connectionsMax
        {
            loading.error(
                at: loading.position(of: "sites.connections_start", "sites.connections_min"),
                "sites.connections_min (\(sites.connectionsMin)), connections_start "
                    + "(\(sites.connectionsStart)) and connections_max (\(sites.connectionsMax)) "
                    + "must not go down in this order; change one of them"
            )
        }
        if sites.connectionsMax > c.delivery.maxConnections {
            loading.warning(
                at: loading.position(of: "sites.connections_max"),
                "sites.connections_max is more than delivery.max_connections, so one site could "
                    + "take all connections; lower it"
            )
        }
        if sites.backoffFirst > sites.backoffCeiling {
            loading.error(
                at: loading.position(of: "sites.backoff_first"),
                "sites.backoff_first is longer than sites.backoff_ceiling; lower it"
            )
        }
    }

    private static func retryRules(_ c: Configuration, _ loading: inout Loading) {
        for (index, rule) in c.retryRules.enumerated() {
            let path = "retry_rule[\(index)]"
            if rule.first == nil, rule.ceiling == nil {
                loading.error(
                    at: loading.position(of: path + ".name"),
                    "retry rule \"\(rule.name)\" changes nothing; set first or ceiling"
                )
            }
            if let first = rule.first, let ceiling = rule.ceiling, first > ceiling {
                loading.error(
                    at: loading.position(of: path + ".first"),
                    "retry_rule.first is longer than ceiling; lower it"
                )
            }
            for name in rule.routes where c.routes.route(named: name) == nil {
                loading.error(
                    at: loading.position(of: path + ".routes"),
                    "there is no route \"\(name)\""
                        + Suggestion.question(name, among: c.routes.all.map(\.name))
                )
            }
        }
    }

    private static func resolver(_ c: Configuration, _ loading: inout Loading) {
        if c.resolver.ttlMin > c.resolver.ttlMax {
            loading.error(
                at: loading.position(of: "resolver.ttl_min"),
                "resolver.ttl_min is longer than resolver.ttl_max; lower it"
            )
        }
    }

    private static func delivery(_ c: Configuration, _ loading: inout Loading) {
        let delivery = c.delivery
        if delivery.attemptTime < delivery.connectTimeout,
            loading.isSet("delivery.connect_timeout")
        {
            loading.warning(
                at: loading.position(of: "delivery.attempt_time", "delivery.connect_timeout"),
                "delivery.attempt_time is shorter than delivery.connect_timeout, so a host that "
                    + "does not answer takes the whole attempt; raise it, or lower the other"
            )
        }
        // RFC 5321 §4.5.3.2.6
        if delivery.endOfDataTimeout < .seconds(60) {
            loading.warning(
                at: loading.position(of: "delivery.end_of_data_timeout"),
                "delivery.end_of_data_timeout is under a minute; hosts that check mail before they "
                    + "answer will get messages twice, raise it"
            )
        }
        let unused: (String, Bool) =
            switch delivery.addressFamily {
            case .ipv4Only: ("source_ipv6", delivery.sourceIPv6 != nil)
            case .ipv6Only: ("source_ipv4", delivery.sourceIPv4 != nil)
            case .preferIPv4, .preferIPv6: ("", false)
            }
        if unused.1 {
            loading.warning(
                at: loading.position(of: "delivery." + unused.0),
                "delivery.\(unused.0) has no effect while delivery.address_family is "
                    + "\"\(delivery.addressFamily.rawValue)\"; remove one of them"
            )
        }
    }

    private static func limits(_ c: Configuration, _ loading: inout Loading) {
        // The log, the control socket, name look-ups and the spool's files take some, too.
        let wanted =
            c.listeners.reduce(0) { $0 + $1.maxConnections } + c.delivery.maxConnections + 200
        if c.limits.openFiles < wanted {
            loading.warning(
                at: loading.position(of: "limits.open_files", "delivery.max_connections"),
                "limits.open_files (\(c.limits.openFiles)) is less than the \(wanted) that all "
                    + "connections allowed would need; raise it, or lower max_connections"
            )
        }
    }
}
