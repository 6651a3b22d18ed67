// OpenSSL's two sides against each other, both ours, in memory.

import EkidenMail
import EkidenRuntime
import Foundation
import Testing

@testable import EkidenLinux

@Suite struct TLSConnectorTests {
    /// Both sides after the handshake. Errors: of either.
    private func shakeHands(
        _ identity: TLSIdentity,
        _ client: TLSClientSettings,
        to name: String,
        expecting names: [String],
        at now: WallTime? = nil,
        asking: TLSServerSettings.ClientCertificate = .none,
        clientAuthorities: String? = nil
    ) throws -> (client: TLSFacts, server: TLSFacts) {
        let provider = OpenSSLProvider()
        let acceptor = try provider.acceptor(
            TLSServerSettings(
                identities: [identity],
                clientCertificate: asking,
                clientAuthorities: clientAuthorities
            )
        )
        let server = acceptor.makeEngine()
        let today = WallTime(seconds: Int64(Date().timeIntervalSince1970))
        let client = try provider.connector(client)
            .makeEngine(to: name, expecting: names, at: now ?? today)
        var isDone = (client: false, server: false)
        for _ in 0..<10 where !isDone.client || !isDone.server {
            if !isDone.client { isDone.client = try client.shakeHands() }
            pass(client, server)
            if !isDone.server { isDone.server = try server.shakeHands() }
            pass(server, client)
        }
        #expect(isDone.client && isDone.server)
        return (client.facts, server.facts)
    }

    private func pass(_ from: any TLSEngine, _ to: any TLSEngine) {
        let bytes = from.drain()
        to.take(bytes.pointer)
        withExtendedLifetime(bytes) {}
    }

    @Test func `a certificate is trusted for its names, and by who vouches for it`() throws {
        let certificates = try Certificates()
        let identity = try certificates.make("a", for: ["mx.a.test", "*.wild.test"])
        let own = TLSClientSettings(authorities: identity.certificate)
        func verdict(_ settings: TLSClientSettings, _ names: [String]) throws -> PeerCertificate? {
            try shakeHands(identity, settings, to: "mx.a.test", expecting: names).client.peer
        }
        for good in [["mx.a.test"], ["MX.A.TEST"], [".a.test"], ["no.test", "x.wild.test"]] {
            #expect(try verdict(own, good)?.isTrusted == true, "\(good)")
        }
        for bad in [["a.test"], [".mx.a.test"], ["x.y.wild.test"], ["wild.test"], ["192.0.2.1"]] {
            let peer = try verdict(own, bad)
            #expect(peer?.isTrusted == false && peer?.problem.isEmpty == false, "\(bad)")
        }
        // Nobody vouches for it: neither the system's authorities nor another certificate.
        #expect(try verdict(TLSClientSettings(), ["mx.a.test"])?.isTrusted == false)
        let other = try certificates.make("b", for: ["mx.a.test"])
        let stranger = TLSClientSettings(authorities: other.certificate)
        #expect(try verdict(stranger, ["mx.a.test"])?.isTrusted == false)
    }

    @Test func `the host's name is asked for, an address is not`() throws {
        let certificates = try Certificates()
        let identity = try certificates.make("a", for: ["mx.a.test"])
        let settings = TLSClientSettings()
        let named = try shakeHands(identity, settings, to: "mx.a.test", expecting: [])
        #expect(named.server.serverName == "mx.a.test" && named.client.version == "TLSv1.3")
        for address in ["192.0.2.1", "2001:db8::1"] {
            let bare = try shakeHands(identity, settings, to: address, expecting: [address])
            #expect(bare.server.serverName == nil)
        }
    }

    @Test func `a certificate is good in its time`() throws {
        let certificates = try Certificates()
        let identity = try certificates.make("a", for: ["mx.a.test"])
        let own = TLSClientSettings(authorities: identity.certificate)
        for (seconds, isGood) in [(1_000_000_000, false), (4_000_000_000, false)] {
            let facts = try shakeHands(
                identity,
                own,
                to: "mx.a.test",
                expecting: ["mx.a.test"],
                at: WallTime(seconds: Int64(seconds))
            )
            #expect(facts.client.peer?.isTrusted == isGood)
        }
    }

    @Test func `our certificate is shown to a server that asks`() throws {
        let certificates = try Certificates()
        let identity = try certificates.make("a", for: ["mx.a.test"])
        let own = try certificates.make("own", for: ["us.test"])
        let (_, server) = try shakeHands(
            identity,
            TLSClientSettings(identity: own),
            to: "mx.a.test",
            expecting: [],
            asking: .required,
            clientAuthorities: own.certificate
        )
        #expect(server.peer?.isTrusted == true && server.peer?.names == ["us.test"])
    }

    @Test func `files that can't be used are named, and changes are taken up`() throws {
        let certificates = try Certificates()
        let a = try certificates.make("a", for: ["a.test"])
        let provider = OpenSSLProvider()
        func failure(_ settings: TLSClientSettings) -> String {
            do throws(TLSFailure) {
                _ = try provider.connector(settings)
                return ""
            } catch { return error.text }
        }
        let missing = TLSClientSettings(authorities: "/nowhere/ca.pem")
        #expect(failure(missing).contains("can't read /nowhere/ca.pem"))
        #expect(failure(TLSClientSettings(authorities: a.key)).contains("authorities in \(a.key)"))
        let crossed = TLSIdentity(certificate: a.certificate, key: "/nowhere/x.key")
        #expect(failure(TLSClientSettings(identity: crossed)).contains("/nowhere/x.key"))
        let connector = try provider.connector(TLSClientSettings(identity: a))
        #expect(connector.refresh() == nil)
        let b = try certificates.make("b", for: ["b.test"])
        let files = FileManager.default
        try files.removeItem(atPath: a.certificate)
        try files.copyItem(atPath: b.certificate, toPath: a.certificate)
        guard case .failure = connector.refresh() else {
            Issue.record("half a certificate was taken")
            return
        }
        try files.removeItem(atPath: a.key)
        try files.copyItem(atPath: b.key, toPath: a.key)
        guard case .success = connector.refresh() else {
            Issue.record("the new certificate was not taken")
            return
        }
    }
}
