// The scheduler: who goes next, and why not yet. Pure: calls in, effects out; the composition owns
// the one instance, calls it from one loop, and carries out the effects. Every call is one critical
// section of bounded work; long work (a thousand groups due at once, a dead site's mail) is done
// by `tick` in batches. docs/DELIVERY.md tells a recipient's journey, and the rules.
//
// Two steps: a group (recipients of one message with one next hop and one due time) that becomes
// due enters a lane of its next hop; the next hop is resolved and stands in the rings of its site;
// the site's sessions take jobs from the rings, next hop by next hop, lane by lane.

import EkidenMail
import EkidenRuntime

package final class Scheduler {
    package var settings: SchedulerSettings
    let random: any RandomSource

    var ledger = Ledger()
    var due = DueHeap()
    var alarms = AlarmHeap()
    var laneLinks = Links()

    var hops = Pool<HopRecord>()
    var hopNumbers: [NextHop: UInt32] = [:]
    var ringLinks = Lanes(Links())
    var shares = Shares()
    var stalledHopLinks = Links()
    var failingHops = Chain()
    var failingLinks = Links()
    var idleHops = Chain()
    var idleHopLinks = Links()

    var sites = Pool<SiteRecord>()
    var siteNumbers: [SiteID: UInt32] = [:]
    var siteSerial: UInt32 = 0
    /// By rule; looked up only.
    var paces: [String: Pace] = [:]
    /// In the order in which they were first heard of.
    var streams: [StreamRecord] = []
    /// Sites that want a connection the global ceiling does not allow yet, in turn.
    var wanting = WantingSites()
    /// Sessions whose jobs may wait for a greeting although others want their connections.
    var patientSessions = 0
    /// Sessions of sites that have not answered lately.
    var strangerSessions = 0
    var wantingLinks = Links()
    var draining = Chain()
    var drainingLinks = Links()
    var recovering = Chain()
    var recoveringLinks = Links()
    var idleSites = Chain()
    var idleSiteLinks = Links()

    var sessions = Pool<SessionRecord>()
    var sessionSerial: UInt32 = 0
    /// Sessions told to end that have not yet.
    var endingCount = 0
    /// Sites with at least one session.
    var sitesWithSessions = 0
    /// Parked sessions of all sites, longest parked first.
    var parked = Chain()
    var parkedLinks = Links()
    var flights = Pool<Flight>()
    var flightSerial: UInt32 = 0
    /// Who holds a held message; looked up only.
    var holds: [QueueID: Hold] = [:]
    /// Why nothing is sent at all, if so.
    package internal(set) var pause: Reason?

    /// Recipients by place.
    package internal(set) var counts = PlaceCounts()
    var effects: [Effect] = []

    package init(settings: SchedulerSettings, random: any RandomSource) {
        self.settings = settings
        self.random = random
    }

    /// Makes room for that many messages at once, so that a start does not grow step by step.
    package func reserve(messages: Int) {
        ledger.reserve(messages)
        due.reserve(messages)
        laneLinks.reserve(messages)
    }

    /// Next hops may lead elsewhere now, or be other sites under another policy: before the next
    /// attempt they are looked up again.
    package func settingsChanged(at: Moment) {
        for number in hopNumbers.values {
            guard case .attached(let site, let serial, _) = hops[number].state else { continue }
            hops[number].state = .attached(site: site, serial: serial, validUntil: at.instant)
        }
        pacesChanged(at: at)
        streamsChanged(at: at)
    }

    /// Messages in the queue.
    package var messageCount: Int { ledger.messages.count }
    /// Sessions started and not ended.
    package var sessionCount: Int { sessions.count }

    /// What is to be done since the last time, in order.
    package func takeEffects() -> [Effect] {
        if effects.isEmpty { return [] }
        var taken: [Effect] = []
        swap(&taken, &effects)
        return taken
    }

    /// When `tick` has something to do: at once (an instant not later than any now) when the last
    /// turn's batch left work over; nil when nothing waits.
    package var nextWakeUp: Instant? {
        if hasWorkLeft { return Instant(nanoseconds: .min) }
        guard let group = due.first?.due else { return alarms.first }
        return alarms.first.map { min($0, group) } ?? group
    }

    private var hasWorkLeft: Bool {
        !failingHops.isEmpty || !draining.isEmpty || !recovering.isEmpty
    }

    // MARK: Mail comes in

    /// Takes up a message: fresh from intake, or from the spool at start or after a parting. Only
    /// pending recipients count; a message known already or without any is left alone.
    /// - Returns: true when it was taken up.
    @discardableResult
    package func add(
        _ message: QueuedMessage,
        standing: Standing = Standing(),
        route: (RecipientStatus) -> NextHop,
        at: Moment
    ) -> Bool {
        let pending = message.recipients.reduce(0) { $0 + ($1.state == .pending ? 1 : 0) }
        let isLarge = message.recipients.count > settings.recipientsPerTransaction
        guard pending > 0, let number = ledger.addMessage(message.id, isLarge: isLarge) else {
            return false
        }
        ledger.setStanding(
            number,
            share: standing.share,
            standing.isUrgent,
            stream: self.number(ofStream: standing.stream)
        )
        if let hold = message.hold {
            ledger.setHeld(number, true)
            holds[message.id] = hold
        }
        var rows: [AddRow] = []
        rows.reserveCapacity(pending)
        for (index, recipient) in message.recipients.enumerated()
        where recipient.state == .pending {
            rows.append(
                AddRow(
                    hop: intern(route(recipient)),
                    due: dueTime(recipient, at: at),
                    recipient: UInt32(index)
                )
            )
        }
        if rows.count > 1 { rows.sort(by: <) }
        var start = 0
        while start < rows.count {
            var end = start + 1
            while end < rows.count, rows[end].sharesGroup(with: rows[start]) { end += 1 }
            let first = message.recipients[Int(rows[start].recipient)]
            let group = ledger.addGroup(
                message: number,
                hop: rows[start].hop,
                recipients: rows[start..<end].map(\.recipient)
            )
            ledger.groups[group].wasTried = first.attempts > 0
            hops[rows[start].hop].groups += 1
            counts.add(end - start, to: .waiting)
            settle(group, due: rows[start].due, because: first.reason, at: at)
            start = end
        }
        return true
    }

    private struct AddRow {
        let hop: UInt32
        let due: Instant
        let recipient: UInt32

        static func < (a: AddRow, b: AddRow) -> Bool {
            (a.hop, a.due, a.recipient) < (b.hop, b.due, b.recipient)
        }
        func sharesGroup(with other: AddRow) -> Bool { hop == other.hop && due == other.due }
    }

    /// Stored retry times are wall times; from here on they run on the monotonic clock. A wall
    /// clock that stepped back can't push them out further than the longest wait; one that stepped
    /// forward makes them due.
    private func dueTime(_ recipient: RecipientStatus, at: Moment) -> Instant {
        // Whether its route is open now, it is asked again.
        if recipient.reason == .routeClosed { return at.instant }
        guard let next = recipient.nextAttempt, next > at.wall else { return at.instant }
        return at.instant + min(next - at.wall, settings.longestWait)
    }

    /// Puts a group where it belongs by its due time, or on hold.
    func settle(_ group: UInt32, due time: Instant, because: Reason, at: Moment) {
        ledger.groups[group].due = time.nanoseconds
        if let hold = hold(of: group) {
            move(group, to: .held, because: hold.reason, at: at)
        } else if time <= at.instant {
            comeDue(group, because: because, at: at)
        } else {
            wait(group, because: because, at: at)
        }
    }

    /// The hold on the group's message, if there is one.
    func hold(of group: UInt32) -> Hold? {
        let message = ledger.groups[group].message
        return ledger.messages[message].isHeld ? holds[ledger.messages[message].id] : nil
    }

    func wait(_ group: UInt32, because: Reason, at: Moment) {
        move(group, to: .waiting, because: because, at: at)
        due.insert(group, due: Instant(nanoseconds: ledger.groups[group].due))
    }

    /// The one place where a group changes its place.
    func move(_ group: UInt32, to place: PlaceCode, because: Reason, at: Moment) {
        let n = ledger.recipientCount(group)
        counts.add(-n, to: ledger.groups[group].place)
        counts.add(n, to: place)
        ledger.groups[group].place = place
        ledger.groups[group].reason = because
        ledger.groups[group].since = UInt32(clamping: at.instant.nanoseconds / 1_000_000_000)
    }

    // MARK: Time passes

    /// Does what is due, at most a turn's worth of each kind.
    /// - Returns: true when work is left over for the next turn.
    @discardableResult
    package func tick(at: Moment) -> Bool {
        ringAlarms(at)
        var budget = settings.turnGroups
        while budget > 0, let first = due.first, first.due <= at.instant {
            unwait(first.group)
            comeDue(first.group, because: .dueTimeReached, at: at)
            budget -= 1
        }
        drainFailingHops(at)
        drainSites(at)
        recoverSites(at)
        return hasWorkLeft || due.first.map { $0.due <= at.instant } ?? false
    }

    private func ringAlarms(_ at: Moment) {
        while let subject = alarms.popDue(at.instant) {
            switch subject {
            case .hop(let hop):
                if case .resolving(let until) = hops[hop].state, until <= at.instant {
                    failHop(hop, Self.lookupOverdue, at: at)
                }
            case .site(let site): siteAlarm(site, at: at)
            case .stream(let stream): streamAlarm(stream, at: at)
            }
        }
    }

    private static let lookupOverdue = Failure(
        scope: .site,
        isPermanent: false,
        reason: .nameServerTimeout,
        step: .resolve,
        status: EnhancedStatus(4, 4, 3)
    )

    /// Takes a group out of the due heap, out of its stream's line, and out of its next hop's stalled
    /// ones.
    func unwait(_ group: UInt32) {
        due.remove(group)
        leaveStream(group)
        guard ledger.groups[group].isStalled else { return }
        ledger.groups[group].isStalled = false
        let hop = ledger.groups[group].hop
        laneLinks.remove(group, from: &hops[hop].stalled)
        if hops[hop].stalled.isEmpty { unlistStalled(hop) }
    }
}
