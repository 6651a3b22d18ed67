import EkidenCrypto
import TestKit
import Testing

@Suite struct ScramKeysTests {
    /// RFC 7677 §3: user "user", password "pencil".
    private let salt = Base64.decode("W22ZaJ0SNY7soEsUEjb6gQ==") ?? []
    private let authMessage = Array(
        ("n=user,r=rOprNGfwEbeRWgbNEkqO,"
            + "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
            + "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
            + "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0").utf8
    )
    private let proof = Base64.decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=") ?? []

    private var keys: ScramKeys {
        ScramKeys(password: Array("pencil".utf8), salt: salt, iterations: 4096)
    }

    @Test func `the example of RFC 7677 is accepted and answered as it says`() {
        #expect(keys.accept(proof: proof, authMessage: authMessage))
        #expect(
            Base64.encode(keys.signature(authMessage: authMessage))
                == "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        )
    }

    @Test func `a proof that differs in one bit is refused`() {
        for bit in 0..<256 {
            var wrong = proof
            wrong[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(!keys.accept(proof: wrong, authMessage: authMessage))
        }
        #expect(!keys.accept(proof: Array(proof.dropLast()), authMessage: authMessage))
        #expect(!keys.accept(proof: [], authMessage: authMessage))
        #expect(!keys.accept(proof: proof, authMessage: authMessage + [0]))
    }

    @Test func `a password fits its own keys alone`() {
        #expect(keys.fit(password: Array("pencil".utf8)))
        #expect(!keys.fit(password: Array("pencils".utf8)))
        #expect(!keys.fit(password: []))
    }

    @Test func `keys come back from their text`() {
        #expect(keys.text.hasPrefix("{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,"))
        #expect(ScramKeys(keys.text) == keys)
    }

    @Test func `text that is no keys is refused`() {
        let parts = keys.text.split(separator: ",").map(String.init)
        let others = [
            "", "{SCRAM-SHA-256}", "{PLAIN}pencil", parts.dropLast().joined(separator: ","),
            keys.text + ",", keys.text + " ", "{scram-sha-256}" + keys.text.dropFirst(15),
            keys.text.replacing("4096,", with: "4095,"),
            keys.text.replacing("4096,", with: "1000001,"),
            keys.text.replacing("4096,", with: "+4096,"),
            keys.text.replacing("4096,", with: ","),
            keys.text.replacing(parts[1], with: ""),
            keys.text.replacing(parts[1], with: "W22ZaJ0SNY7soEsUEjb6gQ="),
            keys.text.replacing(parts[2], with: parts[1]),
            keys.text.replacing(parts[3], with: parts[1]),
        ]
        for text in others { #expect(ScramKeys(text) == nil, "\(text)") }
    }

    @Test func `a user there is none of has the same keys each time, and others elsewhere`() {
        let one = ScramKeys(imaginaryFor: "nobody", secret: [1, 2, 3], iterations: 4096)
        #expect(one == ScramKeys(imaginaryFor: "nobody", secret: [1, 2, 3], iterations: 4096))
        #expect(one.salt.count == 16)
        #expect(
            one.salt != ScramKeys(imaginaryFor: "other", secret: [1, 2, 3], iterations: 4096).salt
        )
        #expect(
            one.salt != ScramKeys(imaginaryFor: "nobody", secret: [1, 2], iterations: 4096).salt
        )
        #expect(ScramKeys(one.text) == one)
    }
}

@Suite struct PreparedPasswordTests {
    @Test(arguments: [
        ("pencil", "pencil"), ("pass word", "pass word"), (" x ", " x "), ("pässword", "pässword"),
        ("I\u{ad}X", "IX"), ("a\u{a0}b\u{3000}c", "a b c"), ("\u{200b}", " "), ("日本", "日本"),
        ("🔑", "🔑"),
    ])
    func `passwords are taken as SASLprep would`(_ given: String, _ prepared: String) {
        #expect(PreparedPassword.prepare(Array(given.utf8)) == Array(prepared.utf8))
    }

    @Test(arguments: [
        "", "\0", "a\0b", "a\tb", "a\nb", "a\u{7f}", "a\u{85}", "\u{ad}", "\u{e000}", "\u{fffd}",
        "\u{202e}abc", "\u{e0041}", "\u{2028}",
    ])
    func `passwords with what no password may have are refused`(_ given: String) {
        #expect(PreparedPassword.prepare(Array(given.utf8)) == nil)
    }

    @Test func `noncharacters are refused`() throws {
        for value: UInt32 in [0xfdd0, 0xfdef, 0xfffe, 0xffff, 0x1fffe, 0x10ffff] {
            let scalar = try #require(Unicode.Scalar(value))
            #expect(PreparedPassword.prepare(Array(String(scalar).utf8)) == nil)
        }
    }

    @Test func `bytes that are no UTF-8 are refused, and so is what is too long`() {
        #expect(PreparedPassword.prepare([0xff]) == nil)
        #expect(PreparedPassword.prepare([0xc0, 0x80]) == nil)
        #expect(PreparedPassword.prepare([0xed, 0xa0, 0x80]) == nil)
        #expect(PreparedPassword.prepare(Array(repeating: 0x61, count: 1024))?.count == 1024)
        #expect(PreparedPassword.prepare(Array(repeating: 0x61, count: 1025)) == nil)
    }

    @Test func `random bytes are prepared to a fixed point or refused`() {
        var random = TestRandom(seed: 5)
        for _ in 0..<5000 {
            let count = Int(random.next() % 12)
            let bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next() >> 3) }
            guard let once = PreparedPassword.prepare(bytes) else { continue }
            #expect(PreparedPassword.prepare(once) == once)
        }
    }
}
