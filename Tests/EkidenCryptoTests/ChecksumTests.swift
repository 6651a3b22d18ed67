import EkidenCrypto
import EkidenMail
import Testing

@Suite struct ChecksumTests {
    private func crc(_ bytes: [UInt8]) -> UInt32 {
        var checksum = Checksum()
        checksum.update(Bytes(bytes))
        return checksum.value
    }

    @Test func `the vectors of RFC 3720 B4 come out`() {
        #expect(crc([UInt8](repeating: 0, count: 32)) == 0x8a91_36aa)
        #expect(crc([UInt8](repeating: 0xff, count: 32)) == 0x62a8_ab43)
        #expect(crc(Array(0..<32)) == 0x46dd_794e)
        #expect(crc(Array((0..<32).reversed())) == 0x113f_db5c)
        #expect(crc(Array("123456789".utf8)) == 0xe306_9283)
    }

    @Test func `it does not matter where the bytes are cut`() {
        let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 7) }
        for cut in [0, 1, 7, 8, 9, 63, 500, 999, 1000] {
            var checksum = Checksum()
            checksum.update(Bytes(bytes[..<cut]))
            checksum.update(Bytes(bytes[cut...]))
            #expect(checksum.value == crc(bytes))
        }
    }

    /// Long runs are summed in lanes side by side; short pieces never are.
    @Test(arguments: [6143, 6144, 6145, 12_288, 12_289, 100_003, 262_144])
    func `a long run has the sum of its pieces`(count: Int) {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 131 &+ $0 >> 8) }
        var checksum = Checksum()
        for start in stride(from: 0, to: count, by: 1000) {
            checksum.update(Bytes(bytes[start..<min(start + 1000, count)]))
        }
        #expect(checksum.value == crc(bytes))
    }

    @Test func `one flipped bit is always seen`() {
        var bytes = [UInt8](repeating: 0x5a, count: 200)
        let clean = crc(bytes)
        for index in bytes.indices {
            bytes[index] ^= 1 << UInt8(index % 8)
            #expect(crc(bytes) != clean)
            bytes[index] ^= 1 << UInt8(index % 8)
        }
    }
}
