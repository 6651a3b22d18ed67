// Second step: ready → in flight. Sessions ask for jobs, and come back with what became of them.

import EkidenMail

extension Scheduler {
    private func session(_ id: SessionID) -> UInt32? {
        guard Int(id.slot) < sessions.items.count, !sessions[id.slot].isVacant,
            sessions[id.slot].serial == id.serial
        else { return nil }
        return id.slot
    }

    private func id(of session: UInt32) -> SessionID {
        SessionID(slot: session, serial: sessions[session].serial)
    }

    func startSession(_ site: UInt32) {
        sessionSerial &+= 1
        let number = sessions.insert(SessionRecord(serial: sessionSerial, site: site))
        if sites[site].sessions == 0 { sitesWithSessions += 1 }
        sites[site].sessions += 1
        if !sites[site].isAnswering { strangerSessions += 1 }
        sites[site].called += 1
        effects.append(.startSession(id(of: number), sites[site].site))
    }

    /// `session` was just taken from its site's parked ones.
    func wake(_ session: SessionID) {
        parkedLinks.remove(session.slot, from: &parked)
        sessions[session.slot].state = .called
        sites[sessions[session.slot].site].called += 1
        effects.append(.wakeSession(session))
    }

    private func park(_ number: UInt32) {
        sessions[number].state = .idle
        sites[sessions[number].site].idle.append(id(of: number))
        parkedLinks.append(number, to: &parked)
        makeRoom()
    }

    /// While sites want connections nobody keeps a parked one.
    func makeRoom() {
        while needy > endingCount, parked.head != none { end(parked.head) }
    }

    private func setEnding(_ number: UInt32) {
        sessions[number].state = .ending
        endingCount += 1
    }

    private func unpark(_ number: UInt32) {
        parkedLinks.remove(number, from: &parked)
        let site = sessions[number].site
        let id = id(of: number)
        // At most a window's worth of sessions.
        sites[site].idle.removeAll { $0 == id }
    }

    /// Tells a parked session to end.
    func end(_ number: UInt32) {
        unpark(number)
        setEnding(number)
        effects.append(.endSession(id(of: number)))
    }

    /// What the session is to do next. Asked after its start, after `finished`, and when woken.
    package func nextJob(for sessionID: SessionID, at: Moment) -> Turn {
        guard let number = session(sessionID) else { return .end }
        let site = sessions[number].site
        switch sessions[number].state {
        case .ending: return .end
        case .busy: preconditionFailure("a session asked for a job before finishing its last")
        case .called: sites[site].called -= 1
        case .idle: unpark(number)
        }
        if let pause {
            if pause != .stopping {
                park(number)
                return .idle
            }
            setEnding(number)
            return .end
        }
        guard sites[site].isServing, sites[site].sessions <= sites[site].health.window,
            !(sessions[number].hasWorked && isOverShare(site))
        else {
            setEnding(number)
            serve(site, at: at)
            return .end
        }
        guard mayGo(site, at: at), let group = popGroup(site, at: at, validityMatters: true) else {
            park(number)
            return .idle
        }
        spendPace(site, at: at)
        let flight = takeOff(gather(group, site, at: at), session: number, site: site, at: at)
        sessions[number].state = .busy(flight: flight)
        sessions[number].hasWorked = true
        sessions[number].patience = patience(with: site)
        if sessions[number].patience == .granted { patientSessions += 1 }
        sites[site].inFlight += 1
        if sites[site].site.rule != nil {
            noteHop(ledger.groups[group].hop, of: site)
            // Others may go when the pace allows, whenever this one ends.
            serve(site, at: at)
        }
        return .job(job(of: flight))
    }

    private func noteHop(_ hop: UInt32, of site: UInt32) {
        if sites[site].firstHop == none { sites[site].firstHop = hop }
        // A route is one next hop, whatever its rule.
        if sites[site].firstHop != hop { sites[site].hasSeveralHops = true }
    }

    /// The next group of a site: lanes in turn, in each lane next hop by next hop, in each of those
    /// sender by sender.
    func popGroup(_ site: UInt32, at: Moment, validityMatters: Bool) -> UInt32? {
        /// Next hops sent to be looked up again in one call.
        var lookups = 64
        while true {
            guard let lane = sites[site].nextLane else { return nil }
            let hop = sites[site].rings[lane].head
            if validityMatters, case .attached(_, _, let until) = hops[hop].state,
                until <= at.instant
            {
                if lookups == 0, hops[hop].key.route != nil {
                    // Its route may be closed by now. The others are looked at in the next turn.
                    alarms.insert(.site(site), at: at.instant + .nanoseconds(1))
                    return nil
                }
                guard lookups > 0 else { return take(hop, lane, of: site) }
                lookups -= 1
                detach(hop)
                resolve(hop, at: at)
                continue
            }
            return take(hop, lane, of: site)
        }
    }

    /// The group whose turn it is at the first next hop of a lane.
    private func take(_ hop: UInt32, _ lane: Lane, of site: UInt32) -> UInt32 {
        sites[site].turns.took(lane)
        let group = takeFirst(of: hop, lane)
        if hops[hop].isInRing[lane] { ringLinks[lane].rotate(&sites[site].rings[lane]) }
        return group
    }

    /// Makes a transaction's worth: a part of a large group, or a group and others of its message
    /// that are ready for the same site.
    private func gather(_ group: UInt32, _ site: UInt32, at: Moment) -> [UInt32] {
        var room = settings.recipientsPerTransaction - ledger.recipientCount(group)
        if room < 0 {
            let part = ledger.split(group, first: settings.recipientsPerTransaction)
            hops[ledger.groups[part].hop].groups += 1
            // The rest goes to the end of its lane: other messages have their turn between.
            enqueue(group, because: ledger.groups[group].reason, at: at)
            return [part]
        }
        var groups = [group]
        let message = ledger.groups[group].message
        guard hops[ledger.groups[group].hop].ownSite == nil else { return groups }
        /// Groups of the message looked at for one job.
        var looks = min(ledger.messages[message].groups.count, 64)
        while looks > 1, room > 0 {
            looks -= 1
            ledger.rotateGroups(of: message)
            let other = ledger.firstGroup(of: message)
            guard other != group, ledger.groups[other].place == .queued,
                hops[ledger.groups[other].hop].ownSite == nil,
                attachedSite(ledger.groups[other].hop) == site,
                !groups.contains(other), ledger.recipientCount(other) <= room
            else { continue }
            unqueue(other)
            groups.append(other)
            room -= ledger.recipientCount(other)
        }
        return groups
    }

    func takeOff(_ groups: [UInt32], session: UInt32, site: UInt32, at: Moment) -> UInt32 {
        flightSerial &+= 1
        for group in groups {
            move(group, to: .inFlight, because: ledger.groups[group].reason, at: at)
        }
        return flights.insert(
            Flight(
                serial: flightSerial,
                session: session,
                site: site,
                siteSerial: site == none ? 0 : sites[site].serial,
                groups: groups,
                startedAt: at.instant,
                isSiteFailure: false
            )
        )
    }

    func job(of flight: UInt32) -> Job {
        let record = flights[flight]
        let first = ledger.groups[record.groups[0]]
        let hop = hops[first.hop]
        var site = Site(id: SiteID(hop.key.text), exchanges: [])
        var avoid: [HostAddress] = []
        if record.site != none {
            site = hop.ownSite ?? sites[record.site].site
            avoid = sites[record.site].deadAddresses(now: record.startedAt)
        }
        return Job(
            id: JobID(slot: flight, serial: record.serial),
            message: ledger.messages[first.message].id,
            recipients: record.groups.flatMap { ledger.recipients($0).map(Int.init) },
            nextHop: hop.key,
            site: site,
            avoid: avoid,
            isHurried: record.session != none && sessions[record.session].patience == .short
        )
    }

    // MARK: Back from the flight

    /// A session's job ended and was judged and recorded. The session asks `nextJob` next.
    package func finished(_ sessionID: SessionID, _ job: JobID, _ end: JobEnd, at: Moment) {
        guard let number = session(sessionID), case .busy(let flight) = sessions[number].state,
            flights[flight].serial == job.serial, job.slot == flight
        else { return }
        let site = sessions[number].site
        let startedAt = flights[flight].startedAt
        sessions[number].state = .called
        endPatience(of: number)
        sites[site].called += 1
        sites[site].addressesFailed(
            end.failedAddresses,
            until: at.instant + settings.deadAddressMemory
        )
        if let address = end.aliveAddress { sites[site].addressIsAlive(address) }
        let hop = flights[flight].groups.first.map { ledger.groups[$0].hop } ?? none
        if case .trouble = end.health {
            flights[flight].isSiteFailure = true
            // No host let us in.
            for group in flights[flight].groups { giveBack(group, at: at) }
        }
        // The health first: what is stalled needs to know whether the site is open.
        health(site, end.health, of: hop, startedAt: startedAt, at: at)
        land(flight, end.dispositions, at: at)
        sites[site].inFlight -= 1
        serve(site, at: at)
    }

    private func endPatience(of number: UInt32) {
        if sessions[number].patience == .granted { patientSessions -= 1 }
        sessions[number].patience = .usual
    }

    /// The dispositions of a `.failed` effect, after it was judged and recorded.
    package func settled(_ job: JobID, _ dispositions: [Disposition], at: Moment) {
        guard Int(job.slot) < flights.items.count, !flights[job.slot].isVacant,
            flights[job.slot].serial == job.serial, flights[job.slot].session == none
        else { return }
        land(job.slot, dispositions, at: at)
    }

    /// A session is over. A job it did not finish goes back to the front of its lane.
    package func sessionEnded(_ sessionID: SessionID, at: Moment) {
        guard let number = session(sessionID) else { return }
        let site = sessions[number].site
        switch sessions[number].state {
        case .called: sites[site].called -= 1
        case .idle: unpark(number)
        case .ending: endingCount -= 1
        case .busy(let flight):
            let n = flights[flight].groups.reduce(0) { $0 + ledger.recipientCount($1) }
            land(flight, Array(repeating: .again, count: n), at: at)
            sites[site].inFlight -= 1
        }
        endPatience(of: number)
        var vacant = sessions[number]
        vacant.isVacant = true
        sessions.remove(number, leaving: vacant)
        sites[site].sessions -= 1
        if !sites[site].isAnswering { strangerSessions -= 1 }
        if sites[site].sessions == 0 { sitesWithSessions -= 1 }
        serveWanting(at: at)
        serve(site, at: at)
        retireSite(site)
    }

    /// Every recipient of the flight goes where its disposition says.
    private func land(_ flight: UInt32, _ dispositions: [Disposition], at: Moment) {
        let record = flights[flight]
        var vacant = record
        vacant.isVacant = true
        vacant.groups = []
        flights.remove(flight, leaving: vacant)
        var offset = 0
        for group in record.groups {
            let n = ledger.recipientCount(group)
            precondition(offset + n <= dispositions.count, "a disposition for each recipient")
            land(group, dispositions[offset..<offset + n], of: record, at: at)
            offset += n
        }
    }

    private func land(
        _ group: UInt32,
        _ dispositions: ArraySlice<Disposition>,
        of flight: Flight,
        at: Moment
    ) {
        guard let first = dispositions.first else { return }
        if dispositions.allSatisfy({ $0 == first }) {
            return land(group, first, of: flight, at: at)
        }
        // Outcomes differ: recipients part, those with equal ones stay together.
        var parts: [(disposition: Disposition, recipients: [UInt32])] = []
        for (recipient, disposition) in zip(ledger.recipients(group), dispositions) {
            if let i = parts.firstIndex(where: { $0.disposition == disposition }) {
                parts[i].recipients.append(recipient)
            } else {
                parts.append((disposition, [recipient]))
            }
        }
        for (number, part) in zip(divide(group, parts.map(\.recipients)), parts) {
            land(number, part.disposition, of: flight, at: at)
        }
    }

    /// Makes a group of each part of a group that is in no heap or lane; the first keeps the number.
    func divide(_ group: UInt32, _ parts: [[UInt32]]) -> [UInt32] {
        let old = ledger.groups[group]
        ledger.setRecipients(group, parts[0])
        return [group]
            + parts.dropFirst().map { recipients in
                let number = ledger.addGroup(
                    message: old.message,
                    hop: old.hop,
                    recipients: recipients
                )
                ledger.groups[number].place = old.place
                ledger.groups[number].wasTried = old.wasTried
                hops[old.hop].groups += 1
                return number
            }
    }

    private func land(
        _ group: UInt32,
        _ disposition: Disposition,
        of flight: Flight,
        at: Moment
    ) {
        switch disposition {
        case .done: forget(group)
        case .again:
            if let hold = hold(of: group) {
                ledger.groups[group].due = at.instant.nanoseconds
                move(group, to: .held, because: hold.reason, at: at)
            } else {
                goAgain(group, at: at)
            }
        case .retry(let after, let because):
            ledger.groups[group].wasTried = true
            settle(group, due: at.instant + max(after, .zero), because: because, at: at)
            if ledger.groups[group].place == .waiting, !ledger.groups[group].isPaced,
                flight.isSiteFailure,
                sites[flight.site].serial == flight.siteSerial, sites[flight.site].health.isFailing
            {
                stall(group, at: flight.site)
            }
        }
    }

    /// Removes a group that is in no heap, lane or flight.
    func forget(_ group: UInt32) {
        let record = ledger.groups[group]
        counts.add(-ledger.recipientCount(group), to: record.place)
        let id = ledger.messages[record.message].id
        if ledger.removeGroup(group) { holds[id] = nil }
        hops[record.hop].groups -= 1
        if hops[record.hop].groups == 0 { retireHop(record.hop) }
    }
}
