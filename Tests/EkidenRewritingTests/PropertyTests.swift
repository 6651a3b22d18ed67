// The rewriter against a slow one that is obviously right, over messages made of nasty lines, at
// random cuts and byte by byte.

import EkidenMail
import Testing

@testable import EkidenRewriting

/// Reads the whole message as lines and decides field by field.
private func naive(_ message: [UInt8]) -> (header: [UInt8], body: [UInt8]) {
    var lines: [[UInt8]] = []
    var current: [UInt8] = []
    for byte in message {
        current.append(byte)
        if byte == 0x0a {
            lines.append(current)
            current = []
        }
    }
    if !current.isEmpty { lines.append(current) }

    func bare(_ line: [UInt8]) -> [UInt8] {
        var line = line
        if line.last == 0x0a {
            line.removeLast()
            if line.last == 0x0d { line.removeLast() }
        }
        return line
    }
    func name(_ line: [UInt8]) -> String? {
        guard let colon = line.firstIndex(of: 0x3a) else { return nil }
        var name = Array(line[..<colon])
        while name.last == 0x20 || name.last == 0x09 { name.removeLast() }
        guard !name.isEmpty, name.allSatisfy({ (33...126).contains($0) }) else { return nil }
        return String(decoding: name, as: UTF8.self).lowercased()
    }
    func isMailboxLine(_ line: [UInt8]) -> Bool {
        String(decoding: line.drop { $0 == 0x3e }, as: UTF8.self).hasPrefix("From ")
    }
    let removable: Set = ["bcc", "resent-bcc"]

    var header = Array(ourReceived.utf8)
    var index = 0
    while index < lines.count {
        let line = lines[index]
        var next = index + 1
        while next < lines.count, let first = lines[next].first, first == 0x20 || first == 0x09 {
            next += 1
        }
        let text = bare(line)
        if text.isEmpty, line.last == 0x0a {
            header += line
            return (header, lines[(index + 1)...].flatMap { $0 })
        }
        let isContinuation = line[0] == 0x20 || line[0] == 0x09
        if let name = name(line), !isContinuation {
            if !removable.contains(name), name != "return-path" {
                header += lines[index..<next].flatMap { $0 }
            }
        } else if !isContinuation, isMailboxLine(line) {
            header += lines[index..<next].flatMap { $0 }
        } else if !isContinuation, next > index + 1,
            let joined = name(
                text.reversed().drop { $0 == 0x20 || $0 == 0x09 }.reversed() + [0x3a]
            ),
            removable.contains(joined),
            lines[index + 1].first(where: { $0 != 0x20 && $0 != 0x09 }) == 0x3a
        {
            // The field's colon stands on its second line.
        } else {
            header += [0x0d, 0x0a]
            return (header, lines[index...].flatMap { $0 })
        }
        index = next
    }
    return (header, [])
}

private func message(_ random: inout Random) -> [UInt8] {
    let lines = [
        "Bcc: a@b", "bcc:", "BCC : x", "Bcc\t:y", "Bcc", "Bcc ", " : z", "\t:", "Resent-Bcc: q",
        "resent-bcc", "Return-Path: <x@y>", "return-path :", "Received: by x", "Date: now",
        "Message-ID: <a@b>", "Message-ID:", "Subject: hello", "Subject", "From x y", ">From x y",
        " folded", "\tfolded", " ", "\t", "", "", "X: \u{e9}", "\u{e9}: X", ":", ": x", ".", "..",
        ".x: y", "X:\0", "a b: c", "Bcc\0: x", "Bcc: \r more", "X-Bcc: no", "To: a,",
    ]
    var bytes: [UInt8] = []
    for _ in 0..<(random.below(12)) {
        bytes += Array(random.pick(lines).utf8)
        switch random.below(20) {
        case 0: bytes += [0x0a]
        case 1: bytes += [0x0d]
        case 2: break
        default: bytes += [0x0d, 0x0a]
        }
    }
    return bytes
}

@Suite struct PropertyTests {
    @Test func itAgreesWithTheNaiveReading() throws {
        var random = Random(1)
        for _ in 0..<20_000 {
            let bytes = message(&random)
            let expected = naive(bytes)
            let result = try rewrite(bytes, rules())
            #expect(result.header == expected.header)
            #expect(result.body == expected.body)
            if result.header != expected.header || result.body != expected.body {
                Issue.record("message: \(String(decoding: bytes, as: UTF8.self).debugDescription)")
                return
            }
        }
    }

    @Test(arguments: [false, true])
    func howTheBytesAreCutMakesNoDifference(adds: Bool) throws {
        var random = Random(2)
        for _ in 0..<5000 {
            let bytes = message(&random)
            let whole = try rewrite(bytes, rules(adds: adds))
            let single = try rewrite(bytes, rules(adds: adds), cuts: Array(0..<bytes.count))
            #expect(single == whole)
            let cuts = (0..<random.below(6)).map { _ in random.below(bytes.count + 1) }
            #expect(try rewrite(bytes, rules(adds: adds), cuts: cuts) == whole)
        }
    }

    @Test func randomBytesNeverTrapAndLoseNothing() throws {
        var random = Random(3)
        let alphabet = Array("Bc:b \t\r\n.F>rom-".utf8) + [0, 0xff]
        for _ in 0..<20_000 {
            let bytes = (0..<random.below(60)).map { _ in random.pick(alphabet) }
            let expected = naive(bytes)
            let result = try rewrite(bytes, rules(), cuts: [random.below(bytes.count + 1)])
            #expect(result.header + result.body == expected.header + expected.body)
        }
    }
}
