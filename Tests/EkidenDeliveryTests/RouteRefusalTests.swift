import EkidenMail
import Testing

@testable import EkidenDelivery

@Suite struct RouteRefusalTests {
    private func failure(_ reply: Reply, step: DeliveryStep = .recipient) -> Failure {
        Failure(
            scope: .recipient,
            isPermanent: reply.isPermanent,
            reason: .peerRejected,
            step: step,
            reply: reply,
            status: reply.status ?? EnhancedStatus(5, 0, 0)
        )
    }

    private func judged(
        _ failure: Failure,
        isRouted: Bool = true,
        isLoggedIn: Bool = true
    ) -> Failure {
        RouteRefusal.judged(failure, isRouted: isRouted, isLoggedIn: isLoggedIn)
    }

    @Test(arguments: [
        Reply(530, EnhancedStatus(5, 7, 0), "Authentication required"),
        Reply(530, nil, "5.7.57 Client not authenticated to send mail"),
        Reply(554, EnhancedStatus(5, 7, 1), "<bob@x.test>: Relay access denied"),
        Reply(550, EnhancedStatus(5, 7, 54), "SMTP; Unable to relay recipient"),
        Reply(554, EnhancedStatus(5, 2, 252), "SendAsDenied; relay@x not allowed to send as y"),
        Reply(550, EnhancedStatus(5, 7, 8), "go away"),
    ])
    func `a route's host that does not let us relay is known by its words`(reply: Reply) {
        let judged = judged(failure(reply))
        #expect(judged.reason == .routeRefused && judged.scope == .site && !judged.isPermanent)
        #expect(judged.reply == reply)
        // A recipient's own host may well say so of its mailboxes.
        #expect(self.judged(failure(reply), isRouted: false) == failure(reply))
    }

    @Test(arguments: [
        Reply(550, EnhancedStatus(5, 1, 1), "no such user"),
        Reply(550, EnhancedStatus(5, 7, 1), "message looks like spam"),
        Reply(552, EnhancedStatus(5, 2, 2), "mailbox full, relay access denied or not"),
        Reply(454, EnhancedStatus(4, 7, 1), "relay access denied for the moment"),
    ])
    func `what is said of a message or a mailbox is not that`(reply: Reply) {
        #expect(judged(failure(reply)) == failure(reply))
    }

    @Test func `a sender is ours to mend only where we are known by a login`() {
        let sender = Reply(
            554,
            EnhancedStatus(5, 2, 252),
            "SendAsDenied; a@x not allowed to send as b"
        )
        #expect(judged(failure(sender), isLoggedIn: true).reason == .routeRefused)
        // A gateway's host says it of a stranger's mail, which is no trouble of the route.
        #expect(judged(failure(sender), isLoggedIn: false) == failure(sender))
        let relaying = Reply(554, EnhancedStatus(5, 7, 1), "Relay access denied")
        #expect(judged(failure(relaying), isLoggedIn: false).reason == .routeRefused)
    }
}
