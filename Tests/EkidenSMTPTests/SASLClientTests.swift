import EkidenCrypto
import EkidenMail
import TestKit
import Testing

@testable import EkidenSMTP

private let host = PeerHost(name: "smtp.example", endpoint: Endpoint(.v4(0xc000_0201), 587))

private func facts(_ binding: [UInt8] = []) -> TLSFacts {
    TLSFacts(version: "TLSv1.3", cipher: "C", exporterBinding: Bytes(binding))
}

private func login(
    _ secret: ClientLogin.Secret,
    user: String = "user",
    _ mechanisms: [ClientMechanism] = ClientMechanism.allCases,
    nonce: String = "rOprNGfwEbeRWgbNEkqO"
) -> ClientLogin {
    ClientLogin(
        name: "smarthost",
        user: user,
        secret: secret,
        mechanisms: mechanisms,
        nonce: nonce
    )
}

private let pencil = ClientLogin.Secret.password(Array("pencil".utf8))
private func encoded(_ text: String) -> String { Base64.encode(Array(text.utf8)) }

@Suite struct SASLClientTests {
    /// RFC 7677 §3.
    @Test func `the example of RFC 7677 comes out`() throws {
        var client = try #require(
            SASLClient(login(pencil), offered: ["SCRAM-SHA-256"], security: facts(), host: host)
        )
        #expect(client.initialResponse() == Array("n,,n=user,r=rOprNGfwEbeRWgbNEkqO".utf8))
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
        let challenge = "r=\(nonce),s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        guard case .derive(let question) = client.challenged(encoded(challenge)) else {
            Issue.record("no question")
            return
        }
        let salted = SHA256.pbkdf2(
            password: Array("pencil".utf8),
            salt: question.salt,
            iterations: question.iterations
        )
        let final = "c=biws,r=\(nonce),p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        #expect(client.derived(salted) == .respond(Array(final.utf8)))
        #expect(!client.hasProof)
        let signature = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        #expect(client.challenged(encoded(signature)) == .respond([]))
        #expect(client.hasProof)
    }

    @Test func `our own server lets it in, bound to the channel or not`() throws {
        let salt: [UInt8] = Array(0..<16)
        let keys = ScramKeys(password: Array("pencil".utf8), salt: salt, iterations: 4096)
        let binding = [UInt8](repeating: 7, count: 32)
        for isBound in [true, false] {
            var client = try #require(
                SASLClient(
                    login(pencil, user: "a=b,c"),
                    offered: ["PLAIN", "SCRAM-SHA-256"] + (isBound ? ["SCRAM-SHA-256-PLUS"] : []),
                    security: facts(isBound ? binding : []),
                    host: host
                )
            )
            #expect(client.mechanism == (isBound ? .scramSHA256Plus : .scramSHA256))
            let said = client.initialResponse()
            let first = try ScramFirst(
                try #require(said),
                bindings: isBound ? [ChannelBinding(type: "tls-exporter", bytes: binding)] : nil,
                plusIsOffered: isBound
            )
            #expect(first.user == "a=b,c")
            let server = ScramServer(first: first, keys: keys, nonce: "SERVER")
            guard case .derive(let question) = client.challenged(encoded(server.challenge)) else {
                Issue.record("no question")
                return
            }
            let salted = SHA256.pbkdf2(
                password: Array("pencil".utf8),
                salt: question.salt,
                iterations: question.iterations
            )
            guard case .respond(let final) = client.derived(salted),
                case .proof(let isValid, let signature) = server.finish(final)
            else {
                Issue.record("no proof")
                return
            }
            #expect(isValid)
            let shown = encoded("v=" + Base64.encode(signature))
            #expect(client.challenged(shown) == .respond([]) && client.hasProof)
        }
    }

    @Test func `a host without proof is not believed`() throws {
        var client = try #require(
            SASLClient(login(pencil), offered: ["SCRAM-SHA-256"], security: facts(), host: host)
        )
        _ = client.initialResponse()
        let challenge = "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1"
        _ = client.challenged(encoded(challenge))
        _ = client.derived([1, 2, 3])
        guard case .cancel = client.challenged(encoded("v=AAAA")) else {
            Issue.record("it was believed")
            return
        }
        #expect(!client.hasProof)
    }

    @Test(arguments: [
        "", "!", encoded("x"), encoded("r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
        encoded("r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
        encoded("r=rOprNGfwEbeRWgbNEkqOx,s=,i=4096"),
        encoded("r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0"),
        encoded("r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=2000000"),
        encoded("m=x,r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
    ])
    func `a challenge that is none cancels the exchange`(_ challenge: String) throws {
        var client = try #require(
            SASLClient(login(pencil), offered: ["SCRAM-SHA-256"], security: facts(), host: host)
        )
        _ = client.initialResponse()
        guard case .cancel = client.challenged(challenge) else {
            Issue.record("it was taken")
            return
        }
    }

    @Test func `the best that both sides know and the secret fits is chosen`() {
        func chosen(
            _ secret: ClientLogin.Secret,
            _ offered: [String],
            _ mine: [ClientMechanism] = ClientMechanism.allCases
        ) -> ClientMechanism? {
            SASLClient(login(secret, mine), offered: offered, security: facts(), host: host)?
                .mechanism
        }
        let all = ClientMechanism.allCases.map(\.rawValue)
        // Without a binding there is no PLUS.
        #expect(chosen(pencil, all) == .scramSHA256)
        #expect(chosen(pencil, ["LOGIN", "PLAIN", "CRAM-MD5"]) == .plain)
        #expect(chosen(pencil, ["LOGIN"]) == .login)
        #expect(chosen(pencil, all, [.login]) == .login)
        #expect(chosen(pencil, ["XOAUTH2", "CRAM-MD5"]) == nil)
        #expect(chosen(.token("t"), all) == .oauthBearer)
        #expect(chosen(.token("t"), ["XOAUTH2", "PLAIN"]) == .xoauth2)
        #expect(chosen(.token("t"), ["PLAIN"]) == nil)
    }

    @Test func `passwords and tokens are said as their mechanisms have it`() throws {
        func begin(_ secret: ClientLogin.Secret, _ mechanism: String) throws -> SASLClient {
            try #require(
                SASLClient(login(secret), offered: [mechanism], security: facts(), host: host)
            )
        }
        var plain = try begin(pencil, "PLAIN")
        #expect(plain.initialResponse() == Array("\0user\0pencil".utf8) && plain.hasProof)
        var asked = try begin(pencil, "LOGIN")
        #expect(asked.initialResponse() == nil)
        #expect(asked.challenged("VXNlcm5hbWU6") == .respond(Array("user".utf8)))
        #expect(asked.challenged("whatever") == .respond(Array("pencil".utf8)))
        guard case .cancel = asked.challenged("more") else {
            Issue.record("it went on")
            return
        }
        var xoauth = try begin(.token("TOKEN"), "XOAUTH2")
        let said = "user=user\u{1}auth=Bearer TOKEN\u{1}\u{1}"
        #expect(xoauth.initialResponse() == Array(said.utf8))
        // The refusal is a challenge first.
        #expect(xoauth.challenged(encoded("{}")) == .respond([]))
        var bearer = try begin(.token("TOKEN"), "OAUTHBEARER")
        let long = "n,a=user,\u{1}host=smtp.example\u{1}port=587\u{1}auth=Bearer TOKEN\u{1}\u{1}"
        #expect(bearer.initialResponse() == Array(long.utf8))
        #expect(bearer.challenged(encoded("{}")) == .respond([1]))
    }

    @Test func `a login shows no secret in any text of it`() {
        let secret = login(.password(Array("hidden".utf8)), user: "anna")
        var dumped = ""
        dump(secret, to: &dumped)
        for text in ["\(secret)", String(reflecting: secret), dumped] {
            #expect(!text.contains("hidden") && !text.contains("104"), "\(text)")
        }
    }
}

@Suite struct ClientLoginSessionTests {
    private static let offering = Reply(250, lines: ["h", "AUTH PLAIN LOGIN"])

    private func session(
        _ login: ClientLogin,
        isSecure: Bool = true,
        _ replies: [Reply]
    ) -> (ClientSession, said: [String]) {
        let level: TLSPolicy.Level = isSecure ? .encrypt : .none
        var session = ClientSession(
            helloName: "us.example",
            host: host,
            tls: TLSPolicy(level),
            login: login
        )
        var output = BytesBuilder()
        let start = isSecure ? [Reply(220, "h"), Reply(250, lines: ["h", "STARTTLS"])] : []
        for reply in [Reply(220, "h")] + start.reversed() + replies {
            Self.settle(&session, &output)
            session.received(reply)
        }
        Self.settle(&session, &output)
        let said = output.finish().text.split(separator: "\r\n").map { String($0) }
        return (session, said)
    }

    /// As far as it goes without a reply.
    private static func settle(_ session: inout ClientSession, _ output: inout BytesBuilder) {
        while true {
            switch session.next(into: &output) {
            case .send: continue
            case .secure: session.secured(facts())
            default: return
            }
        }
    }

    private func action(_ session: ClientSession) -> ClientSession.Action {
        var session = session
        var output = BytesBuilder()
        return session.next(into: &output)
    }

    private func failure(_ session: ClientSession) -> Failure? {
        guard case .failed(let failure) = action(session) else { return nil }
        #expect(failure.scope == .site && failure.step == .login && !failure.isPermanent)
        return failure
    }

    @Test func `after TLS and EHLO comes the login`() {
        let (ready, said) = session(login(pencil), [Self.offering, Reply(235, "welcome")])
        #expect(action(ready) == .ready)
        #expect(
            said == [
                "EHLO us.example", "STARTTLS", "EHLO us.example",
                "AUTH PLAIN " + encoded("\0user\0pencil"),
            ]
        )
    }

    @Test func `questions are answered line by line`() {
        let (ready, said) = session(
            login(pencil, [.login]),
            [Self.offering, Reply(334, "VXNlcm5hbWU6"), Reply(334, "x"), Reply(235, "welcome")]
        )
        #expect(action(ready) == .ready)
        #expect(said.suffix(3) == ["AUTH LOGIN", encoded("user"), encoded("pencil")])
    }

    /// RFC 4954 §4: a command line has 512 octets.
    @Test func `a token too long for the command comes behind it`() {
        let token = String(repeating: "t", count: 2000)
        let (ready, said) = session(
            login(.token(token)),
            [Reply(250, lines: ["h", "AUTH XOAUTH2"]), Reply(334, ""), Reply(235, "welcome")]
        )
        #expect(action(ready) == .ready)
        #expect(said.dropLast().last == "AUTH XOAUTH2")
        let whole = "user=user\u{1}auth=Bearer \(token)\u{1}\u{1}"
        #expect(said.last == encoded(whole))
    }

    @Test func `without TLS no secret is said`() {
        let (clear, said) = session(login(pencil), isSecure: false, [Self.offering])
        #expect(failure(clear)?.reason == .loginUnavailable)
        #expect(!said.contains { $0.hasPrefix("AUTH") })
    }

    @Test func `what can't be agreed on, and what is refused, is the site's trouble`() throws {
        let (none, _) = session(login(pencil), [Reply(250, "h")])
        #expect(try #require(failure(none)).text.contains("no AUTH"))
        let (other, _) = session(login(pencil), [Reply(250, lines: ["h", "AUTH GSSAPI"])])
        #expect(try #require(failure(other)).reason == .loginUnavailable)
        let no = Reply(535, EnhancedStatus(5, 7, 8), "wrong")
        let (refused, _) = session(login(pencil), [Self.offering, no])
        let refusal = try #require(failure(refused))
        #expect(refusal.reason == .loginFailed && refusal.reply == no)
        #expect(!refusal.oneLine.contains("pencil"))
    }

    @Test func `success without SCRAM's proof is none`() {
        let (early, _) = session(
            login(pencil),
            [Reply(250, lines: ["h", "AUTH SCRAM-SHA-256"]), Reply(235, "welcome")]
        )
        #expect(failure(early)?.reason == .loginFailed)
        let (odd, said) = session(
            login(pencil),
            [Reply(250, lines: ["h", "AUTH SCRAM-SHA-256"]), Reply(334, "!"), Reply(501, "ok")]
        )
        #expect(said.last == "*")
        #expect(failure(odd)?.reason == .loginFailed)
    }
}
