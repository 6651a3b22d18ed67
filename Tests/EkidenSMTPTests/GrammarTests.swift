import EkidenMail
import TestKit
import Testing

@testable import EkidenSMTP

private func forward(_ text: String) -> Result<RecipientPath, PathProblem> {
    bytes(text).withUnsafeBytes { bytes in
        var scanner = GrammarScanner(bytes)
        do throws(PathProblem) {
            return .success(try scanner.forwardPath())
        } catch {
            return .failure(error)
        }
    }
}

private func reverse(_ text: String) -> ReversePath? {
    bytes(text).withUnsafeBytes { bytes in
        var scanner = GrammarScanner(bytes)
        return try? scanner.reversePath()
    }
}

private func parameters(_ text: String) -> [ESMTPParameter]? {
    bytes(text).withUnsafeBytes { bytes in
        var scanner = GrammarScanner(bytes)
        return scanner.parameters()
    }
}

@Suite struct GrammarTests {
    @Test(arguments: [
        "a@b", "a.b.c@d.example", "!#$%&'*+-/=?^_`{|}~@x.example", "\"\"@b.example",
        "\"a b\"@b.example", "\"a\\\"b\"@b.example", "\"<>@\"@b.example", "a@1.2.3.4", "a@b-c.d",
        "a@[127.0.0.1]", "a@[IPv6:::1]", "a@[ipv6:2001:db8::1]", "a@x_y.example",
    ])
    func `mailboxes are taken as written`(_ text: String) {
        #expect(Grammar.mailbox(text)?.text == text)
        #expect(reverse("<\(text)>") == Grammar.mailbox(text).map { .address($0) })
    }

    @Test(arguments: [
        "", "a", "@b", "a@", ".a@b", "a.@b", "a..b@c", "a@b..c", "a@.b", "a@b.", "a@-b", "a@b-",
        "a b@c", "a@b c", "\"a@b", "a\"b\"@c", "\"a\\", "a@[1.2.3]", "a@[::1]", "a@[IPv6:1.2.3.4:]",
        "a@[x", "a@b@c", "a,b@c", "a@b>c", "\u{e4}@b", "a@\u{e4}", "\"\u{e4}\"@b",
        "a@[1.2.3.4]x", "a\t@b", "a@" + String(repeating: "x", count: 64),
    ])
    func `what is no mailbox is refused`(_ text: String) {
        #expect(Grammar.mailbox(text) == nil)
    }

    @Test func `lengths are bounded where the RFC bounds them`() {
        let local = { String(repeating: "l", count: $0) }
        let domain = { (count: Int) in
            String(
                String(repeating: "abcdefghi.", count: 30).prefix(count - 1) + "z"
            )
        }
        #expect(Grammar.mailbox(local(64) + "@d.example") != nil)
        #expect(forward("<\(local(65))@d.example>") == .failure(.localPartTooLong))
        #expect(Grammar.isDomain(domain(255)))
        #expect(!Grammar.isDomain(domain(256)))
        #expect(forward("<a@\(domain(256))>") == .failure(.domainTooLong))
        // 256 with the brackets
        #expect(try! forward("<ab@\(domain(251))>").get().text.utf8.count == 254)
        #expect(forward("<abc@\(domain(251))>") == .failure(.pathTooLong))
        // A source route does not count.
        #expect(forward("<@\(domain(200)):ab@\(domain(251))>") == forward("<ab@\(domain(251))>"))
    }

    @Test func `paths say what is wrong with them`() {
        #expect(reverse("<>") == .null)
        #expect(forward("<>") == .failure(.nullRecipient))
        #expect(forward("<POSTmaster>") == .success(.postmaster))
        #expect(forward("<a>") == .failure(.missingDomain))
        #expect(forward("a@b") == .failure(.missingBrackets))
        #expect(forward("<a@b") == .failure(.missingBrackets))
        #expect(forward("<@x,@y:a@b>") == forward("<a@b>"))
        #expect(forward("<@x,y:a@b>") == .failure(.sourceRoute))
        #expect(forward("<@x a@b>") == .failure(.sourceRoute))
        #expect(forward("<\u{e4}@b>") == .failure(.nonASCII))
        #expect(forward("<a@[9]>") == .failure(.literal))
    }

    @Test func `parameters are split and bounded`() {
        #expect(parameters("") == [])
        #expect(parameters("  ") == [])
        #expect(
            parameters(" a  b=c,d x-1=!")
                == [
                    ESMTPParameter(keyword: "A", value: nil),
                    ESMTPParameter(keyword: "B", value: "c,d"),
                    ESMTPParameter(keyword: "X-1", value: "!"),
                ]
        )
        for bad in ["a", " =b", " a=", " a=b=c", " -a", " a_b", " a=\u{e4}", " a\t"] {
            #expect(parameters(bad) == nil, "\(bad)")
        }
    }

    @Test func `xtext is decoded and encoded`() {
        #expect(Grammar.decodeXtext("a+2Bb+3Dc")?.text == "a+b=c")
        for bad in ["+", "+2", "+2b", "=", "a b", "\u{e4}"] {
            #expect(Grammar.decodeXtext(bad) == nil)
        }
        let all = (0...255).map { UInt8($0) }
        #expect(Grammar.decodeXtext(Grammar.encodeXtext(all)) == all)
    }

    @Test func `random lines never crash the grammar, and what it takes is well-formed`() {
        var random = TestRandom(seed: 31)
        let parts = [
            "<", ">", "@", "\"", "\\", ".", "a", "b-", "_", "[", "]", "1.2.3.4", "IPv6:", "::1",
            ":", ",", " ", "=", "SIZE", "\u{e4}", "\0", "postmaster",
        ]
        var taken = 0
        for _ in 0..<20_000 {
            var text = "<"
            for _ in 0..<random.below(9) { text += random.pick(parts) }
            text += ">"
            if case .success(.address(let address)) = forward(text) {
                taken += 1
                #expect(Grammar.mailbox(address.text) == address)
                #expect(address.text.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7f })
            }
            _ = parameters(text)
            _ = bytes(text).withUnsafeBytes { Grammar.isHelloArgument($0) }
        }
        #expect(taken > 20)
    }
}
