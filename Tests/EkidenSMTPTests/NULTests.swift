import EkidenMail
import TestKit
import Testing

@testable import EkidenSMTP

/// All that is handed on of a message, in pieces of `size` bytes, and the receiver after it.
private func receive(
    _ wire: [UInt8],
    _ nuls: BodyReceiver.NULs,
    size: Int,
    newlines: BodyReceiver.Newlines = .strict
) -> (body: [UInt8], receiver: BodyReceiver) {
    var receiver = BodyReceiver(newlines: newlines, nuls: nuls)
    var body: [UInt8] = []
    for piece in wire.pieces(of: size) {
        let (_, run) = receiver.take(piece)
        body += run
    }
    return (body, receiver)
}

@Suite struct NULTests {
    private let wire = bytes("a\0b\r\n\0.\r\n..\0\r\n.\0x\r\n\0\r\n\0..y\r\n.\r\n")

    @Test func `kept, they pass like any other byte`() {
        for size in 1...wire.count {
            let (body, receiver) = receive(wire, .keep, size: size)
            #expect(body == bytes("a\0b\r\n\0.\r\n.\0\r\n\0x\r\n\0\r\n\0..y\r\n"))
            #expect(receiver.isFinished && receiver.problem == nil && receiver.nulls == 0)
        }
    }

    /// What ends data and what is a stuffed dot is decided by the bytes as they were sent.
    @Test func `stripped, they are gone, and change no line's meaning on the way`() {
        let expected = bytes("ab\r\n.\r\n.\r\nx\r\n\r\n..y\r\n")
        for size in 1...wire.count {
            let (body, receiver) = receive(wire, .strip, size: size)
            #expect(body == expected, "in pieces of \(size)")
            #expect(receiver.isFinished && receiver.problem == nil && receiver.nulls == 6)
            #expect(receiver.messageBytes == expected.count)
            #expect(receiver.facts.hasLeadingDot && receiver.facts.lines == 6)
            #expect(receiver.facts.longestLineBytes == 3)
        }
    }

    @Test func `refused, the first line with one is named, and data is read to its end`() {
        for size in 1...wire.count {
            let (_, receiver) = receive(bytes("x\r\n") + wire, .refuse, size: size)
            #expect(receiver.isFinished && receiver.problem == .nul(line: 2))
            #expect(receiver.problem?.rule.rawValue == "nul")
            #expect(receiver.problem?.reply.oneLine.hasPrefix("550 5.6.0 line 2 ") == true)
        }
    }

    @Test func `beside bare newlines each is dealt with by its own rule`() {
        let both = bytes("a\r\0b\n\0\r\n.\0\rc\r\n.\r\n")
        for size in 1...both.count {
            let lenient = receive(both, .strip, size: size, newlines: .lenient)
            #expect(lenient.body == bytes("a\r\nb\r\n\r\n\r\nc\r\n"), "in pieces of \(size)")
            #expect(lenient.receiver.nulls == 3 && lenient.receiver.bareNewlines == 3)
            let strict = receive(both, .refuse, size: size)
            #expect(strict.receiver.problem == .bareNewline(line: 1))
        }
    }

    @Test func `one NUL among many bytes is found wherever it stands`() {
        for at in 0..<100 {
            var body = [UInt8](repeating: 0x78, count: 100)
            body[at] = 0
            let (_, receiver) = receive(body + bytes("\r\n.\r\n"), .refuse, size: 1000)
            #expect(receiver.problem == .nul(line: 1))
        }
    }
}
