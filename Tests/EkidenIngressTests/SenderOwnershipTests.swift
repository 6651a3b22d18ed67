import EkidenMail
import Testing

@testable import EkidenIngress

@Suite struct SenderOwnershipTests {
    private func rules(_ file: String, _ mode: SenderOwnership = .refuse) throws -> ListenerRules {
        var rules = ListenerRules()
        let list = WatchedList(path: "/s", form: .senders)
        list.adopt(try EntryList(parsing: Array(file.utf8), as: .senders))
        rules.senders = list
        rules.senderOwnership = mode
        return rules
    }

    private static let file = """
        # who may send from where
        anna: anna@example.org, Sales@Example.org
        ANNA : "other one"@example.org
        shop:@shop.example.org,orders@example.org
        admin: *
        j\u{fc}rgen: j\u{fc}rgen@example.org, jk@example.org
        """

    @Test(arguments: [
        ("anna", "anna@example.org", true),
        ("Anna", "ANNA@EXAMPLE.ORG", true),
        ("anna", "sales@example.org", true),
        ("anna", "\"other one\"@example.org", true),
        ("anna", "shop@example.org", false),
        ("anna", "anna@sub.example.org", false),
        ("shop", "any@shop.example.org", true),
        ("shop", "any@a.shop.example.org", false),
        ("admin", "anybody@anywhere.example", true),
        ("bert", "bert@example.org", false),
        ("bert@example.org", "Bert@example.org", true),
        ("bert@example.org", "anna@example.org", false),
    ])
    func `a user has what the file lists, and the own name`(
        user: String,
        sender: String,
        isOwn: Bool
    ) throws {
        let address = try #require(Address(sender))
        let verdict = try rules(Self.file).ownership(of: .address(address), by: user)
        if isOwn {
            #expect(verdict == .own)
        } else {
            guard case .refused(let refusal) = verdict else {
                Issue.record("\(verdict)")
                return
            }
            #expect(refusal.rule == "sender-not-owned" && refusal.reply.code == 553)
            #expect(refusal.reply.lines[0].contains(sender))
        }
    }

    @Test func `the first address in ASCII stands in for others`() throws {
        let rules = try rules(Self.file, .rewrite)
        let other = ReversePath.address(try #require(Address("x@y.example")))
        for (user, own) in [
            ("anna", "anna@example.org"), ("shop", "orders@example.org"),
            ("j\u{fc}rgen", "jk@example.org"), ("bert@example.org", "bert@example.org"),
        ] {
            #expect(rules.ownership(of: other, by: user) == .rewritten(try #require(Address(own))))
        }
        guard case .refused = rules.ownership(of: other, by: "nobody") else {
            Issue.record("a user without an address sent from somebody's")
            return
        }
    }

    @Test func `the rule is not for nobody's mail, strangers, or when it is off`() throws {
        let address = try #require(Address("x@y.example"))
        let strict = try rules(Self.file)
        #expect(strict.ownership(of: .null, by: "anna") == .own)
        #expect(strict.ownership(of: .address(address), by: nil) == .own)
        let off = try rules(Self.file, .off)
        #expect(off.ownership(of: .address(address), by: "anna") == .own)
    }

    @Test(arguments: [
        "anna", "anna:", "anna: anna", "anna: a@b.example,", ": a@b.example", "a b: c@d.example",
        "anna: a@b.example c@d.example",
    ])
    func `a line that can't be understood is refused, and named`(line: String) {
        #expect {
            try EntryList(parsing: Array(("# first\n" + line).utf8), as: .senders)
        } throws: { error in
            let problem = error as? EntryListProblem
            return problem?.lines.first?.number == 2
                && problem?.text.contains("anna: anna@example.org") == true
        }
    }
}
