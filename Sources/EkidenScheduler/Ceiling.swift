// The ceiling on connections to all sites together, and who has the next one that becomes free. A host that
// never says a word keeps a connection for minutes; so that some dozens of them do not take all that there
// are, sites that have not answered lately have a part of them only, and where they get scarce one each.

import EkidenMail

/// Sites that want a connection which the ceiling does not allow yet, in turn.
struct WantingSites {
    struct Row {
        var urgent = Chain()
        var rest = Chain()
        private var turns = UrgentTurns()

        var count: Int { Int(urgent.count + rest.count) }

        mutating func next() -> UInt32? {
            let isUrgent = turns.isNext(hasUrgent: !urgent.isEmpty, hasOthers: !rest.isEmpty)
            turns.took(urgent: isUrgent)
            let head = isUrgent ? urgent.head : rest.head
            return head == none ? nil : head
        }

        subscript(isUrgent: Bool) -> Chain {
            get { isUrgent ? urgent : rest }
            set { if isUrgent { urgent = newValue } else { rest = newValue } }
        }
    }

    var answering = Row()
    var others = Row()
    /// Whose had the last one.
    var lastWasAnswering = false

    subscript(isAnswering: Bool) -> Row {
        _read { if isAnswering { yield answering } else { yield others } }
        _modify { if isAnswering { yield &answering } else { yield &others } }
    }
}

/// How long a host is waited for that says nothing.
enum Patience {
    case usual
    /// As long, though others want the connection; counted.
    case granted
    case short
}

extension Scheduler {
    /// What sites that have not answered lately may have together: three quarters.
    var strangersMax: Int { settings.connectionsMax - settings.connectionsMax / 4 }

    /// How many connections a site may have now. With one, more come when that has done its job.
    func window(of site: UInt32) -> Int {
        let window = sites[site].health.window
        if sites[site].isAnswering || strangerSessions < settings.connectionsMax / 2 {
            return window
        }
        return min(window, 1)
    }

    /// The ceiling allows one more to that site.
    func mayConnect(_ site: UInt32) -> Bool {
        sessions.count < settings.connectionsMax
            && (sites[site].isAnswering || strangerSessions < strangersMax)
    }

    /// A host of the site has answered, or none has for so long that the site backs off.
    func setAnswering(_ site: UInt32, _ isAnswering: Bool) {
        guard sites[site].isAnswering != isAnswering else { return }
        let isWanting = sites[site].isWanting
        if isWanting { unwant(site) }
        sites[site].isAnswering = isAnswering
        strangerSessions += isAnswering ? -sites[site].sessions : sites[site].sessions
        if isWanting { want(site) }
    }

    /// A stranger that does not greet soon is not waited for while others want its connection. After
    /// some such rounds it is, so that a slow host gets its mail in the end; a few at a time.
    func patience(with site: UInt32) -> Patience {
        if sites[site].isAnswering || wanting.others.count == 0 { return .usual }
        let wasHurried = sites[site].health.backOffs >= Self.hurriedRounds
        return wasHurried && patientSessions < strangersMax / 8 + 1 ? .granted : .short
    }

    private static var hurriedRounds: Int { 3 }

    /// Sites that could have a connection if one became free.
    var needy: Int {
        wanting.answering.count + (strangerSessions < strangersMax ? wanting.others.count : 0)
    }

    /// Queues a site for the next connection that becomes free, and frees one that is parked.
    func want(_ site: UInt32) {
        if sites[site].isWanting { return }
        sites[site].isWanting = true
        sites[site].wantsUrgently = !sites[site].rings.urgent.isEmpty
        let (isAnswering, isUrgent) = (sites[site].isAnswering, sites[site].wantsUrgently)
        wantingLinks.append(site, to: &wanting[isAnswering][isUrgent])
        makeRoom()
    }

    private func unwant(_ site: UInt32) {
        sites[site].isWanting = false
        let (isAnswering, isUrgent) = (sites[site].isAnswering, sites[site].wantsUrgently)
        wantingLinks.remove(site, from: &wanting[isAnswering][isUrgent])
    }

    /// A site that stands in the row has urgent mail now.
    func wantUrgently(_ site: UInt32) {
        guard sites[site].isWanting, !sites[site].wantsUrgently else { return }
        unwant(site)
        want(site)
    }

    /// More connections than its share while others want some. With more sites than connections
    /// nobody keeps one for longer than a job.
    func isOverShare(_ site: UInt32) -> Bool {
        let others = needy - (sites[site].isWanting ? 1 : 0)
        if others <= 0 || sessions.count < settings.connectionsMax { return false }
        let share = settings.connectionsMax / (sitesWithSessions + others)
        return share == 0 || sites[site].sessions > share
    }

    /// A connection became free: the next wanting site gets it.
    func serveWanting(at: Moment) {
        while let site = nextWanting() {
            unwant(site)
            guard pause == nil, sites[site].isServing, room(site, at: at) > 0,
                sites[site].sessions < window(of: site)
            else { continue }
            startSession(site)
            guard room(site, at: at) > 0, sites[site].sessions < window(of: site) else { continue }
            if mayConnect(site), needy == 0 { serve(site, at: at) } else { want(site) }
        }
    }

    /// Those that answer and those of which nothing is known take turns.
    private func nextWanting() -> UInt32? {
        guard sessions.count < settings.connectionsMax else { return nil }
        let mayOthers = strangerSessions < strangersMax && wanting.others.count > 0
        let mayAnswering = wanting.answering.count > 0
        guard mayOthers || mayAnswering else { return nil }
        wanting.lastWasAnswering = !mayOthers || mayAnswering && !wanting.lastWasAnswering
        return wanting[wanting.lastWasAnswering].next()
    }
}
