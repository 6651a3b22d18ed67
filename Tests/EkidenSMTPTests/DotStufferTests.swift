import EkidenMail
import TestKit
import Testing

@testable import EkidenSMTP

private func stuffer(leadingDot: Bool) -> DotStuffer {
    var facts = MessageFacts()
    facts.hasLeadingDot = leadingDot
    return DotStuffer(facts: facts)
}

@Suite struct DotStufferTests {
    @Test(arguments: [
        (".", ".."), (".\r\n", "..\r\n"), ("a\r\n.b\r\n..\r\n", "a\r\n..b\r\n...\r\n"),
        ("a.b\r\n", "a.b\r\n"), ("", ""), ("\r\n.\r\n", "\r\n..\r\n"),
    ])
    func `a dot is put before each that begins a line`(_ text: String, _ expected: String) {
        for size in [1, 2, 3, 100] {
            var stuffer = stuffer(leadingDot: true)
            let output = bytes(text).pieces(of: size).flatMap {
                stuffer.stuff(Bytes($0))?.asArray ?? []
            }
            #expect(output.text == expected)
        }
    }

    @Test func `without leading dots the same memory goes out`() {
        let run = Bytes("no dots here\r\n")
        var stuffer = stuffer(leadingDot: false)
        #expect(stuffer.stuff(run)?.pointer.baseAddress == run.pointer.baseAddress)
    }

    @Test(arguments: [("a\r\n", ".\r\n"), ("a", "\r\n.\r\n"), ("", ".\r\n")])
    func `the final dot stands on a line of its own`(_ text: String, _ expected: String) {
        var stuffer = stuffer(leadingDot: false)
        _ = stuffer.stuff(Bytes(text))
        #expect(stuffer.finalDot?.text == expected)
    }

    @Test(arguments: ["a\nb\r\n", "a\rb\r\n", "\n", "\n.\n", "\r\r\n", "a\r\n\n"])
    func `a bare newline never goes out, however it is cut`(_ text: String) {
        #expect(bytes(text).withUnsafeBytes { !isCleanCRLF($0) })
        let padded = bytes(String(repeating: "p", count: 40) + text)
        for size in [1, 2, 7, 100] {
            var stuffer = stuffer(leadingDot: true)
            let runs = padded.pieces(of: size).map { stuffer.stuff(Bytes($0)) }
            #expect(runs.contains(nil))
        }
    }

    @Test func `a CR at the very end is not sent`() {
        var stuffer = stuffer(leadingDot: false)
        #expect(stuffer.stuff(Bytes("a\r")) != nil)
        #expect(stuffer.finalDot == nil)
    }

    @Test func `the scan agrees with a look at each byte`() {
        var random = TestRandom(seed: 21)
        for _ in 0..<4000 {
            var input: [UInt8] = []
            for _ in 0..<random.below(60) {
                input += random.pick([[13, 10], [0x61], [0x61, 0x62, 0x63], [13, 10, 13, 10]])
            }
            if random.below(3) == 0, !input.isEmpty { input[random.below(input.count)] = 10 }
            if random.below(3) == 0, !input.isEmpty { input[random.below(input.count)] = 13 }
            if random.below(3) == 0, !input.isEmpty { input[random.below(input.count)] = 0x80 }
            for afterCR in [false, true] {
                var bare = false
                var before: UInt8 = afterCR ? 13 : 0
                for byte in input {
                    if (before == 13) != (byte == 10) { bare = true }
                    before = byte
                }
                let scan = input.withUnsafeBytes { NewlineScan($0, afterCR: afterCR) }
                #expect(scan.hasBareNewline == (bare && !input.isEmpty))
                #expect(scan.hasEightBit == input.contains { $0 > 127 })
            }
        }
    }
}
