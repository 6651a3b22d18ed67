// Commands in and out of order, right and wrong in form: each has its reply (RFC 5321 §4.1, §4.3.2;
// enhanced codes RFC 3463), and none of them ends a session that may go on.

import Foundation
import Testing

/// Lines to say, each with the beginning of the reply it must get.
private struct Dialogue: Sendable, CustomTestStringConvertible {
    let name: String
    let lines: [(String, String)]
    init(_ name: String, _ lines: [(String, String)]) { (self.name, self.lines) = (name, lines) }
    var testDescription: String { name }
}

private let mail = ("MAIL FROM:<a@origin.test>", "250 2.1.0")
private let rcpt = ("RCPT TO:<b@example.test>", "250 2.1.5")
private let longName = String(repeating: "x", count: 600)

private let dialogues: [Dialogue] = [
    Dialogue(
        "nothing but courtesies before EHLO",
        [
            ("NOOP", "250 2.0.0"), ("RSET", "250 2.0.0"), ("HELP", "214 2.0.0"),
            ("VRFY bob", "252 2."), ("EXPN list", "50"),
            ("MAIL FROM:<a@origin.test>", "503 5.5.1"), ("RCPT TO:<b@example.test>", "503 5.5.1"),
            ("DATA", "503 5.5.1"), ("EHLO client.test", "250"), ("QUIT", "221 2.0.0"),
        ]
    ),
    Dialogue(
        "the order of a transaction",
        [
            ("EHLO client.test", "250"), ("RCPT TO:<b@example.test>", "503 5.5.1"),
            ("DATA", "503 5.5.1"), mail, ("MAIL FROM:<c@origin.test>", "503 5.5.1"),
            ("DATA", "5"), rcpt, ("RSET", "250 2.0.0"), ("RCPT TO:<b@example.test>", "503 5.5.1"),
            mail, rcpt, ("EHLO client.test", "250"), ("DATA", "503 5.5.1"), mail, rcpt,
            ("HELO client.test", "250"), ("DATA", "503 5.5.1"),
        ]
    ),
    Dialogue(
        "commands in any case and with spaces behind them",
        [
            ("ehlo client.test", "250"), ("mAiL fRoM:<a@origin.test>", "250 2.1.0"),
            ("rcpt to:<b@example.test>  ", "250 2.1.5"), ("rset ", "250 2.0.0"),
            ("MAIL FROM: <a@origin.test>", "250 2.1.0"), ("quit", "221 2.0.0"),
        ]
    ),
    Dialogue(
        "what is no command",
        [
            ("", "500 5.5.2"), ("FOO", "500 5.5.2"), (" NOOP", "500 5.5.2"),
            ("MAILFROM:<a@b.test>", "500 5.5.2"), ("STARTTLS", "502 5.5.1"),
            ("AUTH PLAIN", "502 5.5.1"), ("ATRN", "502 5.5.1"), ("ETRN x", "502 5.5.1"),
            ("NOOP", "250 2.0.0"),
        ]
    ),
    Dialogue(
        "arguments that must or must not be there",
        [
            ("EHLO", "501 5.5.4"), ("HELO", "501 5.5.4"), ("EHLO a b", "501 5.5.4"),
            ("EHLO client.test", "250"), ("RSET now", "501 5.5.4"), ("QUIT now", "501 5.5.4"),
            ("VRFY", "501 5.5.4"), ("MAIL", "501 5.5.4"), ("MAIL FROM", "501 5.5.4"),
            ("MAIL TO:<a@origin.test>", "501 5.5.4"), mail, ("RCPT", "501 5.5.4"),
            ("RCPT FROM:<b@example.test>", "501 5.5.4"), rcpt, ("DATA now", "501 5.5.4"),
            ("NOOP whatever you like", "250 2.0.0"),
        ]
    ),
    Dialogue(
        "senders",
        [
            ("EHLO client.test", "250"), ("MAIL FROM:a@origin.test", "501 5.1.7"),
            ("MAIL FROM:<a@origin.test", "501 5.1.7"), ("MAIL FROM:<a@>", "501 5.1.7"),
            ("MAIL FROM:<@origin.test>", "501 5.1.7"), ("MAIL FROM:<a b@origin.test>", "501 5.1.7"),
            ("MAIL FROM:<a@origin..test>", "501 5.1.7"), ("MAIL FROM:<", "501 5.1.7"),
            ("MAIL FROM:<\(longName)@origin.test>", "5"),
            ("MAIL FROM:<ä@origin.test>", "553 5.6.7"),
            ("MAIL FROM:<>", "250 2.1.0"), ("RSET", "250"),
            ("MAIL FROM:<\"a \\\" b\"@origin.test>", "250 2.1.0"), ("RSET", "250"),
            ("MAIL FROM:<@a.test,@b.test:a@origin.test>", "250 2.1.0"), ("RSET", "250"),
            ("MAIL FROM:<a@[192.0.2.1]>", "250 2.1.0"), ("RSET", "250"),
            ("MAIL FROM:<a@[IPv6:2001:db8::1]>", "250 2.1.0"),
        ]
    ),
    Dialogue(
        "recipients",
        [
            ("EHLO client.test", "250"), mail, ("RCPT TO:<>", "501 5.1.3"),
            ("RCPT TO:b@example.test", "501 5.1.3"), ("RCPT TO:<b>", "501 5.1.3"),
            ("RCPT TO:<b@-example.test>", "501 5.1.3"),
            ("RCPT TO:<b@example.test> X=Y", "555 5.5.4"),
            ("RCPT TO:<@a.test:b@example.test>", "250 2.1.5"),
            ("RCPT TO:<\"b b\"@example.test>", "250 2.1.5"),
            ("RCPT TO:<b@[127.0.0.1]>", "250 2.1.5"),
            ("RCPT TO:<POSTMASTER>", "250 2.1.5"), rcpt, rcpt,
        ]
    ),
    Dialogue(
        "parameters of MAIL",
        [
            ("EHLO client.test", "250"), ("MAIL FROM:<a@origin.test> X=Y", "555 5.5.4"),
            ("MAIL FROM:<a@origin.test> BODY=BINARYMIME", "501 5.5.4"),
            ("MAIL FROM:<a@origin.test> SIZE=many", "501 5.5.4"),
            ("MAIL FROM:<a@origin.test> SIZE=1 SIZE=2", "501 5.5.4"),
            ("MAIL FROM:<a@origin.test> SIZE=99999999999999999999", "552 5.3.4"),
            ("MAIL FROM:<a@origin.test>BODY=7BIT", "501 5"),
            ("MAIL FROM:<a@origin.test> body=8bitmime size=100", "250 2.1.0"),
            ("HELO client.test", "250"), ("MAIL FROM:<a@origin.test> SIZE=1", "555 5.5.4"),
            ("MAIL FROM:<a@origin.test>", "250 2.1.0"),
        ]
    ),
]

/// One relay for all of them: a session can't depend on another.
@Test func `every command has its right reply in every place`() async throws {
    try await story(["listener.max_errors": "1000", "listener.max_commands": "10000"]) { stage in
        for dialogue in dialogues {
            let client = try Client(stage.place)
            try client.expect("220 relay.test", after: "connecting")
            for (line, expected) in dialogue.lines {
                let reply = try client.say(line)
                #expect(
                    "\(reply)".hasPrefix(expected),
                    "\(dialogue.name): \(line.prefix(80)) → \(reply), not \(expected)"
                )
            }
        }
        try #require(stage.log("accepted").isEmpty)
    }
}

@Test func `EHLO offers what works and HELO offers nothing`() async throws {
    try await story(["listener.max_message_size": "1MiB"]) { stage in
        let client = try Client(stage.place)
        try client.expect("220")
        let offer = try client.say("EHLO client.test", expecting: "250")
        #expect(offer.lines[0].hasPrefix("relay.test"))
        #expect(
            Set(offer.lines.dropFirst()) == [
                "PIPELINING", "SIZE 1048576", "8BITMIME", "CHUNKING", "DSN",
                "SMTPUTF8", "LIMITS RCPTMAX=1000", "ENHANCEDSTATUSCODES",
            ]
        )
        #expect(try client.say("HELO client.test", expecting: "250").lines == ["relay.test"])
    }
}

@Test func `control characters and bare newlines in commands are refused and never echoed`()
    async throws
{
    try await story { stage in
        let client = try stage.client()
        for line in ["NOOP \u{1b}[2J", "MAIL FROM:<a\u{7}@b.test>", "FOO\u{0}BAR"] {
            let reply = try client.say(line)
            #expect(reply.code == 500 || reply.code == 501, "\(reply)")
            #expect(reply.text.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7f }, "\(reply)")
        }
        for line in ["NOOP\n", "NOOP\rNOOP\r\n", "NOOP\n\r\n"] {
            try client.send(line)
            let reply = try client.reply()
            #expect(reply.code == 500, "\(line.debugDescription) → \(reply)")
        }
        // However the parser counted those, the session is in step again.
        try client.send("RSET\r\n")
        while try client.reply(within: 2).code != 250 {}
        try client.say("VRFY x", expecting: "252")
    }
}

@Test func `a line that is too long is refused whole and the next one is understood`() async throws
{
    try await story { stage in
        let client = try stage.client()
        for length in [4_000, 20_000] {
            try client.send("NOOP " + String(repeating: "x", count: length) + "\r\nVRFY x\r\n")
            try client.expect("500 5.5.6", after: "\(length) bytes")
            try client.expect("252")
        }
        // RFC 5321 §4.5.3.1.4: 512 bytes are always taken, and RFC 1870 and others add to them.
        try client.say("NOOP " + String(repeating: "x", count: 505), expecting: "250")
        let endless = try stage.client()
        _ = endless.socket.send([UInt8](repeating: 0x78, count: 4 << 20))
        #expect(try endless.rest().hasPrefix("421 4.7.0"))
    }
}
