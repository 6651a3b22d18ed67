// [[tls_policy]], and the TLS settings of routes and of delivery.

import EkidenMail

extension Schema {
    static let tlsPolicy = SectionSchema.list(
        "tls_policy",
        \.tlsRules,
        """
        What TLS mail must have on its way to some domains, or to some mail hosts whatever they take \
        mail for. A domain's own name beats the longest ".suffix", which beats "*"; domains beat \
        hosts. Mail on a [[route]] goes by the route's own tls, else by what there is for its host. \
        See docs/DELIVERY.md.
        """,
        [
            Setting(
                "name",
                \.name,
                .name,
                example: #""banks""#,
                required: true,
                "Names the policy; no two may have the same."
            ),
            Setting(
                "domains",
                \.domains,
                .list(.domainPattern, "domains", count: 0...100_000),
                example: #"["bank.example", ".gov.example"]"#,
                """
                Domains of recipients: "bank.example" is that domain alone, ".gov.example" every \
                domain below it, "*" every other.
                """
            ),
            Setting(
                "hosts",
                \.hosts,
                .list(.domainPattern, "hosts", count: 0...10_000),
                example: #"[".mail.protection.outlook.com"]"#,
                "Mail hosts, as MX records name them; patterns as in domains."
            ),
            Setting(
                "level",
                \.level,
                .word,
                example: #""verify""#,
                """
                none: in the clear. may: TLS where it is to be had. encrypt: TLS or nothing. verify: \
                and the certificate is vouched for and has one of the names. fingerprint: and it is \
                one of the fingerprints.
                """
            ),
            Setting(
                "names",
                \.names,
                .list(.hostOrBelow, "names", count: 0...100),
                example: #"["mx.bank.example", ".bank.example"]"#,
                """
                For level verify: a certificate must have one of these names; ".bank.example" is any \
                name below. Empty: for domains the domain's own name or one below it, for hosts the \
                host's own.
                """
            ),
            Setting(
                "fingerprints",
                \.fingerprints,
                .list(.fingerprint, "fingerprints", count: 0...100),
                example: #"["3fa51c0e9b7d24486fe0a1c5d2837b9e4d60f1a83c5be7920f4d6b18a7c3e25f"]"#,
                """
                For level fingerprint: SHA-256 of the certificates that will do, in hexadecimal \
                digits, as `openssl x509 -noout -fingerprint -sha256` prints them.
                """
            ),
        ]
    )

    static let routeTLS: [Setting<Route>] = [
        Setting(
            "tls",
            \.tls,
            .optional(.word),
            default: "verify with a login, else delivery.tls",
            example: #""verify""#,
            "What TLS mail on this route must have: none, may, encrypt, verify or fingerprint."
        ),
        Setting(
            "login",
            \.login,
            .optional(.name),
            default: "unset",
            example: #""smarthost""#,
            "The [[login]] with which mail on this route is handed over."
        ),
        Setting(
            "tls_names",
            \.tlsNames,
            .list(.hostOrBelow, "names", count: 0...100),
            example: #"["smtp.example.org"]"#,
            """
            For tls = "verify": a certificate must have one of these names. Empty: the host's, as \
            hosts has it.
            """
        ),
        Setting(
            "tls_fingerprints",
            \.tlsFingerprints,
            .list(.fingerprint, "fingerprints", count: 0...100),
            example: #"["3fa51c0e9b7d24486fe0a1c5d2837b9e4d60f1a83c5be7920f4d6b18a7c3e25f"]"#,
            #"For tls = "fingerprint": SHA-256 of the certificates that will do."#
        ),
        Setting(
            "client_certificate",
            \.clientCertificate,
            .optional(.name),
            default: "delivery.client_certificate",
            example: #""mail""#,
            "The [[certificate]] shown to hosts of this route that ask for one."
        ),
    ]

    static let deliveryTLS: [Setting<Configuration.Delivery>] = [
        Setting(
            "tls",
            \.tls,
            .word,
            example: #""encrypt""#,
            """
            What TLS mail must have where neither its route nor a [[tls_policy]] says otherwise. \
            "may" is TLS where it is to be had; with more, mail for hosts without TLS is not \
            delivered at all.
            """
        ),
        Setting(
            "tls_authorities",
            \.tlsAuthorities,
            .optional(.path),
            default: "those of the system",
            example: #""/etc/ekiden/authorities.pem""#,
            "PEM file with the certificates of the authorities that vouch for mail hosts."
        ),
        Setting(
            "client_certificate",
            \.clientCertificate,
            .optional(.name),
            default: "unset",
            example: #""mail""#,
            "The [[certificate]] shown to mail hosts that ask for one."
        ),
    ]
}

extension ValueType<String> {
    /// A host name, or `.domain` for any name below it.
    static let hostOrBelow = ValueType<String>(
        "a host name",
        range: "a host name or .domain",
        decode: { node throws(Misfit) in
            let text = try node.text("a host name", like: "mx.example.org")
            let name = text.hasPrefix(".") ? String(text.dropFirst()) : text
            guard HostName.complaint(name) == nil, HostAddress(name) == nil else {
                throw Misfit("is a host name or .domain for any name below, not \(quoted(text))")
            }
            let folded = text.asciiLowercased
            return folded.hasSuffix(".") ? String(folded.dropLast()) : folded
        },
        encode: { quoted($0) }
    )
}
