// OpenSSL's engine against OpenSSL's client, both in memory: no socket, no clock.

import EkidenMail
import EkidenRuntime
import Foundation
import Testing

@testable import EkidenLinux

extension TLSEngine {
    fileprivate func readAll() throws -> (bytes: [UInt8], last: TLSRead) {
        var bytes: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 10_000)
        while true {
            let result = try room.withUnsafeMutableBytes { try read(into: $0) }
            guard case .bytes(let count) = result else { return (bytes, result) }
            bytes += room[..<count]
        }
    }
}

@Suite struct TLSTests {
    @Test func `text goes through both ways, whole and however much`() throws {
        let certificates = try Certificates()
        let identity = try certificates.make("a", for: ["mail.a.test"])
        let acceptor = try OpenSSLProvider().acceptor(TLSServerSettings(identities: [identity]))
        let engine = acceptor.makeEngine()
        let client = try Client(name: "Mail.A.test")
        #expect(try client.shakeHands(engine))
        #expect(engine.facts.version == "TLSv1.3")
        #expect(engine.facts.serverName == "mail.a.test")
        #expect(engine.facts.exporterBinding.count == 32)
        #expect(engine.facts.endPointBinding.count == 32)
        #expect(engine.facts.peer == nil && !engine.facts.isResumed)
        for count in [1, 16_384, 16_385, 300_000] {
            let text = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            client.write(text)
            client.exchange(engine)
            #expect(engine.hasPending)
            let (bytes, last) = try engine.readAll()
            #expect(bytes == text && last == .starved && !engine.hasPending)
            try text.withUnsafeBytes { try engine.write($0) }
            client.exchange(engine)
            #expect(client.read() == text)
        }
        client.close()
        client.exchange(engine)
        #expect(try engine.readAll().last == .closed)
    }

    /// Even byte by byte.
    @Test func `a record that is not whole yet starves the reader`() throws {
        let certificates = try Certificates()
        let identity = try certificates.make("a", for: ["a.test"])
        let acceptor = try OpenSSLProvider().acceptor(TLSServerSettings(identities: [identity]))
        let engine = acceptor.makeEngine()
        let client = try Client()
        #expect(try client.shakeHands(engine))
        client.write(Array("hello".utf8))
        for byte in client.sent() {
            #expect(try engine.readAll().bytes.isEmpty)
            [byte].withUnsafeBytes { engine.take($0) }
        }
        #expect(try engine.readAll().bytes == Array("hello".utf8))
    }

    @Test func `the name asked for chooses the certificate, else the first`() throws {
        let certificates = try Certificates()
        let identities = [
            try certificates.make("a", for: ["mail.a.test"]),
            try certificates.make("b", for: ["mail.b.test", "*.wild.test"]),
        ]
        let acceptor = try OpenSSLProvider().acceptor(TLSServerSettings(identities: identities))
        func seen(_ name: String?) throws -> String {
            let client = try Client(name: name)
            #expect(try client.shakeHands(acceptor.makeEngine()))
            return client.seen
        }
        let first = try seen("mail.a.test")
        let second = try seen("mail.b.test")
        #expect(first != second)
        #expect(try seen(nil) == first)
        #expect(try seen("nobody.test") == first)
        #expect(try seen("x.wild.test") == second)
        #expect(try seen("MAIL.B.TEST") == second)
    }

    @Test func `old versions, weak ciphers and plain text are refused with an alert`() throws {
        let certificates = try Certificates()
        let identity = try certificates.make("a", for: ["a.test"])
        let acceptor = try OpenSSLProvider().acceptor(TLSServerSettings(identities: [identity]))
        let old = try Client(ciphers: "ALL:@SECLEVEL=0", newest: .tls11)
        #expect(throws: TLSFailure.self) { try old.shakeHands(acceptor.makeEngine()) }
        let engine = acceptor.makeEngine()
        #expect(throws: TLSFailure.self) {
            Array("EHLO client.test\r\n".utf8).withUnsafeBytes { engine.take($0) }
            _ = try engine.shakeHands()
        }
        let twelve = try Client(newest: .tls12)
        let server = acceptor.makeEngine()
        #expect(try twelve.shakeHands(server))
        #expect(server.facts.version == "TLSv1.2")
        #expect(server.facts.cipher.hasPrefix("ECDHE-"))
        // In 1.2 it would not be unique.
        #expect(server.facts.exporterBinding.isEmpty)
    }

    @Test(arguments: [
        "ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA",
        "ECDHE-ECDSA-AES128-CCM8",
    ])
    func `a client of TLS 1.2 whose ciphers are not authenticated ones is refused`(
        _ ciphers: String
    ) throws {
        let certificates = try Certificates()
        let identity = try certificates.make("a", for: ["a.test"])
        let acceptor = try OpenSSLProvider().acceptor(TLSServerSettings(identities: [identity]))
        let client = try Client(ciphers: ciphers, newest: .tls12)
        #expect(throws: TLSFailure.self) { try client.shakeHands(acceptor.makeEngine()) }
    }

    @Test(arguments: ["ffdhe2048", "ffdhe8192"])
    func `nobody can make the server compute in finite fields`(_ group: String) throws {
        let certificates = try Certificates()
        let identity = try certificates.make("a", for: ["a.test"])
        let acceptor = try OpenSSLProvider().acceptor(TLSServerSettings(identities: [identity]))
        let client = try Client(groups: group)
        #expect(throws: TLSFailure.self) { try client.shakeHands(acceptor.makeEngine()) }
        let other = try Client(groups: "\(group):P-256")
        #expect(try other.shakeHands(acceptor.makeEngine()))
    }

    @Test func `whatever comes, a handshake fails or waits`() throws {
        let certificates = try Certificates()
        let identity = try certificates.make("a", for: ["a.test"])
        let acceptor = try OpenSSLProvider().acceptor(TLSServerSettings(identities: [identity]))
        let hello = try Client(name: "a.test")
        hello.startHandshake()
        let start = hello.sent()
        var state: UInt64 = 7
        for _ in 0..<2000 {
            var bytes = start
            for _ in 0..<3 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                bytes[Int(state >> 33) % bytes.count] = UInt8(truncatingIfNeeded: state >> 20)
            }
            let engine = acceptor.makeEngine()
            bytes.withUnsafeBytes { engine.take($0) }
            let isDone = (try? engine.shakeHands()) ?? false
            #expect(!isDone)
        }
    }

    @Test func `a session is taken up again by its ticket`() throws {
        let certificates = try Certificates()
        let identity = try certificates.make("a", for: ["a.test"])
        let acceptor = try OpenSSLProvider().acceptor(TLSServerSettings(identities: [identity]))
        let first = try Client()
        let engine = acceptor.makeEngine()
        #expect(try first.shakeHands(engine))
        // The ticket comes behind the handshake.
        _ = first.read()
        let second = try Client(resuming: first)
        let resumed = acceptor.makeEngine()
        #expect(try second.shakeHands(resumed))
        #expect(resumed.facts.isResumed)
        // With other keys an old ticket is worth nothing, and the session a full one.
        acceptor.renewKeys()
        let third = try Client(resuming: first)
        let anew = acceptor.makeEngine()
        #expect(try third.shakeHands(anew))
        #expect(!anew.facts.isResumed)
    }

    @Test func `certificates that have gone keep ticket keys from nothing but a change`() throws {
        let certificates = try Certificates()
        let identity = try certificates.make("a", for: ["a.test"])
        let acceptor = try OpenSSLProvider().acceptor(TLSServerSettings(identities: [identity]))
        try FileManager.default.removeItem(atPath: identity.key)
        acceptor.renewKeys()
        #expect(try Client().shakeHands(acceptor.makeEngine()))
        guard case .failure(let gone) = acceptor.refresh() else {
            Issue.record("the change was not told")
            return
        }
        #expect(gone.text.contains("can't read"))
    }

    @Test func `a client's certificate is a fact, and required only where it says so`() throws {
        let certificates = try Certificates()
        let server = try certificates.make("a", for: ["a.test"])
        let known = try certificates.make("known", for: ["app1.test"])
        let stranger = try certificates.make("stranger", for: ["app2.test"])
        var settings = TLSServerSettings(
            identities: [server],
            clientCertificate: .optional,
            clientAuthorities: known.certificate
        )
        let optional = try OpenSSLProvider().acceptor(settings)
        func peer(_ identity: TLSIdentity?) throws -> PeerCertificate? {
            let engine = optional.makeEngine()
            let client = try Client(as: identity)
            #expect(try client.shakeHands(engine))
            return engine.facts.peer
        }
        #expect(try peer(nil) == nil)
        let good = try #require(try peer(known))
        #expect(good.isTrusted && good.commonName == "app1.test" && good.names == ["app1.test"])
        #expect(good.fingerprint.count == 64 && good.problem.isEmpty)
        let bad = try #require(try peer(stranger))
        #expect(!bad.isTrusted && !bad.problem.isEmpty)
        settings.clientCertificate = .required
        let required = try OpenSSLProvider().acceptor(settings)
        #expect(try Client(as: known).shakeHands(required.makeEngine()))
        for identity in [nil, stranger] {
            #expect(throws: TLSFailure.self) {
                _ = try Client(as: identity).shakeHands(required.makeEngine())
            }
        }
    }

    @Test func `what can't be used is named, and what was in use stays`() throws {
        let certificates = try Certificates()
        let a = try certificates.make("a", for: ["a.test"])
        let b = try certificates.make("b", for: ["b.test"])
        func failure(_ certificate: String, _ key: String) -> String {
            let identity = TLSIdentity(certificate: certificate, key: key)
            do throws(TLSFailure) {
                _ = try OpenSSLProvider().acceptor(TLSServerSettings(identities: [identity]))
                return ""
            } catch { return error.text }
        }
        #expect(
            failure("/nowhere/x.pem", a.key).contains("can't read /nowhere/x.pem: No such file")
        )
        #expect(failure(a.key, a.key).contains("no certificate in \(a.key)"))
        #expect(failure(a.certificate, a.certificate).contains("in \(a.certificate)"))
        #expect(failure(a.certificate, b.key).contains("is not the key of"))

        let acceptor = try OpenSSLProvider().acceptor(TLSServerSettings(identities: [a]))
        #expect(acceptor.refresh() == nil)
        func seen() throws -> String {
            let client = try Client()
            #expect(try client.shakeHands(acceptor.makeEngine()))
            return client.seen
        }
        let before = try seen()
        // Renewed: first the one file, then the other.
        let files = FileManager.default
        try files.removeItem(atPath: a.certificate)
        try files.copyItem(atPath: b.certificate, toPath: a.certificate)
        guard case .failure(let half) = acceptor.refresh() else {
            Issue.record("half a certificate was taken")
            return
        }
        #expect(half.text.contains("is not the key of"))
        #expect(acceptor.refresh() == nil, "said once")
        #expect(try seen() == before)
        try files.removeItem(atPath: a.key)
        try files.copyItem(atPath: b.key, toPath: a.key)
        guard case .success(let text) = acceptor.refresh() else {
            Issue.record("the new certificate was not taken")
            return
        }
        #expect(text.contains("b.test"))
        #expect(try seen() != before)
    }
}
