import EkidenMail
import TestKit
import Testing

@testable import EkidenSMTP

/// What a message in chunks should become, worked out on the whole and by no cleverness.
private struct Expected {
    var body: [UInt8] = []
    var bareNewlines = 0
    var firstBareLine: Int?
    var endsWithinLine = false

    init(_ content: [UInt8]) {
        var i = 0
        while i < content.count {
            if content[i] == 13, i + 1 < content.count, content[i + 1] == 10 {
                body += [13, 10]
                i += 2
            } else if content[i] == 13 || content[i] == 10 {
                bareNewlines += 1
                if firstBareLine == nil { firstBareLine = body.count { $0 == 10 } + 1 }
                body += [13, 10]
                i += 1
            } else {
                body.append(content[i])
                i += 1
            }
        }
        endsWithinLine = !body.isEmpty && body.last != 10
    }
}

private func check(_ content: [UInt8], _ pieces: [[UInt8]]) {
    let expected = Expected(content)
    for newlines in [BodyReceiver.Newlines.strict, .lenient] {
        var receiver = BodyReceiver(framing: .counted, newlines: newlines)
        var body: [UInt8] = []
        for piece in pieces {
            let (taken, run) = receiver.take(piece)
            #expect(taken == piece.count && !receiver.isFinished, "\(content)")
            body += run
        }
        body += receiver.finish()
        #expect(receiver.isFinished)
        #expect(receiver.bareNewlines == expected.bareNewlines, "\(content) \(newlines)")
        if newlines == .strict, let line = expected.firstBareLine {
            #expect(receiver.problem == .bareNewline(line: line), "\(content)")
            continue
        }
        #expect(body == expected.body, "\(content) \(newlines)")
        #expect(receiver.messageBytes == body.count)
        #expect(receiver.problem == (expected.endsWithinLine ? .unfinishedLine : nil), "\(content)")
        if expected.endsWithinLine { continue }
        let facts = naiveFacts(body)
        #expect(receiver.facts.lines == facts.lines)
        #expect(receiver.facts.longestLineBytes == facts.longest)
        #expect(receiver.facts.hasLeadingDot == facts.dot, "\(content)")
        #expect(receiver.facts.hasEightBit == facts.eight)
    }
}

@Suite struct CountedBodyTests {
    @Test func `dots mean nothing and newlines the same as in DATA, in every combination`() {
        let letters: [UInt8] = [13, 10, 0x2e, 0x61]
        for length in 0...6 {
            for number in 0..<(1 << (2 * length)) {
                let content = (0..<length).map { letters[number >> (2 * $0) & 3] }
                check(content, [content])
                check(content, content.pieces(of: 1))
                check(content, content.pieces(of: 2))
            }
        }
    }

    @Test(arguments: 1...20)
    func `random messages in random chunks come out the same`(_ seed: Int) {
        var random = TestRandom(seed: UInt64(seed))
        for _ in 0..<20 {
            let choices: [[UInt8]] = [
                [13, 10], [13, 10], [13, 10], [0x2e], [0x61], [0], [0xe4], bytes(".\r\n"),
                random.below(4) == 0 ? [13] : [0x62], random.below(4) == 0 ? [10] : [0x63],
            ]
            let content = (0..<random.below(60_000)).flatMap { _ in random.pick(choices) }
            check(content, content.pieces(&random, upTo: 40_000))
        }
    }

    @Test func `a message that is too large or has a long line is refused as in DATA`() {
        var receiver = BodyReceiver(framing: .counted, sizeLimitBytes: 5)
        _ = receiver.take(bytes("1234\r\n"))
        #expect(receiver.problem == .tooLarge(limitBytes: 5))
        var long = BodyReceiver(framing: .counted, lineLimitBytes: 3)
        _ = long.take(bytes("123\r\n1234"))
        _ = long.finish()
        #expect(long.problem == .lineTooLong(line: 2))
    }

    @Test func `no message at all is an empty one`() {
        var receiver = BodyReceiver(framing: .counted)
        #expect(receiver.finish().isEmpty && receiver.problem == nil)
    }
}

@Suite struct ChunkSessionTests {
    private func session() -> ServerSession {
        var session = ServerSession(ServerSettings(hostName: "relay.example", commands: 6))
        _ = session.say("EHLO c.example")
        _ = session.say("MAIL FROM:<a@b.example>")
        _ = session.senderAccepted()
        _ = session.say("RCPT TO:<c@d.example>")
        _ = session.recipientAccepted(Address(localPart: "c", domain: Domain("d.example")))
        return session
    }

    @Test(arguments: [
        "", " ", " x", " -1", " 1 FIRST", " 1LAST", " 1 LAST x", " +1", " 0x10", " 4294967296",
        " 99999999999999999999", " 123456789012345678901", " 1,", " LAST", " 1\tLAST",
    ])
    func `a size that is none ends the session`(_ argument: String) {
        var session = session()
        guard case .close(let reply, let rule) = session.say("BDAT" + argument) else {
            Issue.record("not closed")
            return
        }
        #expect(reply.code == 501 && rule == "syntax")
    }

    @Test(arguments: [
        (" 0", Chunk(octets: 0, isLast: false)), ("  12", Chunk(octets: 12, isLast: false)),
        (" 4294967295 LAST", Chunk(octets: 4_294_967_295, isLast: true)),
        (" 0007   lAsT ", Chunk(octets: 7, isLast: true)),
    ])
    func `a size is digits, perhaps with LAST`(_ argument: String, _ chunk: Chunk) {
        var session = session()
        #expect(session.say("BDAT" + argument) == .receiveChunk(chunk))
    }

    @Test func `chunks are no idle commands, empty ones are`() {
        var session = session()
        for _ in 0..<100 {
            _ = session.say("BDAT 5")
            #expect(
                session.chunkTaken()
                    == .reply(Reply(250, EnhancedStatus(2, 0, 0), "5 octets received"))
            )
        }
        var effect = ServerEffect.reply(.noopDone)
        for _ in 0..<6 {
            effect = session.say("BDAT 0")
            if case .receiveChunk = effect { _ = session.chunkTaken() }
        }
        guard case .close(_, "too-many-commands") = effect else {
            Issue.record("\(effect)")
            return
        }
    }

    @Test(arguments: 1...10)
    func `whatever is sent in chunks, none of it is read as a command`(_ seed: Int) {
        var random = TestRandom(seed: UInt64(seed))
        let poison = "QUIT\r\nMAIL FROM:<evil@b.example>\r\nRCPT TO:<e@d.example>\r\n.\r\nDATA\r\n"
        for _ in 0..<50 {
            var driver = ServerDriver(ServerSettings(hostName: "relay.example", errors: 10_000))
            driver.receive(bytes("EHLO c.example\r\n"))
            _ = driver.takeOutput()
            var input: [UInt8] = []
            for _ in 0..<20 {
                switch random.below(6) {
                case 0: input += bytes("MAIL FROM:<a@b.example>\r\n")
                case 1: input += bytes("RCPT TO:<c@d.example>\r\n")
                case 2: input += bytes("RSET\r\n")
                default:
                    let content = Array(bytes(poison).prefix(random.below(poison.utf8.count)))
                    let last = random.below(3) == 0 ? " LAST" : ""
                    input += bytes("BDAT \(content.count)\(last)\r\n") + content
                }
            }
            for piece in input.pieces(&random, upTo: 30) { driver.receive(piece) }
            let replies = driver.takeOutput().filter { $0 == 10 }.count
            #expect(replies == 20 && !driver.isClosed)
            #expect(driver.envelopes.allSatisfy { $0.recipients.map(\.text) == ["c@d.example"] })
        }
    }
}
