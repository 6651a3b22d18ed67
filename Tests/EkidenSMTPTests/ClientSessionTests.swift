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
