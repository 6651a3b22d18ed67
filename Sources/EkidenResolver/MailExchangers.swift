// Which hosts take mail for a domain, decided from look-ups alone: RFC 5321 §5.1 (MX records,
// implicit MX, our own name among them), RFC 7505 (null MX), and the failures that follow from what
// is missing. Pure; `Resolver` does the asking.

import EkidenMail

package enum MailExchangers {
    /// Hosts of one domain that are considered: the most preferred ones. Large providers have five
    /// to ten; a zone with thousands must not make us ask for thousands of addresses.
    package static let hostsMax = 50

    package enum Choice: Sendable, Equatable {
        /// Best preference first, each host once. Never empty.
        case hosts([Exchange])
        case failure(Failure)
    }

    /// What the domain's MX look-up says.
    package static func choose(for domain: String, lookup: Lookup, port: UInt16) -> Choice {
        switch lookup {
        case .records(let records): return choose(for: domain, among: records, port: port)
        case .noData:
            // RFC 5321 §5.1: without MX records the domain itself is the host, preference 0.
            return .hosts([Exchange(preference: 0, name: domain, port: port)])
        case .noName: return .failure(.domainNotFound("the domain \(domain) does not exist"))
        case .unaskable:
            return .failure(.domainNotFound("\(domain) can't be the name of a domain"))
        case .failed(let why): return .failure(.lookup(why, scope: .site))
        }
    }

    private static func choose(
        for domain: String,
        among records: [RecordData],
        port: UInt16
    ) -> Choice {
        var all: [(preference: UInt16, name: String)] = []
        for case .exchange(let preference, let name) in records { all.append((preference, name)) }
        // RFC 7505 §3: the root as the only target says "no mail here"; beside other records it
        // says nothing.
        if !all.isEmpty, all.allSatisfy({ $0.name == "." }) {
            return .failure(.nullExchange(domain))
        }
        let sorted = all.filter { HostName.isValid($0.name) }.sorted {
            ($0.preference, $0.name) < ($1.preference, $1.name)
        }
        var hosts: [Exchange] = []
        var seen: Set<String> = []
        for (preference, name) in sorted where seen.insert(name).inserted {
            hosts.append(Exchange(preference: Int(preference), name: name, port: port))
            if hosts.count == hostsMax { break }
        }
        if hosts.isEmpty {
            return .failure(.noAddress("the MX records of \(domain) name no valid host"))
        }
        return .hosts(hosts)
    }

    /// What became known of one host.
    package enum Standing: Sendable, Equatable {
        /// It is this relay, by name or by address.
        case ours
        case reachable
        /// No such host, or no address: for good.
        case absent(String)
        /// Could not be found out now.
        case unknown(LookupFailure)
    }

    /// Cuts the list at ourselves and says whether mail can go anywhere: the hosts to use, best
    /// first, or why there are none. `standings` are those of `hosts`, in the same order. Hosts
    /// without an address stay in the list (they may have one later, and the site's name should
    /// not change with them); whoever connects passes over them.
    package static func judge(
        _ hosts: [Exchange],
        standings: [Standing],
        domain: String
    ) -> Choice {
        precondition(hosts.count == standings.count)
        var limit = Int.max
        for (host, standing) in zip(hosts, standings) where standing == .ours {
            limit = min(limit, host.preference)
        }
        // RFC 5321 §5.1: hosts at our own preference and worse are dropped, or mail would circle.
        let kept = zip(hosts, standings).filter { $0.0.preference < limit }
        if kept.isEmpty { return .failure(.mailLoop(domain)) }
        var failure: LookupFailure?
        for (_, standing) in kept {
            switch standing {
            case .reachable: return .hosts(kept.map(\.0))
            case .unknown(let why): failure = failure ?? why
            case .ours, .absent: break
            }
        }
        if let failure { return .failure(.lookup(failure, scope: .site)) }
        var text = "no mail host of \(domain) has an address"
        if let (host, standing) = kept.first, case .absent(let what) = standing {
            text = kept.count == 1 ? "the mail host \(host.name) of \(domain) \(what)" : text
            if kept.count == 1, host.name == domain {
                text = "\(domain) has no MX record and \(what)"
            }
        }
        return .failure(.noAddress(text))
    }
}
