// The operator of a simulated world: asks and acts through the same control requests the command
// line sends, on messages that may or may not be there, in flight or held.

import EkidenControl
import EkidenMail
import EkidenRelay
import EkidenRuntime

extension Town {
    private static let root = ControlPeer(uid: 0, gid: 0, pid: 1)

    func operate(_ deed: TrialFault.QueueDeed) {
        let picked = deed.isAboutMessages ? pick() : []
        let site = "mx0.test"
        machine.with { [unowned self] relay in
            switch deed {
            case .hold:
                for id in picked { await act(.hold, id, relay) }
            case .delete:
                for id in picked.prefix(1) { await act(.delete, id, relay) }
            case .retry:
                for id in picked { await act(.retry, id, relay) }
            case .retryThenDelete:
                for id in picked {
                    await act(.retry, id, relay)
                    await act(.delete, id, relay)
                }
            case .release:
                for id in toBeReleased() { await act(.release, id, relay) }
            case .suspend: _ = try? await ask(.suspend(site: site, seconds: 600), relay)
            case .resume: _ = try? await ask(.resume(site: site), relay)
            case .reload: _ = try? await ask(.reload, relay)
            }
        }
    }

    /// Three messages, mostly such as are still in the queue.
    private func pick() -> [String] {
        let ids = ledger.copyOrder
        let open = ledger.open().map(\.id)
        return (0..<3).compactMap { index in
            let among = open.isEmpty || index == 2 ? ids : open
            return among.isEmpty ? nil : random.pick(among)
        }
    }

    func ask(_ request: ControlRequest, _ relay: Relay) async throws -> ControlPage {
        try await relay.page(of: request, after: nil, for: Self.root)
    }

    private func act(_ action: QueueAction, _ id: String, _ relay: Relay) async {
        guard let number = QueueID(id), let copy = ledger.copies[id] else { return }
        let places = copy.recipients.map { Place(id: id, recipient: $0) }
        // Whatever becomes of the request, from here on it may have happened.
        if action == .delete { ledger.perhapsRemoved.formUnion(places) }
        if action == .release {
            ledger.heldSince[id] = nil
            ledger.releaseAsked.insert(id)
        }
        if action == .hold { ledger.everHeld.insert(id) }
        let boot = machine.boot
        let done: Bool
        do {
            let page = try await ask(.act(action, .ids([number])), relay)
            if case .end(let end) = page.rest { done = end.count == 1 } else { done = false }
        } catch { done = false }
        trace.note("operator: \(action.rawValue) \(id) \(done ? "done" : "refused")")
        // A release asked for later may have been done before it.
        if action == .hold { ledger.everHeld.insert(id) }
        guard machine.boot == boot else { return }
        switch (action, done) {
        case (.hold, true): ledger.heldSince[id] = world.instant
        case (.delete, true):
            for place in places where !isKnownEnded(place) {
                ledger.removed[place] = world.instant
            }
        case (.delete, false):
            for place in places where ledger.removed[place] == nil {
                ledger.perhapsRemoved.remove(place)
            }
        case (.release, true): ledger.everHeld.remove(id)
        default: break
        }
        count("operator-\(action.rawValue)")
        if done, action == .hold || action == .delete { checkDone() }
    }

    private func isKnownEnded(_ place: Place) -> Bool {
        ledger.arrivals[place] != nil || ledger.failureReports[place] != nil
    }
}
