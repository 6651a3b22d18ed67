// Mail services by name: what `route.provider` fills in where the file says nothing. What is in the
// table is what the services publish; what depends on the account (a rate, a user) is not.

import EkidenMail

/// `[[route]] provider`.
package enum Provider: String, Sendable, CaseIterable {
    case ses
    case sendgrid
    case mailgun
    case postmark
    case brevo
}

/// What a service publishes of its SMTP side.
struct ProviderFacts: Sendable {
    enum Hosts: Sendable {
        case everywhere(String)
        /// The first is for who names no region.
        case byRegion([(region: String, host: String)])
        /// A region is a part of the name.
        case inRegion(before: String, after: String, example: String)
    }

    let hosts: Hosts
    /// Where all accounts have the same.
    var user: String?
    var messagesPerConnection: Int?

    /// The submission port, with STARTTLS (RFC 6409 §3.1); all of them publish it.
    static let port: UInt16 = 587

    static func of(_ provider: Provider) -> ProviderFacts {
        switch provider {
        case .ses:
            // docs.aws.amazon.com/ses/latest/dg: smtp-connect.html; quotas.html: the rate is the
            // account's, and counts recipients.
            ProviderFacts(
                hosts: .inRegion(
                    before: "email-smtp.",
                    after: ".amazonaws.com",
                    example: "eu-west-1"
                )
            )
        case .sendgrid:
            // twilio.com/docs/sendgrid/for-developers/sending-email/integrating-with-the-smtp-api
            ProviderFacts(
                hosts: .everywhere("smtp.sendgrid.net"),
                user: "apikey",
                messagesPerConnection: 5000
            )
        case .mailgun:
            // documentation.mailgun.com: Sending via SMTP; a user is an address of the domain.
            ProviderFacts(
                hosts: .byRegion([("us", "smtp.mailgun.org"), ("eu", "smtp.eu.mailgun.org")])
            )
        case .postmark:
            // postmarkapp.com/developer/user-guide/send-email-with-smtp; the user is a token.
            ProviderFacts(hosts: .everywhere("smtp.postmarkapp.com"))
        case .brevo:
            // developers.brevo.com/docs/smtp-integration; the user is an address of the account.
            ProviderFacts(hosts: .everywhere("smtp-relay.brevo.com"))
        }
    }
}

extension Configuration {
    /// Fills in what the file leaves to the providers of its routes.
    mutating func expandProviders(_ loading: inout Loading) {
        var all = routes.all
        for index in all.indices {
            guard let provider = all[index].provider, all[index].target == .hosts else { continue }
            let facts = ProviderFacts.of(provider)
            if all[index].hosts.isEmpty,
                let host = facts.hosts.name(of: all[index], "route[\(index)]", &loading)
            {
                all[index].hosts = [Route.Host(name: host, port: ProviderFacts.port)]
            }
            all[index].tls = all[index].tls ?? .verify
            for login in hopLogins.indices
            where hopLogins[login].name == all[index].login && hopLogins[login].user.isEmpty {
                hopLogins[login].user = facts.user ?? ""
            }
            if let rule = facts.rule(for: all[index]),
                !siteRules.contains(where: { $0.routes.contains(all[index].name) })
            {
                siteRules.append(rule)
            }
        }
        if all != routes.all { routes.all = all }
    }

    /// What became of each route with a provider, in a line for a person.
    package var providerNotes: [String] {
        routes.all.compactMap { route in
            guard let provider = route.provider else { return nil }
            var words = ["hosts " + route.hosts.map(\.text).joined(separator: ", ")]
            if let tls = route.tls { words.append("tls \"\(tls.rawValue)\"") }
            if let login = route.login.flatMap({ hopLogin(named: $0) }) {
                words.append("user \(login.user)")
            }
            let rule = siteRules.first { $0.routes.contains(route.name) }
            if let rate = rule?.rate { words.append("rate \(ValueType.rate.encode(rate) ?? "")") }
            if let most = rule?.connectionsMax { words.append("at most \(most) connections") }
            if let most = rule?.messagesPerConnection {
                words.append("\(most) messages per connection")
            }
            return "route \"\(route.name)\" (\(provider.rawValue)): "
                + words.joined(separator: "; ")
        }
    }
}

extension ProviderFacts {
    /// A rule for the route alone; nil: nothing is published. No rule of a file has such a name.
    fileprivate func rule(for route: Route) -> Configuration.SiteRule? {
        guard let messagesPerConnection else { return nil }
        var rule = Configuration.SiteRule()
        rule.name = "provider:" + route.name
        rule.routes = [route.name]
        rule.messagesPerConnection = messagesPerConnection
        return rule
    }
}

extension ProviderFacts.Hosts {
    /// The host's name for a route; nil, and an error: its region is missing or wrong.
    fileprivate func name(
        of route: Route,
        _ path: String,
        _ loading: inout Loading
    ) -> String? {
        let place = loading.position(of: path + ".region", path + ".provider")
        let provider = route.provider?.rawValue ?? ""
        switch self {
        case .everywhere(let name):
            guard route.region == nil else {
                loading.error(
                    at: place,
                    "of provider \"\(provider)\" only one host is known; leave region out, or set hosts"
                )
                return nil
            }
            return name
        case .byRegion(let hosts):
            guard let region = route.region else { return hosts[0].host }
            if let host = hosts.first(where: { $0.region == region })?.host { return host }
            let known = hosts.map(\.region)
            loading.error(
                at: place,
                "provider \"\(provider)\" has the regions "
                    + known.map { "\"\($0)\"" }.joined(separator: ", ") + ", not \"\(region)\""
                    + Suggestion.question(region, among: known)
            )
            return nil
        case .inRegion(let before, let after, let example):
            guard let region = route.region else {
                loading.error(
                    at: place,
                    "provider \"\(provider)\" has a host in each region; add the one of the account, "
                        + "such as region = \"\(example)\""
                )
                return nil
            }
            guard Self.isRegion(region) else {
                loading.error(
                    at: place,
                    "\"\(region)\" is no region of provider \"\(provider)\", which are such as "
                        + "\"\(example)\"; write it as the provider does"
                )
                return nil
            }
            return before + region + after
        }
    }

    /// As `eu-west-1` and `us-gov-east-1` are.
    private static func isRegion(_ text: String) -> Bool {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count >= 3, let number = parts.last else { return false }
        return !number.isEmpty && number.utf8.allSatisfy(\.isDigit)
            && parts.dropLast().allSatisfy {
                !$0.isEmpty && $0.utf8.allSatisfy { (0x61...0x7a).contains($0) }
            }
    }
}

extension Check {
    static func provider(of route: Route, _ path: String, _ loading: inout Loading) {
        if route.region != nil, route.provider == nil {
            loading.error(
                at: loading.position(of: path + ".region"),
                "route.region has no effect without a provider; set one, or leave it out"
            )
        }
        if route.provider != nil, route.login == nil, route.target == .hosts {
            loading.warning(
                at: loading.position(of: path + ".provider"),
                "route \"\(route.name)\" has a provider and no login, without which providers take no "
                    + "mail; set route.login"
            )
        }
    }
}
