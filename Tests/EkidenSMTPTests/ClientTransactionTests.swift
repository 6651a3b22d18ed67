import EkidenMail
import TestKit
import Testing

@testable import EkidenSMTP

private let host = PeerHost(name: "mx.example", endpoint: nil)
private let sender = ReversePath.address(Address(localPart: "s", domain: Domain("a.example")))

private func recipients(_ count: Int) -> [Address] {
    (0..<count).map { Address(localPart: "r\($0)", domain: Domain("b.example")) }
}

/// Runs a transaction against replies given in advance, as a driver does.
private struct Conversation {
    var transaction: ClientTransaction
    /// What was sent, one string for each write between two reads.
    var writes: [String] = []
    private var pending = ""

    init(
        _ count: Int,
        pipelining: Bool,
        byteCount: Int = 100,
        eightBit: Bool = false,
        speaksLMTP: Bool = false,
        change: (inout Extensions) -> Void = { _ in }
    ) {
        var extensions = Extensions()
        extensions.pipelining = pipelining
        change(&extensions)
        var facts = MessageFacts()
        facts.bodyHasEightBit = eightBit
        transaction = ClientTransaction(
            sender: sender,
            recipients: recipients(count),
            byteCount: byteCount,
            facts: facts,
            extensions: extensions,
            host: host,
            speaksLMTP: speaksLMTP
        )
    }

    /// Up to the next reply awaited (true) or the end (false).
    mutating func advance() -> Bool {
        while true {
            var output = BytesBuilder()
            let action = transaction.next(into: &output)
            pending += output.finish().text
            switch action {
            case .send: continue
            case .sendMessage:
                pending += "<message>"
                transaction.finalDotSent()
            case .awaitReply:
                if !pending.isEmpty { writes.append(pending) }
                pending = ""
                return true
            case .finished:
                if !pending.isEmpty { writes.append(pending) }
                pending = ""
                return false
            }
        }
    }

    /// Feeds the replies; every one must be awaited, and none missing when `isWhole`.
    mutating func hear(_ replies: [Reply], isWhole: Bool = true) {
        for reply in replies {
            #expect(advance(), "nothing awaited for \(reply.oneLine)")
            transaction.received(reply)
        }
        if isWhole { #expect(!advance(), "more replies awaited") }
    }
}

private let ok = Reply(250, EnhancedStatus(2, 0, 0), "ok")
private let go = Reply(354, "go")
private let noUser = Reply(550, EnhancedStatus(5, 1, 1), "no such user")
private let later = Reply(451, EnhancedStatus(4, 7, 1), "greylisted")
private let tooMany = Reply(452, EnhancedStatus(4, 5, 3), "too many")
private let down = Reply(421, EnhancedStatus(4, 3, 2), "closing")
private let badOrder = Reply(503, EnhancedStatus(5, 5, 1), "no valid recipients")

private func failed(
    _ scope: Failure.Scope,
    _ step: DeliveryStep,
    _ reason: Reason,
    _ reply: Reply?,
    _ status: EnhancedStatus,
    isPermanent: Bool? = nil,
    text: String = ""
) -> RecipientResult {
    .failed(
        Failure(
            scope: scope,
            isPermanent: isPermanent ?? (status.category == 5),
            reason: reason,
            step: step,
            host: host,
            reply: reply,
            text: text,
            status: status
        )
    )
}

private let userUnknown = failed(.recipient, .recipient, .peerRejected, noUser, .init(5, 1, 1))

@Suite struct ClientTransactionTests {
    @Test func `without pipelining each command waits for its reply`() {
        var talk = Conversation(2, pipelining: false)
        talk.hear([ok, ok, ok, go, ok])
        #expect(
            talk.writes == [
                "MAIL FROM:<s@a.example>\r\n", "RCPT TO:<r0@b.example>\r\n",
                "RCPT TO:<r1@b.example>\r\n", "DATA\r\n", "<message>",
            ]
        )
        #expect(talk.transaction.results == [.delivered(ok), .delivered(ok)])
        #expect(talk.transaction.aftermath == .reusable)
    }

    @Test func `with pipelining all up to DATA goes in one write`() {
        var talk = Conversation(2, pipelining: true)
        talk.hear([ok, ok, ok, go, ok])
        #expect(
            talk.writes == [
                "MAIL FROM:<s@a.example>\r\nRCPT TO:<r0@b.example>\r\n"
                    + "RCPT TO:<r1@b.example>\r\nDATA\r\n",
                "<message>",
            ]
        )
        #expect(talk.transaction.results == [.delivered(ok), .delivered(ok)])
    }

    @Test(arguments: [false, true])
    func `mixed replies to RCPT give mixed results`(_ pipelining: Bool) {
        var talk = Conversation(3, pipelining: pipelining)
        talk.hear([ok, noUser, ok, later, go, ok])
        #expect(
            talk.transaction.results == [
                userUnknown, .delivered(ok),
                failed(.recipient, .recipient, .peerDeferred, later, .init(4, 7, 1)),
            ]
        )
        #expect(talk.transaction.aftermath == .reusable)
    }

    @Test func `a refused MAIL fails all, and the pipelined replies are still read`() {
        let expected = failed(.message, .mail, .peerDeferred, later, .init(4, 7, 1))
        var strict = Conversation(2, pipelining: false)
        strict.hear([later])
        #expect(strict.transaction.results == [expected, expected])
        #expect(strict.transaction.aftermath == .reusable)
        var pipelined = Conversation(2, pipelining: true)
        pipelined.hear([later, badOrder, badOrder, badOrder])
        #expect(pipelined.transaction.results == [expected, expected])
        #expect(pipelined.transaction.aftermath == .reusable)
    }

    @Test func `when no recipient is left, DATA is not said, or answered with an empty message`() {
        var strict = Conversation(2, pipelining: false)
        strict.hear([ok, noUser, noUser])
        #expect(strict.transaction.results == [userUnknown, userUnknown])
        #expect(strict.transaction.aftermath == .needsReset)
        var refused = Conversation(2, pipelining: true)
        refused.hear([ok, noUser, noUser, badOrder])
        #expect(refused.transaction.results == [userUnknown, userUnknown])
        #expect(refused.transaction.aftermath == .needsReset)
        // RFC 2920 §3.1
        for last in [ok, later, noUser] {
            var empty = Conversation(2, pipelining: true)
            empty.hear([ok, noUser, noUser, go, last])
            #expect(empty.writes.last == ".\r\n")
            #expect(empty.transaction.results == [userUnknown, userUnknown])
            #expect(empty.transaction.aftermath == .reusable)
        }
        // A peer that refused MAIL itself and then wants the message gets nothing more.
        var odd = Conversation(1, pipelining: true)
        odd.hear([noUser, ok, go])
        #expect(odd.writes.count == 1)
        #expect(odd.transaction.aftermath == .mustClose)
        #expect(
            odd.transaction.results
                == [failed(.message, .mail, .peerRejected, noUser, .init(5, 1, 1))]
        )
    }

    @Test func `too many recipients are set apart once one was accepted`() {
        let apart = failed(
            .recipient,
            .recipient,
            .tooManyRecipients,
            tooMany,
            .init(4, 5, 3),
            isPermanent: false
        )
        var pipelined = Conversation(4, pipelining: true)
        pipelined.hear([ok, ok, tooMany, noUser, tooMany, go, ok])
        #expect(pipelined.transaction.results == [.delivered(ok), apart, userUnknown, apart])
        // In step, the rest is not even asked for.
        var strict = Conversation(4, pipelining: false)
        strict.hear([ok, ok, tooMany, go, ok])
        #expect(strict.transaction.results == [.delivered(ok), apart, apart, apart])
        #expect(strict.writes.count == 5)
    }

    @Test(arguments: [
        (Reply(452, "x"), true), (Reply(552, "x"), true), (Reply(450, "x"), false),
        (Reply(452, EnhancedStatus(4, 2, 2), "full"), false),
        (Reply(552, EnhancedStatus(5, 2, 2), "full"), false),
        (Reply(451, EnhancedStatus(4, 5, 3), "x"), true),
    ])
    func `only some refusals mean too many recipients`(_ reply: Reply, _ isTooMany: Bool) {
        var talk = Conversation(2, pipelining: true)
        talk.hear([ok, ok, reply, go, ok])
        guard case .failed(let failure) = talk.transaction.results[1] else {
            Issue.record("not failed")
            return
        }
        #expect((failure.reason == .tooManyRecipients) == isTooMany)
        // Before any was accepted it is an ordinary refusal.
        var first = Conversation(1, pipelining: false)
        first.hear([ok, reply])
        guard case .failed(let failure) = first.transaction.results[0] else {
            Issue.record("not failed")
            return
        }
        #expect(failure.reason != .tooManyRecipients)
    }

    @Test(arguments: [false, true])
    func `a refused DATA fails the accepted recipients`(_ pipelining: Bool) {
        var talk = Conversation(2, pipelining: pipelining)
        talk.hear([ok, ok, noUser, later])
        #expect(
            talk.transaction.results == [
                failed(.message, .data, .peerDeferred, later, .init(4, 7, 1)), userUnknown,
            ]
        )
        #expect(talk.transaction.aftermath == .needsReset)
    }

    @Test func `the reply to the final dot decides for the accepted recipients`() {
        let spam = Reply(554, "no spam")
        var talk = Conversation(2, pipelining: true)
        talk.hear([ok, noUser, ok, go, spam])
        #expect(
            talk.transaction.results == [
                userUnknown, failed(.message, .endOfData, .peerRejected, spam, .init(5, 0, 0)),
            ]
        )
        #expect(talk.transaction.aftermath == .reusable)
    }

    @Test(arguments: 0..<5)
    func `421 at any step ends the session`(_ at: Int) {
        for pipelining in [false, true] {
            var talk = Conversation(2, pipelining: pipelining)
            talk.hear(Array([ok, noUser, ok, go].prefix(at)) + [down])
            let steps: [DeliveryStep] = [.mail, .recipient, .recipient, .data, .endOfData]
            let over = failed(.host, steps[at], .peerDeferred, down, .init(4, 3, 2))
            #expect(talk.transaction.results == [at < 2 ? over : userUnknown, over])
            #expect(talk.transaction.aftermath == .mustClose)
        }
    }

    @Test(arguments: 0..<5)
    func `a drop at any step is temporary, and names the step`(_ at: Int) {
        for pipelining in [false, true] {
            var talk = Conversation(2, pipelining: pipelining)
            talk.hear(Array([ok, noUser, ok, go].prefix(at)), isWhole: false)
            let isWaiting = talk.advance()
            #expect(isWaiting)
            talk.transaction.connectionFailed(.connectionLost)
            let steps: [DeliveryStep] = [.mail, .recipient, .recipient, .data, .endOfData]
            let lost = failed(.host, steps[at], .connectionLost, nil, .init(4, 4, 2))
            #expect(talk.transaction.results == [at < 2 ? lost : userUnknown, lost])
            #expect(talk.transaction.aftermath == .mustClose)
        }
    }

    @Test func `before the final dot a drop is not ambiguous`() {
        var talk = Conversation(1, pipelining: false)
        talk.hear([ok, ok, go], isWhole: false)
        var output = BytesBuilder()
        #expect(talk.transaction.next(into: &output) == .sendMessage)
        talk.transaction.connectionFailed(.connectionLost)
        #expect(
            talk.transaction.results == [failed(.host, .data, .connectionLost, nil, .init(4, 4, 2))]
        )
    }

    @Test func `an early refusal while the message is sent counts, and ends the connection`() {
        let big = Reply(552, EnhancedStatus(5, 3, 4), "too big")
        var talk = Conversation(2, pipelining: true)
        talk.hear([ok, noUser, ok, go], isWhole: false)
        var output = BytesBuilder()
        #expect(talk.transaction.next(into: &output) == .sendMessage)
        talk.transaction.received(big)
        #expect(
            talk.transaction.results == [
                userUnknown, failed(.message, .data, .messageTooLarge, big, .init(5, 3, 4)),
            ]
        )
        #expect(talk.transaction.aftermath == .mustClose)
    }

    @Test func `replies that make no sense are protocol errors, temporary`() {
        let cases: [([Reply], DeliveryStep)] = [
            ([go], .mail), ([ok, go], .recipient), ([ok, ok, ok], .data),
            ([ok, ok, go, go], .endOfData),
        ]
        for (replies, step) in cases {
            var talk = Conversation(1, pipelining: false)
            talk.hear(replies)
            #expect(
                talk.transaction.results
                    == [failed(.host, step, .protocolError, replies.last, .init(4, 5, 0))]
            )
            #expect(talk.transaction.aftermath == .mustClose)
        }
    }

    @Test func `SIZE and BODY are said where they are offered and true`() {
        var talk = Conversation(1, pipelining: false, byteCount: 77, eightBit: true) {
            $0.size = true
            $0.messageBytes = 77
            $0.eightBitMIME = true
        }
        talk.hear([ok], isWhole: false)
        #expect(talk.writes == ["MAIL FROM:<s@a.example> SIZE=77 BODY=8BITMIME\r\n"])
    }

    @Test func `what the peer can't take is refused before a word is said`() {
        var large = Conversation(2, pipelining: true, byteCount: 78) {
            $0.size = true
            $0.messageBytes = 77
        }
        large.hear([])
        let tooLarge = failed(
            .message,
            .mail,
            .messageTooLarge,
            nil,
            .init(5, 3, 4),
            text: "the host takes messages of 77 bytes, this one has 78"
        )
        #expect(large.writes == [] && large.transaction.results == [tooLarge, tooLarge])
        #expect(large.transaction.aftermath == .reusable)
        var eightBit = Conversation(1, pipelining: true, eightBit: true)
        eightBit.hear([])
        #expect(
            eightBit.transaction.results
                == [failed(.message, .mail, .eightBitUnsupported, nil, .init(5, 6, 3))]
        )
    }

    @Test func `why 8-bit mail can't be converted is said with its failure`() {
        var facts = MessageFacts()
        facts.bodyHasEightBit = true
        let transaction = ClientTransaction(
            sender: sender,
            recipients: recipients(1),
            byteCount: 1,
            facts: facts,
            extensions: Extensions(),
            host: host,
            eightBitTrouble: "signed"
        )
        #expect(
            transaction.results
                == [
                    failed(
                        .message,
                        .mail,
                        .eightBitUnsupported,
                        nil,
                        .init(5, 6, 3),
                        text: "signed"
                    )
                ]
        )
    }

    @Test func `the null sender is said as such`() {
        var transaction = ClientTransaction(
            sender: .null,
            recipients: recipients(1),
            byteCount: 1,
            facts: MessageFacts(),
            extensions: Extensions(),
            host: host
        )
        var output = BytesBuilder()
        _ = transaction.next(into: &output)
        #expect(output.finish().text == "MAIL FROM:<>\r\n")
    }

    @Test func `an address can't smuggle a command out`() {
        let nasty = Address(localPart: "a>\r\nRCPT TO:<b", domain: Domain("c.example"))
        var transaction = ClientTransaction(
            sender: .address(nasty),
            recipients: [nasty],
            byteCount: 1,
            facts: MessageFacts(),
            extensions: Extensions(),
            host: host
        )
        var output = BytesBuilder()
        _ = transaction.next(into: &output)
        #expect(output.finish().text == "MAIL FROM:<a>??RCPT TO:<b@c.example>\r\n")
    }

    @Test func `what breaks here is ours, never the peer's`() {
        var talk = Conversation(1, pipelining: true)
        talk.hear([ok, ok, go], isWhole: false)
        talk.transaction.abandoned(.spoolUnavailable, text: "can't read")
        #expect(
            talk.transaction.results
                == [
                    failed(.ours, .data, .spoolUnavailable, nil, .init(4, 3, 0), text: "can't read")
                ]
        )
    }

    @Test func `any replies at all end with one result for each recipient`() {
        var random = TestRandom(seed: 71)
        let replies = [ok, ok, ok, go, go, noUser, later, tooMany, down, badOrder, Reply(250, "")]
        for _ in 0..<5000 {
            let count = 1 + random.below(5)
            var talk = Conversation(count, pipelining: random.below(2) == 0)
            var heard: [Reply] = []
            while talk.advance() {
                if random.below(30) == 0 {
                    talk.transaction.connectionFailed(.replyTimedOut)
                } else {
                    heard.append(random.pick(replies))
                    talk.transaction.received(heard[heard.count - 1])
                }
            }
            #expect(talk.transaction.results.count == count)
            let delivered = talk.transaction.results.contains {
                if case .delivered = $0 { true } else { false }
            }
            // Delivered only with a 2xx after the final dot of a real message.
            if delivered {
                #expect(heard.last?.code == 250 && talk.writes.last == "<message>")
            }
            #expect(heard.count <= count + 3)
        }
    }
}

/// RFC 2033 §4.2: after the final dot there is a reply for each recipient that was taken.
@Suite struct LocalTransactionTests {
    private let full = Reply(552, EnhancedStatus(5, 2, 2), "mailbox full")

    @Test(arguments: [true, false])
    func `each recipient has its own reply`(pipelining: Bool) {
        var talk = Conversation(4, pipelining: pipelining, speaksLMTP: true)
        let second = Reply(250, EnhancedStatus(2, 0, 0), "stored twice")
        talk.hear([ok, ok, noUser, ok, ok, go, ok, full, second])
        #expect(
            talk.transaction.results == [
                .delivered(ok), userUnknown,
                failed(.recipient, .endOfData, .peerRejected, full, .init(5, 2, 2)),
                .delivered(second),
            ]
        )
        #expect(talk.transaction.aftermath == .reusable)
    }

    @Test func `those without a reply may have the message`() {
        var talk = Conversation(3, pipelining: true, speaksLMTP: true)
        talk.hear([ok, ok, ok, ok, go, ok, later], isWhole: false)
        talk.transaction.connectionFailed(.connectionLost)
        let goesOn = talk.advance()
        #expect(!goesOn && talk.transaction.results[0] == .delivered(ok))
        #expect(
            talk.transaction.results[1]
                == failed(.recipient, .endOfData, .peerDeferred, later, .init(4, 7, 1))
        )
        guard case .failed(let last) = talk.transaction.results[2] else {
            return #expect(Bool(false), "a result without a reply")
        }
        #expect(last.reason == .connectionLost && last.step == .endOfData)
        #expect(talk.transaction.aftermath == .mustClose)
    }

    @Test func `a message for nobody is not sent, not even an empty one`() {
        var talk = Conversation(1, pipelining: true, speaksLMTP: true)
        talk.hear([ok, noUser, go])
        #expect(talk.transaction.results == [userUnknown])
        #expect(talk.transaction.aftermath == .mustClose)
        #expect(!talk.writes.joined().contains("<message>") && !talk.writes.contains(".\r\n"))
        var right = Conversation(1, pipelining: true, speaksLMTP: true)
        right.hear([ok, noUser, badOrder])
        #expect(right.transaction.aftermath == .needsReset)
    }
}
