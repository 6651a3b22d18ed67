// How an attempt finds a host: look-ups, addresses, connections, TLS and login, until mail can go.

import EkidenMail
import EkidenRuntime
import EkidenSMTP

extension DeliverySession {
    /// One step towards a connection: a look-up, or an address; or the end of the attempt.
    mutating func connect(_ progress: inout AttemptProgress) async {
        if progress.sessions >= progress.sessionsMax || loop.now() >= progress.end {
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
        _ first: ConnectionPlan.Candidate,
        _ progress: inout AttemptProgress
    ) async {
        var candidate = first
        var policy = tlsPolicy(at: candidate.exchange, progress)
        if policy.level == .may, isBroken(candidate) { policy.level = .none }
        var failure = await open(&candidate, under: policy, &progress)
        let endpoint = candidate.host.endpoint
        if let broken = failure, broken.reason == .tlsFailed, policy.level == .may {
            // RFC 7435 §3: in the clear is what it would have been without our asking.
            if let endpoint { brokenTLS.note(endpoint, at: loop.now()) }
            door.tlsBroke(at: candidate.host, broken.text)
            policy.level = .none
            // It is one session with the host, as far as bounds go.
            progress.sessions -= 1
            failure = await open(&candidate, under: policy, &progress)
        }
        if let failure {
            hostFailed(
                progress.demands.requiresTLS ? Self.asRequired(failure) : failure,
                &progress
            )
        }
    }

    private func isBroken(_ candidate: ConnectionPlan.Candidate) -> Bool {
        candidate.endpoint.map { brokenTLS.isBroken($0, at: loop.now()) } ?? false
    }

    /// One connection: `peer` when it is ready, else why it is not. A token that was kept and is
    /// refused is had anew, and tried at once, before that counts as a failure.
    /// - Parameter candidate: the host's other address, if that was the one that answered.
    private mutating func open(
        _ candidate: inout ConnectionPlan.Candidate,
        under policy: TLSPolicy,
        _ progress: inout AttemptProgress
    ) async -> Failure? {
        let hop = progress.job.nextHop
        do throws(LoginTrouble) {
            let login = try await door.login(for: hop)
            let failure = await open(&candidate, under: policy, as: login, &progress)
            guard let login, Self.isRefusal(failure),
                let other = try await door.login(for: hop, insteadOf: login)
            else { return failure }
            // It is one session with the host, as far as bounds go.
            progress.sessions -= 1
            let again = await open(&candidate, under: policy, as: other, &progress)
            if Self.isRefusal(again) { _ = try await door.login(for: hop, insteadOf: other) }
            return again
        } catch {
            return crew.isStopping ? Self.stopping(.login) : Self.noLogin(error)
        }
    }

    /// Of who we are: a temporary failure says nothing against it (RFC 4954 §6).
    private static func isRefusal(_ failure: Failure?) -> Bool {
        failure?.reason == .loginFailed && failure?.reply?.isTransient != true
    }

    private mutating func open(
        _ candidate: inout ConnectionPlan.Candidate,
        under policy: TLSPolicy,
        as login: ClientLogin?,
        _ progress: inout AttemptProgress
    ) async -> Failure? {
        let began = loop.now()
        // After the login, so that it can't be of a configuration that has other hosts.
        guard door.leads(progress.job.nextHop, to: candidate.exchange) else {
            return Self.routeChanged(candidate.host)
        }
        let identity = door.identity(for: progress.job.nextHop)
        do throws(IOFailure) {
            let connection = try await reach(&candidate, as: identity, policy, &progress)
            var fresh = PeerConnection(
                connection,
                to: candidate,
                under: policy,
                as: login,
                by: identity,
                timeouts: timeouts(progress),
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
            progress.report.connectTime += loop.now() - began
            if let address = candidate.address { progress.report.failedAddresses.append(address) }
            return Self.connectFailure(error, candidate)
        }
    }

    /// RFC 5321 §4.5.3.2.1 has five minutes for a greeting; where they would keep others from a
    /// connection at all, half a minute.
    private func timeouts(_ progress: AttemptProgress) -> ClientTimeouts {
        var timeouts = settings.timeouts
        if progress.isHurried { timeouts.greeting = min(timeouts.greeting, .seconds(30)) }
        return timeouts
    }

    /// A connection to that address, or to one of the host's other family where that one is silent. A
    /// stop ends the wait for a host that does not answer, too.
    private func reach(
        _ candidate: inout ConnectionPlan.Candidate,
        as identity: DeliverySettings.Identity,
        _ policy: TLSPolicy,
        _ progress: inout AttemptProgress
    ) async throws(IOFailure) -> Connection {
        let first = candidate
        var rival: ConnectionPlan.Candidate?
        var rivalFailure: IOFailure?
        let race = FamilyRace(
            loop: loop,
            crew: crew,
            deadline: min(loop.now() + settings.timeouts.connect, progress.end)
        )
        do throws(IOFailure) {
            let reached = try await race.run(
                Self.destination(of: first, identity),
                rival: {
                    rival = progress.plan.takeRival(of: first)
                    guard let other = rival else { return nil }
                    // One has TLS that works and the other has not: each has its own turn.
                    if isBroken(other) != isBroken(first) {
                        progress.plan.putBack(other)
                        rival = nil
                        return nil
                    }
                    return Self.destination(of: other, identity)
                },
                rivalFailed: { rivalFailure = $0 }
            )
            if let rival {
                if reached.isRival {
                    candidate = rival
                    lost(first, reached.earlier, &progress)
                } else {
                    progress.plan.putBack(rival)
                }
            }
            return reached.connection
        } catch {
            if let rival { lost(rival, rivalFailure, &progress) }
            throw error
        }
    }

    /// The other family's address was faster: a failure is noted, silence is none yet.
    private func lost(
        _ candidate: ConnectionPlan.Candidate,
        _ failure: IOFailure?,
        _ progress: inout AttemptProgress
    ) {
        guard let failure else { return progress.plan.putBack(candidate) }
        progress.report.earlier.append(Self.connectFailure(failure, candidate))
        if let address = candidate.address { progress.report.failedAddresses.append(address) }
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
    func tlsPolicy(at exchange: Exchange, _ progress: AttemptProgress) -> TLSPolicy {
        var policy = door.tlsPolicy(of: progress.job, at: exchange)
        // §4.2.1: a name that an MX answer gave can't be verified so; such mail is refused later.
        if progress.demands.requiresTLS, progress.job.isRouted {
            policy.level = max(policy.level, .verify)
        }
        // TLS-Required: No (§5) is about what recipients' domains publish, of which we know nothing
        // yet; what our operator asks for, a sender does not waive.
        return policy
    }
}
