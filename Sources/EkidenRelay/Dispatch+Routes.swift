// Where mail goes that is in the queue already: after a reload, a release, an attempt in vain.

import EkidenConfiguration
import EkidenControl
import EkidenMail
import EkidenOutcome
import EkidenScheduler
import EkidenSpool

extension Dispatch {
    /// Recipients that would go elsewhere now do, but for those in flight, who are looked at again when
    /// they are back.
    /// - Parameter isFallback: since attempts on their route were in vain.
    func reroute(_ message: QueuedMessage, isFallback: Bool = false, _ core: Core) {
        let routes = house.settings.routes.routes(of: message)
        var fallback: String?
        let someFly = core.scheduler.reroute(message.id, at: moment) { index, hop in
            guard message.recipients.indices.contains(index) else { return nil }
            let next = routes.nextHop(of: message.recipients[index])
            if next == hop { return nil }
            if isFallback { fallback = next.route }
            return NewHop(next, isFallback: isFallback)
        }
        if let fallback {
            let moved = Event.Moved(
                id: message.id,
                state: PlaceWord.ready.rawValue,
                reason: .routeFallback,
                route: fallback
            )
            house.log(.moved(moved))
        }
        if someFly {
            core.lookAgain.insert(message.id)
        } else {
            core.lookAgain.remove(message.id)
        }
    }

    /// After a release: a route that holds does not count any more.
    func reroute(_ id: QueueID, _ core: Core) {
        if let message = house.spool.message(id) { reroute(message, core) }
    }

    /// After an attempt: a fallback has the mail now, or routes have changed meanwhile.
    /// - Parameter ended: all its recipients have their end, so that no fallback is due.
    func followRoutes(_ id: QueueID, ended: Bool, _ core: Core) {
        let mayFallBack = !ended && house.settings.routes.hasFallbacks
        guard mayFallBack || core.lookAgain.contains(id) else { return }
        guard let message = house.spool.message(id) else {
            core.lookAgain.remove(id)
            return
        }
        let isChanged = core.lookAgain.contains(id)
        reroute(message, isFallback: !isChanged, core)
    }

    /// Where recipients of a job are in the line of their routes and fallbacks, by envelope index. Those
    /// of one job may differ: one came to its route as a fallback, another goes by it from the first.
    func spans(of job: Job, _ message: QueuedMessage) -> [Int: RouteSpan] {
        guard house.settings.routes.hasFallbacks else { return [:] }
        let routes = house.settings.routes.routes(of: message)
        var spans: [Int: RouteSpan] = [:]
        for index in job.recipients where message.recipients.indices.contains(index) {
            let status = message.recipients[index]
            // Routes that changed meanwhile say nothing of this attempt.
            guard let step = routes.step(of: status.address, attempts: status.attempts),
                step.route.name == job.nextHop.route
            else { continue }
            spans[index] = RouteSpan(before: step.attemptsBefore, last: step.lastAttempt)
        }
        return spans
    }
}
