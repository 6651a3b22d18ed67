// A [[site]] of the operator's in a simulated world: some domains are one site, with few connections and
// a rate. The scheduler's own tests have the rate to the message; here it is held roughly, from outside,
// through crashes and all.

import EkidenMail
import EkidenRuntime

struct PacedSite {
    let domains: Set<String>
    let connectionsMax: Int
    /// Messages in a minute, and at once.
    let perMinute: Int
    let burst: Int

    static let name = "paced"

    /// One world in three has one.
    static func draw(_ domains: [TrialDomain], _ random: SimRandom) -> PacedSite? {
        guard random.once(in: 3) else { return nil }
        let steady = domains.dropLast().filter { $0.kind == .steady || $0.kind == .address }
        return PacedSite(
            domains: Set(steady.prefix(random.int(in: 1...3)).map(\.name)),
            connectionsMax: random.int(in: 1...3),
            perMinute: random.pick([6, 20, 60]),
            burst: random.int(in: 1...5)
        )
    }

    var configuration: String {
        """
        [[site]]
        name = "\(Self.name)"
        domains = [\(domains.sorted().map { "\"\($0)\"" }.joined(separator: ", "))]
        connections_max = \(connectionsMax)
        rate = "\(perMinute)/m"
        burst = \(burst)
        """
    }
}

extension TrialPlan {
    func isPaced(_ domain: String) -> Bool { pacedSite?.domains.contains(domain) ?? false }
}

/// What came to a site that has a rate, in the last minute, and from which start of the relay.
struct PacedArrivals {
    private var lately: [(at: Instant, boot: Int)] = []

    /// Too many for the rate: an attempt may end at two hosts, and each start of the relay has the
    /// burst anew.
    mutating func isTooMany(
        with boot: Int,
        at now: Instant,
        perMinute: Int,
        burst: Int
    ) -> Bool {
        lately.append((now, boot))
        lately.removeAll { now - $0.at > .seconds(60) }
        let starts = Set(lately.map(\.boot)).count
        return lately.count > 2 * (perMinute + burst * starts)
    }
}

extension Town {
    /// Mail for the paced site came to a host.
    func pacedArrival(_ recipients: [String], _ transaction: HostTransaction) {
        guard let site = plan.pacedSite else { return }
        let isPaced = recipients.contains { recipient in
            recipient.split(separator: "@").last.map { site.domains.contains(String($0)) } ?? false
        }
        guard isPaced else { return }
        count("paced")
        let isTooMany = pacedArrivals.isTooMany(
            with: transaction.boot,
            at: world.instant,
            perMinute: site.perMinute,
            burst: site.burst
        )
        if isTooMany {
            ledger.violation("more messages to the paced site in a minute than twice its rate")
        }
    }

    /// Mail comes to a host that its domain has, or had; what lying name servers say is not checked.
    func checkHost(_ transaction: HostTransaction, _ recipients: [String]) {
        if counts["names", default: 0] > 0 || !hasPublished { return }
        for recipient in recipients {
            let domain = recipient.split(separator: "@").last.map { String($0) } ?? ""
            if !hasHost(domain, where: { $0.name == transaction.host }) {
                ledger.violation(
                    "\(recipient) got mail at \(transaction.host), which is not its host"
                )
            }
        }
    }
}
