// A route on demand in a simulated world (docs/ROUTES.md): a domain whose mail goes for some minutes of
// each hour, and when the operator opens its route.

import EkidenMail
import EkidenRuntime

struct TrialDemand {
    let domain: String
    /// Minutes of each hour in which it is open.
    let open: Range<Int>
    /// When the operator opens it, after the world began.
    let openings: [Duration]

    static let route = "link"
    static let openTime = Duration.seconds(600)

    /// One world in three has one.
    static func draw(
        _ domains: [TrialDomain],
        _ routes: TrialRoutes,
        _ span: Duration,
        _ random: SimRandom
    ) -> TrialDemand? {
        let others = domains.dropLast().filter {
            $0.kind == .steady && $0.name != routes.brokenDomain && $0.name != routes.parkedDomain
        }
        guard random.once(in: 3), let domain = others.last else { return nil }
        let start = random.int(in: 0...30)
        return TrialDemand(
            domain: domain.name,
            open: start..<start + random.int(in: 15...25),
            openings: (0..<random.int(in: 0...2)).map { _ in
                random.duration(in: .seconds(60)...span)
            }
        )
    }

    var configuration: String {
        func minute(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let windows = (0..<24).map { hour in
            "\"\(hour):\(minute(open.lowerBound))-\(hour):\(minute(open.upperBound))\""
        }
        return """
            [[route]]
            name = "\(Self.route)"
            domains = ["\(domain)"]
            target = "mx"
            on_demand = true
            schedule = [\(windows.joined(separator: ", "))]
            open_time = "\(Self.openTime.wholeSeconds)s"

            """
    }

    /// What was begun while it was open may come so much later: an attempt, at a process that stands
    /// still in the middle of it.
    static let slack = Duration.seconds(15 * 60)

    /// By that clock it was open some time in the slack before.
    func wasOpen(before wall: WallTime) -> Bool {
        (0...Int(Self.slack.wholeSeconds / 60)).contains { minutes in
            let past = CivilTime(WallTime(seconds: wall.seconds - Int64(minutes) * 60))
            return open.contains(past.minute)
        }
    }
}

extension Town {
    func scheduleOpenings(from began: Instant) {
        for after in plan.demand?.openings ?? [] {
            world.schedule(at: began + after) { [unowned self] in
                machine.with { [unowned self] relay in
                    demandOpenedAt = world.instant
                    count("operator-open")
                    _ = try? await ask(.act(.retry, .route(TrialDemand.route)), relay)
                }
            }
        }
    }

    /// Mail came to that domain while its route was closed.
    func checkDemand(_ letter: Letter, _ recipients: [String]) {
        // What asks for more than a domain comes first.
        guard let demand = plan.demand, !letter.isBulk,
            recipients.contains(where: { $0.hasSuffix("@" + demand.domain) })
        else { return }
        count("on-demand")
        if let opened = demandOpenedAt,
            world.instant - opened < TrialDemand.openTime + TrialDemand.slack
        {
            return
        }
        // Which way the clock went meanwhile, it was another time then.
        if let step = clockSteppedAt, world.instant - step < TrialDemand.slack { return }
        if !demand.wasOpen(before: world.wall) {
            ledger.violation("mail for \(demand.domain) went by a route that was closed")
        }
    }
}
