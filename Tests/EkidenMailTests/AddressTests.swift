import EkidenMail
import Testing

@Suite struct HostAddressTests {
    @Test(arguments: [
        "192.0.2.1", "0.0.0.0", "255.255.255.255", "::", "::1", "2001:db8::1",
        "2001:db8:0:1:1:1:1:1", "fe80::1:2:3:4", "1::",
    ])
    func `what is printed can be read again`(text: String) throws {
        let address = try #require(HostAddress(text))
        #expect(address.text == text)
    }

    @Test(arguments: [
        "", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.x", ":", ":::", "1::2::3",
        "12345::", "::1%eth0", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:", "+1::",
    ])
    func `what is no address is refused`(text: String) {
        #expect(HostAddress(text) == nil)
    }

    @Test func `the longest run of zeros is shortened, the first of equal ones`() {
        #expect(HostAddress("2001:0:0:1:0:0:0:1")?.text == "2001:0:0:1::1")
        #expect(HostAddress("2001:db8:0:0:1:0:0:1")?.text == "2001:db8::1:0:0:1")
    }

    @Test func `a v4 address in v6 clothes is a v4 address`() {
        #expect(HostAddress("::ffff:192.0.2.7") == .v4(0xc000_0207))
    }

    @Test func `a network holds its own and nobody else`() throws {
        let network = try #require(NetworkPrefix("10.0.0.0/8"))
        #expect(network.contains(.v4(0x0aff_0001)))
        #expect(!network.contains(.v4(0x0b00_0001)))
        #expect(NetworkPrefix("10.0.0.1/8") == nil)
        #expect(NetworkPrefix("10.0.0.0/33") == nil)
        let six = try #require(NetworkPrefix("2001:db8::/65"))
        #expect(six.contains(try #require(HostAddress("2001:db8::7fff:0:0:1"))))
        #expect(!six.contains(try #require(HostAddress("2001:db8:0:0:8000::1"))))
        #expect(NetworkPrefix("0.0.0.0/0")?.contains(.v4(.max)) == true)
        #expect(NetworkPrefix("0.0.0.0/0")?.contains(.loopback6) == false)
    }

    @Test func `endpoints read as they print`() {
        for text in ["127.0.0.1:25", "[::1]:2525"] { #expect(Endpoint(text)?.text == text) }
        for text in ["::1:25", "127.0.0.1", "127.0.0.1:65536", "[::1]"] {
            #expect(Endpoint(text) == nil)
        }
    }
}

@Suite struct NamesTests {
    @Test func `domains compare without case and keep their spelling`() {
        #expect(Domain("Example.COM") == Domain("example.com."))
        #expect(Domain("Example.COM").text == "Example.COM")
        #expect(Domain("[192.0.2.1]").literalAddress == .v4(0xc000_0201))
        #expect(Domain("[IPv6:::1]").literalAddress == .loopback6)
        #expect(Domain("[::1]").literalAddress == nil)
        #expect(Domain("x.example").literalAddress == nil)
    }

    @Test func `ids are read as they are printed, and grow even when the clock goes back`() throws {
        var last = QueueID(number: 0)
        for step: Int64 in [5, 5, 3, 100, 1, 2] {
            let next = QueueID.next(after: last, at: WallTime(seconds: 1_700_000_000 + step))
            #expect(next > last && next.text > last.text)
            #expect(QueueID(next.text) == next && QueueID(next.text.asciiLowercased) == next)
            last = next
        }
        for text in ["", "0000000000000X", "ZZZZZZZZZZZZZ", "038FW3E2SJ00U", "038FW3E2SJ0"] {
            #expect(QueueID(text) == nil)
        }
    }

    @Test(arguments: ["2.1.5", "4.0.0", "5.7.26"])
    func `enhanced codes are read as they print`(text: String) {
        #expect(EnhancedStatus(text)?.text == text)
    }

    @Test(arguments: ["3.1.1", "5.1", "5.1.1.1", "5.1.1000", "5.-1.1", "5.1.x", "5..1"])
    func `what is no enhanced code is refused`(text: String) {
        #expect(EnhancedStatus(text) == nil)
    }
}

@Suite struct BytesTests {
    @Test func `a slice shares memory and keeps its own bounds`() {
        let all = Bytes("hello, courier")
        let part = all[7..<14]
        #expect(part.text == "courier" && part[0] == UInt8(ascii: "c"))
        #expect(part[0..<0].isEmpty)
    }

    @Test func `a builder grows without losing a byte`() {
        var builder = BytesBuilder(capacity: 1)
        var expected: [UInt8] = []
        for i in 0..<500 {
            builder.append(byte: UInt8(truncatingIfNeeded: i))
            expected.append(UInt8(truncatingIfNeeded: i))
            builder.append(contentsOf: expected.suffix(i % 7))
            expected += expected.suffix(i % 7)
        }
        let bytes = builder.finish()
        #expect(bytes.array == expected)
    }
}
