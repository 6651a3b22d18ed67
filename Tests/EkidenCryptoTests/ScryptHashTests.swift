import TestKit
import Testing

@testable import EkidenCrypto

@Suite struct ScryptHashTests {
    private let salt: [UInt8] = Array(0..<16)
    private let small = ScryptHash.Cost(log2N: 10, parallelization: 2)

    private func hex(_ bytes: [UInt8]?) -> String {
        (bytes ?? []).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    /// RFC 7914 §12, the second and third vector.
    @Test func `the vectors of RFC 7914 come out`() {
        let first = ScryptHash.derive(
            Array("password".utf8),
            salt: Array("NaCl".utf8),
            cost: .init(log2N: 10, parallelization: 16),
            byteCount: 64
        )
        #expect(
            hex(first)
                == "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
                + "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640"
        )
        let second = ScryptHash.derive(
            Array("pleaseletmein".utf8),
            salt: Array("SodiumChloride".utf8),
            cost: .init(log2N: 14),
            byteCount: 64
        )
        #expect(
            hex(second)
                == "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
                + "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
        )
    }

    @Test func `another program's text is read, and written as it was`() throws {
        let text =
            "$scrypt$ln=12,r=8,p=2$AAECAwQFBgcICQoLDA0ODw"
            + "$r6T2ob2+X0ZZVfE4VAEbwUSpHz0jF9JmiaznDYphiXU"
        let hash = try #require(ScryptHash(text))
        #expect(hash.salt == salt && hash.cost == .init(log2N: 12, parallelization: 2))
        #expect(hash.text == text)
        #expect(hash.fit(password: Array("sésame".utf8)) == true)
        #expect(hash.fit(password: Array("sesame".utf8)) == false)
        #expect(hash.fit(password: []) == false)
    }

    @Test func `a hash is made, written, read, and fits its password alone`() throws {
        let made = try #require(
            ScryptHash(password: Array("open".utf8), salt: salt, cost: small)
        )
        let read = try #require(ScryptHash(made.text))
        #expect(read == made && read.fit(password: Array("open".utf8)) == true)
        #expect(read.fit(password: Array("opens".utf8)) == false)
        let other = try #require(
            ScryptHash(password: Array("open".utf8), salt: Array(1..<17), cost: small)
        )
        #expect(other.hash != made.hash)
    }

    @Test func `the dearest that a file may ask for works`() throws {
        #expect(ScryptHash.Cost.usual.isBearable)
        let dearest = ScryptHash.Cost(log2N: 16)
        #expect(dearest.isBearable && dearest.memoryBytes == 64 << 20)
        let hash = try #require(ScryptHash(password: [1], salt: salt, cost: dearest))
        #expect(hash.fit(password: [1]) == true)
    }

    @Test(arguments: [
        "", "$scrypt$", "$scrypt$ln=12,r=8,p=1", "$scrypt$ln=12,r=8,p=1$AAECAwQFBgcICQoLDA0ODw",
        "$scrypt$ln=17,r=8,p=1$SALT$HASH", "$scrypt$ln=9,r=8,p=1$SALT$HASH",
        "$scrypt$ln=12,r=0,p=1$SALT$HASH", "$scrypt$ln=12,r=8,p=5$SALT$HASH",
        "$scrypt$ln=12,r=33,p=1$SALT$HASH", "$scrypt$ln=012,r=8,p=1$SALT$HASH",
        "$scrypt$ln=20,r=8,p=1$SALT$HASH", "$scrypt$ln=,r=8,p=1$SALT$HASH",
        "$scrypt$ln=-1,r=8,p=1$SALT$HASH", "$scrypt$r=8,ln=12,p=1$SALT$HASH",
        "$scrypt$ln=12,r=8,p=1,x=1$SALT$HASH", "$scrypt$ln=12,r=8,p=1$$HASH",
        "$scrypt$ln=12,r=8,p=1$SALT$", "$scrypt$ln=12,r=8,p=1$SALT=$HASH",
        "$scrypt$ln=12,r=8,p=1$SALT$HASH=", "$scrypt$ln=12,r=8,p=1$SALT$HASH$",
        "$SCRYPT$ln=12,r=8,p=1$SALT$HASH", "$scrypt$ln=12,r=8,p=1$SALT$HASH\r",
    ])
    func `a text that is not of the form, or asks for too much, is refused`(_ text: String) {
        let filled = filling(text)
        #expect(ScryptHash(filled) == nil, "\(filled)")
        #expect(ScryptHash(filling("$scrypt$ln=12,r=8,p=1$SALT$HASH")) != nil)
    }

    private func filling(_ text: String) -> String {
        var text = text
        for (name, value) in [
            ("SALT", "AAECAwQFBgcICQoLDA0ODw"),
            ("HASH", "r6T2ob2+X0ZZVfE4VAEbwUSpHz0jF9JmiaznDYphiXU"),
        ] {
            if let place = text.firstRange(of: name) { text.replaceSubrange(place, with: value) }
        }
        return text
    }

    @Test func `made-up ones stay the same for a name, and fit nobody`() {
        let made = ScryptHash(imaginaryFor: "eva", secret: salt, cost: small)
        #expect(made == ScryptHash(imaginaryFor: "eva", secret: salt, cost: small))
        #expect(made != ScryptHash(imaginaryFor: "tim", secret: salt, cost: small))
        #expect(made.fit(password: Array("eva".utf8)) == false)
        #expect(ScryptHash(made.text) == made)
    }

    @Test func `base64 without padding has one form`() {
        for count in 0..<8 {
            let bytes = (0..<count).map { UInt8($0 * 37) }
            let text = Base64.encodeUnpadded(bytes)
            #expect(Base64.decodeUnpadded(text) == bytes && !text.contains("="))
            #expect(count % 3 == 0 || Base64.decodeUnpadded(text + "=") == nil)
        }
        #expect(Base64.decodeUnpadded("A") == nil && Base64.decodeUnpadded("AB") == nil)
    }
}
