// What the queue list and the site list ask. Questions, not decisions: a page at a time where the
// answer could be long.

import EkidenMail

extension Scheduler {
    /// The pending recipients of a message, in envelope order; empty when it is not in the queue.
    package func rows(of message: QueueID, at: Moment) -> [RecipientRow] {
        guard let number = ledger.find(message) else { return [] }
        var rows: [RecipientRow] = []
        for group in ledger.groupNumbers(of: number) {
            let record = ledger.groups[group]
            let hop = hops[record.hop]
            let place = place(of: group, at: at)
            var because = record.reason
            if record.place == .queued {
                if attachedSite(record.hop) == nil {
                    because = .resolving
                } else if let pause {
                    because = pause
                } else {
                    because = readyReason(record.hop)
                }
            }
            let since = at.wallTime(
                of: Instant(nanoseconds: Int64(record.since) * 1_000_000_000)
            )
            for recipient in ledger.recipients(group) {
                rows.append(
                    RecipientRow(
                        recipient: Int(recipient),
                        place: place,
                        because: because,
                        next: next(of: group, place, at: at),
                        since: since,
                        nextHop: hop.key,
                        site: hop.lastSite,
                        pacedBy: record.isPaced ? streamName(of: group) : nil
                    )
                )
            }
        }
        return rows.sorted { $0.recipient < $1.recipient }
    }

    /// Why a ready group has no connection yet.
    private func readyReason(_ hop: UInt32) -> Reason {
        guard let site = attachedSite(hop) else { return .resolving }
        if sites[site].suspension != nil { return .siteSuspended }
        if !sites[site].health.isOpen { return .siteBackingOff }
        return isPaced(site) ? .sitePaced : .siteBusy
    }

    /// When a recipient's turn comes, by what is known of its site.
    private func next(of group: UInt32, _ place: Place, at: Moment) -> WallTime? {
        let record = ledger.groups[group]
        guard let site = lastSite(record.hop), !record.isPaced else { return place.until }
        switch (place, siteState(site, at: at)) {
        case (.inFlight, _), (.held, _): return nil
        // A probe that succeeds brings it forward, and who is due before then waits for it.
        case (.waiting(let due, _), .backingOff(let until, _)):
            return record.isStalled ? until : max(due, until)
        case (.waiting(let due, _), .suspended(_, let until)): return until.map { max($0, due) }
        case (.waiting(let due, _), .open): return due
        case (.ready, .backingOff(let until, _)): return until
        case (.ready, .suspended(_, let until)): return until
        case (.ready, .open): return sites[site].paceAlarm.map(at.wallTime)
        }
    }

    private func place(of group: UInt32, at: Moment) -> Place {
        let record = ledger.groups[group]
        switch record.place {
        case .waiting:
            return .waiting(
                until: at.wallTime(of: Instant(nanoseconds: record.due)),
                because: record.reason
            )
        case .inFlight:
            // At most as many flights as connections and one turn's failures.
            let flight = flights.items.firstIndex { !$0.isVacant && $0.groups.contains(group) }
            return .inFlight(
                flight.map { JobID(slot: UInt32($0), serial: flights.items[$0].serial) }
                    ?? JobID(slot: none, serial: 0)
            )
        case .held: return .held(by: holds[ledger.messages[record.message].id]?.uid)
        case .queued, .vacant:
            switch hops[record.hop].state {
            case .resolving(let until):
                return .waiting(until: at.wallTime(of: until), because: .resolving)
            case .failing(let failure):
                return .waiting(until: at.wall, because: failure.reason)
            case .unresolved, .attached: return .ready
            }
        }
    }

    /// All known sites with work or sessions or in a state worth telling, by name.
    package func siteRows(at: Moment) -> [SiteRow] {
        var rows: [SiteRow] = []
        for number in 0..<UInt32(sites.items.count) where sites[number].serial != 0 {
            let site = sites[number]
            rows.append(
                SiteRow(
                    site: site.site.id,
                    state: siteState(number, at: at),
                    connections: site.sessions,
                    window: site.health.window,
                    ready: site.ready,
                    lastFailure: site.health.isFailing
                        ? site.health.lastFailure?.oneLine ?? "" : "",
                    deadAddresses: site.dead.map(\.address)
                )
            )
        }
        return rows.sorted { $0.site < $1.site }
    }

    /// Addresses of a site that failed lately, longest ago first.
    package func deadAddresses(_ id: SiteID, at: Moment) -> [HostAddress] {
        guard let site = siteNumbers[id] else { return [] }
        return sites[site].deadAddresses(now: at.instant)
    }

    /// Adds up recipients by root cause, a page of groups at a time, so that a list over a million
    /// does not hold the loop.
    /// - Returns: where to go on; nil at the end.
    package func tally(
        into causes: inout [CauseRow: Int],
        from start: Int,
        upTo pageGroups: Int
    ) -> Int? {
        let end = min(start + pageGroups, ledger.groups.items.count)
        guard start < end else { return nil }
        for number in start..<end {
            let group = ledger.groups.items[number]
            let place: String
            switch group.place {
            case .vacant: continue
            case .waiting: place = "waiting"
            case .queued: place = "ready"
            case .inFlight: place = "in-flight"
            case .held: place = "held"
            }
            let hop = hops[group.hop]
            let row = CauseRow(
                destination: hop.lastSite?.text ?? hop.key.text,
                place: place,
                because: group.place == .queued ? readyReason(group.hop) : group.reason
            )
            causes[row, default: 0] += ledger.recipientCount(UInt32(number))
        }
        return end < ledger.groups.items.count ? end : nil
    }
}
