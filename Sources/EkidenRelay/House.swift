// What all rooms of the house share, and what happens between them: an attempt's report is judged,
// its marks are recorded together with the messages it causes, and what happened is told.

import EkidenConfiguration
import EkidenDelivery
import EkidenMail
import EkidenOutcome
import EkidenResolver
import EkidenRuntime
import EkidenSMTP
import EkidenScheduler
import EkidenSpool
import Synchronization

final class House: Sendable {
    let loops: [Loop]
    let spool: Spool
    let resolver: Resolver
    let random: any RandomSource
    private let events: any EventSink
    private let shelf: TLSShelf
    let logins: HopLogins
    /// What a clock on the wall shows at a time.
    let localTime: @Sendable (WallTime) -> WallTime
    private let current: Mutex<RelaySettings>

    init(
        loops: [Loop],
        spool: Spool,
        resolver: Resolver,
        random: any RandomSource,
        events: any EventSink,
        settings: RelaySettings,
        shelf: TLSShelf,
        logins: HopLogins,
        localTime: @escaping @Sendable (WallTime) -> WallTime
    ) {
        self.loops = loops
        self.spool = spool
        self.resolver = resolver
        self.random = random
        self.events = events
        self.shelf = shelf
        self.logins = logins
        self.localTime = localTime
        current = Mutex(settings)
    }

    /// Loop 0: owner of the spool's index and of the scheduler.
    var owner: Loop { loops[0] }

    var settings: RelaySettings { current.withLock { $0 } }

    func adopt(_ settings: RelaySettings) { current.withLock { $0 = settings } }

    func log(_ event: Event) { events.emit(event, at: owner.wallNow()) }

    func notice(_ level: EventLevel, _ part: String, _ text: String, id: QueueID? = nil) {
        log(.notice(.init(level, part, text, id: id)))
    }

    // MARK: TLS towards next hops

    func tlsPolicy(of job: DeliveryJob, at exchange: Exchange) -> TLSPolicy {
        settings.outboundTLS.policy(of: job, at: exchange)
    }

    func tlsEngine(
        to exchange: Exchange,
        under policy: TLSPolicy
    ) throws(TLSFailure) -> any TLSEngine {
        let settings = settings.outboundTLS.settings(showing: policy.certificate)
        return try shelf.connector(settings).makeEngine(
            to: exchange.name,
            expecting: policy.names(of: exchange),
            at: owner.wallNow()
        )
    }

    /// Who we are at a next hop; nil where nobody asks.
    func login(
        for nextHop: NextHop,
        on loop: Loop
    ) async throws(LoginTrouble) -> ClientLogin? {
        guard let login = hopLogin(for: nextHop) else { return nil }
        return try await logins.login(login, on: loop)
    }

    /// The same with another secret than the one that was refused; nil: there is none.
    func login(
        for nextHop: NextHop,
        insteadOf refused: ClientLogin,
        on loop: Loop
    ) async throws(LoginTrouble) -> ClientLogin? {
        guard let login = hopLogin(for: nextHop), login.name == refused.name else { return nil }
        return try await logins.login(login, insteadOf: refused, on: loop)
    }

    private func hopLogin(for nextHop: NextHop) -> Configuration.HopLogin? {
        loginName(for: nextHop).flatMap { settings.configuration.hopLogin(named: $0) }
    }

    func loginName(for nextHop: NextHop) -> String? {
        guard let route = nextHop.route else { return nil }
        return settings.routes.route(named: route)?.login
    }

    // MARK: Outcome

    /// The policy table's word, as delivery understands it.
    func action(for failure: Failure, isLastHost: Bool) -> HostAction {
        Classification.action(for: failure, isLastHost: isLastHost) == .nextHost
            ? .nextHost : .settle
    }

    func mayBeAboutAddress(_ failure: Failure) -> Bool {
        switch FailureClasses.of(failure) {
        case .spam, .authentication, .policy: true
        default: false
        }
    }

    /// Judges an attempt and records its outcome. Returns when the marks are the kernel's (with a
    /// bounce: when marks and bounce are durable), and what the scheduler is to do with each
    /// recipient.
    func conclude(
        _ job: DeliveryJob,
        _ report: AttemptReport,
        _ statuses: [RecipientStatus],
        spans: [Int: RouteSpan] = [:]
    ) async -> Conclusion {
        let settings = settings
        let demands = await demands(of: job)
        let verdict = Judgement(
            job: job,
            report: report,
            statuses: statuses,
            demands: demands,
            settings: settings.retry(for: job.nextHop),
            spans: spans,
            // In this order: a clock that leaps in between is not judged by.
            now: owner.wallNow(),
            expiryIsPaused: spool.expiryPause != nil,
            draw: random.fraction()
        ).verdict()
        var caused: [NewMessage] = []
        for plan in verdict.reports { caused.append(await compose(plan, job, demands, settings)) }
        if !verdict.marks.isEmpty {
            let group = MarkGroup(id: job.message, marks: verdict.marks, caused: caused)
            if await spool.record(group) == .abandoned { tellAbandoned(job, report) }
        }
        for event in verdict.events { log(event) }
        for message in caused { tellAccepted(message, about: job.message) }
        let isHeld = await hold(job.message, verdict.hold)
        return Conclusion(
            dispositions: verdict.dispositions.map {
                switch $0 {
                case .done: .done
                case .retry(let after, let because): .retry(after: after, because: because)
                case .again: .again
                }
            },
            hold: isHeld ? verdict.hold : nil
        )
    }

    /// What the sender asked for; nothing where it can't be read any more, so that it hears of a
    /// failure.
    private func demands(of job: DeliveryJob) async -> SenderDemands {
        guard job.hasDemands, let content = try? await spool.content(of: job.message)
        else { return SenderDemands() }
        return content.demands
    }

    /// Rule 3: where we live to see that something may happen twice, it is said.
    private func tellAbandoned(_ job: DeliveryJob, _ report: AttemptReport) {
        let delivered = zip(job.recipients, report.results).compactMap { recipient, result in
            if case .delivered = result { recipient.address.text } else { nil }
        }
        guard !delivered.isEmpty else { return }
        notice(
            .error,
            "relay",
            "the disk did not take the outcome before the relay stopped: delivered to <"
                + delivered.joined(separator: ">, <") + "> and may be delivered twice",
            id: job.message
        )
    }

    /// Stored bytes that can't be read any more wait for a person, as does what a route holds.
    /// - Returns: false when it is not to be held.
    private func hold(_ id: QueueID, _ reason: Reason?) async -> Bool {
        guard let reason else { return false }
        if reason == .damaged {
            notice(
                .error,
                "spool",
                "the stored bytes of this message are damaged; it is on hold, see ekiden spool "
                    + "verify",
                id: id
            )
        }
        // An operator who released it meanwhile has the last word.
        if reason == .routeHolds, await isReleased(id) { return false }
        try? await spool.hold(id, uid: nil, because: reason)
        return true
    }

    private func isReleased(_ id: QueueID) async -> Bool {
        await withUnsafeContinuation { continuation in
            owner.call {
                continuation.resume(returning: self.spool.message(id)?.isReleased == true)
            }
        }
    }

    /// Writes a report; with the message itself where it is small enough and can be read.
    private func compose(
        _ plan: ReportPlan,
        _ job: DeliveryJob,
        _ demands: SenderDemands,
        _ settings: RelaySettings
    ) async
        -> NewMessage
    {
        var header = Bytes()
        var body: Bytes?
        if let content = try? await spool.content(of: job.message) {
            header = content.header
            if content.byteCount <= settings.returnedBytesMax {
                switch content.body {
                case .memory(let bytes): body = bytes
                case .stored(let reader, let count):
                    body = try? await reader.read(at: 0, count: count)
                }
            }
        }
        var request = ReportRequest(
            plan: plan,
            reportingHost: settings.hostName,
            id: spool.nextID(),
            originalID: job.message,
            originalSender: job.sender,
            arrived: job.arrived,
            now: owner.wallNow(),
            originalHeader: header,
            originalBody: body
        )
        request.demands = demands
        request.wholeBytesMax = settings.returnedBytesMax
        // A report has no sender to tell when a next hop can't take 8-bit mail: it stays 7-bit.
        request.allowsEightBit = false
        return ReportComposer(request).message()
    }

    private func tellAccepted(_ message: NewMessage, about original: QueueID) {
        log(
            .accepted(
                .init(
                    id: message.id,
                    sender: message.envelope.sender,
                    recipients: message.envelope.recipients,
                    byteCount: message.content.byteCount,
                    client: message.envelope.client,
                    about: original
                )
            )
        )
    }
}

/// What the scheduler is to do after an attempt was judged and recorded.
struct Conclusion: Sendable {
    /// One for each recipient, in the job's order.
    let dispositions: [Disposition]
    /// The message is on hold, and why.
    let hold: Reason?
}
