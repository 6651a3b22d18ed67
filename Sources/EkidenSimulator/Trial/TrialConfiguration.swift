// The configuration of a simulated relay, as an administrator would write it.

extension TrialPlan {
    /// One for each way in; `direct` and `implicitTLS` know their clients by the connection.
    private var listeners: String {
        var text = ""
        for (name, entrance, more) in [
            ("in", ClientWay.Entrance.direct, ""), ("secure", .implicitTLS, ""),
            ("balanced", .proxied1, "proxy_from = [\"10.0.1.0/24\"]"),
            ("peers", .overridden, "xclient_from = [\"10.0.1.0/24\"]"),
        ] where security != .none || entrance != .implicitTLS {
            text += """
                [[listener]]
                name = "\(name)"
                listen = ["\(endpoint(of: entrance).text)"]
                relay_for = ["\(entrance.isBehind ? "192.0.2.0/24" : "10.0.0.0/8")"]
                \(more)
                \(loginSettings)
                \(entrance == .implicitTLS ? "role = \"submissions\"" : securitySettings)

                """
        }
        return text
    }

    private var securitySettings: String {
        security == .none ? "" : "tls = \"\(security == .required ? "required" : "optional")\""
    }

    private var loginSettings: String {
        if logins == .none { return "auth = \"off\"" }
        return """
            auth = "\(logins == .required ? "required" : "optional")"
            auth_without_tls_for = ["10.0.0.0/8", "192.0.2.0/24"]
            """
    }

    private var certificateSettings: String {
        if security == .none { return "" }
        return """
            [[certificate]]
            name = "any"
            chain = "/any.pem"
            key = "/any.key"
            """
    }

    private var outboundTLSSettings: String {
        let domains = domains.filter(\.needsTLS).map { "\"\($0.name)\"" }
        if domains.isEmpty { return "" }
        return """
            [[tls_policy]]
            name = "secured"
            domains = [\(domains.joined(separator: ", "))]
            level = "encrypt"
            """
    }

    var configuration: String {
        """
        [relay]
        hostname = "relay.test"
        postmaster = "\(postmaster)"
        stop_time = "20s"
        \(listeners)
        \(certificateSettings)
        \(logins == .none ? "" : "[auth]\nusers = \"\(TrialUsers.file)\"\nmax_failures = 3")
        [spool]
        directory = "/spool"
        [retry]
        first = "30s"
        ceiling = "\(ceiling.wholeSeconds)s"
        lifetime = "\(lifetime.wholeSeconds)s"
        null_sender_lifetime = "\(lifetime.wholeSeconds)s"
        delay_notice_after = "1h"
        [delivery]
        max_connections = \(poolMax)
        eight_bit = "\(convertsEightBit ? "convert" : "bounce")"
        [sites]
        connections_max = \(connectionsMax)
        \(pacedSite?.configuration ?? "")
        \(outboundTLSSettings)
        \(routes.configuration)
        \(demand?.configuration ?? "")
        \(streams?.configuration ?? "")
        \(smarthost?.configuration ?? "")
        """
    }
}
