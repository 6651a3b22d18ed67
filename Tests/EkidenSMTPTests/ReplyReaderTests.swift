import EkidenMail
import TestKit
import Testing

@testable import EkidenSMTP

private enum Heard: Equatable {
    case reply(Reply)
    case error(String)
}

private func read(_ pieces: [[UInt8]]) -> (heard: [Heard], held: Int) {
    var reader = ReplyReader()
    var unread: [UInt8] = []
    var heard: [Heard] = []
    var held = 0
    for piece in pieces {
        unread += piece
        reading: while true {
            switch unread.withUnsafeBytes({ reader.next(in: $0) }) {
            case .nothing(let consume):
                unread.removeFirst(consume)
                break reading
            case .reply(let reply, let consume):
                heard.append(.reply(reply))
                unread.removeFirst(consume)
            case .protocolError(let text, let consume):
                heard.append(.error(text))
                unread.removeFirst(consume)
                return (heard, held)
            }
        }
        held = max(held, unread.count)
    }
    return (heard, held)
}

private func status(_ a: UInt8, _ b: UInt16, _ c: UInt16) -> EnhancedStatus { .init(a, b, c) }

@Suite struct ReplyReaderTests {
    @Test(arguments: [
        ("250 ok\r\n", Reply(250, "ok")),
        ("250\r\n", Reply(250, "")),
        ("250 \r\n", Reply(250, "")),
        ("250 ok\n", Reply(250, "ok")),
        ("250 2.1.5 ok\r\n", Reply(250, EnhancedStatus(2, 1, 5), "ok")),
        ("250 2.1.5\r\n", Reply(250, EnhancedStatus(2, 1, 5), "")),
        ("250 2.1.5x\r\n", Reply(250, "2.1.5x")),
        ("550 2.1.5 liar\r\n", Reply(550, "2.1.5 liar")),
        (
            "550-5.1.1 no such\r\n550 5.1.1 user\r\n",
            Reply(550, EnhancedStatus(5, 1, 1), lines: ["no such", "user"])
        ),
        ("250-a\n250-\r\n250 c\r\n", Reply(250, lines: ["a", "", "c"])),
        ("250-a\r\n251 b\r\n", Reply(251, lines: ["a", "b"])),
        ("421-4.7.0 a\r\n421\r\n", Reply(421, EnhancedStatus(4, 7, 0), lines: ["a", ""])),
        ("220 \u{e4}\0\u{1b}[1m\tx \r\n", Reply(220, "????[1m x")),
    ])
    func `replies are read as they are meant`(_ text: String, _ expected: Reply) {
        let input = bytes(text)
        for size in 1...input.count {
            #expect(read(input.pieces(of: size)).heard == [.reply(expected)])
        }
    }

    @Test(arguments: [
        "HTTP/1.1 400 Bad Request\r\n", "\r\n", "25\r\n", "25x ok\r\n", "199 x\r\n", "600 x\r\n",
        "250_x\r\n", "2500\r\n", " 250 x\r\n", "250-a\r\n550 b\r\n", "250-a\r\ngarbage\r\n",
    ])
    func `what is no reply is a protocol error`(_ text: String) {
        for size in [1, 100] {
            let heard = read(bytes(text).pieces(of: size)).heard
            guard heard.count == 1, case .error = heard[0] else {
                Issue.record("\(heard)")
                continue
            }
        }
    }

    @Test func `several replies in one read come one by one`() {
        let input = bytes("250 a\r\n550-b\r\n550 c\r\n354 d\r\n")
        let expected: [Heard] = [
            .reply(Reply(250, "a")), .reply(Reply(550, lines: ["b", "c"])), .reply(Reply(354, "d")),
        ]
        for size in 1...input.count { #expect(read(input.pieces(of: size)).heard == expected) }
    }

    @Test func `long lines are cut, in bounded memory`() {
        let line = bytes("250 ") + [UInt8](repeating: 0x78, count: 100_000) + bytes("\r\n221 y\r\n")
        for size in [1, 1000, 5000, 200_000] {
            let result = read(line.pieces(of: size))
            let kept = String(repeating: "x", count: Limits.replyLineBytes - 4)
            #expect(result.heard == [.reply(Reply(250, kept)), .reply(Reply(221, "y"))])
            #expect(result.held < Limits.replyLineBytes)
        }
    }

    @Test func `endless replies are given up`() {
        let lines = [[UInt8]](repeating: bytes("250-more\r\n"), count: Limits.replyLines + 1)
        #expect(
            read(lines).heard == [.error("reply of more than \(Limits.replyLines) lines")]
        )
        let flood = [[UInt8]](repeating: Array(repeating: 0x32, count: 65_536), count: 70)
        #expect(read(flood).heard == [.error("reply line without end")])
    }

    @Test func `of many lines the first are kept`() {
        let many = (0..<50).map { "250-line \($0)\r\n" }.joined() + "250 end\r\n"
        guard case .reply(let reply) = read([bytes(many)]).heard.first else {
            Issue.record("no reply")
            return
        }
        #expect(reply.lines.count == Limits.replyLinesKept && reply.lines[0] == "line 0")
    }

    @Test func `our own replies are read back as they were`() {
        let replies = [
            Reply(250, status(2, 0, 0), "0000000000001"), Reply(354, nil, "go"),
            Reply(550, status(5, 1, 1), lines: ["a", "", "c d"]),
            Reply(250, nil, lines: ["h", "SIZE 5"]),
        ]
        for reply in replies { #expect(read([reply.wire.asArray]).heard == [.reply(reply)]) }
    }

    @Test func `random bytes never crash it, and fragments make no difference`() {
        var random = TestRandom(seed: 61)
        for _ in 0..<1000 {
            var input: [UInt8] = []
            for _ in 0..<random.below(40) {
                input += random.pick([
                    bytes("250"), bytes("550 5.1.1 x"), bytes("-"), bytes(" "), [13, 10], [13, 10],
                    [10], [13], [0], [0xff], bytes("250-2.0.0 y\r\n"),
                ])
            }
            #expect(read([input]).heard == read(input.pieces(&random, upTo: 4)).heard)
        }
    }
}

@Suite struct ExtensionsTests {
    @Test func `an EHLO answer is read in any case`() {
        let reply = Reply(
            250,
            lines: [
                "mx.example SIZE 5", "Pipelining", "size 35882577", "8bitMime",
                "EnhancedStatusCodes",
                "SMTPUTF8", "DSN", "CHUNKING", "STARTTLS", "X-OTHER 1 2", "",
                "LIMITS RCPTMAX=100 MAILMAX=20 RCPTDOMAINMAX=1 OTHER=3",
            ]
        )
        var expected = Extensions()
        expected.pipelining = true
        expected.size = true
        expected.messageBytes = 35_882_577
        expected.eightBitMIME = true
        expected.enhancedStatusCodes = true
        expected.smtpUTF8 = true
        expected.dsn = true
        expected.chunking = true
        expected.startTLS = true
        expected.recipientsMax = 100
        expected.messagesMax = 20
        expected.recipientDomainsMax = 1
        #expect(Extensions(reply) == expected)
    }

    @Test(arguments: [
        "LIMITS", "LIMITS RCPTMAX", "LIMITS RCPTMAX=", "LIMITS RCPTMAX=0", "LIMITS RCPTMAX=1x",
        "LIMITS RCPTMAX=-1", "LIMITS RCPTMAX=010", "LIMITS RCPTMAX=1000000", "LIMITS RCPTMAX==2",
        "LIMITS =2", "LIMITS RCPTMAX =2", "LIMITS RCPTMAXIMUM=2",
    ])
    func `a limit that is none is passed over`(line: String) {
        let both = Extensions(Reply(250, lines: ["mx.example", line + " MAILMAX=999999"]))
        #expect(both.recipientsMax == nil && both.recipientDomainsMax == nil)
        #expect(both.messagesMax == 999_999)
    }

    @Test(arguments: ["SIZE", "SIZE 0", "SIZE x", "SIZE -5", "SIZE 99999999999999999999"])
    func `a size that says no number is no limit`(_ line: String) {
        let extensions = Extensions(Reply(250, lines: ["h", line]))
        #expect(extensions.size && extensions.messageBytes == nil)
    }

    @Test func `what we offer is what a client reads`() {
        let settings = ServerSettings(hostName: "relay.example", messageBytes: 1000)
        let extensions = Extensions(.hello(settings, isSecured: false, mechanisms: []))
        #expect(extensions.pipelining && extensions.eightBitMIME && extensions.enhancedStatusCodes)
        #expect(
            extensions.messageBytes == 1000 && extensions.smtpUTF8 && !extensions.startTLS
                && extensions.dsn && extensions.chunking && extensions.recipientsMax == 1000
        )
    }
}
