// First step: due → resolved. Lanes of next hops, and what becomes of look-ups.

import EkidenMail

extension Scheduler {
    /// The number of a next hop, made on first sight.
    func intern(_ key: NextHop) -> UInt32 {
        if let number = hopNumbers[key] {
            if hops[number].isIdle {
                hops[number].isIdle = false
                idleHopLinks.remove(number, from: &idleHops)
            }
            return number
        }
        let number = hops.insert(HopRecord(key: key))
        hopNumbers[key] = number
        return number
    }

    func lane(of group: UInt32) -> Lane {
        let record = ledger.groups[group]
        let message = ledger.messages[record.message]
        if message.isUrgent { return .urgent }
        return record.wasTried || message.isLarge ? .backlog : .express
    }

    /// The line that a group stands in.
    private func share(of group: UInt32) -> ShareKey {
        let record = ledger.groups[group]
        return ShareKey(
            hop: record.hop,
            lane: lane(of: group),
            share: ledger.messages[record.message].share
        )
    }

    /// Puts a group into its next hop's lane: ready, or being resolved.
    /// - Parameter first: before the others of its share, whose turn is no sooner for that.
    func enqueue(_ group: UInt32, first: Bool = false, because: Reason, at: Moment) {
        let hop = ledger.groups[group].hop
        let key = share(of: group)
        let lane = key.lane
        if case .attached(_, _, let validUntil) = hops[hop].state,
            attachedSite(hop) == nil || validUntil <= at.instant
        {
            detach(hop)
        }
        move(group, to: .queued, because: because, at: at)
        shares.insert(group, of: key, first: first, in: &hops[hop].lanes[lane], &laneLinks)
        hops[hop].queued += 1
        switch hops[hop].state {
        case .unresolved: resolve(hop, at: at)
        case .resolving, .failing: break
        case .attached(let site, _, _):
            sites[site].ready += 1
            enterRing(hop, lane, of: site)
            serve(site, at: at)
        }
    }

    func enterRing(_ hop: UInt32, _ lane: Lane, of site: UInt32) {
        if hops[hop].isInRing[lane] || hops[hop].lanes[lane].isEmpty { return }
        hops[hop].isInRing[lane] = true
        ringLinks[lane].append(hop, to: &sites[site].rings[lane])
        if lane == .urgent { wantUrgently(site) }
    }

    func leaveRing(_ hop: UInt32, _ lane: Lane, of site: UInt32) {
        guard hops[hop].isInRing[lane] else { return }
        hops[hop].isInRing[lane] = false
        ringLinks[lane].remove(hop, from: &sites[site].rings[lane])
    }

    /// Takes a queued group out of its lane.
    func unqueue(_ group: UInt32) {
        let hop = ledger.groups[group].hop
        let key = share(of: group)
        shares.remove(group, of: key, from: &hops[hop].lanes[key.lane], &laneLinks)
        hops[hop].queued -= 1
        if let site = attachedSite(hop) {
            sites[site].ready -= 1
            if hops[hop].lanes[key.lane].isEmpty { leaveRing(hop, key.lane, of: site) }
        }
    }

    /// The group whose turn it is in a lane with work; its share goes to the end of the line.
    func takeFirst(of hop: UInt32, _ lane: Lane) -> UInt32 {
        let group = shares.first(of: hops[hop].lanes[lane])
        let key = share(of: group)
        unqueue(group)
        shares.pass(key, in: &hops[hop].lanes[lane])
        return group
    }

    /// The site a next hop stands at; nil when it is not resolved or the site was forgotten.
    func attachedSite(_ hop: UInt32) -> UInt32? {
        guard case .attached(let site, let serial, _) = hops[hop].state,
            sites[site].serial == serial
        else { return nil }
        return site
    }

    func resolve(_ hop: UInt32, at: Moment) {
        let until = at.instant + settings.resolveDeadline
        hops[hop].state = .resolving(until: until)
        alarms.insert(.hop(hop), at: until)
        effects.append(.resolve(hops[hop].key))
    }

    /// Takes a next hop with its lanes away from its site.
    func detach(_ hop: UInt32) {
        if let site = attachedSite(hop) {
            sites[site].ready -= hops[hop].queued
            for lane in Lane.allCases { leaveRing(hop, lane, of: site) }
        }
        hops[hop].state = .unresolved
    }

    /// The answer to `.resolve`. Late answers for next hops without mail are forgotten.
    package func resolved(_ key: NextHop, _ resolution: Resolution, at: Moment) {
        guard let hop = hopNumbers[key], case .resolving = hops[hop].state else { return }
        switch resolution {
        case .failure(let failure): failHop(hop, failure, at: at)
        case .site(let site, let validUntil):
            let number = intern(site, at: at)
            hops[hop].ownSite = sites[number].site == site ? nil : site
            hops[hop].lastSite = sites[number].site.id
            hops[hop].state = .attached(
                site: number,
                serial: sites[number].serial,
                validUntil: max(validUntil, at.instant + .seconds(1))
            )
            sites[number].ready += hops[hop].queued
            for lane in Lane.allCases { enterRing(hop, lane, of: number) }
            if !hops[hop].stalled.isEmpty, hops[hop].stalledAt != number {
                // The mail that waited for another site's recovery goes to this one.
                unlistStalled(hop)
                listStalled(hop, at: number)
                if sites[number].health.isOpen { startRecovery(number) }
            }
            serve(number, at: at)
        }
        if hops[hop].groups == 0 { retireHop(hop) }
    }

    /// All that stands in its lanes fails, in batches.
    func failHop(_ hop: UInt32, _ failure: Failure, at: Moment) {
        hops[hop].state = .failing(failure)
        if !hops[hop].isFailingListed {
            hops[hop].isFailingListed = true
            failingLinks.append(hop, to: &failingHops)
        }
    }

    func drainFailingHops(_ at: Moment) {
        var budget = settings.turnGroups
        while budget > 0, !failingHops.isEmpty {
            let hop = failingHops.head
            guard case .failing(let failure) = hops[hop].state, hops[hop].queued > 0 else {
                failingLinks.remove(hop, from: &failingHops)
                hops[hop].isFailingListed = false
                if case .failing = hops[hop].state { hops[hop].state = .unresolved }
                if hops[hop].groups == 0 { retireHop(hop) }
                continue
            }
            guard let lane = Lane.allCases.first(where: { !hops[hop].lanes[$0].isEmpty }) else {
                preconditionFailure("what is queued is in a lane")
            }
            let group = takeFirst(of: hop, lane)
            fail(group, failure, site: none, at: at)
            budget -= 1
        }
    }

    /// An attempt without a session: the whole group fails as one job.
    func fail(_ group: UInt32, _ failure: Failure, site: UInt32, at: Moment) {
        giveBack(group, at: at)
        let flight = takeOff([group], session: none, site: site, at: at)
        flights[flight].isSiteFailure = site != none
        effects.append(.failed(job(of: flight), failure))
    }

    /// A next hop without groups is remembered for a while, for its resolution.
    func retireHop(_ hop: UInt32) {
        if hops[hop].isIdle || hops[hop].isFailingListed { return }
        if case .resolving = hops[hop].state { return }
        hops[hop].isIdle = true
        idleHopLinks.append(hop, to: &idleHops)
        while idleHops.count > settings.idleHopsMax {
            let oldest = idleHops.head
            idleHopLinks.remove(oldest, from: &idleHops)
            hopNumbers[hops[oldest].key] = nil
            hops.remove(oldest, leaving: HopRecord(key: .route("")))
        }
    }
}
