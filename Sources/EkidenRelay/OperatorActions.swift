// What an operator changes: durable first, then in the scheduler, then answered. A recipient in
// flight is waited for a little. Then a deletion is refused for that message and nothing of it is
// done; a hold has been made, and what still flies is told.

import EkidenControl
import EkidenMail
import EkidenRuntime
import EkidenScheduler
import EkidenSpool

extension Relay {
    /// How long a change waits for recipients in flight.
    private static let inFlightPatience = Duration.seconds(5)

    func act(
        _ action: QueueAction,
        on selection: Selection,
        for peer: ControlPeer
    )
        async throws(ControlProblem) -> ControlPage
    {
        let opened = try await openRoute(action, selection, peer.uid)
        let targets = await targets(of: selection, for: action)
        if targets.isEmpty, opened == nil {
            throw ControlProblem(.notFound, "no message in the queue matches")
        }
        var outcomes: [any ControlRow] = []
        var changed: [QueueID] = []
        for target in targets {
            if let problem = await apply(action, to: target, peer.uid) {
                outcomes.append(OutcomeRow(id: target.id, problem: problem))
            } else {
                changed.append(target.id)
            }
        }
        // All are held before any is waited for, and they are waited for together: else the first
        // slow delivery would keep the others going.
        let until = house.owner.now() + Self.inFlightPatience
        var done = 0
        for id in changed {
            if action == .hold, let problem = await whatFlies(id, until: until) {
                outcomes.append(OutcomeRow(id: id, problem: problem))
            } else {
                done += 1
            }
        }
        var words = opened.map { [$0] } ?? []
        if action == .retry {
            for (obstacle, count) in await obstacles(of: changed) {
                done -= count
                words.append(obstacle.words(count))
            }
        }
        let end = ControlEnd(
            count: done,
            failed: outcomes.count,
            text: words.joined(separator: "; ")
        )
        return ControlPage(rows: outcomes, rest: .end(end))
    }

    /// A retry of a route on demand opens it; the sentence about it.
    private func openRoute(
        _ action: QueueAction,
        _ selection: Selection,
        _ uid: UInt32
    ) async throws(ControlProblem) -> String? {
        guard case .route(let name) = selection else { return nil }
        guard let route = house.settings.routes.route(named: name) else {
            throw ControlProblem(
                .notFound,
                "no route is called \(name)",
                hint: "the configuration's [[route]] sections name them"
            )
        }
        guard action == .retry, let until = await dispatch.open(route, by: uid) else { return nil }
        return "route \(name) is open until \(until.timestamp)"
    }

    /// Why a message that was to be tried is not.
    private enum Obstacle: CaseIterable {
        case held, suspended, closed, paced

        func words(_ count: Int) -> String {
            let what =
                switch self {
                case .held: (" is held", " are held", "ekiden queue release")
                case .suspended:
                    (" waits for a suspended site", " wait for suspended sites", "ekiden resume")
                case .closed:
                    (
                        " waits for a closed route", " wait for closed routes",
                        "ekiden queue retry --route"
                    )
                case .paced:
                    (" has its stream's rate", " have their streams' rates", "no way around it")
                }
            return "\(count)\(count == 1 ? what.0 : what.1) (\(what.2))"
        }
    }

    /// Of messages nothing of which is tried, how many there are for each reason.
    private func obstacles(of ids: [QueueID]) async -> [(Obstacle, Int)] {
        var counts: [Obstacle: Int] = [:]
        for start in stride(from: 0, to: ids.count, by: 500) {
            let page = ids[start..<min(start + 500, ids.count)]
            let found = await dispatch.ask { core in page.compactMap { self.obstacle(of: $0, core) }
            }
            for obstacle in found { counts[obstacle, default: 0] += 1 }
        }
        return Obstacle.allCases.compactMap { obstacle in counts[obstacle].map { (obstacle, $0) } }
    }

    private func obstacle(of id: QueueID, _ core: Dispatch.Core) -> Obstacle? {
        var first: Obstacle?
        for row in core.scheduler.rows(of: id, at: dispatch.moment) {
            let obstacle: Obstacle
            if row.place.isHeld {
                obstacle = .held
            } else if row.because == .streamPaced {
                obstacle = .paced
            } else if dispatch.closure(of: row.nextHop, core) != nil {
                obstacle = .closed
            } else if core.scheduler.isSuspended(row.nextHop) {
                obstacle = .suspended
            } else {
                return nil
            }
            first = first ?? obstacle
        }
        return first
    }

    /// A message, and which of its recipients are meant; nil: all.
    private struct Target: Sendable {
        let id: QueueID
        var recipients: [Int]?
    }

    private func targets(of selection: Selection, for action: QueueAction) async -> [Target] {
        if case .ids(let ids) = selection { return ids.map { Target(id: $0) } }
        var found: [Target] = []
        var position = QueueID(number: 0)
        while true {
            let after = position
            let page = await dispatch.ask {
                core -> [(QueuedMessage, [EkidenScheduler.RecipientRow])] in
                self.house.spool.messages(after: after, limit: 500).map {
                    ($0, core.scheduler.rows(of: $0.id, at: self.dispatch.moment))
                }
            }
            for (message, rows) in page {
                position = message.id
                let isHeld = message.hold != nil || rows.contains { $0.place.isHeld }
                if action == .release, !isHeld { continue }
                if let target = Self.target(message, rows, selection) { found.append(target) }
            }
            if page.count < 500 { return found }
        }
    }

    private static func target(
        _ message: QueuedMessage,
        _ rows: [EkidenScheduler.RecipientRow],
        _ selection: Selection
    ) -> Target? {
        switch selection {
        case .ids: return nil
        case .all: return Target(id: message.id)
        case .from(let sender):
            let isHis = message.sender.text.asciiLowercased == sender.asciiLowercased
            return isHis ? Target(id: message.id) : nil
        case .toDomain(let domain):
            let wanted = Domain(domain)
            let those = message.recipients.indices.filter {
                message.recipients[$0].state == .pending
                    && message.recipients[$0].address.domain == wanted
            }
            return those.isEmpty ? nil : Target(id: message.id, recipients: those)
        case .route(let name):
            let those = rows.filter { $0.nextHop.route == name }
            return those.isEmpty
                ? nil : Target(id: message.id, recipients: those.map(\.recipient))
        case .site(let site):
            let those = rows.filter { $0.site?.text == site || $0.nextHop.text == site }
            return those.isEmpty
                ? nil : Target(id: message.id, recipients: those.map(\.recipient))
        }
    }

    /// nil when it was done.
    private func apply(
        _ action: QueueAction,
        to target: Target,
        _ uid: UInt32
    ) async
        -> ControlProblem?
    {
        switch action {
        case .retry:
            let result = await dispatch.ask {
                $0.scheduler.retry(target.id, by: uid, at: self.dispatch.moment)
            }
            return problem(result, target.id)
        case .hold:
            return await hold(target.id, uid)
        case .release:
            // What is not held has nothing to be released from, and no record to write.
            guard await isHeld(target.id) else { return nil }
            do throws(OperatorRefusal) {
                try await house.spool.release(target.id, uid: uid)
            } catch {
                return problem(error, target.id)
            }
            let result = await dispatch.ask { core in
                // First, so that a route that holds does not get it back.
                self.dispatch.reroute(target.id, core)
                return core.scheduler.release(target.id, by: uid, at: self.dispatch.moment)
            }
            return problem(result, target.id)
        case .delete:
            return await delete(target, uid)
        }
    }

    /// Also of a message that is not there: what is said of that is said elsewhere.
    private func isHeld(_ id: QueueID) async -> Bool {
        await dispatch.ask { core in
            guard let message = self.house.spool.message(id) else { return true }
            // One that the disk did not take is a hold all the same, until the next start.
            return message.hold != nil
                || core.scheduler.rows(of: id, at: self.dispatch.moment).contains {
                    $0.place.isHeld
                }
        }
    }

    private func hold(_ id: QueueID, _ uid: UInt32) async -> ControlProblem? {
        do throws(OperatorRefusal) {
            try await house.spool.hold(id, uid: uid)
        } catch {
            return problem(error, id)
        }
        let hold = Hold(reason: .operatorHold, uid: uid, since: house.owner.wallNow())
        let result = await dispatch.ask {
            $0.scheduler.hold(id, hold, at: self.dispatch.moment)
        }
        return problem(result, id)
    }

    /// A hold stops nothing that is under way, so it is done when that is over. What is still being
    /// delivered after a while, or was delivered meanwhile, is told.
    private func whatFlies(_ id: QueueID, until end: Instant) async -> ControlProblem? {
        while true {
            let (flying, isQueued) = await dispatch.ask {
                ($0.scheduler.inFlight(id), self.house.spool.message(id) != nil)
            }
            if !isQueued { return Self.noMessage(id) }
            if flying == 0 { return nil }
            if house.owner.now() >= end {
                return ControlProblem(
                    .inFlight,
                    "\(id.text) is held, but \(flying) of its recipients are being delivered at "
                        + "this moment",
                    hint: "what is not delivered now stays: ekiden queue show \(id.text)"
                )
            }
            await house.owner.sleep(for: .milliseconds(50))
        }
    }

    /// First out of the scheduler, so that nothing is sent that was deleted; then for good.
    private func delete(_ target: Target, _ uid: UInt32) async -> ControlProblem? {
        let end = house.owner.now() + Self.inFlightPatience
        while true {
            let result = await dispatch.ask {
                $0.scheduler.remove(target.id, by: uid, at: self.dispatch.moment)
            }
            if case .inFlight = result, house.owner.now() < end {
                await house.owner.sleep(for: .milliseconds(50))
                continue
            }
            if let problem = problem(result, target.id) { return problem }
            break
        }
        do throws(OperatorRefusal) {
            try await house.spool.remove(target.id, recipients: target.recipients, uid: uid)
        } catch {
            await takeUpAgain(target.id)
            return problem(error, target.id)
        }
        // With only some of its recipients deleted the message goes on for the others.
        if target.recipients != nil { await takeUpAgain(target.id) }
        return nil
    }

    private func takeUpAgain(_ id: QueueID) async {
        await dispatch.ask { core in
            if let message = self.house.spool.message(id) { self.dispatch.add(message, core) }
        }
    }

    // MARK: Problems in words

    private func problem(_ result: OperatorResult, _ id: QueueID) -> ControlProblem? {
        switch result {
        case .done: nil
        case .unknown: Self.noMessage(id)
        case .inFlight(let count):
            ControlProblem(
                .inFlight,
                "\(count) recipients of \(id.text) are being delivered at this moment",
                hint: "ask again in a few seconds"
            )
        }
    }

    private func problem(_ refusal: OperatorRefusal, _ id: QueueID) -> ControlProblem {
        switch refusal {
        case .notFound: Self.noMessage(id)
        case .unavailable(let text):
            ControlProblem(.unavailable, "it could not be made durable: \(text)")
        }
    }
}
