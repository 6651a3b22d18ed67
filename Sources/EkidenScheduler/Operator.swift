// What an operator may do. Each action here is the memory half: the composition records it in the
// spool as well, and answers the operator when that is durable.

import EkidenMail

/// What became of an operator's wish for one message.
package enum OperatorResult: Sendable, Equatable {
    case done
    /// No such message in the queue.
    case unknown
    /// So many recipients are being delivered at this moment; nothing was changed.
    case inFlight(Int)
}

extension Scheduler {
    /// Puts a message on hold: nothing of it starts any more; what is in flight ends first and
    /// then stays, unless it was delivered.
    package func hold(_ message: QueueID, _ hold: Hold, at: Moment) -> OperatorResult {
        guard let number = ledger.find(message) else { return .unknown }
        ledger.setHeld(number, true)
        holds[message] = hold
        for group in ledger.groupNumbers(of: number) {
            switch ledger.groups[group].place {
            case .waiting: unwait(group)
            case .queued:
                unqueue(group)
                giveBack(group, at: at)
            case .inFlight, .held, .vacant: continue
            }
            move(group, to: .held, because: hold.reason, at: at)
        }
        tellMoved(message, "held", hold.reason, uid: hold.uid)
        return .done
    }

    /// Ends a hold; the message is due at once.
    package func release(_ message: QueueID, by uid: UInt32, at: Moment) -> OperatorResult {
        guard let number = ledger.find(message) else { return .unknown }
        guard ledger.messages[number].isHeld else { return .done }
        ledger.setHeld(number, false)
        holds[message] = nil
        for group in ledger.groupNumbers(of: number) where ledger.groups[group].place == .held {
            settle(group, due: at.instant, because: .operatorRelease, at: at)
        }
        tellMoved(message, "ready", .operatorRelease, uid: uid)
        return .done
    }

    /// Makes a waiting message due at once and lets its sites be tried, whatever their back-off.
    /// A held message stays held.
    package func retry(_ message: QueueID, by uid: UInt32, at: Moment) -> OperatorResult {
        guard let number = ledger.find(message) else { return .unknown }
        var moved = false
        for group in ledger.groupNumbers(of: number)
        where ledger.groups[group].place == .waiting && !ledger.groups[group].isPaced {
            unwait(group)
            if let site = lastSite(ledger.groups[group].hop), !sites[site].health.isOpen {
                sites[site].health.probe()
            }
            settle(group, due: at.instant, because: .operatorRetry, at: at)
            moved = true
        }
        if moved { tellMoved(message, "ready", .operatorRetry, uid: uid) }
        return .done
    }

    /// Takes a message out of the queue; refused while any of it is in flight. (To be sure of it,
    /// hold it first, record the removal, then remove it.)
    package func remove(_ message: QueueID, by uid: UInt32, at: Moment) -> OperatorResult {
        let result = withdraw(message, at: at)
        if result == .done { tellMoved(message, "removed", .operatorDelete, uid: uid) }
        return result
    }

    private func withdraw(_ message: QueueID, at: Moment) -> OperatorResult {
        guard let number = ledger.find(message) else { return .unknown }
        let flying = inFlight(message)
        if flying > 0 { return .inFlight(flying) }
        for group in ledger.groupNumbers(of: number) {
            switch ledger.groups[group].place {
            case .waiting: unwait(group)
            case .queued:
                unqueue(group)
                giveBack(group, at: at)
            case .inFlight, .held, .vacant: break
            }
            forget(group)
        }
        return .done
    }

    /// Recipients of the message in flight.
    package func inFlight(_ message: QueueID) -> Int {
        guard let number = ledger.find(message) else { return 0 }
        return ledger.groupNumbers(of: number).reduce(0) {
            $0 + (ledger.groups[$1].place == .inFlight ? ledger.recipientCount($1) : 0)
        }
    }

    /// Stops a site: what is in flight ends, nothing new starts. False when it is not known.
    package func suspend(
        _ id: SiteID,
        by uid: UInt32,
        for duration: Duration?,
        at: Moment
    ) -> Bool {
        guard let site = siteNumbers[id] else { return false }
        let until = duration.map { at.instant + $0 }
        sites[site].suspension = Suspension(uid: uid, until: until)
        if let until { alarms.insert(.site(site), at: until) }
        tell(site, because: .siteSuspended, at: at)
        return true
    }

    /// Whether the site that it leads or last led to is suspended.
    package func isSuspended(_ hop: NextHop) -> Bool {
        guard let number = hopNumbers[hop], let site = lastSite(number) else { return false }
        return sites[site].suspension != nil
    }

    /// Ends a suspension, and a back-off too. False when the site is not known.
    package func resume(_ id: SiteID, at: Moment) -> Bool {
        guard let site = siteNumbers[id] else { return false }
        sites[site].suspension = nil
        if !sites[site].health.isOpen { probe(site, at: at) }
        tell(site, because: .operatorRelease, at: at)
        serve(site, at: at)
        retireSite(site)
        return true
    }

    /// Stops or resumes everything: `spoolUnavailable` while outcomes can't be recorded, `stopping`
    /// at the end (then sessions that ask are told to end). What is in flight goes on.
    package func setPause(_ reason: Reason?, at: Moment) {
        pause = reason
        if reason == .stopping {
            while parked.head != none { end(parked.head) }
        }
        guard reason == nil else { return }
        for site in 0..<UInt32(sites.items.count) where sites[site].ready > 0 {
            serve(site, at: at)
        }
    }

    /// The site a next hop leads or last led to, if it is still known.
    func lastSite(_ hop: UInt32) -> UInt32? {
        attachedSite(hop) ?? hops[hop].lastSite.flatMap { siteNumbers[$0] }
    }

    private func tellMoved(_ id: QueueID, _ state: String, _ reason: Reason, uid: UInt32?) {
        effects.append(.event(.moved(Event.Moved(id: id, state: state, reason: reason, uid: uid))))
    }
}
