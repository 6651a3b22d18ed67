// The rules of a listener by tables: who asks, for what, and which rule decides.

import EkidenMail
import EkidenSMTP
import Testing

@testable import EkidenIngress

private func policy(
    _ change: (inout ListenerRules) throws -> Void = { _ in }
) throws
    -> ListenerPolicy
{
    var policy = ListenerPolicy(
        name: "relay",
        relayFor: [try #require(NetworkPrefix("10.0.0.0/8"))],
        postmaster: Address("post@admin.example"),
        session: ServerSettings(hostName: "mail.example.org")
    )
    try change(&policy.rules)
    return policy
}

private func mailbox(_ text: String) throws -> Address { try #require(Address(text)) }

private let stranger = ClientStanding(.v4(0xcb00_7107))
private let neighbour = ClientStanding(.v4(0x0a01_0203))
private let user = ClientStanding(.v4(0xcb00_7107), isLoggedIn: true)

extension ListenerPolicy {
    /// The rule that refuses; nil when the mail is taken.
    fileprivate func rule(_ recipient: String, from client: ClientStanding) throws -> String? {
        switch verdict(on: .address(try mailbox(recipient)), from: client) {
        case .success: return nil
        case .failure(let refusal):
            #expect(refusal.reply.code / 100 == 4 || refusal.reply.code / 100 == 5)
            return refusal.rule
        }
    }
}

@Suite struct ListenerRulesTests {
    @Test func `without rules networks and logins decide`() throws {
        let policy = try policy()
        #expect(try policy.rule("a@anywhere.example", from: stranger) == "relay-denied")
        #expect(try policy.rule("a@anywhere.example", from: neighbour) == nil)
        #expect(try policy.rule("a@anywhere.example", from: user) == nil)
        #expect(
            policy.verdict(on: .postmaster, from: stranger)
                == .success(try mailbox("post@admin.example"))
        )
        var nobody = policy
        nobody.postmaster = nil
        let refusal = try nobody.verdict(on: .postmaster, from: stranger).refusal
        #expect(refusal.reply.code == 451 && refusal.rule == "no-postmaster")
    }

    @Test(
        arguments: [
            ("a@example.org", nil, nil), ("a@EXAMPLE.org.", nil, nil),
            ("a@sub.example.org", "relay-denied", nil), ("a@x.below.example", nil, nil),
            ("a@below.example", "relay-denied", nil), ("a@notexample.org", "relay-denied", nil),
            // What a next host might send on.
            ("a%elsewhere.example@example.org", "routed-recipient", nil),
            ("elsewhere!a@example.org", "routed-recipient", nil),
            ("\"a@elsewhere.example\"@example.org", "routed-recipient", nil),
            ("\"a%elsewhere.example\"@x.below.example", "routed-recipient", nil),
        ] as [(String, String?, String?)]
    )
    func `anybody may send to relay domains, and nowhere else`(
        recipient: String,
        forStranger: String?,
        forNeighbour: String?
    ) throws {
        let policy = try policy {
            $0.relayDomains.insert(domain: Domain("example.org"))
            $0.relayDomains.insert(below: Domain("below.example"))
        }
        #expect(try policy.rule(recipient, from: stranger) == forStranger)
        #expect(try policy.rule(recipient, from: neighbour) == forNeighbour)
        #expect(try policy.rule(recipient, from: user) == forNeighbour)
    }

    @Test(
        arguments: [
            ("anna@example.org", nil), ("Anna@Example.org", nil),
            ("bert@example.org", "unknown-recipient"), ("bert@open.example", nil),
            ("anna%x.example@example.org", "unknown-recipient"),
            ("bert%x.example@open.example", "routed-recipient"),
            ("\"bert@x.example\"@open.example", "routed-recipient"),
            // RFC 5321 §4.5.1
            ("postmaster@example.org", nil), ("\"PostMaster\"@example.org", nil),
            ("postmaster@elsewhere.example", "relay-denied"),
        ] as [(String, String?)]
    )
    func `who is not on the list of recipients is refused, but never the postmaster`(
        recipient: String,
        expected: String?
    ) throws {
        let list = WatchedList(path: "/recipients", form: .recipients)
        let policy = try policy {
            $0.relayDomains.insert(domain: Domain("example.org"))
            $0.relayDomains.insert(domain: Domain("open.example"))
            $0.recipients = list
        }
        #expect(try policy.rule("anna@example.org", from: stranger) == "unknown-recipient")
        list.adopt(
            try EntryList(
                parsing: Array("anna@example.org\n@open.example\n".utf8),
                as: .recipients
            )
        )
        #expect(try policy.rule(recipient, from: stranger) == expected)
        // Who may send to anywhere may not send to who isn't there either.
        let mayAll = expected == "relay-denied" || expected == "routed-recipient"
        let neighbours = mayAll ? nil : expected
        #expect(try policy.rule(recipient, from: neighbour) == neighbours)
    }

    @Test func `replies have the codes of their RFCs`() throws {
        let list = WatchedList(path: "/recipients", form: .recipients)
        let policy = try policy {
            $0.relayDomains.insert(domain: Domain("example.org"))
            $0.recipients = list
        }
        let unknown = policy.verdict(on: .address(try mailbox("x@example.org")), from: stranger)
        #expect(
            try unknown.refusal.reply.oneLine.hasPrefix("550 5.1.1 there is no x@example.org here")
        )
        let denied = policy.verdict(on: .address(try mailbox("x@other.example")), from: stranger)
        #expect(
            try denied.refusal.reply.oneLine.hasPrefix("550 5.7.1 relaying denied: 203.0.113.7 ")
        )
    }

    // MARK: Lists

    private func list(_ name: String, _ entries: String, _ form: ListForm) throws -> AccessList {
        AccessList(
            name: name,
            entries: try EntryList(parsing: Array(entries.utf8), as: form)
        )
    }

    @Test(
        arguments: [
            ("203.0.113.7", "blocked: 203.0.113.0/24"), ("203.0.113.9", nil),
            ("203.0.113.20", nil), ("192.0.2.1", "more: 192.0.2.1"), ("192.0.2.2", nil),
            ("2001:db8::9", "blocked: 2001:db8::/32"), ("10.1.2.3", nil),
        ] as [(String, String?)]
    )
    func `a denied client is turned away unless a list allows it`(
        client: String,
        entry: String?
    ) throws {
        let file = WatchedList(path: "/more", form: .clients)
        file.adopt(try EntryList(parsing: Array("192.0.2.1".utf8), as: .clients))
        let policy = try policy {
            $0.clientLists.deny = [
                try list("blocked", "203.0.113.0/24\n2001:db8::/32", .clients),
                AccessList(name: "more", entries: EntryList(), file: file),
            ]
            $0.clientLists.allow = [try list("friends", "203.0.113.9\n203.0.113.16/28", .clients)]
        }
        let refusal = policy.refusal(of: try #require(HostAddress(client)))
        #expect(refusal?.entry == entry)
        if let refusal {
            #expect(refusal.rule == "denied-client" && refusal.reply.code == 554)
            // The network that is denied is nobody's business but the operator's.
            #expect(refusal.reply.oneLine.contains(client) && !refusal.reply.oneLine.contains("/"))
        }
    }

    @Test(
        arguments: [
            ("spam@x.example", "blocked: spam@x.example", "no mail is taken from spam@x.example"),
            ("SPAM@X.example", "blocked: spam@x.example", "SPAM@X.example"),
            ("anna@x.example", nil, ""),
            ("anna@y.example", "blocked: y.example", "senders at y.example"),
            ("good@y.example", nil, ""), ("anna@a.b.y.example", "blocked: .y.example", ""),
            ("anna@ok.y.example", nil, ""), ("", nil, ""),
        ] as [(String, String?, String)]
    )
    func `a denied sender is refused unless a list allows it`(
        sender: String,
        entry: String?,
        words: String
    ) throws {
        let policy = try policy {
            $0.senderLists.deny = [
                try list("blocked", "spam@x.example\ny.example\n.y.example", .mailboxes)
            ]
            $0.senderLists.allow = [try list("ok", "good@y.example\nok.y.example", .mailboxes)]
        }
        let path = sender.isEmpty ? ReversePath.null : .address(try mailbox(sender))
        let refusal = policy.refusal(of: path)
        #expect(refusal?.entry == entry)
        if let refusal {
            #expect(refusal.rule == "denied-sender" && refusal.reply.code == 550)
            #expect(refusal.reply.oneLine.contains(words))
        }
    }

    @Test(
        arguments: [
            ("old@example.org", "denied-recipient"), ("anna@example.org", nil),
            ("anna@gone.example", "denied-recipient"), ("kept@gone.example", nil),
            // RFC 5321 §4.5.1, for what is ours; of other domains lists decide.
            ("postmaster@example.org", nil), ("postmaster@gone.example", "denied-recipient"),
        ] as [(String, String?)]
    )
    func `a denied recipient is refused to everybody unless a list allows it`(
        recipient: String,
        expected: String?
    ) throws {
        let policy = try policy {
            $0.relayDomains.insert(domain: Domain("example.org"))
            $0.recipientLists.deny = [
                try list("gone", "old@example.org\ngone.example\n@example.org", .mailboxes)
            ]
            $0.recipientLists.allow = [
                try list("kept", "kept@gone.example\nanna@example.org", .mailboxes)
            ]
        }
        #expect(try policy.rule(recipient, from: neighbour) == expected)
        #expect(try policy.rule(recipient, from: user) == expected)
    }

    // MARK: EHLO

    @Test(
        arguments: [
            ("client.example", nil), ("client.example.", nil), ("[203.0.113.7]", nil),
            ("[203.0.113.8]", "helo-foreign-address"), ("[127.0.0.1]", "helo-foreign-address"),
            ("[IPv6:2001:db8::1]", "helo-foreign-address"), ("friend", "helo-no-full-name"),
            ("localhost", "helo-no-full-name"), ("203.0.113.7", "helo-no-full-name"),
            ("a..example", "helo-no-full-name"), ("a&b.example", "helo-no-full-name"),
            ("mail.example.org", "helo-own-name"), ("MAIL.Example.ORG", "helo-own-name"),
            ("mx.example.org", "helo-own-name"), ("other.example.org", nil),
        ] as [(String, String?)]
    )
    func `what can't be a client's name is refused where names are checked`(
        name: String,
        expected: String?
    ) throws {
        var policy = try policy {
            $0.ownNames = ["mail.example.org", "mx.example.org"]
            $0.ownNetworks = [try #require(NetworkPrefix("198.51.100.1"))]
        }
        #expect(policy.refusal(ofHello: name, from: stranger) == nil)
        policy.rules.helloCheck = .strict
        let refusal = policy.refusal(ofHello: name, from: stranger)
        #expect(refusal?.rule == expected)
        if let refusal { #expect(refusal.reply.oneLine.hasPrefix("550 5.7.1 \(name) ")) }
        // Who may relay, or is on a list that allows it, may call itself anything.
        #expect(policy.refusal(ofHello: name, from: neighbour) == nil)
        #expect(policy.refusal(ofHello: name, from: user) == nil)
        policy.rules.clientLists.allow = [try list("friends", "203.0.113.0/24", .clients)]
        #expect(policy.refusal(ofHello: name, from: stranger) == nil)
    }

    @Test func `this machine may use its own name and addresses`() throws {
        let policy = try policy {
            $0.helloCheck = .strict
            $0.ownNames = ["mail.example.org"]
            $0.ownNetworks = [try #require(NetworkPrefix("198.51.100.1"))]
        }
        let self4 = ClientStanding(try #require(HostAddress("198.51.100.1")))
        let self6 = ClientStanding(.loopback6)
        for client in [self4, self6, ClientStanding(.loopback4)] {
            #expect(policy.refusal(ofHello: "mail.example.org", from: client) == nil)
        }
        #expect(policy.refusal(ofHello: "[IPv6:::1]", from: self6) == nil)
        #expect(policy.refusal(ofHello: "[198.51.100.1]", from: self4) == nil)
    }

    // MARK: Reverse names

    @Test func `a name in the DNS is required where it is, and never for good while unknown`()
        throws
    {
        let findings: [(ReverseFinding, String?, UInt16)] = [
            (.confirmed("mail.client.example"), nil, 0),
            (.missing("203.0.113.7 has no name (PTR)"), "no-reverse-name", 550),
            (.unknown("no name server answered in time"), "reverse-name-unknown", 450),
        ]
        for (finding, rule, code) in findings {
            var policy = try policy()
            for check in [ReverseCheck.off, .note] {
                policy.rules.reverseCheck = check
                #expect(policy.refusal(ofReverse: finding, from: stranger) == nil)
            }
            policy.rules.reverseCheck = .require
            let refusal = policy.refusal(ofReverse: finding, from: stranger)
            #expect(refusal?.rule == rule)
            if let refusal {
                // RFC 7372 §3.3
                let status = EnhancedStatus(UInt8(code / 100), 7, 25)
                #expect(refusal.reply.code == code && refusal.reply.status == status)
            }
            for trusted in [neighbour, user] {
                #expect(policy.refusal(ofReverse: finding, from: trusted) == nil)
            }
            policy.rules.clientLists.allow = [try list("friends", "203.0.113.0/24", .clients)]
            #expect(policy.refusal(ofReverse: finding, from: stranger) == nil)
        }
    }
}

extension Result where Success == Address, Failure == PolicyRefusal {
    fileprivate var refusal: PolicyRefusal {
        get throws {
            switch self {
            case .success(let address): throw Taken(address: address)
            case .failure(let refusal): refusal
            }
        }
    }
}

private struct Taken: Error { let address: Address }
