// The one owner of the scheduler. It lives on loop 0; whoever needs a decision leaves a letter
// (`ask`), and the letters of a turn are answered together. What the scheduler wants done is done
// here: names looked up, sessions started and woken, failures without a connection judged.

import EkidenConfiguration
import EkidenDelivery
import EkidenMail
import EkidenOutcome
import EkidenResolver
import EkidenRuntime
import EkidenScheduler
import EkidenSpool
import Synchronization

final class Dispatch: Sendable {
    let house: House
    let loop: Loop
    private let core: LoopBound<Core>
    private let crew: SessionCrew
    private let brokenTLS = BrokenTLS()

    /// Made on loop 0, where it stays.
    init(house: House, settings: SchedulerSettings) {
        self.house = house
        loop = house.owner
        crew = SessionCrew(loops: house.loops)
        core = LoopBound(
            Core(
                scheduler: Scheduler(settings: settings, random: house.random),
                alarm: house.owner.makeHandle()
            ),
            on: house.owner
        )
    }

    /// What only loop 0 touches.
    final class Core {
        let scheduler: Scheduler
        /// Wakes the clockwork when something falls due.
        let alarm: Handle
        var desks: [SessionID: SessionDesk] = [:]
        var nextLoop = 0
        var pumpIsScheduled = false
        var isStopped = false
        /// Messages of which something flew when their routes were looked at.
        var lookAgain: Set<QueueID> = []
        var demand = Demand()
        /// Sites that are stopped for a fault that is ours to mend, as was told.
        var broken: Set<SiteID> = []

        init(scheduler: Scheduler, alarm: Handle) {
            self.scheduler = scheduler
            self.alarm = alarm
        }
    }

    var moment: Moment { Moment(loop.backend) }

    // MARK: Letters

    /// Runs `body` on loop 0 and does what it makes necessary; returns its result on the caller's
    /// loop.
    func ask<T: Sendable>(_ body: @escaping @Sendable (Core) -> T) async -> T {
        await withUnsafeContinuation { continuation in
            tell { continuation.resume(returning: body($0)) }
        }
    }

    /// The same without an answer; in the order told.
    func tell(_ body: @escaping @Sendable (Core) -> Void) {
        loop.call {
            let core = self.core.value
            body(core)
            self.schedulePump(core)
        }
    }

    // MARK: Mail comes in

    /// A message is durable. Called on loop 0 by the spool, before its client is answered.
    func accepted(_ message: QueuedMessage) {
        let core = core.value
        add(message, core)
        schedulePump(core)
    }

    /// Hands a message of the spool to the scheduler.
    func add(_ message: QueuedMessage, _ core: Core) {
        let settings = house.settings
        let routes = settings.routes.routes(of: message)
        core.scheduler.add(
            message,
            standing: settings.streams.standing(of: message),
            route: { routes.nextHop(of: $0) },
            at: moment
        )
    }

    /// Everything the spool holds at start, in order of arrival.
    func takeUpQueue() async {
        let core = core.value
        core.scheduler.reserve(messages: house.spool.statistics.messages)
        var position = QueueID(number: 0)
        while true {
            let page = house.spool.messages(after: position, limit: 1000)
            for message in page { add(message, core) }
            guard let last = page.last else { break }
            position = last.id
        }
        schedulePump(core)
    }

    /// A route with other hosts now does not inherit the back-off of the old ones.
    func forgive(routesChangedFrom old: RouteTable, to new: RouteTable) async {
        let changed = new.all.filter { route in
            old.route(named: route.name).map { $0.hosts != route.hosts } ?? false
        }
        await ask { core in
            for route in changed {
                _ = core.scheduler.resume(SiteID("route:" + route.name), at: self.moment)
            }
        }
    }

    /// Routes or streams changed: mail queued yesterday goes by them, too.
    func rerouteQueue() async {
        await forEachQueued { message, core in
            let standing = self.house.settings.streams.standing(of: message)
            core.scheduler.restand(message.id, as: standing, at: self.moment)
            self.reroute(message, core)
        }
    }

    /// Every message of the spool, a page at a time, so that mail goes on meanwhile.
    func forEachQueued(_ body: @escaping @Sendable (QueuedMessage, Core) -> Void) async {
        var position = QueueID(number: 0)
        while true {
            let after = position
            let last = await ask { core -> QueueID? in
                let page = self.house.spool.messages(after: after, limit: 500)
                for message in page { body(message, core) }
                return page.last?.id
            }
            guard let last else { return }
            position = last
        }
    }

    /// Nothing is sent whose outcome can't be recorded (rule 8). Called on loop 0.
    func spoolChanged(isWell: Bool) {
        let core = core.value
        if core.scheduler.pause == .stopping { return }
        core.scheduler.setPause(isWell ? nil : .spoolUnavailable, at: moment)
        schedulePump(core)
    }

    // MARK: Clockwork

    /// Keeps time for the scheduler until `stop`.
    func start() {
        loop.spawn {
            let core = self.core.value
            while !core.isStopped {
                let wake = await self.loop.wait(core.alarm, for: .signalled)
                if wake == .cancelled { break }
                self.loop.clear(.signalled, of: core.alarm)
                self.loop.setDeadline(core.alarm, .distantFuture)
                _ = core.scheduler.tick(at: self.moment)
                self.pump(core)
                // A turn's bound of work is done; others have theirs before it goes on.
                await Task.yield()
            }
            self.loop.releaseHandle(core.alarm)
        }
    }

    private func schedulePump(_ core: Core) {
        if core.pumpIsScheduled { return }
        core.pumpIsScheduled = true
        loop.atEndOfTurn {
            let core = self.core.value
            core.pumpIsScheduled = false
            self.pump(core)
        }
    }

    private func pump(_ core: Core) {
        for effect in core.scheduler.takeEffects() { perform(effect, core) }
        guard !core.isStopped else { return }
        loop.setDeadline(core.alarm, core.scheduler.nextWakeUp ?? .distantFuture)
        if core.scheduler.nextWakeUp.map({ $0 <= loop.turnTime }) == true {
            loop.signal(core.alarm)
        }
    }

    private func perform(_ effect: Effect, _ core: Core) {
        switch effect {
        case .resolve(let hop):
            resolve(hop)
        case .startSession(let id, let site):
            startSession(id, site, core)
        case .wakeSession(let id), .endSession(let id):
            core.desks[id]?.wake()
        case .failed(let job, let failure):
            judgeUnsent(job, failure)
        case .event(let event):
            house.log(event)
            if case .site(let moved) = event { tellOfRepair(moved, core) }
        }
    }

    /// One alert when a site stops because of something that is ours to mend, and one word when it is.
    private func tellOfRepair(_ moved: Event.SiteMoved, _ core: Core) {
        if moved.reason.isOursToMend, core.broken.insert(moved.site).inserted {
            house.notice(
                .error,
                "delivery",
                "\(moved.site.text) is stopped\(circumstances(of: moved.site)): "
                    + "\(moved.reason.sentence) (\(moved.words)); one message at a time asks again, and all goes on by itself "
                    + "when that is mended"
            )
        } else if moved.reason == .siteRecovered, core.broken.remove(moved.site) != nil {
            house.notice(.info, "delivery", "\(moved.site.text) takes our mail again")
        }
    }

    /// Who we are there, and where its mail is meanwhile.
    private func circumstances(of site: SiteID) -> String {
        let prefix = "route:"
        guard site.text.hasPrefix(prefix),
            let route = house.settings.routes.route(
                named: String(site.text.dropFirst(prefix.count))
            )
        else { return ", its mail waits" }
        let login = route.login.map { " with login \"\($0)\"" } ?? ""
        return login
            + (route.fallback.map { ", its mail goes by route \($0)" } ?? ", its mail waits")
    }

    private func resolve(_ hop: NextHop) {
        if let ending = house.settings.ending(of: hop) {
            tell { $0.scheduler.resolved(hop, .failure(ending), at: self.moment) }
            return
        }
        if closure(of: hop, core.value) != nil {
            tell { core in
                // It may have opened in this turn.
                guard let closure = self.closure(of: hop, core) else { return self.resolve(hop) }
                core.scheduler.resolved(hop, .failure(closure), at: self.moment)
            }
            return
        }
        let patience = house.settings.scheduler.resolveDeadline
        loop.spawn {
            let resolution = await self.house.resolver.resolve(
                hop,
                on: self.loop,
                until: self.loop.now() + patience
            )
            let result = self.underPolicy(resolution, of: hop)
            self.tell { core in
                let open = self.whileOpen(result, of: hop, core)
                core.scheduler.resolved(hop, open, at: self.moment)
            }
        }
    }

    /// The site as the operator's rules have it. Domains with a TLS policy of their own share no
    /// connections with others; a route is one site.
    private func underPolicy(_ resolution: Resolution, of hop: NextHop) -> Resolution {
        guard case .site(var site, let validUntil) = resolution else { return resolution }
        site = house.settings.siteRules.apply(to: site, of: hop)
        switch hop {
        case .domain, .routed:
            if let policy = house.settings.outboundTLS.policy(of: hop) { site = site.under(policy) }
        case .route: break
        }
        if case .routed(_, let route) = hop { site = site.of(route: route) }
        return .site(site, validUntil: validUntil)
    }

    // MARK: Sessions

    private func startSession(_ id: SessionID, _ site: Site, _ core: Core) {
        let sessionLoop = house.loops[core.nextLoop % house.loops.count]
        core.nextLoop += 1
        let desk = SessionDesk(id: id, loop: sessionLoop, dispatch: self)
        core.desks[id] = desk
        sessionLoop.spawn {
            desk.open()
            var session = DeliverySession(
                loop: sessionLoop,
                door: desk,
                settings: self.house.settings.delivery,
                random: self.house.random,
                crew: self.crew,
                brokenTLS: self.brokenTLS
            )
            await session.run()
            _ = consume session
            desk.close()
            self.tell { core in
                core.desks[id] = nil
                core.scheduler.sessionEnded(id, at: self.moment)
            }
        }
    }

    /// What a session is to do next: its job with addresses and all, nothing yet, or end.
    func turn(of id: SessionID) async -> SessionTurn {
        await ask { core in
            while true {
                switch core.scheduler.nextJob(for: id, at: self.moment) {
                case .idle: return .idle
                case .end: return .end
                case .job(let job):
                    if let queued = self.house.spool.message(job.message),
                        let delivery = job.deliveryJob(of: queued)
                    {
                        return .job(
                            JobFacts(
                                id: job.id,
                                statuses: queued.recipients,
                                spans: self.spans(of: job, queued)
                            ),
                            Assignment(
                                job: delivery,
                                avoid: job.avoid,
                                isHurried: job.isHurried
                            )
                        )
                    }
                    // The spool has finished it; the scheduler forgets it, too.
                    core.scheduler.finished(
                        id,
                        job.id,
                        JobEnd(
                            dispositions: job.recipients.map { _ in .done },
                            health: .unknown
                        ),
                        at: self.moment
                    )
                }
            }
        }
    }

    // MARK: Failures without a connection

    private func judgeUnsent(_ job: Job, _ failure: Failure) {
        guard let queued = house.spool.message(job.message),
            let delivery = job.deliveryJob(of: queued)
        else {
            let dispositions = job.recipients.map { _ in Disposition.done }
            tell { $0.scheduler.settled(job.id, dispositions, at: self.moment) }
            return
        }
        let spans = spans(of: job, queued)
        loop.spawn {
            let report = AttemptReport(
                results: delivery.recipients.map { _ in .failed(failure) },
                host: failure.host
            )
            let conclusion = await self.house.conclude(
                delivery,
                report,
                queued.recipients,
                spans: spans
            )
            self.tell { core in
                if let hold = conclusion.hold { self.hold(job.message, hold, core) }
                var dispositions = conclusion.dispositions
                if failure.reason == .routeClosed, self.closure(of: job.nextHop, core) == nil {
                    // It opened while this was written down.
                    dispositions = dispositions.map {
                        $0 == .done ? .done : .retry(after: .zero, because: .routeOpened)
                    }
                }
                core.scheduler.settled(job.id, dispositions, at: self.moment)
                let isDone = conclusion.dispositions.allSatisfy { $0 == .done }
                self.followRoutes(job.message, ended: isDone, core)
            }
        }
    }

    /// Keeps a message from being tried that waits for a person.
    func hold(_ id: QueueID, _ reason: Reason, _ core: Core) {
        let hold = Hold(reason: reason, uid: nil, since: moment.wall)
        _ = core.scheduler.hold(id, hold, at: moment)
    }

    // MARK: Stopping

    /// Sends nothing new; ends when every session has ended, or at `deadline`.
    func stop(until deadline: Instant) async {
        await ask { $0.scheduler.setPause(.stopping, at: self.moment) }
        crew.stopSending()
        house.logins.stop()
        while loop.now() < deadline {
            if await ask({ $0.scheduler.sessionCount }) == 0 { break }
            await loop.sleep(for: .milliseconds(20))
        }
        crew.stopWaiting()
        await ask { core in
            core.isStopped = true
            self.loop.cancel(core.alarm)
        }
    }
}

/// The scheduler's answer, made ready for a session.
enum SessionTurn: Sendable {
    case job(JobFacts, Assignment)
    case idle
    case end
}

/// What the judge will want to know of a job, as it was when the job began.
struct JobFacts: Sendable {
    let id: JobID
    let statuses: [RecipientStatus]
    /// As `Judgement` has them.
    let spans: [Int: RouteSpan]
}
