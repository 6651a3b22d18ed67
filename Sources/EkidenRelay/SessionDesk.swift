// The house as one delivery session sees it: where its jobs come from, and where their outcome
// goes. At home on the session's loop; `wake` is called from loop 0.

import EkidenDelivery
import EkidenMail
import EkidenOutcome
import EkidenRuntime
import EkidenSMTP
import EkidenScheduler
import Synchronization

final class SessionDesk: DeliveryDoor {
    private struct State {
        /// Signalled when the scheduler has a word for an idle session.
        var bell: Handle?
        var facts: JobFacts?
        var assignment: Assignment?
        /// Of recipients settled while others are still tried, by their place in the job.
        var settled: [Int: Disposition] = [:]
        var hold: Reason?
    }

    private let id: SessionID
    private let loop: Loop
    private let dispatch: Dispatch
    private let state = Mutex(State())

    private var house: House { dispatch.house }

    init(id: SessionID, loop: Loop, dispatch: Dispatch) {
        self.id = id
        self.loop = loop
        self.dispatch = dispatch
    }

    func open() {
        let bell = loop.makeHandle()
        state.withLock { $0.bell = bell }
    }

    func close() {
        let bell = state.withLock { state in
            defer { state.bell = nil }
            return state.bell
        }
        if let bell { loop.releaseHandle(bell) }
    }

    /// Ends an idle session's wait; one that is not idle asks anyway.
    func wake() {
        if let bell = state.withLock({ $0.bell }) { loop.signal(bell) }
    }

    // MARK: DeliveryDoor

    func nextJob(isConnected: Bool) async -> Assignment? {
        guard let bell = state.withLock({ $0.bell }) else { return nil }
        let idleEnd = loop.now() + house.settings.idleTime
        while true {
            loop.clear(.signalled, of: bell)
            switch await dispatch.turn(of: id) {
            case .end: return nil
            case .job(let facts, let assignment):
                state.withLock {
                    $0.facts = facts
                    $0.assignment = assignment
                    $0.settled = [:]
                    $0.hold = nil
                }
                return assignment
            case .idle:
                if !isConnected { return nil }
                loop.setDeadline(bell, idleEnd)
                if await loop.wait(bell, for: .signalled) != .ready { return nil }
            }
        }
    }

    func content(of message: QueueID) async throws(ContentUnavailable) -> Content {
        try await house.spool.content(of: message)
    }

    func addresses(of exchange: Exchange, until: Instant) async -> AddressResolution {
        await house.resolver.addresses(of: exchange, on: loop, until: until)
    }

    func tlsPolicy(of job: DeliveryJob, at exchange: Exchange) -> TLSPolicy {
        house.tlsPolicy(of: job, at: exchange)
    }

    func tlsEngine(
        to exchange: Exchange,
        under policy: TLSPolicy
    ) throws(TLSFailure) -> any TLSEngine {
        try house.tlsEngine(to: exchange, under: policy)
    }

    func loginName(for nextHop: NextHop) -> String? { house.loginName(for: nextHop) }

    func leads(_ nextHop: NextHop, to exchange: Exchange) -> Bool {
        house.settings.leads(nextHop, to: exchange)
    }

    func identity(for nextHop: NextHop) -> DeliverySettings.Identity {
        house.settings.delivery.identity(for: nextHop)
    }

    func login(for nextHop: NextHop) async throws(LoginTrouble) -> ClientLogin? {
        try await house.login(for: nextHop, on: loop)
    }

    func login(
        for nextHop: NextHop,
        insteadOf refused: ClientLogin
    ) async throws(LoginTrouble) -> ClientLogin? {
        try await house.login(for: nextHop, insteadOf: refused, on: loop)
    }

    func salted(_ password: [UInt8], _ question: ScramQuestion) async -> [UInt8] {
        await house.logins.salted(password, question, on: loop)
    }

    func tlsBroke(at host: PeerHost, _ text: String) {
        house.notice(
            .warning,
            "tls",
            "no TLS with \(host.text) (\(text)): its mail goes in the clear for an hour; a "
                + "[[tls_policy]] can insist on TLS"
        )
    }

    func mayBeAboutAddress(_ failure: Failure) -> Bool { house.mayBeAboutAddress(failure) }

    func action(for failure: Failure, isLastHost: Bool) -> HostAction {
        house.action(for: failure, isLastHost: isLastHost)
    }

    func settled(_ places: [Int], _ report: AttemptReport) async {
        let (facts, assignment) = state.withLock { ($0.facts, $0.assignment) }
        guard let facts, let assignment else { return }
        let conclusion = await house.conclude(
            assignment.job.of(places),
            report,
            facts.statuses,
            spans: facts.spans
        )
        state.withLock { state in
            for (place, disposition) in zip(places, conclusion.dispositions) {
                state.settled[place] = disposition
            }
            state.hold = conclusion.hold ?? state.hold
        }
    }

    func finished(_ report: AttemptReport) async {
        let (assignment, early) = state.withLock { ($0.assignment, $0.settled) }
        guard let assignment else { return }
        let places = report.results.indices.filter { early[$0] == nil }
        if !places.isEmpty {
            var rest = report
            rest.results = places.map { report.results[$0] }
            await settled(places, rest)
        }
        let (facts, settled, hold) = state.withLock { state in
            defer { state.assignment = nil }
            return (state.facts, state.settled, state.hold)
        }
        guard let facts else { return }
        let end = JobEnd(
            dispositions: report.results.indices.compactMap { settled[$0] },
            health: SiteHealth(SiteVerdict(report)),
            failedAddresses: report.failedAddresses,
            aliveAddress: report.siteIsAlive ? report.host?.endpoint?.address : nil
        )
        dispatch.tell { [id, dispatch] core in
            if let hold { dispatch.hold(assignment.job.message, hold, core) }
            core.scheduler.finished(id, facts.id, end, at: dispatch.moment)
            let isDone = end.dispositions.allSatisfy { $0 == .done }
            dispatch.followRoutes(assignment.job.message, ended: isDone, core)
        }
    }
}

extension SiteHealth {
    fileprivate init(_ verdict: SiteVerdict) {
        switch verdict {
        case .alive: self = .alive
        case .crowded: self = .crowded
        case .trouble(let failure): self = .trouble(failure)
        case .unknown: self = .unknown
        }
    }
}
