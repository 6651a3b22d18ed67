import EkidenMail
import Testing

@testable import EkidenIngress

private func address(_ text: String) throws -> Address { try #require(Address(text)) }

@Suite struct EntryListTests {
    private func list(_ text: String, _ form: ListForm = .mailboxes) throws -> EntryList {
        try EntryList(parsing: Array(text.utf8), as: form)
    }

    @Test(
        arguments: [
            ("anna@example.org", "anna@example.org"),
            ("ANNA@Example.ORG", "anna@example.org"),
            ("anna@example.org.", "anna@example.org"),
            // RFC 5321 §4.1.2: the quotes are no part of the name.
            ("\"anna\"@example.org", "anna@example.org"),
            ("\"an\\na\"@example.org", "anna@example.org"),
            ("\"of two words\"@example.org", "of two words@example.org"),
            ("bert@example.org", nil),
            ("anna@sub.example.org", nil),
            ("anyone@all.example", "all.example"),
            ("anyone@x.all.example", nil),
            ("anyone@x.below.example", ".below.example"),
            ("anyone@y.x.below.example", ".below.example"),
            ("anyone@below.example", nil),
            ("anyone@xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
            ("anyone@münchen.example", "xn--mnchen-3ya.example"),
            ("anyone@MÜNCHEN.example", "xn--mnchen-3ya.example"),
            ("anyone@[192.0.2.1]", "[192.0.2.1]"),
        ] as [(String, String?)]
    )
    func `a mailbox is found however it is written`(mailbox: String, entry: String?) throws {
        let list = try list(
            """
            # people
            Anna@example.org
            "of two words"@example.org\t# quoted

              all.example   # every one of them\r
            .below.example
            @münchen.example
            [192.0.2.1]
            """
        )
        #expect(list.count == 6)
        #expect(try list.match(address(mailbox)) == entry)
    }

    @Test(
        arguments: [
            ("203.0.113.7", "203.0.113.0/24"), ("203.0.113.9", "203.0.113.9"),
            ("203.0.114.1", nil), ("2001:db8::1", "2001:db8::/32"), ("2001:db9::1", nil),
            ("198.51.100.1", "198.51.0.0/16"), ("198.51.200.1", "198.51.0.0/16"),
        ] as [(String, String?)]
    )
    func `a client is found by the narrowest network`(client: String, entry: String?) throws {
        let list = try list(
            "198.51.0.0/16\n203.0.113.0/24\n2001:db8::/32\n203.0.113.9 # one of them",
            .clients
        )
        #expect(list.match(try #require(HostAddress(client))) == entry)
    }

    @Test(arguments: [
        (ListForm.clients, "10.0.0.1/8"), (.clients, "anna@example.org"), (.clients, "10.0.0.0/33"),
        (.clients, "x.example"), (.mailboxes, "10.0.0.0/8"), (.mailboxes, "a b@example.org"),
        (.mailboxes, "-x.example"), (.mailboxes, "192.0.2.1"), (.mailboxes, ".."),
        (.mailboxes, "@"), (.mailboxes, "*"), (.recipients, "anna"), (.recipients, "example.org"),
        (.recipients, ".example.org"), (.recipients, "anna@"), (.recipients, "anna@-x.example"),
        (.recipients, "<anna@example.org>"), (.recipients, "anna@example.org bert@example.org"),
    ])
    func `a line that can't be understood refuses the list`(form: ListForm, line: String) throws {
        let problem = try #require(throws: EntryListProblem.self) {
            try list("# a comment\n\n\(line)\n", form)
        }
        #expect(problem.lines.map(\.number) == [3])
        #expect(problem.text.contains("\"\(line)\""))
    }

    @Test func `the first bad lines are named and the rest counted`() throws {
        let problem = try #require(throws: EntryListProblem.self) {
            try list("anna@x.example\n" + String(repeating: "?\n", count: 9), .recipients)
        }
        #expect(problem.lines.map(\.number) == [2, 3, 4, 5, 6] && problem.more == 4)
        #expect(problem.text.hasSuffix("; and 4 more"))
        let binary = try #require(throws: EntryListProblem.self) {
            try EntryList(parsing: [0x61, 0x40, 0xff, 0x0a], as: .recipients)
        }
        #expect(binary.lines.map(\.number) == [1])
        let control = try #require(throws: EntryListProblem.self) { try list("a\u{1b}[2J@x") }
        #expect(!control.text.unicodeScalars.contains { $0.value < 0x20 })
    }

    @Test func `a hundred thousand addresses are read and each is found`() throws {
        var text = ""
        for number in 0..<100_000 { text += "person.\(number)@example.org\n" }
        let list = try list(text, .recipients)
        #expect(list.count == 100_000)
        for number in stride(from: 0, to: 100_000, by: 997) {
            #expect(list.match(try address("Person.\(number)@EXAMPLE.org")) != nil)
        }
        #expect(list.match(try address("person.100000@example.org")) == nil)
    }

    @Test func `networks come and go, and only those that are meant count`() throws {
        var table = NetworkTable<Int>()
        let wide = try #require(NetworkPrefix("10.0.0.0/8"))
        let narrow = try #require(NetworkPrefix("10.1.0.0/16"))
        let client = try #require(HostAddress("10.1.2.3"))
        table[wide] = 1
        table[narrow] = 2
        table[narrow] = 3
        #expect(table.match(client) == narrow)
        #expect(table.match(client) { $0 < 3 } == wide)
        #expect(table.all.map(\.value) == [1, 3])
        table.remove { $0 == 3 }
        #expect(table.match(client) == wide && table.count == 1)
        table[wide] = nil
        #expect(table.match(client) == nil && table.isEmpty)
    }
}
