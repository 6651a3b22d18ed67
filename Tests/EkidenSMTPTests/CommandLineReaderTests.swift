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
                if case .foreign = refusal { return (found, held) }
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

    @Test func `other protocols are known by their first bytes, however they are cut`() {
        let http = "foreign(EkidenSMTP.ForeignProtocol.http)"
        let tls = "foreign(EkidenSMTP.ForeignProtocol.tls)"
        for (text, expected) in [
            ("NOOP\r\nPOST /x HTTP/1.1\nRCPT TO:<a@b>\r\n", ["NOOP", http]),
            ("options \u{1}", [http]), ("\u{16}\u{3}\u{1}\r\n\u{0}", [tls]),
            ("NOOP\r\n\u{16}\u{3}", ["NOOP", tls]),
            // Of complete lines the session's table has the say.
            ("GET /\r\n", nil),
            // A word that only begins like one, or stands elsewhere.
            ("GETAWAY x\u{1}\r\n", ["controlCharacter"]), ("x GET \u{16}\u{3}\n", ["bareNewline"]),
            ("\u{16}x\r\n", ["controlCharacter"]),
        ] {
            let input = bytes(text)
            for size in 1...input.count {
                let found = read(input.pieces(of: size)).found
                if let expected { #expect(found == expected, "in pieces of \(size)") }
            }
            if expected == nil { #expect(read([input]).found == ["GET /"]) }
        }
        // The rest of a line that is too long is no line's start.
        let long = [UInt8](repeating: 0x78, count: 3000)
        #expect(read([long, bytes("GET /"), bytes("\r\nNOOP\r\n")]).found == ["tooLong", "NOOP"])
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
