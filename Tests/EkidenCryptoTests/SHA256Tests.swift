import EkidenCrypto
import Testing

/// Bytes of hexadecimal digits, spaces ignored.
func hex(_ text: String) -> [UInt8] {
    let digits = text.filter { $0 != " " }.map { UInt8($0.hexDigitValue ?? 0) }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

@Suite struct SHA256Tests {
    @Test func `digests of FIPS 180-4`() {
        #expect(
            SHA256.digest(Array("abc".utf8))
                == hex("ba7816bf 8f01cfea 414140de 5dae2223 b00361a3 96177a9c b410ff61 f20015ad")
        )
        #expect(
            SHA256.digest([])
                == hex("e3b0c442 98fc1c14 9afbf4c8 996fb924 27ae41e4 649b934c a495991b 7852b855")
        )
    }

    /// RFC 4231 §4: key, data, digest (of which case 5 gives 16 bytes).
    static let hmacVectors: [([UInt8], [UInt8], [UInt8])] = [
        (
            Array(repeating: 0x0b, count: 20), Array("Hi There".utf8),
            hex("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7")
        ),
        (
            Array("Jefe".utf8), Array("what do ya want for nothing?".utf8),
            hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
        ),
        (
            Array(repeating: 0xaa, count: 20), Array(repeating: 0xdd, count: 50),
            hex("773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe")
        ),
        (
            Array(1...25), Array(repeating: 0xcd, count: 50),
            hex("82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b")
        ),
        (
            Array(repeating: 0x0c, count: 20), Array("Test With Truncation".utf8),
            hex("a3b6167473100ee06e0c796c2955552b")
        ),
        (
            Array(repeating: 0xaa, count: 131),
            Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8),
            hex("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54")
        ),
        (
            Array(repeating: 0xaa, count: 131),
            Array(
                ("This is a test using a larger than block-size key and a larger than block-size "
                    + "data. The key needs to be hashed before being used by the HMAC algorithm.")
                    .utf8
            ),
            hex("9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2")
        ),
    ]

    @Test func `HMACs of RFC 4231`() {
        for (key, data, expected) in Self.hmacVectors {
            #expect(Array(SHA256.hmac(key: key, data).prefix(expected.count)) == expected)
        }
    }

    @Test func `an empty key is a key of zeros`() {
        #expect(SHA256.hmac(key: [], [1]) == SHA256.hmac(key: [0, 0], [1]))
    }

    @Test func `keys of RFC 7914 §11`() {
        let one = SHA256.pbkdf2(
            password: Array("passwd".utf8),
            salt: Array("salt".utf8),
            iterations: 1,
            byteCount: 64
        )
        #expect(
            one
                == hex(
                    "55 ac 04 6e 56 e3 08 9f ec 16 91 c2 25 44 b6 05 f9 41 85 21 6d de 04 65 e6 8b"
                        + "9d 57 c2 0d ac bc 49 ca 9c cc f1 79 b6 45 99 16 64 b3 9d 77 ef 31 7c 71"
                        + "b8 45 b1 e3 0b d5 09 11 20 41 d3 a1 97 83"
                )
        )
        let many = SHA256.pbkdf2(
            password: Array("Password".utf8),
            salt: Array("NaCl".utf8),
            iterations: 80_000,
            byteCount: 64
        )
        #expect(
            many
                == hex(
                    "4d dc d8 f6 0b 98 be 21 83 0c ee 5e f2 27 01 f9 64 1a 44 18 d0 4c 04 14 ae ff"
                        + "08 87 6b 34 ab 56 a1 d4 25 a1 22 58 33 54 9a db 84 1b 51 c9 b3 17 6a 27"
                        + "2b de bb a1 d0 78 47 8f 62 b3 97 f3 3c 8d"
                )
        )
    }

    @Test func `an empty password is a password`() {
        let key = SHA256.pbkdf2(password: [], salt: [1], iterations: 1)
        #expect(key.count == 32 && key != Array(repeating: 0, count: 32))
    }

    @Test func `secrets are equal when all their bytes are`() {
        #expect(isEqualInConstantTime([1, 2, 3], [1, 2, 3]))
        #expect(!isEqualInConstantTime([1, 2, 3], [1, 2, 4]))
        #expect(!isEqualInConstantTime([1, 2, 3], [1, 2]))
        #expect(isEqualInConstantTime([], []))
    }
}
