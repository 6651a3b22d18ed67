// Routes change, by the operator's hand or because attempts were in vain: recipients that wait move to
// other next hops.

import EkidenMail

/// Where a recipient goes from now on; it is due at once, whatever it waited for.
package struct NewHop: Sendable, Equatable {
    package let hop: NextHop
    /// Since attempts on its route were in vain.
    package let isFallback: Bool

    package init(_ hop: NextHop, isFallback: Bool = false) {
        self.hop = hop
        self.isFallback = isFallback
    }
}

extension Scheduler {
    /// Asks of each recipient that waits, is ready or held where it goes; what is in flight stays.
    /// - Parameter goes: by the recipient's index and its next hop; nil: as it does.
    /// - Returns: true when some are in flight, who are to be asked about when they are back.
    @discardableResult
    package func reroute(
        _ message: QueueID,
        at: Moment,
        _ goes: (_ recipient: Int, _ hop: NextHop) -> NewHop?
    ) -> Bool {
        guard let number = ledger.find(message) else { return false }
        var someFly = false
        for group in ledger.groupNumbers(of: number) {
            if ledger.groups[group].place == .inFlight { someFly = true }
            if [.waiting, .queued, .held].contains(ledger.groups[group].place) {
                reroute(group, at: at, goes)
            }
        }
        return someFly
    }

    private func reroute(
        _ group: UInt32,
        at: Moment,
        _ goes: (_ recipient: Int, _ hop: NextHop) -> NewHop?
    ) {
        let old = ledger.groups[group]
        let from = hops[old.hop].key
        var parts: [(to: NewHop?, recipients: [UInt32])] = []
        for recipient in ledger.recipients(group) {
            let to = goes(Int(recipient), from)
            if let index = parts.firstIndex(where: { $0.to == to }) {
                parts[index].recipients.append(recipient)
            } else {
                parts.append((to, [recipient]))
            }
        }
        if parts.count == 1, parts[0].to == nil { return }
        switch old.place {
        case .waiting: unwait(group)
        case .queued:
            unqueue(group)
            giveBack(group, at: at)
        case .held, .inFlight, .vacant: break
        }
        for (number, part) in zip(divide(group, parts.map(\.recipients)), parts) {
            var due =
                old.place == .queued || old.isPaced
                ? at.instant : Instant(nanoseconds: old.due)
            if let to = part.to {
                hops[old.hop].groups -= 1
                let hop = intern(to.hop)
                ledger.groups[number].hop = hop
                hops[hop].groups += 1
                // What it waited for was about the other place.
                due = at.instant
            }
            let because = part.to?.isFallback == true ? .routeFallback : old.reason
            settle(number, due: due, because: because, at: at)
        }
        if hops[old.hop].groups == 0 { retireHop(old.hop) }
    }
}
