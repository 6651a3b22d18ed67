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
        let neighbours = expected == "relay-denied" ? nil : expected
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
