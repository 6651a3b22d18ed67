// One attempt at one job: hosts in the order of the plan, until every recipient has a result that
// the policy table says to settle for, or the attempt's bounds are reached: so many addresses, so many
// sessions, so much time (docs/DELIVERY.md).

import EkidenMail
import EkidenRuntime
import EkidenSMTP

/// What an attempt has come to so far.
struct AttemptProgress {
    let job: DeliveryJob
    let end: Instant
    /// What the sender asked for.
    var demands = SenderDemands()
    var plan: ConnectionPlan
    /// In the job's order; nil while open.
    var results: [RecipientResult?]
    /// What the last host said of a recipient that is tried at the next one.
    var lastFailures: [Failure?]
    var sessions = 0
    var report: AttemptReport

    init(_ assignment: Assignment, plan: ConnectionPlan, end: Instant) {
        job = assignment.job
        self.plan = plan
        self.end = end
        results = Array(repeating: nil, count: job.recipients.count)
        lastFailures = Array(repeating: nil, count: job.recipients.count)
        report = AttemptReport(results: [])
    }

    /// Indices (into the job's recipients) of those without a result.
    var open: [Int] { results.indices.filter { results[$0] == nil } }

    /// Settles all that is open with what is known of it, else with `failure`.
    mutating func settle(_ failure: Failure) {
        for index in open { results[index] = .failed(lastFailures[index] ?? failure) }
    }

    /// Remembers a failure of those that are tried elsewhere. A host that refuses us for good says
    /// nothing against one that only failed for now, so a temporary failure is kept: else a backup
    /// host's 554 would bounce mail that the first host takes tomorrow.
    mutating func postpone(_ failure: Failure) {
        for index in open {
            if failure.isPermanent, lastFailures[index]?.isPermanent == false { continue }
            lastFailures[index] = failure
        }
    }

    /// The report, complete: one result for each recipient.
    func finished() -> AttemptReport { report(on: Array(results.indices)) }

    /// The report on those at `places`, which have a result.
    func report(on places: [Int]) -> AttemptReport {
        var report = report
        report.results = places.map { place in
            guard let result = results[place] else {
                preconditionFailure("a report on an open recipient")
            }
            return result
        }
        return report
    }
}

extension DeliverySession {
    mutating func attempt(_ assignment: Assignment) async -> AttemptReport {
        var progress = AttemptProgress(
            assignment,
            plan: ConnectionPlan(
                site: assignment.job.site,
                dead: assignment.avoid,
                limit: settings.addressesPerAttempt,
                random: random
            ),
            end: loop.now() + settings.attemptTime
        )
        let content: Content
        do throws(ContentUnavailable) {
            content = try await door.content(of: assignment.job.message)
            progress.demands = content.demands
        } catch {
            progress.settle(Self.unreadable(error))
            return progress.finished()
        }
        while !progress.open.isEmpty {
            if crew.isStopping {
                progress.settle(Self.stopping(.connect))
            } else if peer != nil {
                await useConnection(content, &progress)
            } else {
                await connect(&progress)
            }
        }
        return progress.finished()
    }

    // MARK: Finding a host

    /// One step towards a connection: a look-up, or an address; or the end of the attempt.
    private mutating func connect(_ progress: inout AttemptProgress) async {
        if progress.sessions >= settings.sessionsPerAttempt || loop.now() >= progress.end {
            progress.settle(Self.outOfTime(progress))
            return
        }
        switch progress.plan.next() {
        case .lookUp(let exchange):
            switch await door.addresses(of: exchange, until: progress.end) {
            case .addresses(let addresses): progress.plan.found(addresses, for: exchange)
            case .failure(let failure): progress.plan.notFound(failure)
            }
        case .connect(let candidate):
            await open(candidate, &progress)
        case .exhausted:
            progress.settle(Self.noAddress(progress.plan.lookupFailures))
        }
    }

    /// Brings a connection to that address to where mail can go over it, or learns why not.
    private mutating func open(
        _ candidate: ConnectionPlan.Candidate,
        _ progress: inout AttemptProgress
    ) async {
        var policy = tlsPolicy(at: candidate.exchange, progress)
        let endpoint = candidate.host.endpoint
        if policy.level == .may, let endpoint, brokenTLS.isBroken(endpoint, at: loop.now()) {
            policy.level = .none
        }
        var failure = await open(candidate, under: policy, &progress)
        if let broken = failure, broken.reason == .tlsFailed, policy.level == .may {
            // RFC 7435 §3: in the clear is what it would have been without our asking.
            if let endpoint { brokenTLS.note(endpoint, at: loop.now()) }
            door.tlsBroke(at: candidate.host, broken.text)
            policy.level = .none
            // It is one session with the host, as far as bounds go.
            progress.sessions -= 1
            failure = await open(candidate, under: policy, &progress)
        }
        if let failure {
            hostFailed(
                progress.demands.requiresTLS ? Self.asRequired(failure) : failure,
                &progress
            )
        }
    }

    /// One connection: `peer` when it is ready, else why it is not.
    private mutating func open(
        _ candidate: ConnectionPlan.Candidate,
        under policy: TLSPolicy,
        _ progress: inout AttemptProgress
    ) async -> Failure? {
        let began = loop.now()
        let login: ClientLogin?
        do throws(LoginTrouble) {
            login = try await door.login(for: progress.job.nextHop)
        } catch {
            return Self.noLogin(error)
        }
        // After the login, so that it can't be of a configuration that has other hosts.
        guard door.leads(progress.job.nextHop, to: candidate.exchange) else {
            return Self.routeChanged(candidate.host)
        }
        let identity = door.identity(for: progress.job.nextHop)
        // A stop ends the wait for a host that does not answer, too.
        var connecting: Handle?
        let (crew, loop) = (crew, loop)
        do throws(IOFailure) {
            let connection = try await Connection.connect(
                to: Self.destination(of: candidate, identity),
                on: loop,
                until: min(began + settings.timeouts.connect, progress.end),
                opened: { handle in
                    connecting = handle
                    crew.join(handle, on: loop)
                }
            )
            var fresh = PeerConnection(
                connection,
                to: candidate,
                under: policy,
                as: login,
                by: identity,
                timeouts: settings.timeouts,
                crew: crew
            )
            progress.sessions += 1
            progress.report.host = candidate.host
            let failure = await fresh.makeReady(until: progress.end, door)
            progress.report.tls = fresh.security
            if fresh.hasHeardPeer { progress.report.siteIsAlive = true }
            progress.report.connectTime += loop.now() - began
            if failure == nil {
                peer = consume fresh
            } else {
                _ = consume fresh
                if !progress.report.siteIsAlive, let address = candidate.address {
                    progress.report.failedAddresses.append(address)
                }
            }
            return failure
        } catch {
            if let connecting { crew.leave(connecting, on: loop) }
            progress.report.connectTime += loop.now() - began
            if let address = candidate.address { progress.report.failedAddresses.append(address) }
            return Self.connectFailure(error, candidate)
        }
    }

    private static func destination(
        of candidate: ConnectionPlan.Candidate,
        _ identity: DeliverySettings.Identity
    ) -> Destination {
        guard let endpoint = candidate.endpoint else {
            return .socket(path: candidate.exchange.socketPath ?? "")
        }
        let source = endpoint.address.isV4 ? identity.source4 : identity.source6
        return .endpoint(endpoint, from: source)
    }

    /// The host's policy, and what the sender asked for (RFC 8689).
    private func tlsPolicy(at exchange: Exchange, _ progress: AttemptProgress) -> TLSPolicy {
        var policy = door.tlsPolicy(of: progress.job, at: exchange)
        // §4.2.1: a name that an MX answer gave can't be verified so; such mail is refused later.
        if progress.demands.requiresTLS, progress.job.isRouted {
            policy.level = max(policy.level, .verify)
        }
        // TLS-Required: No (§5) is about what recipients' domains publish, of which we know nothing
        // yet; what our operator asks for, a sender does not waive.
        return policy
    }

    private func hostFailed(_ failure: Failure, _ progress: inout AttemptProgress) {
        if progress.report.host == nil { progress.report.host = failure.host }
        progress.report.earlier.append(failure)
        progress.postpone(failure)
        if door.action(for: failure, isLastHost: isLastHost(progress)) == .settle {
            progress.settle(failure)
        }
    }

    private func isLastHost(_ progress: AttemptProgress) -> Bool {
        !progress.plan.mayHaveMore || progress.sessions >= settings.sessionsPerAttempt
    }

    // MARK: Talking to it

    private mutating func useConnection(
        _ content: Content,
        _ progress: inout AttemptProgress
    ) async {
        guard var current = peer.take() else { return }
        let policy = tlsPolicy(at: current.exchange, progress)
        guard fits(current, policy, progress.job) else {
            // It was good enough for the mail before, which a rule may have for other hosts, or for
            // the configuration then.
            let host = current.host
            await current.quit()
            // Opened for this job, and meanwhile the configuration is another: no fault of the hosts.
            if progress.sessions > 0 { progress.settle(Self.routeChanged(host)) }
            return
        }
        let isReused = current.transactions > 0 && progress.sessions == 0
        if isReused, current.exchange.speaksLMTP, await current.connection.hasInput() {
            // A reply too many, where each recipient has one: the next ones would be taken for others'.
            _ = consume current
            return
        }
        let began = loop.now()
        progress.report.host = current.host
        progress.report.tls = current.security
        let open = progress.open
        let recipients = open.map { progress.job.recipients[$0] }
        progress.report.hostOffersDSN = current.extensions.dsn
        let outcome = await current.transact(
            progress.job,
            recipients,
            content,
            mayRequireTLS: progress.job.isRouted && policy.level >= .verify,
            until: progress.end
        )
        progress.report.transferTime += loop.now() - began
        if isReused, outcome.wasStale {
            // The peer closed a connection it had let idle; nothing was said, so nothing failed.
            _ = consume current
            return
        }
        if outcome.peerAnswered { progress.report.siteIsAlive = true }
        if isReused { progress.sessions += 1 }
        var settled: [Int] = []
        var isFirst = true
        for (index, heard) in zip(open, outcome.results) {
            var result = heard
            if case .failed(let failure) = heard {
                let judged = RouteRefusal.judged(
                    failure,
                    isRouted: progress.job.isRouted,
                    isLoggedIn: current.loginName != nil
                )
                result = .failed(judged)
            }
            if case .failed(let failure) = result,
                door.action(for: failure, isLastHost: isLastHost(progress)) == .nextHost
            {
                if isFirst { progress.report.earlier.append(failure) }
                isFirst = false
                progress.lastFailures[index] = failure
            } else {
                progress.results[index] = result
                settled.append(index)
            }
        }
        if !settled.isEmpty, !progress.open.isEmpty {
            await door.settled(settled, progress.report(on: settled))
        }
        await keep(current, outcome.aftermath, progress)
    }

    /// The job's mail may go over that connection, as the configuration is now.
    private func fits(
        _ peer: borrowing PeerConnection,
        _ policy: TLSPolicy,
        _ job: DeliveryJob
    ) -> Bool {
        peer.satisfies(policy) && job.site.has(peer.exchange) && !isOld(peer, for: job)
            && peer.loginName == door.loginName(for: job.nextHop)
            && peer.identity == door.identity(for: job.nextHop)
            && door.leads(job.nextHop, to: peer.exchange)
    }

    /// A connection that has carried mail for as long as its site's rule has it.
    private func isOld(_ peer: borrowing PeerConnection, for job: DeliveryJob) -> Bool {
        guard peer.transactions > 0, let time = settings.use(of: job.site.rule).time else {
            return false
        }
        return loop.now() - peer.openedAt >= time
    }

    /// Keeps the connection for the next job where peer and settings allow it.
    private mutating func keep(
        _ current: consuming PeerConnection,
        _ aftermath: ClientTransaction.Aftermath,
        _ progress: AttemptProgress
    ) async {
        var current = current
        current.transactions += 1
        switch aftermath {
        case .mustClose: return
        case .needsReset: current.reset()
        case .reusable: break
        }
        // Words that nobody asked for would be taken for the next answer.
        if !current.connection.unread.isEmpty { return }
        let use = settings.use(of: progress.job.site.rule)
        if !progress.open.isEmpty || current.transactions >= use.messages
            || isOld(current, for: progress.job)
        {
            // The rest goes to the next host; or this connection has carried its share.
            await current.quit()
        } else {
            peer = consume current
        }
    }

    // MARK: Failures

    /// Its mail is looked at again soon, and goes by the route as it is then.
    private static func routeChanged(_ host: PeerHost) -> Failure {
        Failure(
            scope: .ours,
            isPermanent: false,
            reason: .noRoute,
            step: .connect,
            host: host,
            text:
                "the configuration has changed meanwhile, and with it how mail goes to \(host.name)",
            status: EnhancedStatus(4, 3, 5)
        )
    }

    private static func noLogin(_ trouble: LoginTrouble) -> Failure {
        Failure(
            scope: .site,
            isPermanent: false,
            reason: .loginUnavailable,
            step: .login,
            text: trouble.text,
            status: EnhancedStatus(4, 7, 0)
        )
    }

    /// RFC 8689 §4.2.1: a message that requires TLS does not wait for a host to learn it.
    private static func asRequired(_ failure: Failure) -> Failure {
        // 454 is "not now"; and a handshake that broke may have been the network's fault.
        guard failure.reason == .tlsUnavailable || failure.reason == .tlsUnverified,
            failure.reply?.isTransient != true
        else { return failure }
        return Failure(
            scope: .message,
            isPermanent: true,
            reason: .tlsRequired,
            step: failure.step,
            host: failure.host,
            text: "the sender requires TLS all the way (REQUIRETLS): " + failure.text,
            status: EnhancedStatus(5, 7, 30)
        )
    }

    private static func connectFailure(
        _ failure: IOFailure,
        _ candidate: ConnectionPlan.Candidate
    ) -> Failure {
        let host = candidate.host
        let (scope, reason): (Failure.Scope, Reason) =
            switch failure {
            case .refused: (.host, .connectionRefused)
            case .timedOut: (.host, .connectionTimedOut)
            case .unreachable: (.host, .hostUnreachable)
            case .lost: (.host, .connectionLost)
            case .cancelled: (.ours, .stopping)
            // A socket's file that is missing, or that we may not open, is its owner's to mend.
            case .other where candidate.address == nil: (.host, .hostUnreachable)
            case .exhausted, .other: (.ours, .hostUnreachable)
            }
        return Failure(
            scope: scope,
            isPermanent: false,
            reason: reason,
            step: .connect,
            host: host,
            text: "connecting to \(host.text): \(failure.text)",
            // RFC 3463 §3.5: X.4.1, no answer from host.
            status: EnhancedStatus(4, 4, 1)
        )
    }

    static func stopping(_ step: DeliveryStep) -> Failure {
        Failure(
            scope: .ours,
            isPermanent: false,
            reason: .stopping,
            step: step,
            status: EnhancedStatus(4, 3, 2)
        )
    }

    private static func unreadable(_ problem: ContentUnavailable) -> Failure {
        Failure(
            scope: .ours,
            isPermanent: problem.isDamage,
            reason: problem.isDamage ? .damaged : .spoolUnavailable,
            step: .connect,
            text: problem.text,
            status: EnhancedStatus(4, 3, 0)
        )
    }

    private static func outOfTime(_ progress: AttemptProgress) -> Failure {
        Failure(
            scope: .host,
            isPermanent: false,
            reason: .connectionTimedOut,
            step: .connect,
            host: progress.report.host,
            status: EnhancedStatus(4, 4, 1)
        )
    }

    /// No host of the site has an address: for good only when every look-up said so for good.
    private static func noAddress(_ failures: [Failure]) -> Failure {
        if let temporary = failures.first(where: { !$0.isPermanent }) { return temporary }
        return failures.first
            ?? Failure(
                scope: .site,
                isPermanent: false,
                reason: .noAddress,
                step: .resolve,
                status: EnhancedStatus(4, 4, 4)
            )
    }
}
