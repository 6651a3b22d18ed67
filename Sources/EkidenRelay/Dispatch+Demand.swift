// Routes that are open only at times (docs/ROUTES.md). Closed is what a look-up says: mail that comes due
// meanwhile fails with it, which counts as no attempt, and comes forward when the route opens.

import EkidenConfiguration
import EkidenMail
import EkidenScheduler
import EkidenSpool

/// Which on-demand routes are open; of loop 0 alone.
struct Demand {
    /// Opened by an operator, until then.
    var opened: [String: Instant] = [:]
    /// Closed when last looked at.
    var closed: Set<String> = []
}

extension Relay {
    /// Once there is a route on demand.
    func watchDemand() {
        guard house.settings.routes.all.contains(where: \.isOnDemand) else { return }
        demand.start { await self.dispatch.lookAtDemand() }
    }
}

extension Dispatch {
    /// How often it is looked whether routes open or close.
    static let demandInterval = Duration.seconds(10)

    /// When a route is no longer open, by what is known now; nil: it is closed. Routes that are not on
    /// demand are always open.
    private func openUntil(_ route: Route, _ core: Core) -> Instant? {
        guard route.isOnDemand else { return .distantFuture }
        if let until = core.demand.opened[route.name], until > loop.now() { return until }
        let schedule = WeekSchedule(route.schedule)
        let local = localNow
        guard schedule.isOpen(at: local) else { return nil }
        guard let end = schedule.nextChange(after: local) else { return .distantFuture }
        return loop.now() + (end - local)
    }

    private var localNow: WallTime { house.localTime(loop.wallNow()) }

    /// Why nothing goes to that next hop now; nil: it is open.
    func closure(of hop: NextHop, _ core: Core) -> Failure? {
        guard let name = hop.route, let route = house.settings.routes.route(named: name),
            openUntil(route, core) == nil
        else { return nil }
        return Failure(
            scope: .site,
            isPermanent: false,
            reason: .routeClosed,
            step: .resolve,
            text: "route \(name) is closed; it opens " + openingWords(route),
            status: EnhancedStatus(4, 4, 1)
        )
    }

    /// By the schedule, in local time; nil: only an operator opens it.
    private func opening(of route: Route) -> WallTime? {
        WeekSchedule(route.schedule).nextChange(after: localNow)
    }

    private func openingWords(_ route: Route) -> String {
        let command = "ekiden queue retry --route \(route.name)"
        guard let opening = opening(of: route) else {
            return "when an operator says: " + command
        }
        return "\(CivilTime(opening).minuteText) local time, or with: \(command)"
    }

    /// Where a message's recipients are; what waits for a closed route waits for its time.
    func rows(of id: QueueID, _ core: Core) -> [RecipientRow] {
        let rows = core.scheduler.rows(of: id, at: moment)
        guard house.settings.routes.all.contains(where: \.isOnDemand) else { return rows }
        return rows.map { row in
            guard !row.place.isHeld, closure(of: row.nextHop, core) != nil,
                let route = row.nextHop.route.flatMap({ house.settings.routes.route(named: $0) })
            else { return row }
            var row = row
            row.next = opening(of: route).map { loop.wallNow() + ($0 - localNow) }
            return row
        }
    }

    /// No longer than the route is open.
    func whileOpen(_ resolution: Resolution, of hop: NextHop, _ core: Core) -> Resolution {
        // It may have closed while names were asked.
        if let closure = closure(of: hop, core) { return .failure(closure) }
        guard case .site(let site, let validUntil) = resolution, let name = hop.route,
            let route = house.settings.routes.route(named: name),
            let end = openUntil(route, core)
        else { return resolution }
        return .site(site, validUntil: min(validUntil, end))
    }

    // MARK: Opening

    /// Looks whether routes have opened or closed, and brings forward the mail of those that did. On loop
    /// 0, after a start, a reload, and every so often.
    func lookAtDemand() async {
        let (opened, closed) = await ask { core -> ([String], [Route]) in
            let routes = self.house.settings.routes
            var opened: [String] = []
            var closed: [Route] = []
            for route in routes.all {
                if self.openUntil(route, core) != nil {
                    if core.demand.closed.remove(route.name) != nil { opened.append(route.name) }
                } else if core.demand.closed.insert(route.name).inserted {
                    core.scheduler.closeRoute(route.name, at: self.moment)
                    closed.append(route)
                }
            }
            let gone = core.demand.closed.filter { routes.route(named: $0) == nil }
            core.demand.closed.subtract(gone)
            return (opened, closed)
        }
        for route in closed {
            house.notice(
                .info,
                "delivery",
                "route \(route.name) is closed; it opens " + openingWords(route)
            )
        }
        for name in opened {
            house.notice(.info, "delivery", "route \(name) is open; its mail goes now")
            await bringForward(name)
        }
    }

    /// An operator opens a route for its time; when that ends. nil: it is not one on demand.
    func open(_ route: Route, by uid: UInt32) async -> WallTime? {
        guard route.isOnDemand else { return nil }
        let until = await ask { core -> Instant in
            let until = self.loop.now() + route.openTime
            core.demand.opened[route.name] = until
            // Not announced once more by the next look.
            core.demand.closed.remove(route.name)
            return until
        }
        let end = moment.wallTime(of: until)
        house.notice(
            .info,
            "delivery",
            "route \(route.name) is open until \(end.timestamp), by uid \(uid); its mail goes now"
        )
        await bringForward(route.name)
        return end
    }

    /// Mail that waits for the route goes now.
    private func bringForward(_ route: String) async {
        await ask { $0.scheduler.openRoute(route, at: self.moment) }
        await forEachQueued { message, core in
            core.scheduler.bringForward(message.id, on: route, at: self.moment)
        }
    }
}
