// One attempt at one job: hosts in the order of the plan, until every recipient has a result that
// the policy table says to settle for, or the attempt's bounds are reached: so many addresses, so many
// sessions, so much time (docs/DELIVERY.md).

import EkidenMIME
import EkidenMail
import EkidenRuntime
import EkidenSMTP

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
            sessionsMax: settings.sessionsPerAttempt,
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

    func hostFailed(_ failure: Failure, _ progress: inout AttemptProgress) {
        if progress.report.host == nil { progress.report.host = failure.host }
        progress.report.earlier.append(failure)
        progress.postpone(failure)
        if action(for: failure, at: failure.host, &progress) == .settle {
            progress.settle(failure)
        }
    }

    /// The policy table's word; and what an IPv6 address of ours is refused for good may go from an IPv4
    /// address, whose reputation is another.
    private func action(
        for failure: Failure,
        at host: PeerHost?,
        _ progress: inout AttemptProgress
    ) -> HostAction {
        if failure.isPermanent, host?.endpoint?.address.isV4 == false,
            progress.plan.mayHaveIPv4, door.mayBeAboutAddress(failure)
        {
            // Once in an attempt, whatever its bounds.
            if progress.plan.leaveOutIPv6() {
                progress.sessionsMax = max(progress.sessionsMax, progress.sessions + 1)
            }
            return .nextHost
        }
        return door.action(for: failure, isLastHost: isLastHost(progress))
    }

    func isLastHost(_ progress: AttemptProgress) -> Bool {
        !progress.plan.mayHaveMore || progress.sessions >= progress.sessionsMax
    }

    // MARK: Talking to it

    private mutating func useConnection(
        _ content: Content,
        _ progress: inout AttemptProgress
    ) async {
        guard var current = peer.take() else { return }
        let policy = tlsPolicy(at: current.exchange, progress)
        let open = progress.open
        let recipients = open.map { progress.job.recipients[$0] }
        guard fits(current, policy, progress.job),
            current.takesMore(for: recipients.map(\.address))
        else {
            // It was good enough for the mail before, which a rule may have for other hosts, or for
            // the configuration then; or its host takes so many domains in a session.
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
        progress.report.hostOffersDSN = current.extensions.dsn
        guard let form = await form(of: content, for: current.extensions, &progress) else {
            return await current.quit()
        }
        let outcome = await current.transact(
            progress.job,
            recipients,
            content,
            as: form,
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
        let settled = note(
            outcome.results,
            of: open,
            by: current.host,
            isLoggedIn: current.loginName != nil,
            &progress
        )
        if !settled.isEmpty, !progress.open.isEmpty {
            await door.settled(settled, progress.report(on: settled))
        }
        await keep(current, outcome.aftermath, progress)
    }

    /// Takes down what a host said of the recipients at `places`.
    /// - Returns: the places of those that are not tried at another host.
    private func note(
        _ results: [RecipientResult],
        of places: [Int],
        by host: PeerHost,
        isLoggedIn: Bool,
        _ progress: inout AttemptProgress
    ) -> [Int] {
        var settled: [Int] = []
        var isFirst = true
        for (index, heard) in zip(places, results) {
            let result = Self.judged(
                heard,
                isRouted: progress.job.isRouted,
                isLoggedIn: isLoggedIn
            )
            if case .failed(let failure) = result,
                action(for: failure, at: host, &progress) == .nextHost
            {
                if isFirst { progress.report.earlier.append(failure) }
                isFirst = false
                progress.lastFailures[index] = failure
            } else {
                progress.results[index] = result
                settled.append(index)
            }
        }
        return settled
    }

    private static func judged(
        _ result: RecipientResult,
        isRouted: Bool,
        isLoggedIn: Bool
    ) -> RecipientResult {
        guard case .failed(let failure) = result else { return result }
        return .failed(
            RouteRefusal.judged(failure, isRouted: isRouted, isLoggedIn: isLoggedIn)
        )
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
        // RFC 9422 §4.1: MAILMAX counts every MAIL, however it is answered.
        let most = min(
            settings.use(of: progress.job.site.rule).messages,
            current.extensions.messagesMax ?? .max
        )
        if !progress.open.isEmpty || current.transactions >= most
            || isOld(current, for: progress.job)
        {
            // The rest goes to the next host; or this connection has carried its share.
            await current.quit()
        } else {
            peer = consume current
        }
    }
}
