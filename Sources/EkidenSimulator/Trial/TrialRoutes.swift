// [[route]]s of the operator's in a simulated world (docs/ROUTES.md): a stream of mail with a name of its
// own, by a field of its header; recipients whose mail is held until an operator lets it go; a domain
// whose mail goes by hosts that are dead, and by the fallback then.

import EkidenMail
import EkidenRuntime

struct TrialRoutes {
    /// Mail with `X-Stream: bulk` goes by a route of its own, as `streamName`.
    var hasStream = false
    /// Mail for the second recipients of this domain is held.
    var parkedDomain: String?
    /// Mail for this domain has a route to a dead host, and to MX after so many attempts.
    var brokenDomain: String?
    var fallbackAfter = 1

    static let streamField = "X-Stream: bulk"
    static let streamName = "bulk.test"

    /// Half of the worlds have each.
    static func draw(_ domains: [TrialDomain], _ random: SimRandom) -> TrialRoutes {
        var routes = TrialRoutes()
        routes.hasStream = random.once(in: 2)
        let steady = domains.dropLast().filter { $0.kind == .steady }.map(\.name)
        if random.once(in: 2) { routes.parkedDomain = steady.first }
        if random.once(in: 2), steady.count > 1 { routes.brokenDomain = steady[1] }
        routes.fallbackAfter = random.int(in: 1...3)
        return routes
    }

    /// Sites that one set of hosts may be: by MX, and for each route by MX.
    var sitesOfHosts: Int { 1 + (hasStream ? 1 : 0) + (brokenDomain == nil ? 0 : 1) }

    func isParked(_ recipient: String) -> Bool {
        guard let parkedDomain else { return false }
        return recipient.hasPrefix("ok1.") && recipient.hasSuffix("@" + parkedDomain)
    }

    var configuration: String {
        var text = ""
        if hasStream {
            text += """
                [[route]]
                name = "stream"
                header = ["\(Self.streamField)"]
                target = "mx"
                helo = "\(Self.streamName)"

                """
        }
        if let parkedDomain {
            // Before the stream: what is parked is parked.
            text =
                """
                [[route]]
                name = "parked"
                recipients = ["ok1.*@\(parkedDomain)"]
                target = "hold"

                """ + text
        }
        if let brokenDomain {
            text += """
                [[route]]
                name = "broken"
                domains = ["\(brokenDomain)"]
                hosts = ["10.3.3.3"]
                fallback = "away"
                fallback_after = \(fallbackAfter)
                [[route]]
                name = "away"
                target = "mx"

                """
        }
        return text
    }
}

extension Town {
    /// Mail came by the name that its route has, and none that waits for an operator.
    func checkRoutes(
        _ letter: Letter,
        _ id: String,
        _ recipients: [String],
        _ transaction: HostTransaction
    ) {
        for recipient in recipients
        where plan.routes.isParked(recipient) && !ledger.releaseAsked.contains(id)
            && !ledger.isAllReleased
        {
            ledger.violation("\(id) came to \(recipient), and nobody let it go")
        }
        guard plan.routes.hasStream else { return }
        let name = letter.isBulk ? TrialRoutes.streamName : "relay.test"
        count(letter.isBulk ? "routed-stream" : "routed-rest")
        if transaction.helo != name {
            ledger.violation("\(id) came from \(transaction.helo), its route has the name \(name)")
        }
    }

    /// Nobody holds anything any more: also not of messages whose clients never heard of their ids.
    func releaseAll() {
        machine.with { [unowned self] relay in
            ledger.isAllReleased = true
            ledger.heldSince = [:]
            _ = try? await ask(.act(.release, .all), relay)
        }
    }

    /// Whom the operator lets go: all that was ever on hold, and all that routes may have put there.
    func toBeReleased() -> [String] {
        let parked = ledger.open().filter { plan.routes.isParked($0.recipient) }.map(\.id)
        return ledger.everHeld.union(parked).sorted()
    }
}
