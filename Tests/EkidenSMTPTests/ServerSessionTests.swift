import EkidenMail
import TestKit
import Testing

@testable import EkidenSMTP

private let settings = ServerSettings(hostName: "relay.example", messageBytes: 1000)
private let address = Address(localPart: "a", domain: Domain("b.example"))

@Suite struct ServerSessionTests {
    @Test func `where policy is asked about EHLO, its no leaves the session as it began`() {
        var asking = settings
        asking.asksHello = true
        var session = ServerSession(asking)
        #expect(session.say("EHLO friend") == .askHello)
        #expect(session.helo == "friend")
        let refusal = Reply(550, .init(5, 7, 1), "no")
        #expect(session.helloRefused(refusal, rule: "x") == .reject(refusal, rule: "x"))
        guard case .reject(let reply, "command-order") = session.say("MAIL FROM:<a@b.example>")
        else {
            Issue.record("MAIL before EHLO")
            return
        }
        #expect(reply.code == 503)
        #expect(session.say("HELO client.example") == .askHello)
        #expect(session.helloAccepted() == .reply(Reply(250, nil, "relay.example")))
        guard case .askSender = session.say("MAIL FROM:<a@b.example>") else {
            Issue.record("MAIL after HELO")
            return
        }
        // RFC 5321 §4.1.4: a second EHLO ends the transaction, and is asked about, too.
        _ = session.senderAccepted()
        #expect(session.say("EHLO client.example") == .askHello)
        #expect(session.transaction == nil)
        guard case .reply(let hello) = session.helloAccepted() else {
            Issue.record("no answer")
            return
        }
        #expect(hello.lines.contains("PIPELINING"))
    }

    @Test func `the session gathers what the envelope is made of`() {
        var session = ServerSession(settings)
        _ = session.say("EHLO Client.Example")
        let mail = MailParameters(
            sender: .address(address),
            body: .eightBitMIME,
            declaredBytes: 77
        )
        #expect(session.say("MAIL FROM:<a@b.example> SIZE=77 BODY=8bitMIME") == .askSender(mail))
        #expect(session.senderAccepted() == .reply(Reply(250, .init(2, 1, 0), "sender ok")))
        #expect(session.say("RCPT TO:<a@b.example>") == .askRecipient(.address(address)))
        _ = session.recipientAccepted(address)
        #expect(session.say("RCPT TO:<postmaster>") == .askRecipient(.postmaster))
        _ = session.recipientAccepted(Address(localPart: "root", domain: Domain("x.example")))
        guard case .startData(let reply) = session.say("DATA") else {
            Issue.record("no data")
            return
        }
        #expect(reply.code == 354 && reply.status == nil)
        #expect(session.transaction?.mail == mail)
        #expect(session.transaction?.recipients.map(\.text) == ["a@b.example", "root@x.example"])
        #expect(session.helo == "Client.Example" && session.inboundProtocol == .esmtp)
        _ = session.messageAccepted(.queued(as: QueueID(number: 5)))
        #expect(session.transaction == nil && session.phase == .ready)
    }

    /// CVE-2011-0411: a command that was sent in the clear behind STARTTLS would be obeyed as if it
    /// had come within TLS.
    @Test func `what follows STARTTLS in its group ends the session`() {
        var offering = settings
        offering.offersTLS = true
        var session = ServerSession(offering)
        _ = session.say("EHLO c.example")
        guard case .close(let reply, let rule) = session.say("STARTTLS", hasMoreInput: true) else {
            Issue.record("the session went on")
            return
        }
        #expect(reply.code == 503 && rule == "pipelining" && session.phase == .closed)
        #expect(session.security == nil)
    }

    @Test func `with TLS the protocol's name says so, and the client says EHLO anew`() {
        var offering = settings
        offering.offersTLS = true
        var session = ServerSession(offering)
        _ = session.say("EHLO Liar.Example")
        #expect(
            session.say("STARTTLS") == .startTLS(Reply(220, .init(2, 0, 0), "ready to start TLS"))
        )
        session.secured(TLSFacts(version: "TLSv1.3", cipher: "C"))
        #expect(session.helo == "" && session.phase == .connected)
        _ = session.say("EHLO Client.Example")
        #expect(session.helo == "Client.Example" && session.inboundProtocol == .esmtps)
        _ = session.say("HELO Client.Example")
        #expect(session.inboundProtocol == .smtp)
    }

    @Test func `a recipient said twice is accepted twice and kept once`() {
        var session = ServerSession(settings)
        _ = session.say("HELO c")
        _ = session.say("MAIL FROM:<>")
        _ = session.senderAccepted()
        for _ in 0..<2 {
            _ = session.say("RCPT TO:<a@b.example>")
            #expect(session.recipientAccepted(address) == .reply(.recipientOK))
        }
        #expect(session.transaction?.recipients == [address])
    }

    @Test func `every refusal names its rule`() {
        var session = ServerSession(settings)
        let cases: [(String, ServerRule)] = [
            ("MAIL FROM:<>", .commandOrder), ("WHAT", .unknownCommand), ("ETRN x", .notOffered),
            ("EHLO", .syntax),
        ]
        for (line, rule) in cases {
            guard case .reject(_, let named) = session.say(line) else {
                Issue.record("\(line) not refused")
                continue
            }
            #expect(named == rule.rawValue)
        }
        #expect(
            session.refused(.bareNewline)
                == .reject(
                    Reply(
                        500,
                        .init(5, 5, 2),
                        "bare CR or LF in a command; lines must end in CRLF"
                    ),
                    rule: "bare-newline"
                )
        )
    }

    @Test func `a message sent behind a refused DATA is not read as commands`() {
        var session = ServerSession(settings)
        _ = session.say("EHLO c")
        guard case .close(let reply, let rule) = session.say("DATA", hasMoreInput: true) else {
            Issue.record("not closed")
            return
        }
        #expect(reply.code == 503 && rule == "pipelining" && session.phase == .closed)
    }

    @Test func `policy may close by answering 421`() {
        var session = ServerSession(settings)
        _ = session.say("HELO c")
        _ = session.say("MAIL FROM:<>")
        let reply = Reply(421, EnhancedStatus(4, 3, 2), "enough")
        #expect(session.senderRefused(reply, rule: "busy") == .close(reply, rule: "busy"))
    }

    @Test func `a message accepted forgives earlier errors`() {
        var session = ServerSession(ServerSettings(hostName: "h", errors: 2))
        for _ in 0..<5 {
            #expect(session.say("HELO c") == .reply(Reply(250, nil, "h")))
            guard case .reject = session.say("WHAT") else {
                Issue.record("closed too early")
                return
            }
            _ = session.say("MAIL FROM:<>")
            _ = session.senderAccepted()
            _ = session.say("RCPT TO:<a@b.example>")
            _ = session.recipientAccepted(address)
            _ = session.say("DATA")
            _ = session.messageAccepted(.queued(as: QueueID(number: 1)))
        }
    }

    @Test func `replies are well-formed lines whatever their text`() {
        let nasty = Reply(550, EnhancedStatus(5, 7, 1), lines: ["a\r\n250 ok\0", "", "\u{e4}"])
        #expect(nasty.wire.text == "550-5.7.1 a??250 ok?\r\n550-5.7.1\r\n550 5.7.1 ??\r\n")
        let long = Reply(250, EnhancedStatus(2, 0, 0), String(repeating: "x", count: 2000))
        #expect(long.wire.count <= 512 && long.wire.text.hasSuffix("x\r\n"))
        for (subject, detail) in [(0, 0), (1, 10), (100, 5), (999, 109)] as [(UInt16, UInt16)] {
            let reply = Reply(450, EnhancedStatus(4, subject, detail), "x")
            #expect(reply.wire.text == "450 4.\(subject).\(detail) x\r\n")
        }
        #expect(Reply.greeting(settings).wire.text == "220 relay.example ESMTP Ekiden\r\n")
    }

    @Test func `random commands never crash, and each gets one reply`() {
        var random = TestRandom(seed: 51)
        let lines = [
            "EHLO c", "HELO c", "MAIL FROM:<a@b.example>", "MAIL FROM:<> SIZE=9", "DATA", "RSET",
            "RCPT TO:<a@b.example>", "RCPT TO:<c@denied.example>", "NOOP", "VRFY x", "EXPN x",
            "HELP",
            "MAIL", "RCPT", "junk", ".", "", "MAIL FROM:<a@bad.example>", "\u{e4}", "NOOP\0",
        ]
        for _ in 0..<300 {
            var driver = ServerDriver(ServerSettings(hostName: "h", errors: 1000, commands: 1000))
            _ = driver.takeOutput()
            for _ in 0..<40 {
                let isData = if case .data = driver.session.phase { true } else { false }
                let line = isData ? "text\r\n." : random.pick(lines)
                driver.receive(bytes(line + "\r\n"))
                let output = driver.takeOutput().text
                let last = output.split(separator: "\r\n").filter {
                    !$0.dropFirst(3).hasPrefix("-")
                }
                #expect(last.count == 1, "\(line) → \(output)")
            }
        }
    }

    /// Behind XCLIENT a certificate is the peer's, before it and after it.
    @Test func `what a peer shows says nothing of whom it speaks for`() {
        var session = ServerSession(ServerSettings(hostName: "relay.example", offersTLS: true))
        session.mayOverride = true
        session.secured(ServerDriver.tls)
        session.certificateLogin = "proxy"
        #expect(!session.isOverridden && session.user == "proxy")
        _ = session.say("EHLO proxy.example")
        guard case .becomeClient = session.say("XCLIENT ADDR=192.0.2.1") else {
            Issue.record("no XCLIENT")
            return
        }
        _ = session.overridden()
        #expect(session.isOverridden && session.user == nil)
        session.secured(ServerDriver.tls)
        #expect(session.isOverridden)
    }
}
