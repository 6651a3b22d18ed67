// No site starves (Promise 5), and no limit is exceeded: the operator's list of sites, asked for
// every two minutes, must not say of a site that it is open, has mail that is due, and has no
// connection, for longer than others may rightly keep theirs.

import EkidenControl
import EkidenMail
import EkidenRelay
import EkidenRuntime

extension Town {
    private static let lookInterval = Duration.seconds(120)
    /// A connection free, nobody may wait for longer.
    private static let patience = Duration.seconds(360)
    /// All connections in use: silent hosts keep theirs until a timeout, and whoever wants one waits
    /// for its turn among all sites.
    private static let turnPatience = Duration.seconds(3 * 3600)

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
        let rows = siteRows(page)
        let connections = rows.reduce(0) { $0 + $1.connections }
        if connections > plan.poolMax {
            ledger.violation("\(connections) connections at once, allowed are \(plan.poolMax)")
        }
        let isFull = connections >= plan.poolMax
        // Nothing is sent while its outcome could not be written.
        let isPaused = machine.unwrittenSince != nil
        var idle: [String: Instant] = [:]
        for row in rows {
            guard !isPaused, row.state == "open", row.ready > 0, row.connections == 0 else {
                continue
            }
            let since = idleSites.boot == boot ? idleSites.since[row.site] : nil
            idle[row.site] = since ?? world.instant
            guard let since else { continue }
            let waited = world.instant - since
            if waited > (isFull || idleSites.wasFull ? Self.turnPatience : Self.patience) {
                ledger.violation("\(row.site) starves: \(row.ready) ready for \(waited)")
            }
        }
        // Who waited for a turn once begins to wait anew when connections are free.
        let freed = idleSites.wasFull && !isFull
        if freed { for site in idle.keys.sorted() { idle[site] = world.instant } }
        idleSites = IdleSites(boot: boot, since: idle, wasFull: isFull)
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

/// Sites with ready mail and without a connection, as last seen.
struct IdleSites {
    var boot = 0
    var since: [String: Instant] = [:]
    /// No connection was free.
    var wasFull = false
}
