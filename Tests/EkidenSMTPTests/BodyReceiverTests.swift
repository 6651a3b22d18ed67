import EkidenMail
import TestKit
import Testing

@testable import EkidenSMTP

/// What a body should become, worked out on the whole input and by no cleverness.
private struct Expected: Equatable {
    /// Bytes up to and with the final dot; nil when data has not ended.
    var taken: Int?
    var body: [UInt8] = []
    var bareNewlines = 0
    var firstBareLine: Int?

    init(_ input: [UInt8]) {
        let end = input.indices.first { at in
            input[at...].starts(with: [0x2e, 13, 10])
                && (at == 0 || (at >= 2 && input[at - 2] == 13 && input[at - 1] == 10))
        }
        guard let end else { return }
        taken = end + 3
        var lines: [[UInt8]] = []
        var line: [UInt8] = []
        for at in 0..<end {
            line.append(input[at])
            if line.suffix(2) == [13, 10] {
                lines.append(Array(line.dropLast(2)))
                line = []
            }
        }
        for var line in lines {
            if line.first == 0x2e { line.removeFirst() }
            for byte in line {
                if byte == 13 || byte == 10 {
                    bareNewlines += 1
                    // Lines before it are counted as they come out.
                    if firstBareLine == nil {
                        firstBareLine = body.filter { $0 == 10 }.count + 1
                    }
                    body += [13, 10]
                } else {
                    body.append(byte)
                }
            }
            body += [13, 10]
        }
    }
}

private struct Received {
    var receiver: BodyReceiver
    var taken = 0
    var body: [UInt8]

    init(_ pieces: [[UInt8]], _ receiver: BodyReceiver) {
        var receiver = receiver
        body = []
        for piece in pieces where !receiver.isFinished {
            let (count, run) = receiver.take(piece)
            taken += count
            body += run
        }
        self.receiver = receiver
    }
}

func naiveFacts(_ body: [UInt8]) -> (lines: Int, longest: Int, dot: Bool, eight: Bool) {
    let text = body.split(separator: 10, omittingEmptySubsequences: false).dropLast()
        .map { $0.dropLast() }
    return (
        text.count, text.map(\.count).max() ?? 0, text.contains { $0.first == 0x2e },
        body.contains { $0 > 127 }
    )
}

private func check(_ input: [UInt8], _ pieces: [[UInt8]]) {
    let expected = Expected(input)
    for newlines in [BodyReceiver.Newlines.strict, .lenient] {
        let received = Received(pieces, BodyReceiver(newlines: newlines))
        let receiver = received.receiver
        guard let taken = expected.taken else {
            #expect(!receiver.isFinished, "ended early: \(input)")
            #expect(received.taken == input.count)
            continue
        }
        #expect(receiver.isFinished && received.taken == taken, "\(input) \(newlines)")
        #expect(receiver.bareNewlines == expected.bareNewlines, "\(input)")
        if newlines == .strict, let line = expected.firstBareLine {
            #expect(receiver.problem == .bareNewline(line: line), "\(input)")
            continue
        }
        #expect(receiver.problem == nil)
        #expect(received.body == expected.body, "\(input) \(newlines)")
        #expect(receiver.messageBytes == expected.body.count)
        let facts = naiveFacts(expected.body)
        #expect(receiver.facts.lines == facts.lines)
        #expect(receiver.facts.longestLineBytes == facts.longest)
        #expect(receiver.facts.hasLeadingDot == facts.dot, "\(input)")
        #expect(receiver.facts.hasEightBit == facts.eight)
        var again = FactsGatherer()
        for byte in received.body { [byte].withUnsafeBytes { again.gather($0) } }
        #expect(again == receiver.facts, "\(input)")
    }
}

@Suite struct BodyReceiverTests {
    /// All texts of up to six characters out of CR, LF, dot and a letter, then the true end and a
    /// command: 5 461 ways to look like the end of data.
    @Test func `only CRLF dot CRLF ends data, in every combination and fragmentation`() {
        let letters: [UInt8] = [13, 10, 0x2e, 0x61]
        for length in 0...6 {
            for number in 0..<(1 << (2 * length)) {
                let middle = (0..<length).map { letters[number >> (2 * $0) & 3] }
                let input = middle + bytes("\r\n.\r\nQUIT\r\n")
                check(input, [input])
                check(input, input.pieces(of: 1))
                check(bytes("a\r\n") + middle, (bytes("a\r\n") + middle).pieces(of: 2))
            }
        }
    }

    @Test(arguments: [
        "x\n.\n", "x\n.\r\n", "x\r.\r", "x\r\n.\r", "x\r\n.\n", "x\r.\r\n", "x\r\n.\r\r\n",
        "x\r\n..\r\n", "x\r\n.\r\n.", ".\n", ".\r", "x\r\n\0.\r\n", "x\r\r\n.\n", "x\n\r\n.\n",
    ])
    func `what looks like the end is not`(_ text: String) {
        let input = bytes(text)
        let ends = text == "x\r\n.\r\n."
        #expect(Received([input], BodyReceiver()).receiver.isFinished == ends)
        #expect(Received(input.pieces(of: 1), BodyReceiver()).receiver.isFinished == ends)
        #expect(Received([input], BodyReceiver(newlines: .lenient)).receiver.isFinished == ends)
    }

    @Test func `random bytes in random fragments agree with the plain reading`() {
        var random = TestRandom(seed: 11)
        for round in 0..<3000 {
            let alphabet: [[UInt8]] = [
                [13, 10], [13, 10], [13, 10, 0x2e], [0x2e], [10], [13], [0x61], bytes("some text "),
                [0], [0xe4], bytes(String(repeating: "y", count: 50)),
            ]
            // Half of them without bare newlines, which take the fast way.
            let choices = round % 2 == 0 ? alphabet : alphabet.filter { $0 != [10] && $0 != [13] }
            var input: [UInt8] = []
            for _ in 0..<random.below(40) { input += random.pick(choices) }
            if random.below(4) > 0 { input += bytes("\r\n.\r\nNOOP\r\n") }
            check(input, [input])
            check(input, input.pieces(&random, upTo: 70))
        }
    }

    @Test func `any CRLF message survives stuffing and unstuffing`() {
        var random = TestRandom(seed: 12)
        for _ in 0..<500 {
            var message: [UInt8] = []
            for _ in 0..<random.below(30) {
                let line = random.pick(["", ".", "..", ".a", "a.", "text", "\u{e4}.", ". .", "\0"])
                message += bytes(line) + [13, 10]
            }
            var gatherer = FactsGatherer()
            message.withUnsafeBytes { gatherer.gather($0) }
            let facts = MessageFacts(header: gatherer, body: FactsGatherer())
            var stuffer = DotStuffer(facts: facts)
            var wire: [UInt8] = []
            for piece in message.pieces(&random, upTo: 20) {
                wire += stuffer.stuff(Bytes(piece))?.asArray ?? []
            }
            wire += stuffer.finalDot?.asArray ?? []
            let received = Received(wire.pieces(&random, upTo: 20), BodyReceiver())
            #expect(received.receiver.isFinished && received.receiver.problem == nil)
            #expect(received.taken == wire.count)
            #expect(received.body == message)
            #expect(received.receiver.facts == gatherer)
        }
    }

    @Test func `size counts the message and nothing else`() {
        let input = bytes("..ab\r\n.\r\n")  // ".ab" CRLF: 5 bytes
        for size in [5, 4] {
            for pieces in [[input], input.pieces(of: 1)] {
                let received = Received(pieces, BodyReceiver(sizeLimitBytes: size))
                #expect(received.receiver.isFinished && received.receiver.messageBytes == 5)
                #expect(received.receiver.problem == (size == 5 ? nil : .tooLarge(limitBytes: 4)))
            }
        }
    }

    @Test func `beyond a limit nothing more is handed on`() {
        var receiver = BodyReceiver(sizeLimitBytes: 100)
        var output = 0
        let line = bytes(String(repeating: "x", count: 62) + "\r\n")
        for _ in 0..<1000 { output += receiver.take(line).run.count }
        #expect(output <= 100)
        #expect(receiver.messageBytes == 64_000 && receiver.problem?.reply.code == 552)
    }

    @Test func `a line too long is found whatever the fragments`() {
        for length in [10, 11] {
            let input = bytes("a\r\n.") + Array(repeating: 0x78, count: length) + bytes("\r\n.\r\n")
            for pieces in [[input], input.pieces(of: 1), input.pieces(of: 3)] {
                let receiver = Received(pieces, BodyReceiver(lineLimitBytes: 10)).receiver
                #expect(receiver.isFinished)
                #expect(receiver.problem == (length == 10 ? nil : .lineTooLong(line: 2)))
            }
        }
    }

    @Test func `facts of header and body are told apart`() {
        let input = bytes("A: \u{e4}\r\n\r\nbody\r\nmore\r\n.\r\n")
        for cut in 0..<input.count {
            var receiver = BodyReceiver()
            var output: [UInt8] = []
            let pieces = [Array(input[..<cut]), Array(input[cut...])]
            var hasBegun = false
            for piece in pieces {
                output += receiver.take(piece).run
                if !hasBegun, output.count >= 9 {
                    hasBegun = true
                    var first = FactsGatherer()
                    output[9...].withUnsafeBytes { first.gather($0) }
                    receiver.bodyBegins(with: first)
                }
            }
            #expect(receiver.facts.lines == 2 && !receiver.facts.hasEightBit)
            #expect(receiver.facts.longestLineBytes == 4)
        }
    }

    @Test func `a bad line's number counts from the first of the message`() {
        var receiver = BodyReceiver()
        _ = receiver.take(bytes("A: b\r\n\r\nbody\r\n"))
        var first = FactsGatherer()
        bytes("body\r\n").withUnsafeBytes { first.gather($0) }
        receiver.bodyBegins(with: first)
        _ = receiver.take(bytes("more\r\nba\nre\r\n.\r\n"))
        #expect(receiver.problem == .bareNewline(line: 5))
    }

    @Test func `eight-bit bytes behind the end are not the message's`() {
        let input = bytes("abc\r\n.\r\n\u{e4}\u{e4}\r\n")
        #expect(!Received([input], BodyReceiver()).receiver.facts.hasEightBit)
    }

    @Test func `large messages come through whole, across the pieces of the fast way`() {
        var random = TestRandom(seed: 13)
        var message: [UInt8] = []
        while message.count < 60_000 {
            let dots = random.below(12) == 0 ? "." : ""
            message += bytes(dots + String(repeating: "z", count: random.below(120)) + "\r\n")
        }
        var stuffer = DotStuffer(facts: MessageFacts(header: facts(message), body: .init()))
        let wire = (stuffer.stuff(Bytes(message))?.asArray ?? []) + bytes(".\r\n")
        let received = Received([wire], BodyReceiver())
        #expect(received.body == message && received.receiver.isFinished)
    }

    private func facts(_ message: [UInt8]) -> FactsGatherer {
        var gatherer = FactsGatherer()
        message.withUnsafeBytes { gatherer.gather($0) }
        return gatherer
    }
}
