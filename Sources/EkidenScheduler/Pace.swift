// How many messages a site's rule lets go in a time: a token bucket, kept as the one moment at which
// it would be full again (GCRA, as in ITU-T I.371 annex A). A value without a clock.

import EkidenMail

/// Messages in a time, and how many of them may go at once after a rest.
package struct PaceSettings: Sendable, Equatable {
    /// Between two messages.
    package var interval: Duration
    package var burst: Int

    package init(interval: Duration, burst: Int) {
        // Whole nanoseconds, rounded up: fractions would add up, and `next` be a little too early.
        let whole = interval.wholeNanoseconds
        self.interval = .nanoseconds(max(interval > .nanoseconds(whole) ? whole + 1 : whole, 1))
        self.burst = max(burst, 1)
    }
}

struct Pace {
    /// All of the burst may go from then on.
    private var full = Instant(nanoseconds: .min)
    /// The site that had the last one, and lets others of its rule go first.
    private(set) var lastSite = none

    /// How many may go now.
    func available(_ settings: PaceSettings, at now: Instant) -> Int {
        if full <= now { return settings.burst }
        let missing = (full - now).wholeNanoseconds
        let each = settings.interval.wholeNanoseconds
        return max(settings.burst - Int((missing + each - 1) / each), 0)
    }

    /// When the next one may go; not later than `now` when one may go at once.
    func next(_ settings: PaceSettings) -> Instant {
        if full == Instant(nanoseconds: .min) { return full }
        return full + settings.interval * (1 - settings.burst)
    }

    /// Under other settings nobody waits for longer than they have anybody wait.
    mutating func adopt(_ settings: PaceSettings, at now: Instant) {
        full = min(full, now + settings.interval * settings.burst)
    }

    mutating func take(_ settings: PaceSettings, for site: UInt32 = none, at now: Instant) {
        lastSite = site
        take(settings, 1, at: now)
    }

    /// What was taken and not used.
    mutating func giveBack(_ settings: PaceSettings, _ count: Int) {
        if full == Instant(nanoseconds: .min) { return }
        full = full + settings.interval * -count
    }

    /// Several at once, be they more than there are.
    mutating func take(_ settings: PaceSettings, _ count: Int, at now: Instant) {
        full = max(full, now) + settings.interval * count
    }
}

extension Scheduler {
    /// How many jobs a site may begin now, beside those its called sessions will ask for: what is
    /// ready, as far as its pace allows. Without leave its alarm is set to when there is.
    func room(_ site: UInt32, at: Moment) -> Int {
        let waiting = sites[site].ready - sites[site].called
        guard waiting > 0, let rule = sites[site].site.rule,
            let pace = settings.limits(of: rule).pace
        else { return waiting }
        let left = paces[rule, default: Pace()].available(pace, at: at.instant)
        let room = min(waiting, left - sites[site].called)
        if left == 0, sites[site].called == 0 { waitForPace(site, rule, pace, at: at) }
        return room
    }

    /// Whether a session may have a job now; if not, its site's alarm is set to when it may.
    func mayGo(_ site: UInt32, at: Moment) -> Bool {
        guard let rule = sites[site].site.rule, let pace = settings.limits(of: rule).pace,
            paces[rule, default: Pace()].available(pace, at: at.instant) == 0
        else { return true }
        if sites[site].ready > 0 { waitForPace(site, rule, pace, at: at) }
        return false
    }

    /// A job of the site begins.
    func spendPace(_ site: UInt32, at: Moment) {
        guard let rule = sites[site].site.rule, let pace = settings.limits(of: rule).pace else {
            return
        }
        paces[rule, default: Pace()].take(pace, for: site, at: at.instant)
    }

    private func waitForPace(
        _ site: UInt32,
        _ rule: String,
        _ pace: PaceSettings,
        at: Moment
    ) {
        let state = paces[rule, default: Pace()]
        let time =
            max(state.next(pace), at.instant + .nanoseconds(1))
            + .nanoseconds(state.lastSite == site ? 1 : 0)
        if let known = sites[site].paceAlarm, known <= time { return }
        sites[site].paceAlarm = time
        alarms.insert(.site(site), at: time)
    }

    /// The operator's rules changed: what was spent is kept as far as the new rates have it.
    func pacesChanged(at: Moment) {
        for rule in paces.keys.sorted() {
            if let pace = settings.rules[rule]?.pace {
                paces[rule]?.adopt(pace, at: at.instant)
            } else {
                paces[rule] = nil
            }
        }
        for site in 0..<UInt32(sites.items.count) where sites[site].serial != 0 {
            sites[site].paceAlarm = nil
            if sites[site].ready > 0 { serve(site, at: at) }
        }
    }

    /// Ready mail waits for nothing but its rule's pace.
    func isPaced(_ site: UInt32) -> Bool { sites[site].paceAlarm != nil }
}
