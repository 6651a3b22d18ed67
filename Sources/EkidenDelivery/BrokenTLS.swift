// Addresses whose TLS handshake broke where policy does not insist on one: for a while they are
// talked to in the clear at once, instead of after another broken connection each time. Shared by all
// sessions.

import EkidenMail
import EkidenRuntime
import Synchronization

package final class BrokenTLS: Sendable {
    /// How long an address is remembered, and how many are.
    package static let memory = Duration.seconds(3600)
    private static let entriesMax = 4096

    private struct State {
        /// Until when; never iterated.
        var until: [Endpoint: Instant] = [:]
        /// In the order in which they are forgotten.
        var order: [Endpoint] = []
    }

    private let state = Mutex(State())

    package init() {}

    package func note(_ endpoint: Endpoint, at now: Instant) {
        state.withLock { state in
            if state.until[endpoint] != nil { state.order.removeAll { $0 == endpoint } }
            if state.order.count >= Self.entriesMax {
                state.until[state.order.removeFirst()] = nil
            }
            state.until[endpoint] = now + Self.memory
            state.order.append(endpoint)
        }
    }

    package func isBroken(_ endpoint: Endpoint, at now: Instant) -> Bool {
        state.withLock { state in
            while let first = state.order.first, state.until[first].map({ $0 <= now }) ?? true {
                state.until[first] = nil
                state.order.removeFirst()
            }
            return state.until[endpoint] != nil
        }
    }
}
