import EkidenCrypto
import EkidenMail
import TestKit
import Testing

@testable import EkidenSMTP

private let settings = ServerSettings(
    hostName: "relay.example",
    errors: 1_000_000,
    commands: 1_000_000,
    auth: AuthSettings()
)

private func loggingIn(_ mechanism: SASLMechanism, _ messages: [String]) -> SASLStep {
    var exchange = SASLExchange(mechanism, ChannelFacts(isProtected: true), plusIsOffered: false)
    var step = exchange.begin(nil)
    for message in messages {
        if case .ask(.keys) = step { step = exchange.keys(ServerDriver.keys, nonce: "S") }
        guard case .challenge = step else { return step }
        step = exchange.respond(bytes(message))
    }
    return step
}

@Suite struct AuthTests {
    @Test(arguments: [
        ("\0anna\0sesame", "anna", "sesame"), ("anna\0anna\0sesame", "anna", "sesame"),
        ("ANNA\0anna\0sesame", "anna", "sesame"), ("\0a@b.example\0 x ", "a@b.example", " x "),
        ("\0j\u{f6}rg\0p\u{e4}ss", "j\u{f6}rg", "p\u{e4}ss"), ("\0a\u{ad}b\0x\u{a0}y", "ab", "x y"),
    ])
    func `PLAIN asks for what it was told`(_ message: String, _ user: String, _ password: String) {
        #expect(
            loggingIn(.plain, [message])
                == .ask(.password(user: user, password: bytes(password)))
        )
    }

    @Test(arguments: [
        "", "\0", "\0\0", "anna\0sesame", "\0anna\0", "\0\0sesame", "\0anna\0ses\0ame",
        "\0anna\0ses\u{7}ame", "\0an na\0sesame", "\0an:na\0sesame", "\0#anna\0sesame",
        "\0an\nna\0sesame",
    ])
    func `PLAIN that is malformed is said to be`(_ message: String) {
        guard case .malformed = loggingIn(.plain, [message]) else {
            Issue.record("taken: \(message.debugDescription)")
            return
        }
    }

    @Test func `the example of RFC 7677 logs in`() {
        var exchange = SASLExchange(.scramSHA256, ChannelFacts(), plusIsOffered: false)
        let salt = Base64.decode("W22ZaJ0SNY7soEsUEjb6gQ==") ?? []
        let keys = ScramKeys(password: bytes("pencil"), salt: salt, iterations: 4096)
        #expect(
            exchange.begin(bytes("n,,n=user,r=rOprNGfwEbeRWgbNEkqO")) == .ask(.keys(user: "user"))
        )
        #expect(
            exchange.keys(keys, nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
                == .challenge(
                    bytes(
                        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                            + "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
                    )
                )
        )
        #expect(
            exchange.respond(
                bytes(
                    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                        + "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
                )
            ) == .ask(.proof(user: "user", isValid: true))
        )
        #expect(
            exchange.accepted(as: "user")
                == .challenge(bytes("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="))
        )
        #expect(exchange.respond([]) == .done)
        #expect(exchange.user == "user")
    }

    @Test(arguments: [
        ("n,,n=anna,r=x", "anna"), ("n,a=anna,n=anna,r=x", "anna"), ("y,,n=anna,r=x", "anna"),
        ("n,,n=a=2Cb=3Dc,r=x", "a,b=c"), ("n,,n=anna,r=x,ext=1", "anna"),
    ])
    func `first messages of SCRAM name the user`(_ message: String, _ user: String) {
        #expect(loggingIn(.scramSHA256, [message]) == .ask(.keys(user: user)))
    }

    @Test(arguments: [
        "", ",", "n", "n,,", "n,,n=anna", "n,,r=x,n=anna", "n,,n=,r=x", "n,,n=anna,r=",
        "n,,n=an=na,r=x", "n,,n=an=2cna,r=x", "n,,n=anna=,r=x", "n,x,n=anna,r=x", "x,,n=anna,r=x",
        "n,a=,n=anna,r=x", "N,,n=anna,r=x", "n,,m=1,n=anna,r=x", "n,,n=anna,r=a b",
        "n,,n=anna,r=\0",
        "n,,n=an\0na,r=x", "p=,,n=anna,r=x ", "n,,n=anna,r=\u{e9}",
    ])
    func `first messages of SCRAM that are malformed are said to be`(_ message: String) {
        guard case .malformed = loggingIn(.scramSHA256, [message]) else {
            // A flag that asks for what is not offered is understood and refused.
            if message.hasPrefix("p="), case .refused = loggingIn(.scramSHA256, [message]) {
                return
            }
            Issue.record("taken: \(message.debugDescription)")
            return
        }
    }

    @Test func `a final message with another nonce, binding or proof proves nothing`() {
        let first = "n,,n=anna,r=C"
        let good = finalMessage(first: "n=anna,r=C", binding: "biws", nonce: "CS")
        #expect(
            loggingIn(.scramSHA256, [first, "", good].filter { !$0.isEmpty })
                == .ask(.proof(user: "anna", isValid: true))
        )
        for (binding, nonce) in [("biws", "CT"), ("biws", "C"), ("eSws", "CS"), ("", "CS")] {
            let wrong = finalMessage(first: "n=anna,r=C", binding: binding, nonce: nonce)
            #expect(
                loggingIn(.scramSHA256, [first, wrong])
                    == .ask(.proof(user: "anna", isValid: false))
            )
        }
        for proof in ["", "AAAA", String(repeating: "A", count: 43) + "="] {
            #expect(
                loggingIn(.scramSHA256, [first, "c=biws,r=CS,p=" + proof])
                    == .ask(.proof(user: "anna", isValid: false))
            )
        }
    }

    private func finalMessage(first: String, binding: String, nonce: String) -> String {
        let keys = ServerDriver.keys
        let salted = SHA256.pbkdf2(
            password: bytes("sesame"),
            salt: keys.salt,
            iterations: keys.iterations
        )
        let withoutProof = "c=\(binding),r=\(nonce)"
        let challenge = "r=CS,s=\(Base64.encode(keys.salt)),i=\(keys.iterations)"
        let signature = SHA256.hmac(
            key: keys.storedKey,
            bytes("\(first),\(challenge),\(withoutProof)")
        )
        let clientKey = SHA256.hmac(key: salted, bytes("Client Key"))
        let proof = zip(clientKey, signature).map { $0 ^ $1 }
        return withoutProof + ",p=" + Base64.encode(proof)
    }

    @Test func `who is logged in came by ESMTPA, until it says HELO`() {
        var session = ServerSession(settings, mayLogInWithoutTLS: true)
        _ = session.say("EHLO c")
        guard case .askLogin(let question, .plain) = session.say("AUTH PLAIN AGEAYg==") else {
            Issue.record("not asked")
            return
        }
        #expect(question == .password(user: "a", password: [0x62]))
        #expect(session.loginAccepted("A") == .reply(.loggedIn))
        #expect(session.login == "A" && session.inboundProtocol == .esmtpa)
        _ = session.say("HELO c")
        #expect(session.login == "A" && session.inboundProtocol == .smtp)
    }

    @Test func `refusals are counted and end the session like any others`() {
        var settings = settings
        settings.errors = 3
        var session = ServerSession(settings, mayLogInWithoutTLS: true)
        _ = session.say("EHLO c")
        for _ in 0..<2 {
            _ = session.say("AUTH PLAIN AGEAYg==")
            #expect(session.loginRefused(rule: "x") == .reject(.loginFailed, rule: "x"))
        }
        _ = session.say("AUTH PLAIN AGEAYg==")
        guard case .close(let reply, _) = session.loginRefused(rule: "x") else {
            Issue.record("not closed")
            return
        }
        #expect(reply.code == 421)
    }

    @Test func `no reply and no rule repeats what a client sent`() {
        var session = ServerSession(settings, mayLogInWithoutTLS: true)
        _ = session.say("EHLO c")
        for line in ["AUTH PLAIN secret!", "AUTH secret", "AUTH PLAIN AHNlY3JldA== secret"] {
            guard case .reject(let reply, let rule) = session.say(line) else {
                Issue.record("taken: \(line)")
                continue
            }
            #expect(!reply.oneLine.contains("secret") && !rule.contains("secret"))
        }
    }
}

@Suite struct AuthFuzzTests {
    /// Parts of messages, put together at random, cut and changed.
    private static let pieces: [[UInt8]] =
        [
            "n,,", "y,,", "p=tls-exporter,,", "n,a=anna,", "n=anna", ",r=", "r=CS", "c=biws", ",p=",
            "m=", "=2C", "=3D", "=", ",", "\0", "anna", "sesame", "\0anna\0sesame", "é", "\u{202e}",
            "AAAA", "*", "r=C", "i=4096",
        ].map { Array($0.utf8) } + [[0xff], [0xc3], [0x0d], [0x0a], []]

    @Test func `no words of a client bring an exchange out of order`() {
        var random = TestRandom(seed: 4711)
        var asked = 0
        for _ in 0..<30_000 {
            let mechanism = random.pick(SASLMechanism.allCases)
            let channel = ChannelFacts(
                isProtected: true,
                bindings: [ChannelBinding(type: "tls-exporter", bytes: [1])],
                certificateLogin: random.below(2) == 0 ? "anna" : nil
            )
            var exchange = SASLExchange(mechanism, channel, plusIsOffered: random.below(2) == 0)
            var step = exchange.begin(random.below(3) == 0 ? nil : words(&random))
            for _ in 0..<6 {
                switch step {
                case .challenge: step = exchange.respond(words(&random))
                case .ask(.keys): step = exchange.keys(ServerDriver.keys, nonce: "S")
                case .ask(let question):
                    asked += 1
                    if case .proof(_, let isValid) = question { #expect(!isValid) }
                    #expect(!question.user.isEmpty && !question.user.contains(":"))
                    step = exchange.accepted(as: "anna")
                case .done, .malformed, .refused: break
                }
            }
        }
        #expect(asked > 100)
    }

    @Test func `no lines bring a session out of order`() {
        var random = TestRandom(seed: 815)
        for seed in 0..<300 {
            var driver = ServerDriver(
                settings,
                security: seed % 2 == 0 ? ServerDriver.tls : nil,
                mayLogInWithoutTLS: true
            )
            driver.receive(bytes("EHLO c\r\n"))
            for _ in 0..<60 where !driver.isClosed {
                let word = Base64.encode(words(&random))
                let line = random.pick([
                    word, "AUTH PLAIN " + word, "AUTH LOGIN", "AUTH SCRAM-SHA-256 " + word, "*",
                    "AUTH PLAIN", "=", "", "MAIL FROM:<>", "RSET", "AUTH EXTERNAL =", "EHLO c",
                    "HELO c", "AUTH PLAIN AGFubmEAc2VzYW1l",
                ])
                driver.receive(bytes(line + "\r\n"))
                #expect(!driver.takeOutput().isEmpty || driver.isClosed)
            }
        }
    }

    private func words(_ random: inout TestRandom) -> [UInt8] {
        var message: [UInt8] = []
        for _ in 0..<random.below(7) { message += random.pick(Self.pieces) }
        if !message.isEmpty, random.below(4) == 0 {
            message[random.below(message.count)] = UInt8(truncatingIfNeeded: random.next())
        }
        return message
    }
}

@Suite struct XTextTests {
    @Test(arguments: [
        ("", ""), ("abc", "abc"), ("e+3Dmc2@example.com", "e=mc2@example.com"), ("+2B", "+"),
        ("+3C+3E", "<>"), ("+00", "\0"),
    ])
    func `xtext is decoded`(_ text: String, _ meant: String) {
        #expect(XText.decode(text) == bytes(meant))
    }

    @Test(arguments: ["+", "+3", "+3g", "+3d", "+ 3", "=", "a b", "é", "\t", "+-1"])
    func `what is no xtext is refused`(_ text: String) { #expect(XText.decode(text) == nil) }

    @Test func `random text is decoded to no more bytes than it has, or refused`() {
        var random = TestRandom(seed: 3)
        let letters = bytes("+0123AF3dD=a<>@ .")
        for _ in 0..<5000 {
            let text = (0..<random.below(12)).map { _ in random.pick(letters) }.text
            if let decoded = XText.decode(text) { #expect(decoded.count <= text.utf8.count) }
        }
    }
}
