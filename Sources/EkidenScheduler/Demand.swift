// Routes that are open only at times. Whether one is open is the composition's to know, which says so
// when the route's next hops are looked up; here its mail is brought forward.

import EkidenMail

extension Scheduler {
    /// The next hops of a route are looked up again before their next attempt.
    package func closeRoute(_ route: String, at: Moment) {
        for hop in hopNumbersOf(route) {
            guard case .attached(let site, let serial, _) = hops[hop].state else { continue }
            hops[hop].state = .attached(site: site, serial: serial, validUntil: at.instant)
        }
    }

    /// What stands in their lanes and was about to fail is looked up again instead.
    package func openRoute(_ route: String, at: Moment) {
        for hop in hopNumbersOf(route) {
            guard case .failing = hops[hop].state else { continue }
            hops[hop].state = .unresolved
            if hops[hop].queued > 0 { resolve(hop, at: at) }
        }
    }

    /// What of a message waits because that route is closed is due now.
    package func bringForward(_ message: QueueID, on route: String, at: Moment) {
        guard let number = ledger.find(message) else { return }
        for group in ledger.groupNumbers(of: number)
        where ledger.groups[group].place == .waiting
            && ledger.groups[group].reason == .routeClosed
            && hops[ledger.groups[group].hop].key.route == route
        {
            unwait(group)
            settle(group, due: at.instant, because: .routeOpened, at: at)
        }
    }

    /// In an order that a replay has, too.
    private func hopNumbersOf(_ route: String) -> [UInt32] {
        hopNumbers.filter { $0.key.route == route }.map(\.value).sorted()
    }
}
