import EkidenMail
import EkidenResolver
import EkidenRuntime
import TestKit
import Testing

@Suite struct ReverseNameTests {
    private let names = ScriptedNames()
    private let client = address("192.0.2.7")
    private let question = "7.2.0.192.in-addr.arpa"

    private func look(_ address: HostAddress) -> ReverseLookup {
        let resolver = Resolver(
            transport: names,
            random: SeededRandom(seed: 1),
            settings: ResolverSettings()
        )
        return TestWorld().run { loop in
            await resolver.reverseName(of: address, on: loop, until: loop.now() + .seconds(60))
        }
    }

    private func point(_ targets: String...) {
        names.set(question, RecordType.ptr, .records(targets.map { .pointer($0) }))
    }

    @Test(arguments: [
        ("192.0.2.7", "7.2.0.192.in-addr.arpa"), ("10.200.30.4", "4.30.200.10.in-addr.arpa"),
        (
            "2001:db8::567:89ab",
            "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
        ),
    ])
    func `the question is the address backwards`(text: String, name: String) {
        #expect(address(text).reverseName == name)
    }

    @Test func `a name that leads back is confirmed, the first of several that does`() {
        point("Mail.Client.Example")
        names.host("mail.client.example", "192.0.2.7")
        #expect(look(client) == .confirmed("mail.client.example"))
        point("liar.example", "mail.client.example", "also.example")
        names.host("liar.example", "192.0.2.8")
        #expect(look(client) == .confirmed("mail.client.example"))
    }

    @Test func `of a host with an IPv6 address that one is asked for`() {
        let six = address("2001:db8::1")
        names.set(six.reverseName, RecordType.ptr, .records([.pointer("six.example")]))
        names.set("six.example", RecordType.aaaa, .records([.address(six)]))
        #expect(look(six) == .confirmed("six.example"))
        #expect(names.asked.map(\.type) == [RecordType.ptr, RecordType.aaaa])
    }

    @Test func `no name, or none that leads back, is missing`() {
        #expect(look(client) == .missing("192.0.2.7 has no name (PTR)"))
        names.set(question, RecordType.ptr, .negative(exists: true))
        #expect(look(client) == .missing("192.0.2.7 has no name (PTR)"))
        point("liar.example")
        let liar = ReverseLookup.missing("its name liar.example does not lead back to 192.0.2.7")
        #expect(look(client) == liar)
        names.host("liar.example", "192.0.2.8")
        #expect(look(client) == liar)
        point("bad name.example", "192.0.2.7", ".")
        #expect(look(client) == .missing("192.0.2.7 has no name that a host can have"))
    }

    @Test func `what can't be found out is not missing`() throws {
        func expectFailure(_ reason: Reason) {
            guard case .failed(let failure) = look(client) else {
                Issue.record("found: \(look(client))")
                return
            }
            #expect(failure.reason == reason)
        }
        names.set(question, RecordType.ptr, .code(2))
        expectFailure(.nameServerFailure)
        names.set(question, RecordType.ptr, .silence)
        expectFailure(.nameServerTimeout)
        point("broken.example", "liar.example")
        names.set("broken.example", RecordType.a, .code(2))
        names.host("liar.example", "192.0.2.8")
        expectFailure(.nameServerFailure)
        // What is confirmed counts all the same.
        point("broken.example", "mail.example")
        names.host("mail.example", "192.0.2.7")
        #expect(look(client) == .confirmed("mail.example"))
    }

    @Test func `a hundred names are not a hundred questions`() {
        names.set(
            question,
            RecordType.ptr,
            .records((0..<100).map { .pointer("n\($0).example") })
        )
        guard case .missing = look(client) else {
            Issue.record("not missing")
            return
        }
        #expect(names.asked.count == 1 + Resolver.reverseNamesMax)
    }

    /// RFC 2317 §4
    @Test func `a small network's names are found by their alias`() {
        names.set(
            question,
            RecordType.ptr,
            .records([.alias("7.0/28.2.0.192.in-addr.arpa")])
        )
        names.set(
            "7.0/28.2.0.192.in-addr.arpa",
            RecordType.ptr,
            .records([.pointer("mail.client.example")])
        )
        names.host("mail.client.example", "192.0.2.7")
        #expect(look(client) == .confirmed("mail.client.example"))
    }
}
