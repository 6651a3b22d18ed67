// Where mail goes that is in the queue already: after a reload, a release, an attempt in vain.

import EkidenConfiguration
import EkidenMail
import EkidenScheduler
import EkidenSpool

extension Dispatch {
    /// Recipients that would go elsewhere now do, but for those in flight, who are looked at again when
    /// they are back.
    /// - Parameter isAtOnce: they are due now, whatever they waited for.
    func reroute(_ message: QueuedMessage, isAtOnce: Bool = false, _ core: Core) {
        let routes = house.settings.routes.routes(of: message)
        let someFly = core.scheduler.reroute(message.id, at: moment) { index, hop in
            guard message.recipients.indices.contains(index) else { return nil }
            let next = routes.nextHop(of: message.recipients[index])
            return next == hop ? nil : NewHop(next, isAtOnce: isAtOnce)
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
        reroute(message, isAtOnce: !isChanged, core)
    }

    /// After how many attempts a fallback has this job's mail; nil: none has.
    func lastAttempt(of job: Job, _ message: QueuedMessage) -> Int? {
        let routes = house.settings.routes
        guard routes.hasFallbacks, let first = job.recipients.first,
            message.recipients.indices.contains(first)
        else { return nil }
        let status = message.recipients[first]
        let step = routes.routes(of: message).step(of: status.address, attempts: status.attempts)
        // Routes that changed meanwhile say nothing of this attempt.
        return step?.route.name == job.nextHop.route ? step?.lastAttempt : nil
    }
}
