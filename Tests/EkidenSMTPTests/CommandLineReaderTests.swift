import EkidenMail
import TestKit
import Testing

@testable import EkidenSMTP

/// Reads all of `pieces` as a driver does.
private func read(_ pieces: [[UInt8]]) -> (found: [String], held: Int) {
    var reader = CommandLineReader()
    var unread: [UInt8] = []
    var found: [String] = []
    var held = 0
    for piece in pieces {
        unread += piece
        reading: while true {
            switch unread.withUnsafeBytes({ reader.next(in: $0) }) {
            case .nothing(let consume):
                unread.removeFirst(consume)
                break reading
            case .line(let length, let consume):
                found.append(Array(unread[..<length]).text)
                unread.removeFirst(consume)
            case .refused(let refusal, let consume):
                found.append("\(refusal)")
                unread.removeFirst(consume)
                if refusal == .endless { return (found, held) }
            }
        }
        held = max(held, unread.count)
    }
    return (found, held)
}

@Suite struct CommandLineReaderTests {
    @Test func `lines are found however they are cut`() {
        let input = bytes("NOOP\r\n\r\nA\nB\rC\r\nD\0\r\nE\r\r\nF \t\r\nG")
        let expected = [
            "NOOP", "", "bareNewline", "bareNewline", "controlCharacter", "bareNewline", "F \t",
        ]
        for size in 1...input.count { #expect(read(input.pieces(of: size)).found == expected) }
    }

    @Test func `the limit counts the CRLF`() {
        let limit = Limits.commandLineBytes
        for (length, isLong) in [(limit - 2, false), (limit - 1, true), (limit * 3, true)] {
            let line = [UInt8](repeating: 0x78, count: length)
            for size in [1, 1000, limit, 100_000] {
                let found = read((line + [13, 10] + bytes("NOOP\r\n")).pieces(of: size)).found
                #expect(found == [isLong ? "tooLong" : line.text, "NOOP"])
            }
        }
    }

    @Test func `a line without end is given up, in bounded memory`() {
        let flood = [UInt8](repeating: 0x78, count: 200_000)
        let result = read(flood.pieces(of: 999))
        #expect(result.found == ["endless"])
        #expect(result.held < Limits.commandLineBytes)
        #expect(read([flood + [13, 10]]).found == ["endless"])
    }

    @Test func `random bytes give the same lines in any fragments`() {
        var random = TestRandom(seed: 41)
        for _ in 0..<500 {
            var input: [UInt8] = []
            for _ in 0..<random.below(50) {
                input += random.pick([[13, 10], [13], [10], [0], bytes("MAIL"), [0xff], [9]])
            }
            #expect(
                read([input]).found == read(input.pieces(&random, upTo: 5)).found
            )
        }
    }
}
