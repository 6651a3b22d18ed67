import EkidenMail
import Testing

@testable import EkidenSMTP

@Suite struct TransactionShareTests {
    private let host = PeerHost(name: "mx.example", endpoint: nil)

    private func recipients(_ texts: String...) -> [Address] { texts.compactMap { Address($0) } }

    private func share(
        of recipients: [Address],
        domains: Set<Domain> = [],
        _ limits: String
    ) -> TransactionShare {
        let extensions = Extensions(Reply(250, lines: ["mx.example", "LIMITS " + limits]))
        return TransactionShare(
            of: recipients,
            extensions: extensions,
            domains: domains,
            host: host
        )
    }

    private func failed(
        _ scope: Failure.Scope,
        _ code: UInt16,
        step: DeliveryStep = .endOfData
    ) -> RecipientResult {
        let reply = Reply(code, nil, "no")
        return .failed(
            Failure(
                scope: scope,
                isPermanent: reply.isPermanent,
                reason: .peerRejected,
                step: step,
                reply: reply,
                status: EnhancedStatus(UInt8(code / 100), 0, 0)
            )
        )
    }

    @Test func `without limits all are asked for`() {
        let all = recipients("a@x.test", "b@y.test", "c@z.test")
        let share = share(of: all, "OTHER=1")
        #expect(share.asked == [0, 1, 2] && share.domains.isEmpty)
    }

    @Test func `RCPTMAX is so many recipients, however they are answered`() {
        let share = share(of: recipients("a@x.test", "b@x.test", "c@x.test"), "RCPTMAX=2")
        #expect(share.asked == [0, 1])
        let results = share.results([failed(.recipient, 550), failed(.recipient, 450)])
        #expect(results.prefix(2) == [failed(.recipient, 550), failed(.recipient, 450)])
        guard case .failed(let failure) = results[2] else {
            Issue.record("nobody asked for the third")
            return
        }
        #expect(failure.reason == .tooManyRecipients && failure.reply == nil)
        #expect(failure.scope == .recipient && failure.text.contains("(RCPTMAX=2)"))
    }

    @Test func `RCPTDOMAINMAX counts the domains of a session, without case`() {
        let all = recipients("a@x.test", "b@y.test", "c@X.test", "d@z.test")
        let first = share(of: all, "RCPTDOMAINMAX=2")
        #expect(first.asked == [0, 1, 2])
        let domains: Set<Domain> = [Domain("x.test"), Domain("y.test")]
        #expect(first.domains == domains)
        #expect(share(of: all, domains: [Domain("y.test")], "RCPTDOMAINMAX=1").asked == [1])
        #expect(share(of: all, domains: domains, "RCPTDOMAINMAX=2 RCPTMAX=1").asked == [0])
        var extensions = Extensions()
        extensions.recipientDomainsMax = 2
        let new = recipients("d@z.test")
        for (before, hasRoom) in [(domains, false), ([Domain("x.test")], true)] {
            let answer = TransactionShare.hasRoom(
                for: new,
                extensions: extensions,
                domains: before
            )
            #expect(answer == hasRoom)
        }
    }

    @Test func `what has nothing to do with the recipients concerns those not asked for as well`() {
        let share = share(of: recipients("a@x.test", "b@x.test", "c@x.test"), "RCPTMAX=1")
        let common = [
            failed(.host, 421), failed(.message, 451), failed(.message, 552, step: .mail),
            failed(.site, 454, step: .mail),
        ]
        for result in common {
            #expect(share.results([result]) == [result, result, result])
        }
        // The next recipient may take what this one's rules refuse.
        let refused = failed(.message, 554)
        #expect(share.results([refused])[0] == refused && share.results([refused])[1] != refused)
        // Whether it took the message is a question for those alone whom it heard of.
        let silent = RecipientResult.failed(
            Failure(
                scope: .host,
                isPermanent: false,
                reason: .connectionLost,
                step: .endOfData,
                status: EnhancedStatus(4, 4, 2)
            )
        )
        guard case .failed(let other) = share.results([silent])[2] else {
            Issue.record("not asked, and not failed")
            return
        }
        #expect(other.reason == .tooManyRecipients && share.results([silent])[0] == silent)
        // Of two only one was refused before the connection broke.
        let two = self.share(of: recipients("a@x.test", "b@x.test", "c@x.test"), "RCPTMAX=2")
        let lost = failed(.host, 421)
        #expect(two.results([failed(.recipient, 550), lost])[2] == lost)
    }
}
