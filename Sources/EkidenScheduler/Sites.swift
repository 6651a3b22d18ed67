// Sites: who is served, backed off from, recovered.

import EkidenMail
import EkidenRuntime

extension Scheduler {
    /// The number of a site, made on first sight. A known site keeps its exchanges while in use;
    /// a next hop with others remembers them itself.
    func intern(_ site: Site, at: Moment) -> UInt32 {
        if let number = siteNumbers[site.id] {
            if !sites[number].isUsed {
                // Next hops that were here with other hosts are looked up again: the name of a site
                // that a rule has joined says nothing of its hosts.
                if sites[number].site.exchanges != site.exchanges {
                    siteSerial &+= 1
                    sites[number].serial = siteSerial
                    setAnswering(number, false)
                }
                sites[number].site = site
            } else if sites[number].site.rule != site.rule {
                sites[number].site.rule = site.rule
            }
            return number
        }
        siteSerial &+= 1
        let limits = settings.limits(of: site.rule)
        let number = sites.insert(
            SiteRecord(
                site: site,
                serial: siteSerial,
                health: SiteHealthState(
                    window: max(limits.windowInitial, limits.windowFloor)
                )
            )
        )
        siteNumbers[site.id] = number
        retireSite(number)
        return number
    }

    /// Gives a site's ready work to parked sessions, then to new ones, within its window and the
    /// global ceiling. Sites that are not served defer their work (backing off) or keep it.
    func serve(_ site: UInt32, at: Moment) {
        if sites[site].suspension == nil, !sites[site].health.isOpen {
            return startDraining(site)
        }
        guard pause == nil, sites[site].isServing else { return }
        var room = room(site, at: at)
        while room > 0 {
            if let session = sites[site].idle.popLast() {
                wake(session)
            } else if sites[site].sessions >= window(of: site) {
                return
            } else if !mayConnect(site) {
                return want(site)
            } else {
                startSession(site)
            }
            room -= 1
        }
    }

    // MARK: Health

    /// - Parameter hop: the next hop of the attempt that says so.
    func health(
        _ site: UInt32,
        _ health: SiteHealth,
        of hop: UInt32,
        startedAt: Instant,
        at: Moment
    ) {
        let limits = settings.limits(of: sites[site].site.rule)
        switch health {
        case .unknown: break
        case .alive, .crowded:
            sites[site].troubledHop = none
            let change =
                health == .alive
                ? sites[site].health.alive(limits)
                : sites[site].health.crowded(startedAt: startedAt, now: at.instant, limits)
            if !sites[site].isAnswering {
                setAnswering(site, true)
                // It no longer takes one of the strangers' connections.
                serveWanting(at: at)
            }
            if change == .recovered {
                tell(site, because: .siteRecovered, at: at)
                startRecovery(site)
            }
        case .trouble where isTroubleOfOne(hop, at: site): break
        case .trouble(let failure):
            let change = sites[site].health.trouble(
                failure,
                startedAt: startedAt,
                inFlight: sites[site].inFlight,
                draw: random.fraction(),
                now: at.instant,
                limits
            )
            if change == .backedOff { setAnswering(site, false) }
            if change == .backedOff, let until = sites[site].health.backOff?.until {
                alarms.insert(.site(site), at: until)
                tell(site, because: failure.reason, words: failure.oneLine, at: at)
            }
        }
        serve(site, at: at)
    }

    /// In a site that a rule has joined of several next hops, each with hosts of its own, one of them may
    /// be dead: only troubles of two are the site's. Once it fails, each trouble counts, a probe's among
    /// them.
    func isTroubleOfOne(_ hop: UInt32, at site: UInt32) -> Bool {
        guard sites[site].hasSeveralHops, !sites[site].health.isFailing else { return false }
        if sites[site].troubledHop == none { sites[site].troubledHop = hop }
        return sites[site].troubledHop == hop
    }

    func siteAlarm(_ site: UInt32, at: Moment) {
        if let until = sites[site].suspension?.until, until <= at.instant {
            sites[site].suspension = nil
            tell(site, because: .dueTimeReached, at: at)
            serve(site, at: at)
        }
        if let backOff = sites[site].health.backOff, backOff.until <= at.instant {
            probe(site, at: at)
        }
        if let time = sites[site].paceAlarm, time <= at.instant { sites[site].paceAlarm = nil }
        serve(site, at: at)
    }

    /// One connection finds out whether the site is back: for what is ready, else for the mail
    /// that has waited for it longest.
    func probe(_ site: UInt32, at: Moment) {
        sites[site].health.probe()
        if sites[site].ready == 0, sites[site].stalledHops.head != none {
            let hop = sites[site].stalledHops.head
            let group = hops[hop].stalled.head
            unwait(group)
            // The next probe asks for another next hop, if there is one.
            if sites[site].stalledHops.head == hop {
                stalledHopLinks.rotate(&sites[site].stalledHops)
            }
            enqueue(group, because: .dueTimeReached, at: at)
        }
        serve(site, at: at)
    }

    func tell(_ site: UInt32, because: Reason, words: String = "", at: Moment) {
        let state = siteState(site, at: at)
        var until: WallTime?
        var window: Int?
        switch state {
        case .open(let n): window = n
        case .backingOff(let time, _): until = time
        case .suspended(_, let time): until = time
        }
        effects.append(
            .event(
                .site(
                    Event.SiteMoved(
                        site: sites[site].site.id,
                        state: state.word,
                        window: window,
                        reason: because,
                        words: words,
                        until: until
                    )
                )
            )
        )
    }

    func siteState(_ site: UInt32, at: Moment) -> SiteState {
        if let suspension = sites[site].suspension {
            return .suspended(by: suspension.uid, until: suspension.until.map(at.wallTime))
        }
        if let backOff = sites[site].health.backOff {
            return .backingOff(
                until: at.wallTime(of: backOff.until),
                because: backOff.because.reason
            )
        }
        return .open(window: sites[site].health.window)
    }

    // MARK: A dead site's mail

    private func startDraining(_ site: UInt32) {
        if sites[site].isDraining || sites[site].ready == 0 { return }
        sites[site].isDraining = true
        drainingLinks.append(site, to: &draining)
    }

    /// What is ready for a site that is left alone fails with the site's failure.
    func drainSites(_ at: Moment) {
        var budget = settings.turnGroups
        while budget > 0, !draining.isEmpty {
            let site = draining.head
            guard let failure = sites[site].health.backOff?.because,
                sites[site].suspension == nil,
                let group = popGroup(site, at: at, validityMatters: false)
            else {
                drainingLinks.remove(site, from: &draining)
                sites[site].isDraining = false
                continue
            }
            fail(group, failure, site: site, at: at)
            budget -= 1
        }
    }

    /// Remembers that a waiting group waits because its site failed.
    func stall(_ group: UInt32, at site: UInt32) {
        let hop = ledger.groups[group].hop
        if hops[hop].stalledAt != none, hops[hop].stalledAt != site { unlistStalled(hop) }
        ledger.groups[group].isStalled = true
        laneLinks.append(group, to: &hops[hop].stalled)
        if hops[hop].stalledAt == none { listStalled(hop, at: site) }
    }

    func listStalled(_ hop: UInt32, at site: UInt32) {
        hops[hop].stalledAt = site
        stalledHopLinks.append(hop, to: &sites[site].stalledHops)
    }

    func unlistStalled(_ hop: UInt32) {
        let site = hops[hop].stalledAt
        if site == none { return }
        stalledHopLinks.remove(hop, from: &sites[site].stalledHops)
        hops[hop].stalledAt = none
        retireSite(site)
    }

    func startRecovery(_ site: UInt32) {
        if sites[site].isRecovering || sites[site].stalledHops.isEmpty { return }
        sites[site].isRecovering = true
        recoveringLinks.append(site, to: &recovering)
    }

    /// Mail that waited for a site comes forward, in batches, when the site answers again.
    func recoverSites(_ at: Moment) {
        var budget = settings.turnGroups
        while budget > 0, !recovering.isEmpty {
            let site = recovering.head
            guard sites[site].health.isOpen, sites[site].stalledHops.head != none else {
                recoveringLinks.remove(site, from: &recovering)
                sites[site].isRecovering = false
                retireSite(site)
                continue
            }
            let group = hops[sites[site].stalledHops.head].stalled.head
            unwait(group)
            comeDue(group, because: .siteRecovered, at: at)
            budget -= 1
        }
    }

    /// A site without work is remembered for a while, for its window and its dead addresses.
    func retireSite(_ site: UInt32) {
        if sites[site].isUsed || sites[site].isIdleListed { return }
        sites[site].isIdleListed = true
        idleSiteLinks.append(site, to: &idleSites)
        while idleSites.count > settings.idleSitesMax {
            let oldest = idleSites.head
            idleSiteLinks.remove(oldest, from: &idleSites)
            sites[oldest].isIdleListed = false
            if sites[oldest].isUsed || oldest == site { continue }
            siteNumbers[sites[oldest].site.id] = nil
            sites.remove(
                oldest,
                leaving: SiteRecord(
                    site: Site(id: SiteID(""), exchanges: []),
                    serial: 0,
                    health: SiteHealthState(window: 0)
                )
            )
        }
    }
}
