// Failures that an attempt finds by itself, without a host's words.

import EkidenMail
import EkidenRuntime
import EkidenSMTP

extension DeliverySession {
    /// Its mail is looked at again soon, and goes by the route as it is then.
    static func routeChanged(_ host: PeerHost) -> Failure {
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

    static func noLogin(_ trouble: LoginTrouble) -> Failure {
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
    static func asRequired(_ failure: Failure) -> Failure {
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

    static func connectFailure(
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

    static func unreadable(_ problem: ContentUnavailable) -> Failure {
        Failure(
            scope: .ours,
            isPermanent: problem.isDamage,
            reason: problem.isDamage ? .damaged : .spoolUnavailable,
            step: .connect,
            text: problem.text,
            status: EnhancedStatus(4, 3, 0)
        )
    }

    static func outOfTime(_ progress: AttemptProgress) -> Failure {
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
    static func noAddress(_ failures: [Failure]) -> Failure {
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
