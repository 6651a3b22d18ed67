// The way of one question over the name servers: whom to ask next, how long to wait, when to give
// up. Pure; `UDPNameTransport` walks it.

import EkidenMail
import EkidenRuntime

struct ServerTour {
    struct Stop: Equatable {
        let server: Endpoint
        /// For this server to answer.
        let patience: Duration
        /// Before it is asked: zero but between rounds in which nobody was waited for.
        let pause: Duration
    }

    enum Outcome: Equatable {
        /// It answered that it can't or won't say; asking it again brings the same.
        case failed
        /// Nothing came in time.
        case silent
        /// The network said at once that nobody is there.
        case unreachable
    }

    static let patienceMax = Duration.seconds(30)
    private static let firstPause = Duration.milliseconds(100)

    private var servers: [Endpoint]
    private let plan: ServerPlan
    private var round = 0
    private var position = 0
    private var hasWaited = false
    private(set) var wasSilence = false

    init(_ plan: ServerPlan) {
        self.plan = plan
        servers = plan.servers
    }

    /// The next server to ask; nil when all had their chances.
    mutating func next() -> Stop? {
        var pause = Duration.zero
        if position >= servers.count {
            round += 1
            position = 0
            if !hasWaited { pause = Self.firstPause * (1 << (round - 1)) }
            hasWaited = false
        }
        guard round < plan.attempts, position < servers.count else { return nil }
        let server = servers[position]
        position += 1
        let patience = min(plan.timeout * (1 << min(round, 8)), Self.patienceMax)
        return Stop(server: server, patience: patience, pause: pause)
    }

    /// What came of the last stop.
    mutating func note(_ outcome: Outcome) {
        switch outcome {
        case .failed:
            position -= 1
            servers.remove(at: position)
        case .silent:
            hasWaited = true
            wasSilence = true
        case .unreachable: break
        }
    }
}
