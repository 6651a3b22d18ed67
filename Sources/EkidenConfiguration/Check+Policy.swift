// Rules between settings that say whom mail is taken from and for.

import EkidenMail

extension Check {
    static func relayDomains(_ c: Configuration, _ loading: inout Loading) {
        for (index, listener) in c.listeners.enumerated() {
            let path = "listener[\(index)]"
            for domain in listener.relayDomains {
                guard let complaint = complaint(domain, c.routes) else { continue }
                loading.warning(at: loading.position(of: path + ".relay_domains"), complaint)
            }
        }
    }

    /// Mail for a domain we are the gateway of goes to its mail hosts when nothing else is said, and
    /// the first of those is usually us. To be its second mail host is a use all the same, so it is
    /// no error.
    private static func complaint(_ domain: DomainPattern, _ routes: RouteTable) -> String? {
        let sample: Domain
        switch domain {
        case .exact(let name): sample = name
        case .below(let parent):
            if !parent.contains(".") {
                return "listener.relay_domains has \"\(domain.text)\": anybody could send to every "
                    + "domain that ends so; list your own"
            }
            sample = Domain("any." + parent)
        case .any: return nil
        }
        let mend = "add \"\(domain.text)\" to the domains of a [[route]] to its host"
        guard let route = routes.route(for: sample) else {
            return "mail for \"\(domain.text)\" in listener.relay_domains has no route: it goes to "
                + "the domain's mail hosts, and where the first of them is this relay it bounces "
                + "as a loop; \(mend)"
        }
        let isOwn = route.domains.contains { $0 != .any && covers($0, sample) }
        if isOwn { return nil }
        return
            "mail for \"\(domain.text)\" in listener.relay_domains goes to where everything goes, "
            + "by route \"\(route.name)\"; if that sends it back here it loops; \(mend)"
    }

    private static func covers(_ pattern: DomainPattern, _ domain: Domain) -> Bool {
        switch pattern {
        case .exact(let name): name == domain
        case .below(let parent): domain.folded.hasSuffix("." + parent)
        case .any: true
        }
    }
}
