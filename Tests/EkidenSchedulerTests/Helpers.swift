import EkidenMail
import EkidenRuntime
import Synchronization

@testable import EkidenScheduler

/// SplitMix64: small, seeded, the same everywhere.
final class TestRandom: RandomSource {
    private let state: Mutex<UInt64>

    init(_ seed: UInt64) { state = Mutex(seed) }

    func next() -> UInt64 {
        state.withLock { state in
            state &+= 0x9e37_79b9_7f4a_7c15
            var z = state
            z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
            z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
            return z ^ (z >> 31)
        }
    }

    func below(_ n: Int) -> Int { Int(below(UInt64(n))) }
}

let failure = Failure(
    scope: .host,
    isPermanent: false,
    reason: .connectionRefused,
    step: .connect,
    status: EnhancedStatus(4, 4, 1)
)

func site(_ name: String) -> Site {
    Site(exchanges: [Exchange(preference: 10, name: "mx.\(name)")])
}

func hop(_ name: String) -> NextHop { .domain(Domain(name)) }

func byDomain(_ recipient: RecipientStatus) -> NextHop { .domain(recipient.address.domain) }

func message(
    _ number: UInt64,
    to domains: [String],
    attempts: Int = 0,
    nextAttempt: WallTime? = nil,
    hold: Hold? = nil
) -> QueuedMessage {
    QueuedMessage(
        id: QueueID(number: number),
        sender: .address(mailbox("sender@example.org")),
        recipients: domains.enumerated().map { index, domain in
            RecipientStatus(
                address: Address(localPart: "r\(index)", domain: Domain(domain)),
                attempts: attempts,
                nextAttempt: nextAttempt
            )
        },
        byteCount: 1000,
        arrived: WallTime(seconds: 1_000_000),
        hold: hold
    )
}

/// A scheduler with a hand-driven clock and everything its effects asked for.
final class Desk {
    let scheduler: Scheduler
    var now = Moment(
        instant: Instant(nanoseconds: 5_000_000_000),
        wall: WallTime(seconds: 1_000_000)
    )
    var asked: [NextHop] = []
    var started: [(id: SessionID, site: Site)] = []
    var woken: [SessionID] = []
    var ended: [SessionID] = []
    var failed: [(job: Job, failure: Failure)] = []
    var events: [Event] = []

    init(_ change: (inout SchedulerSettings) -> Void = { _ in }) {
        var settings = SchedulerSettings()
        settings.backOffJitter = 0
        change(&settings)
        scheduler = Scheduler(settings: settings, random: TestRandom(7))
    }

    func pass(_ duration: Duration) {
        now = Moment(instant: now.instant + duration, wall: now.wall + duration)
    }

    /// Ticks until nothing is left over, then collects effects.
    func turn() {
        while scheduler.tick(at: now) {}
        collect()
    }

    func collect() {
        for effect in scheduler.takeEffects() {
            switch effect {
            case .resolve(let hop): asked.append(hop)
            case .startSession(let id, let site): started.append((id, site))
            case .wakeSession(let id): woken.append(id)
            case .endSession(let id): ended.append(id)
            case .failed(let job, let failure): failed.append((job, failure))
            case .event(let event): events.append(event)
            }
        }
    }

    func add(_ message: QueuedMessage) {
        scheduler.add(message, route: byDomain, at: now)
        collect()
    }

    /// Answers every open question with a site of the domain's own name.
    func resolveAll(validFor: Duration = .seconds(3600)) {
        while !asked.isEmpty {
            let hop = asked.removeFirst()
            scheduler.resolved(
                hop,
                .site(site(hop.text), validUntil: now.instant + validFor),
                at: now
            )
            collect()
        }
    }

    func next(_ id: SessionID) -> Turn {
        let turn = scheduler.nextJob(for: id, at: now)
        collect()
        return turn
    }

    func job(_ id: SessionID) -> Job? {
        if case .job(let job) = next(id) { job } else { nil }
    }

    func finish(
        _ id: SessionID,
        _ job: Job,
        _ disposition: Disposition = .done,
        _ health: SiteHealth = .alive
    ) {
        let end = JobEnd(
            dispositions: job.recipients.map { _ in disposition },
            health: health
        )
        scheduler.finished(id, job.id, end, at: now)
        collect()
    }

    func rows(_ number: UInt64) -> [RecipientRow] {
        scheduler.rows(of: QueueID(number: number), at: now)
    }

    var siteWords: [String] {
        events.compactMap { if case .site(let s) = $0 { s.state } else { nil } }
    }
}

extension Scheduler {
    /// Everything that must hold between two calls; nil when it does.
    func brokenInvariant() -> String? {
        var ready: [UInt32: Int] = [:]
        var counted = PlaceCounts()
        var perHop: [UInt32: Int] = [:]
        var queued: [UInt32: Int] = [:]
        var lines: Set<ShareKey> = []
        var paced = 0
        for (number, group) in ledger.groups.items.enumerated() where group.place != .vacant {
            let number = UInt32(number)
            counted.add(ledger.recipientCount(number), to: group.place)
            perHop[group.hop, default: 0] += 1
            if due.contains(number) != (group.place == .waiting && !group.isPaced) {
                return "a group is in the due heap exactly while it waits for its time"
            }
            if group.isPaced, group.place != .waiting || group.isStalled {
                return "only waiting groups wait for their stream's rate"
            }
            if group.isPaced { paced += 1 }
            if group.place == .queued {
                queued[group.hop, default: 0] += 1
                lines.insert(
                    ShareKey(
                        hop: group.hop,
                        lane: lane(of: number),
                        share: ledger.messages[group.message].share
                    )
                )
            }
            if group.place == .queued, let site = attachedSite(group.hop) {
                ready[site, default: 0] += 1
            }
            if group.isStalled, group.place != .waiting { return "only waiting groups are stalled" }
            let isFlying = flights.items.contains { !$0.isVacant && $0.groups.contains(number) }
            if isFlying != (group.place == .inFlight) { return "in flight means in one flight" }
        }
        let patient = sessions.items.count { !$0.isVacant && $0.patience == .granted }
        if patient != patientSessions { return "patient sessions add up" }
        if lines.count != shares.count { return "a share for each line with work" }
        if paced != streams.reduce(0, { $0 + Int($1.waiting.count) }) {
            return "paced groups add up"
        }
        if counted != counts { return "places add up: \(counted) \(counts)" }
        for (number, record) in hops.items.enumerated() where record.groups > 0 {
            if perHop[UInt32(number)] != record.groups { return "groups of a next hop add up" }
            if queued[UInt32(number), default: 0] != record.queued { return "queued groups add up" }
        }
        var called: [UInt32: Int] = [:]
        var all: [UInt32: Int] = [:]
        for record in sessions.items where !record.isVacant {
            all[record.site, default: 0] += 1
            if case .called = record.state { called[record.site, default: 0] += 1 }
        }
        var strangers = 0
        if sessions.count > settings.connectionsMax { return "more connections than allowed" }
        for number in 0..<UInt32(sites.items.count) where sites[number].serial != 0 {
            let record = sites[number]
            if record.ready != ready[number, default: 0] {
                return
                    "ready of \(record.site.id) is \(record.ready), not \(ready[number, default: 0])"
            }
            if record.sessions != all[number, default: 0] { return "sessions add up" }
            if !record.isAnswering { strangers += record.sessions }
            if record.called != called[number, default: 0] { return "called sessions add up" }
            if record.ready > record.called, record.isServing, pause == nil,
                record.sessions
                    < (record.isAnswering ? record.health.window : min(record.health.window, 1)),
                !record.isWanting
            {
                return "ready work at \(record.site.id) has nobody to fetch it"
            }
        }
        if strangers != strangerSessions { return "sessions of sites that don't answer add up" }
        return nil
    }
}

/// An address that is known to be well formed.
func mailbox(_ text: String) -> Address {
    guard let address = Address(text) else { preconditionFailure("\(text) is no address") }
    return address
}
