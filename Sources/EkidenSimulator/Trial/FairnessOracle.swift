// No site starves (Promise 5), and no limit is exceeded: the operator's list of sites, asked for
// every two minutes, must not say of a site that it is open, has mail that is due, and has no
// connection, for longer than others may rightly keep theirs.

import EkidenControl
import EkidenMail
import EkidenRelay
import EkidenRuntime

extension Town {
    private static let lookInterval = Duration.seconds(120)

    /// Looks at the sites from now on.
    func watchSites() {
        world.schedule(after: Self.lookInterval) { [unowned self] in
            if isOver { return }
            machine.with { [unowned self] in await lookAtSites($0) }
            watchSites()
        }
    }

    private func lookAtSites(_ relay: Relay) async {
        let boot = machine.boot
        guard let page = try? await ask(.queue(QueueQuery(grouping: .site)), relay),
            boot == machine.boot
        else { return }
        // Nothing is sent while its outcome could not be written.
        judge(siteRows(page), isPaused: machine.unwrittenSince != nil)
    }

    /// Holds what the operator sees of the sites against what they may come to.
    func judge(_ rows: [SiteRow], isPaused: Bool) {
        let connections = rows.reduce(0) { $0 + $1.connections }
        if connections > plan.poolMax {
            ledger.violation("\(connections) connections at once, allowed are \(plan.poolMax)")
        }
        if idleSites.boot != machine.boot { idleSites = IdleSites(boot: machine.boot) }
        idleSites.look(
            at: rows,
            isFull: connections >= plan.strangersMax,
            isPaused,
            now: world.instant
        )
        for (site, waited) in idleSites.starving(now: world.instant) {
            ledger.violation("\(site) starves: ready mail, and no connection for \(waited)")
        }
    }

    private func siteRows(_ page: ControlPage) -> [SiteRow] {
        page.lines.array.split(separator: 10).compactMap { line in
            guard let object = try? line.withUnsafeBytes({ try JSONReader.object($0) }) else {
                return nil
            }
            return try? SiteRow(object)
        }
    }
}

/// Sites with ready mail and without a connection, since when.
struct IdleSites {
    var boot = 0
    private var since: [String: Instant] = [:]
    /// No connection was free.
    private var wasFull = false

    /// With connections free nobody may wait for longer.
    static let patience = Duration.seconds(360)
    /// With all in use: silent hosts keep theirs until a timeout, and whoever wants one waits for
    /// its turn among all sites.
    static let turnPatience = Duration.seconds(3 * 3600)

    init(boot: Int = 0) { self.boot = boot }

    mutating func look(at rows: [SiteRow], isFull: Bool, _ isPaused: Bool, now: Instant) {
        // Who waited for its turn begins to wait anew when connections are free.
        let before = wasFull == isFull ? since : [:]
        wasFull = isFull
        since = [:]
        for row in rows where row.state == "open" && row.ready > 0 && row.connections == 0 {
            // It waits for its rate, in a connection's idle time or longer.
            if row.site.hasPrefix("site:" + PacedSite.name) { continue }
            if !isPaused { since[row.site] = before[row.site] ?? now }
        }
    }

    func starving(now: Instant) -> [(site: String, waited: Duration)] {
        since.keys.sorted().compactMap { site in
            let waited = now - (since[site] ?? now)
            return waited > (wasFull ? Self.turnPatience : Self.patience) ? (site, waited) : nil
        }
    }
}
