import EkidenCrypto
import TestKit
import Testing

@Suite struct Base64Tests {
    /// RFC 4648 §10.
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy"),
    ])
    func `the vectors of RFC 4648`(_ plain: String, _ coded: String) {
        #expect(Base64.encode(Array(plain.utf8)) == coded)
        #expect(Base64.decode(coded) == Array(plain.utf8))
    }

    @Test(arguments: [
        "Z", "Zg", "Zg=", "Zg===", "=", "==", "====", "Z===", "Zm9v\n", " Zm9v", "Zm 9v", "Zm9v=",
        "Zg==Zg==", "Zm=v", "Zm9=v", "Z=9v", "Zm9-", "Zm9_", "Zh==", "Zm9=", "Zm8=\0", "Zö==",
        "AB=C", "=ABC",
    ])
    func `whatever is not to the letter is refused`(_ text: String) {
        #expect(Base64.decode(text) == nil)
    }

    @Test func `every value has one text and comes back`() {
        var random = TestRandom(seed: 11)
        for count in 0..<200 {
            let bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            #expect(Base64.decode(Base64.encode(bytes)) == bytes)
        }
    }

    @Test func `random text decodes to what encodes to it, or not at all`() {
        var random = TestRandom(seed: 12)
        let letters = Array("AQgwZ9+/=b \n".utf8)
        var decoded = 0
        for _ in 0..<20_000 {
            let count = Int(random.next() % 9)
            let text = String(
                decoding: (0..<count).map { _ in letters[Int(random.next() % UInt64(letters.count))]
                },
                as: UTF8.self
            )
            guard let bytes = Base64.decode(text) else { continue }
            decoded += 1
            #expect(Base64.encode(bytes) == text)
        }
        #expect(decoded > 1000)
    }
}
