import EkidenMail
import Testing

@testable import EkidenOutcome

@Suite struct FailureClassTests {
    private func said(_ reply: Reply, step: DeliveryStep = .recipient) -> Failure {
        Failure(
            scope: .recipient,
            isPermanent: reply.isPermanent,
            reason: reply.isPermanent ? .peerRejected : .peerDeferred,
            step: step,
            reply: reply,
            status: reply.status ?? EnhancedStatus(reply.isPermanent ? 5 : 4, 0, 0)
        )
    }

    @Test(arguments: [
        (
            450, "4.2.0", "<a@b>: Recipient address rejected: Greylisted, see http://postgrey",
            "greylisted"
        ),
        (451, "4.7.1", "Greylisting in action, please come back later", "greylisted"),
        (550, "5.7.1", "not greylisted but blocked by our policy", "policy"),
        (421, "4.7.0", "Too many connections from your host", "rate-limited"),
        (452, "4.2.2", "The email account that you tried to reach is over quota", "mailbox-full"),
        (552, "5.2.2", "nope", "mailbox-full"),
        (550, "5.1.1", "user unknown; see our spam policy", "unknown-user"),
        (550, "5.2.1", "The email account that you tried to reach is disabled", "unknown-user"),
        (550, "5.7.26", "not accepted due to domain's DMARC policy", "authentication"),
        (550, "5.7.1", "SPF: sender is not allowed", "authentication"),
        (554, "5.7.1", "Service unavailable; Client host blocked using zen.dnsbl.test", "spam"),
        (550, "5.7.1", "Message rejected as spam", "spam"),
        (552, "5.3.4", "Message size exceeds fixed limit", "content"),
        (550, "5.7.1", "no", "policy"),
        (554, "5.0.0", "Transaction failed", "other"),
        (451, "4.3.0", "Temporary server error", "other"),
        (450, "4.1.1", "user unknown in virtual alias table, for now", "unknown-user"),
    ])
    func `what hosts say is of a class`(code: Int, status: String, text: String, expected: String) {
        let reply = Reply(UInt16(code), EnhancedStatus(status), text)
        #expect(FailureClasses.of(said(reply)).rawValue == expected)
    }

    @Test func `what we know ourselves is of a class, too`() {
        // Those that no failure has are of none.
        let without: Set<Reason> = [
            .accepted, .restarted, .dueTimeReached, .resolving, .resolved, .delivered, .siteBusy,
            .sitePaced, .streamPaced, .siteSuspended, .siteRecovered, .groupParted, .operatorHold,
            .operatorRelease,
            .operatorRetry, .operatorDelete, .expired,
            // By the host's words.
            .greetingRefused, .peerDeferred, .peerRejected, .tooManyRecipients,
        ]
        for reason in Reason.allCases where !without.contains(reason) {
            let failure = Failure(
                scope: .host,
                isPermanent: false,
                reason: reason,
                step: .connect,
                status: EnhancedStatus(4, 0, 0)
            )
            #expect(FailureClasses.of(failure) != .other, "\(reason.rawValue)")
        }
    }
}
