import EkidenMail
import TestKit
import Testing

@testable import EkidenSMTP

private let host = PeerHost(name: "mx.example", endpoint: nil)

/// A session that has heard those replies, and all that it said.
private func session(_ replies: [Reply]) -> (ClientSession, said: String) {
    var session = ClientSession(helloName: "us.example", host: host)
    var output = BytesBuilder()
    for reply in replies {
        while session.next(into: &output) == .send {}
        session.received(reply)
    }
    while session.next(into: &output) == .send {}
    return (session, output.finish().text)
}

private func action(_ session: ClientSession) -> ClientSession.Action {
    var session = session
    var output = BytesBuilder()
    return session.next(into: &output)
}

private func failure(
    _ step: DeliveryStep,
    _ reason: Reason,
    isPermanent: Bool = false,
    _ reply: Reply?,
    _ status: EnhancedStatus
) -> ClientSession.Action {
    .failed(
        Failure(
            scope: .host,
            isPermanent: isPermanent,
            reason: reason,
            step: step,
            host: host,
            reply: reply,
            status: status
        )
    )
}

@Suite struct ClientSessionTests {
    @Test func `greeting and EHLO make it ready`() {
        let (ready, said) = session([Reply(220, "hi"), Reply(250, lines: ["h", "PIPELINING"])])
        #expect(action(ready) == .ready)
        #expect(said == "EHLO us.example\r\n")
        #expect(ready.extensions.pipelining)
    }

    @Test(arguments: [500, 501, 502, 504, 550, 554] as [UInt16])
    func `EHLO falls to HELO`(_ code: UInt16) {
        let (ready, said) = session([Reply(220, "hi"), Reply(code, "no"), Reply(250, "h")])
        #expect(action(ready) == .ready)
        #expect(said == "EHLO us.example\r\nHELO us.example\r\n")
        #expect(ready.extensions == Extensions())
    }

    @Test func `refusals are captured with the peer's words`() {
        let no = Reply(554, "go away")
        #expect(
            action(session([no]).0)
                == failure(.greeting, .greetingRefused, isPermanent: true, no, .init(5, 3, 2))
        )
        let later = Reply(421, EnhancedStatus(4, 7, 1), "busy")
        #expect(
            action(session([later]).0)
                == failure(.greeting, .greetingRefused, later, .init(4, 7, 1))
        )
        #expect(
            action(session([Reply(220, "hi"), later]).0)
                == failure(.hello, .peerDeferred, later, .init(4, 7, 1))
        )
        #expect(
            action(session([Reply(220, "hi"), Reply(502, "no"), no]).0)
                == failure(.hello, .peerRejected, isPermanent: true, no, .init(5, 0, 0))
        )
        let odd = Reply(354, "what")
        #expect(
            action(session([odd]).0) == failure(.greeting, .protocolError, odd, .init(4, 5, 0))
        )
    }

    @Test func `RSET and QUIT`() {
        var (session, _) = session([Reply(220, "hi"), Reply(250, "h")])
        var output = BytesBuilder()
        session.reset()
        #expect(session.next(into: &output) == .send)
        #expect(session.next(into: &output) == .awaitReply(.reset))
        session.received(Reply(250, "ok"))
        #expect(session.next(into: &output) == .ready)
        session.quit()
        #expect(session.next(into: &output) == .send)
        #expect(session.next(into: &output) == .awaitReply(.quit))
        session.received(Reply(221, "bye"))
        #expect(session.next(into: &output) == .closed)
        #expect(output.finish().text == "RSET\r\nQUIT\r\n")
    }

    @Test func `a dropped connection belongs to its step`() {
        var (waiting, _) = session([])
        waiting.connectionFailed(.replyTimedOut)
        #expect(action(waiting) == failure(.greeting, .replyTimedOut, nil, .init(4, 4, 2)))
        var (hello, _) = session([Reply(220, "hi")])
        hello.connectionFailed(.connectionLost)
        #expect(action(hello) == failure(.hello, .connectionLost, nil, .init(4, 4, 2)))
        var (ready, _) = session([Reply(220, "hi"), Reply(250, "h")])
        ready.quit()
        ready.connectionFailed(.connectionLost)
        #expect(action(ready) == .closed)
    }
}

@Suite struct ClientSecurityTests {
    private static let offering = Reply(250, lines: ["h", "STARTTLS", "SIZE 10", "PIPELINING"])
    private static let go = Reply(220, EnhancedStatus(2, 0, 0), "go on")

    private func session(
        _ level: TLSPolicy.Level,
        _ replies: [Reply],
        fingerprints: [String] = []
    ) -> (ClientSession, said: String) {
        let policy = TLSPolicy(level, fingerprints: fingerprints)
        var session = ClientSession(helloName: "us.example", host: host, tls: policy)
        var output = BytesBuilder()
        for reply in replies {
            while session.next(into: &output) == .send {}
            session.received(reply)
        }
        while session.next(into: &output) == .send {}
        return (session, output.finish().text)
    }

    private func facts(isTrusted: Bool, _ fingerprint: String = "ab") -> TLSFacts {
        TLSFacts(
            version: "TLSv1.3",
            cipher: "C",
            peer: PeerCertificate(
                fingerprint: fingerprint,
                isTrusted: isTrusted,
                problem: isTrusted ? "" : "not known"
            )
        )
    }

    private func reason(_ session: ClientSession) -> Reason? {
        guard case .failed(let failure) = action(session) else { return nil }
        #expect(failure.scope == .host && failure.step == .startTLS && !failure.isPermanent)
        #expect(failure.status.subject == 7)
        return failure.reason
    }

    @Test func `without a policy nothing is asked for`() {
        let (ready, said) = session(.none, [Reply(220, "hi"), Self.offering])
        #expect(action(ready) == .ready && !said.contains("STARTTLS"))
    }

    @Test(arguments: [TLSPolicy.Level.may, .encrypt])
    func `what is offered is taken, and EHLO said anew`(_ level: TLSPolicy.Level) {
        var (session, said) = session(level, [Reply(220, "hi"), Self.offering, Self.go])
        #expect(said == "EHLO us.example\r\nSTARTTLS\r\n")
        #expect(action(session) == .secure)
        session.secured(facts(isTrusted: false))
        // RFC 3207 §4.2
        #expect(session.extensions == Extensions() && session.security != nil)
        var output = BytesBuilder()
        #expect(session.next(into: &output) == .send)
        #expect(output.finish().text == "EHLO us.example\r\n")
        session.received(Reply(250, lines: ["h", "STARTTLS", "8BITMIME"]))
        #expect(action(session) == .ready)
        #expect(session.extensions.eightBitMIME && !session.extensions.pipelining)
    }

    /// RFC 3207 §4.2: what a host offers in the clear is nobody's word.
    @Test func `a host that knows less under TLS is believed`() {
        let rich = Reply(
            250,
            lines: ["h", "STARTTLS", "8BITMIME", "SMTPUTF8", "DSN", "SIZE 10", "AUTH PLAIN"]
        )
        for answers in [[Reply(250, "h")], [Reply(500, "what"), Reply(250, "h")]] {
            var (session, _) = session(.may, [Reply(220, "hi"), rich, Self.go])
            #expect(action(session) == .secure)
            session.secured(facts(isTrusted: false))
            var output = BytesBuilder()
            for answer in answers {
                while session.next(into: &output) == .send {}
                session.received(answer)
            }
            #expect(action(session) == .ready && session.extensions == Extensions())
        }
    }

    @Test func `what is not offered, or refused, ends only what insists on it`() {
        let nothing = [Reply(220, "hi"), Reply(250, "h")]
        #expect(action(session(.may, nothing).0) == .ready)
        #expect(reason(session(.encrypt, nothing).0) == .tlsUnavailable)
        // HELO offers nothing.
        let old = [Reply(220, "hi"), Reply(500, "what"), Reply(250, "h")]
        #expect(action(session(.may, old).0) == .ready)
        #expect(reason(session(.verify, old).0) == .tlsUnavailable)
        for refusal in [Reply(454, "not now"), Reply(500, "what")] {
            let replies = [Reply(220, "hi"), Self.offering, refusal]
            let (open, _) = session(.may, replies)
            #expect(action(open) == .ready && open.extensions.pipelining)
            guard case .failed(let failure) = action(session(.encrypt, replies).0) else {
                Issue.record("it went on")
                return
            }
            #expect(failure.reason == .tlsUnavailable && failure.reply == refusal)
        }
    }

    @Test func `a certificate that will not do ends the session`() {
        let replies = [Reply(220, "hi"), Self.offering, Self.go]
        for (level, isTrusted, isGood) in [
            (TLSPolicy.Level.verify, false, false), (.verify, true, true),
            (.fingerprint, true, false), (.encrypt, false, true),
        ] {
            var (session, _) = session(level, replies, fingerprints: ["cd"])
            session.secured(facts(isTrusted: isTrusted))
            #expect(reason(session) == (isGood ? nil : .tlsUnverified), "\(level) \(isTrusted)")
        }
        var (known, _) = session(.fingerprint, replies, fingerprints: ["cd"])
        known.secured(facts(isTrusted: false, "cd"))
        #expect(reason(known) == nil)
        var (bare, _) = session(.verify, replies)
        bare.secured(TLSFacts(version: "TLSv1.3", cipher: "C"))
        #expect(reason(bare) == .tlsUnverified)
    }

    @Test func `a broken handshake is the connection's end`() {
        var (session, _) = session(.may, [Reply(220, "hi"), Self.offering, Self.go])
        session.securingFailed("handshake: no shared cipher")
        #expect(reason(session) == .tlsFailed)
        var (waiting, _) = self.session(.may, [Reply(220, "hi"), Self.offering])
        waiting.connectionFailed(.connectionLost)
        guard case .failed(let failure) = action(waiting) else {
            Issue.record("it went on")
            return
        }
        #expect(failure.step == .startTLS && failure.reason == .tlsFailed)
        // Said behind our side of the handshake, which had ended.
        var (late, _) = self.session(.may, [Reply(220, "hi"), Self.offering, Self.go])
        late.secured(facts(isTrusted: false))
        late.connectionFailed(.connectionLost)
        #expect(reason(late) == .tlsFailed)
        let busy = Reply(421, "closing")
        let (closing, _) = self.session(.may, [Reply(220, "hi"), Self.offering, busy])
        guard case .failed(let closed) = action(closing) else {
            Issue.record("MAIL would be said to a host that closes")
            return
        }
        #expect(closed.reply == busy)
    }
}
