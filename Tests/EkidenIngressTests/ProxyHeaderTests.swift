import EkidenIngress
import EkidenMail
import Testing

private func find(_ bytes: [UInt8]) -> ProxyHeader.Found {
    bytes.withUnsafeBytes { ProxyHeader.find(in: $0) }
}

private func find(_ text: String) -> ProxyHeader.Found { find(Array(text.utf8)) }

private func endpoint(_ host: String, _ port: UInt16) -> Endpoint {
    Endpoint(HostAddress(host[...]) ?? .v4(0), port)
}

private let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10]

/// A header of version 2.
private func binary(_ command: UInt8, _ family: UInt8, _ rest: [UInt8]) -> [UInt8] {
    signature + [command, family, UInt8(rest.count >> 8), UInt8(rest.count & 255)] + rest
}

private let four: [UInt8] = [192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x34, 0, 25]
private let six: [UInt8] =
    [0x20, 1, 0x0d, 0xb8] + Array(repeating: 0, count: 11) + [1]
    + [0x20, 1, 0x0d, 0xb8] + Array(repeating: 0, count: 11) + [2] + [0x12, 0x34, 0, 25]

@Suite struct ProxyHeaderTests {
    @Test func `version 1 names client and destination`() {
        let text = "PROXY TCP4 192.0.2.1 198.51.100.2 4660 25\r\n"
        let header = ProxyHeader.client(
            endpoint("192.0.2.1", 4660),
            destination: endpoint("198.51.100.2", 25)
        )
        #expect(find(text) == .header(header, byteCount: text.utf8.count))
        #expect(find(text + "EHLO x\r\n") == .header(header, byteCount: text.utf8.count))
        for count in 0..<text.utf8.count {
            #expect(find(Array(text.utf8.prefix(count))) == .incomplete, "\(count)")
        }
        let six = "PROXY TCP6 2001:db8::1 2001:db8::2 4660 25\r\n"
        #expect(
            find(six)
                == .header(
                    .client(
                        endpoint("2001:db8::1", 4660),
                        destination: endpoint("2001:db8::2", 25)
                    ),
                    byteCount: six.utf8.count
                )
        )
    }

    @Test(arguments: ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"])
    func `an unknown client is the balancer itself`(_ text: String) {
        #expect(find(text) == .header(.own, byteCount: text.utf8.count))
    }

    @Test(arguments: [
        "EHLO x\r\n", "proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n", "PROXY\r\n", "PROXY \r\n",
        "PROXY TCP4\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n", "X",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n", "PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n", "PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 -1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n", "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n", "PROXY TCP4 192.0.2 198.51.100.2 1 2\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 1 \r\n",
        "PROXY TCP4 192.0.2.1\t198.51.100.2 1 2\r\n", "PROXY UNKNOWN\n",
        "PROXY UNKNOWN " + String(repeating: "x", count: 200),
        "PROXY UNKNOWN " + String(repeating: "x", count: 92) + "\r\n",
    ])
    func `what is no line of version 1 is malformed`(_ text: String) {
        #expect(find(text) == .malformed)
    }

    @Test func `version 2 names them in binary, and what stands behind is skipped`() {
        let client4 = ProxyHeader.client(
            endpoint("192.0.2.1", 4660),
            destination: endpoint("198.51.100.2", 25)
        )
        let client6 = ProxyHeader.client(
            endpoint("2001:db8::1", 4660),
            destination: endpoint("2001:db8::2", 25)
        )
        let options: [UInt8] = [4, 0, 2, 0, 0, 0x20, 0xff, 0xff, 1]
        for (family, addresses, client) in [(UInt8(0x11), four, client4), (0x21, six, client6)] {
            for rest in [addresses, addresses + options] {
                let header = binary(0x21, family, rest)
                #expect(find(header) == .header(client, byteCount: header.count))
                #expect(find(header + [1, 2, 3]) == .header(client, byteCount: header.count))
                for count in 0..<header.count {
                    #expect(find(Array(header[..<count])) == .incomplete, "\(count)")
                }
            }
        }
    }

    @Test func `a mapped address is the IPv4 address it maps`() {
        let mapped: [UInt8] = Array(repeating: 0, count: 10) + [0xff, 0xff, 192, 0, 2, 1]
        let header = binary(0x21, 0x21, mapped + mapped + [0, 1, 0, 2])
        let client = ProxyHeader.client(
            endpoint("192.0.2.1", 1),
            destination: endpoint("192.0.2.1", 2)
        )
        #expect(find(header) == .header(client, byteCount: header.count))
    }

    @Test func `LOCAL and families without addresses are the balancer itself`() {
        let own = [
            binary(0x20, 0, []), binary(0x20, 0x11, four), binary(0x20, 0x11, []),
            binary(0x20, 0xff, [1, 2, 3]), binary(0x21, 0, []), binary(0x21, 0, [1, 2]),
            binary(0x21, 0x12, four), binary(0x21, 0x31, Array(repeating: 0, count: 216)),
            binary(0x20, 0, Array(repeating: 0, count: 4080)),
        ]
        for header in own { #expect(find(header + [7]) == .header(.own, byteCount: header.count)) }
    }

    @Test func `what is no header of version 2 is malformed`() {
        let wrong: [[UInt8]] = [
            binary(0x11, 0x11, four), binary(0x31, 0x11, four), binary(0x22, 0x11, four),
            binary(0x21, 0x41, four), binary(0x21, 0x13, four), binary(0x21, 0x01, four),
            binary(0x21, 0x11, Array(four.dropLast())), binary(0x21, 0x21, four),
            binary(0x21, 0x11, Array(repeating: 0, count: 4081)),
            [13, 10, 13, 11], [13, 13], signature.dropLast() + [11],
        ]
        for header in wrong { #expect(find(header) == .malformed, "\(header.prefix(20))") }
    }

    @Test(arguments: 1...20)
    func `random and mangled headers never trap, and never grow`(_ seed: UInt64) {
        var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
        func below(_ bound: Int) -> Int {
            state ^= state >> 12
            state ^= state << 25
            state ^= state >> 27
            return Int((state &* 0x2545_f491_4f6c_dd1d) >> 33) % bound
        }
        let good = [
            Array("PROXY TCP4 192.0.2.1 198.51.100.2 4660 25\r\n".utf8),
            Array("PROXY UNKNOWN\r\n".utf8), binary(0x21, 0x11, four), binary(0x21, 0x21, six),
            binary(0x20, 0, [1, 2, 3]),
        ]
        for _ in 0..<2000 {
            var bytes = good[below(good.count)]
            for _ in 0..<below(4) { bytes[below(bytes.count)] = UInt8(below(256)) }
            bytes += (0..<below(20)).map { _ in UInt8(below(256)) }
            bytes = Array(bytes.prefix(1 + below(bytes.count)))
            switch find(bytes) {
            case .header(_, let count): #expect(count <= bytes.count && count > 0)
            case .incomplete: #expect(bytes.count < ProxyHeader.byteCountMax)
            case .malformed:
                // More bytes don't make it good.
                #expect(find(bytes + [0x0d, 0x0a, 0]) == .malformed)
            }
        }
    }
}
