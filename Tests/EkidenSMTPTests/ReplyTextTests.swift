import EkidenMail
import EkidenSMTP
import Testing

@Suite struct ReplyTextTests {
    private func wire(_ reply: Reply) -> String {
        String(decoding: reply.wire.array, as: UTF8.self)
    }

    @Test func `a refusal ends in the name of its rule`() {
        let reply = Reply(550, EnhancedStatus(5, 7, 1), lines: ["no", "not here"])
        #expect(
            wire(reply.naming("relay-denied"))
                == "550-5.7.1 no\r\n550 5.7.1 not here (relay-denied)\r\n"
        )
    }

    @Test(arguments: [0, 400, 470, 480, 490, 600, 5000])
    func `however long its text is, the name is there and the line within bounds`(count: Int) {
        let text = String(repeating: "x", count: count)
        let line = wire(Reply(421, EnhancedStatus(4, 7, 0), text).naming("too-many-errors"))
        #expect(line.utf8.count <= 512 && line.hasSuffix(" (too-many-errors)\r\n"))
        #expect(line.utf8.count == min(512 - 4, count + 10 + 18 + 2) || count >= 470)
        let wide = Reply(550, nil, String(repeating: "\u{4f60}", count: count)).naming("nul")
        #expect(wire(wide).utf8.count <= 512 && wire(wide).hasSuffix(" (nul)\r\n"))
    }
}
