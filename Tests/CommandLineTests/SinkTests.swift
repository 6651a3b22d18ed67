import EkidenMail
import Testing

@testable import ekiden

private struct Dialogue {
    var session = SinkSession(
        client: Endpoint(.loopback4, 1),
        capture: SinkCapture(keepsEnvelope: true, contentBytes: .max),
        extensions: "250 sink\r\n"
    )
    var script = SinkScript()
    var messages: [SinkMessage] = []
    var pause: SinkSession.Pause?

    /// Says `text` in pieces of `size` bytes; answers what the sink said.
    mutating func say(_ text: String, size: Int = .max) -> String {
        let bytes = Array(text.utf8)
        var start = 0
        while start < bytes.count, pause == nil {
            let end = size < bytes.count - start ? start + size : bytes.count
            bytes[start..<end].withUnsafeBytes { piece in
                var offset = 0
                while offset < piece.count, pause == nil {
                    let rest = UnsafeRawBufferPointer(rebasing: piece[offset...])
                    let (taken, next) = session.feed(rest, &script) { messages.append($0) }
                    offset += taken
                    pause = next
                }
            }
            start = end
        }
        return String(decoding: session.takeOutput(), as: UTF8.self)
    }
}

private let envelope = "EHLO c.example\r\nMAIL FROM:<a@b> SIZE=9\r\nRCPT TO:<c@d>\r\nDATA\r\n"

@Suite struct SinkTests {
    @Test(arguments: [
        "", "X: y\r\n\r\nbody\r\n", "\r\n", "..\r\n", "a.\r\n..b\r\n", ".x\r\n", "\r\n\r\n",
        "\r\r\n",
        "a\r\n.\n\r\n", "no end.\r\n...\r\n", "\r.\r\n",
    ])
    func theEndOfDataIsFoundAtAnyCut(body: String) {
        for size in [1, 2, 3, 4, 5, 7, Int.max] {
            var dialogue = Dialogue()
            let replies = dialogue.say(envelope + body + ".\r\nQUIT\r\n", size: size)
            #expect(
                replies == "250 sink\r\n250 2.1.0 sender ok\r\n250 2.1.5 recipient ok\r\n"
                    + "354 go ahead\r\n250 2.0.0 accepted\r\n221 2.0.0 bye\r\n"
            )
            #expect(dialogue.messages.count == 1)
            #expect(dialogue.messages.first?.content == Array(body.utf8))
            #expect(dialogue.messages.first?.byteCount == body.utf8.count)
            #expect(dialogue.messages.first?.sender == "a@b")
            #expect(dialogue.messages.first?.recipients == ["c@d"])
            #expect(dialogue.messages.first?.parameters == "SIZE=9")
            #expect(dialogue.messages.first?.helo == "c.example")
            #expect(dialogue.pause == .close)
        }
    }

    @Test func stuffedDotsAreTakenOut() {
        #expect(
            removingDotStuffing(Array("..a\r\n.b\r\nc.\r\n..".utf8))
                == Array(".a\r\nb\r\nc.\r\n.".utf8)
        )
        #expect(removingDotStuffing([]) == [])
    }

    @Test func scriptedRepliesHoldForTheirLines() throws {
        var dialogue = Dialogue()
        try dialogue.script.addReply("rcpt~bob@=450:4.2.1:mailbox busy")
        let replies = dialogue.say(
            "MAIL FROM:<a@b>\r\nRCPT TO:<Bob@d>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n"
        )
        #expect(replies.contains("450 4.2.1 mailbox busy\r\n250 2.1.5 recipient ok\r\n354"))
        #expect(dialogue.messages.first?.recipients == ["c@d"])
    }

    @Test func onceMeansOnce() throws {
        var dialogue = Dialogue()
        try dialogue.script.addReply("dot=451:4.3.0:not now")
        dialogue.script.isOnce = true
        #expect(dialogue.say(envelope + "x\r\n.\r\n").hasSuffix("451 4.3.0 not now\r\n"))
        #expect(dialogue.messages.isEmpty)
        #expect(dialogue.say(envelope + "x\r\n.\r\n").hasSuffix("250 2.0.0 accepted\r\n"))
        #expect(dialogue.messages.count == 1)
    }

    @Test func dropsAndClosesEndTheSession() throws {
        for step in ["data", "body", "dot", "mail"] {
            var dialogue = Dialogue()
            try dialogue.script.addDrop(step)
            _ = dialogue.say(envelope + "x\r\n.\r\n")
            #expect(dialogue.pause == .drop)
            #expect(dialogue.messages.isEmpty)
        }
        var dialogue = Dialogue()
        try dialogue.script.addReply("mail=421:4.3.2:going down")
        #expect(dialogue.say(envelope).hasSuffix("421 4.3.2 going down\r\n"))
        #expect(dialogue.pause == .close)
        try dialogue.script.addDelay("dot=2s")
        #expect(dialogue.script.delay(at: .dot) == .seconds(2))
        #expect(dialogue.script.delay(at: .mail) == nil)
    }

    @Test(arguments: ["rcpt", "rcpt=", "rcpt=99", "rctp=450", "rcpt=600:x"])
    func badScriptsAreUsageProblems(text: String) {
        var script = SinkScript()
        #expect(throws: CommandProblem.self) { try script.addReply(text) }
    }

    @Test func dataWithoutRecipientsIsRefused() {
        var dialogue = Dialogue()
        #expect(dialogue.say("MAIL FROM:<>\r\nDATA\r\n").hasSuffix("503 5.5.1 no recipients\r\n"))
    }
}
