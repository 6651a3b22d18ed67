import EkidenIngress
import EkidenMail
import EkidenSMTP
import Testing

private func policy(connections: Int, perClient: Int) throws -> ListenerPolicy {
    ListenerPolicy(
        name: "test",
        relayFor: [try #require(NetworkPrefix("10.0.0.0/8"))],
        lenientFor: [try #require(NetworkPrefix("10.9.0.0/16"))],
        session: ServerSettings(hostName: "relay.test"),
        connectionsPerClient: perClient,
        connections: connections
    )
}

@Suite struct ConnectionLedgerTests {
    private let a = HostAddress.v4(1)
    private let b = HostAddress.v4(2)

    @Test func `a client has so many slots, and gets one back when it leaves`() throws {
        let ledger = ConnectionLedger()
        let policy = try policy(connections: 10, perClient: 2)
        #expect(ledger.enter(a, policy) == .admitted)
        #expect(ledger.enter(a, policy) == .admitted)
        #expect(ledger.enter(a, policy) == .tooManyFromClient(limit: 2))
        #expect(ledger.enter(b, policy) == .admitted)
        ledger.leave(a, policy)
        #expect(ledger.enter(a, policy) == .admitted)
        #expect(ledger.total == 3)
    }

    @Test func `a full house turns everybody away`() throws {
        let ledger = ConnectionLedger()
        let policy = try policy(connections: 1, perClient: 5)
        #expect(ledger.enter(a, policy) == .admitted)
        #expect(ledger.enter(b, policy) == .tooMany(limit: 1))
        ledger.leave(a, policy)
        #expect(ledger.enter(b, policy) == .admitted)
    }

    @Test func `a policy relays for its networks alone`() throws {
        let policy = try policy(connections: 1, perClient: 1)
        #expect(policy.mayRelay(.v4(0x0a01_0203)))
        #expect(!policy.mayRelay(.loopback4))
        #expect(policy.isLenient(.v4(0x0a09_0001)) && !policy.isLenient(.v4(0x0a01_0001)))
    }
}
