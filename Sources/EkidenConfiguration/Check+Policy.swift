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

    static func lists(_ c: Configuration, _ loading: inout Loading) {
        for (index, list) in c.lists.enumerated() {
            let path = "list[\(index)]"
            if list.entries.isEmpty, list.file == nil {
                loading.warning(
                    at: loading.position(of: path + ".entries", path + ".name"),
                    "list \"\(list.name)\" is empty; give it entries or a file"
                )
            }
            for name in list.listeners where !c.listeners.contains(where: { $0.name == name }) {
                let meant = Suggestion.nearest(to: name, among: c.listeners.map(\.name))
                loading.error(
                    at: loading.position(of: path + ".listeners"),
                    "there is no listener \"\(name)\""
                        + (meant.map { ", did you mean \"\($0)\"?" } ?? "; name one that is there")
                )
            }
            if let stray = list.entries.first(where: { !suits($0, list.of) }) {
                loading.error(
                    at: loading.position(of: path + ".entries"),
                    "list \"\(list.name)\" is of \(list.of.rawValue), and \(words(stray)); "
                        + (list.of == .clients
                            ? "write networks, or make it of senders or recipients"
                            : "write mail addresses or domains, or make it of clients")
                )
            }
        }
    }

    private static func suits(
        _ entry: Configuration.ListEntry,
        _ subject: Configuration.ListSubject
    ) -> Bool {
        if case .network = entry { return subject == .clients }
        return subject != .clients
    }

    private static func words(_ entry: Configuration.ListEntry) -> String {
        switch entry {
        case .network(let network): "\(network.shortText) is a network"
        case .mailbox(let address): "\(address.text) is a mail address"
        case .domain(let pattern): "\(pattern.text) is a domain"
        }
    }

    static func helloChecks(_ c: Configuration, _ loading: inout Loading) {
        for (index, listener) in c.listeners.enumerated()
        where listener.helloCheck != .off
            && (c.auth(of: listener) != .off || listener.role != .relay)
        {
            loading.warning(
                at: loading.position(of: "listener[\(index)].helo_check"),
                "listener \"\(listener.name)\" is for people, whose programs call themselves "
                    + "anything in EHLO; with helo_check many can't send, leave it out"
            )
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
