// The PROXY protocol, versions 1 and 2 (the HAProxy project's proxy-protocol.txt): what a balancer
// says before anything else about the client it speaks for. Read by `IngressSession` from configured
// balancers alone. Pure: bytes in, a verdict out; strict, for who may speak it may speak for anybody.

import EkidenMail

package enum ProxyHeader: Sendable, Equatable {
    /// The connection is that client's; `destination` is where it thinks it is connected.
    case client(Endpoint, destination: Endpoint)
    /// LOCAL, UNKNOWN, or a family without IP addresses: the balancer's own connection, a health
    /// check as a rule.
    case own

    package enum Found: Sendable, Equatable {
        /// The header is not whole yet.
        case incomplete
        case header(ProxyHeader, byteCount: Int)
        case malformed
    }

    /// The longest header taken: version 2 may carry 65 535 bytes of which only the addresses
    /// matter here.
    package static let byteCountMax = 4096
    /// proxy-protocol.txt §2.1: the longest line of version 1, its CRLF included.
    private static let lineBytesMax = 107
    /// proxy-protocol.txt §2.2
    private static let signature: [UInt8] = [
        0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a,
    ]

    /// Looks for a header at the beginning of what a balancer sent; what follows it is the client's.
    package static func find(in bytes: UnsafeRawBufferPointer) -> Found {
        guard let first = bytes.first else { return .incomplete }
        return first == signature[0] ? binary(bytes) : line(bytes)
    }

    // MARK: Version 1

    private static func line(_ bytes: UnsafeRawBufferPointer) -> Found {
        let start = Array("PROXY ".utf8)
        for (byte, expected) in zip(bytes, start) where byte != expected { return .malformed }
        let head = bytes.prefix(lineBytesMax)
        guard let lf = head.firstIndex(of: 0x0a) else {
            return bytes.count < lineBytesMax ? .incomplete : .malformed
        }
        guard lf > start.count, bytes[lf - 1] == 0x0d,
            bytes[..<(lf - 1)].allSatisfy({ (0x20...0x7e).contains($0) })
        else { return .malformed }
        let text = String(decoding: bytes[start.count..<(lf - 1)], as: UTF8.self)
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        // Whatever follows UNKNOWN is to be ignored.
        if words[0] == "UNKNOWN" { return .header(.own, byteCount: lf + 1) }
        guard words.count == 5, words[0] == "TCP4" || words[0] == "TCP6",
            let source = endpoint(words[1], words[3], isV6: words[0] == "TCP6"),
            let destination = endpoint(words[2], words[4], isV6: words[0] == "TCP6")
        else { return .malformed }
        return .header(.client(source, destination: destination), byteCount: lf + 1)
    }

    private static func endpoint(_ host: Substring, _ port: Substring, isV6: Bool) -> Endpoint? {
        guard host.contains(":") == isV6, let address = HostAddress(host),
            (1...5).contains(port.utf8.count), port.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }),
            port.utf8.count == 1 || port.utf8.first != 0x30, let number = UInt16(port)
        else { return nil }
        return Endpoint(address, number)
    }

    // MARK: Version 2

    private static func binary(_ bytes: UnsafeRawBufferPointer) -> Found {
        for (byte, expected) in zip(bytes, signature) where byte != expected { return .malformed }
        guard bytes.count >= 16 else { return .incomplete }
        guard bytes[12] >> 4 == 2, bytes[12] & 15 <= 1 else { return .malformed }
        let isLocal = bytes[12] & 15 == 0
        let length = Int(bytes[14]) << 8 | Int(bytes[15])
        let end = 16 + length
        if end > byteCountMax { return .malformed }
        let addressBytes: Int
        switch bytes[13] {
        case 0x11: addressBytes = 4
        case 0x21: addressBytes = 16
        // Unspecified, datagrams, Unix sockets: no client that could speak SMTP.
        case 0x00, 0x12, 0x22, 0x31, 0x32: addressBytes = 0
        default:
            if !isLocal { return .malformed }
            addressBytes = 0
        }
        if !isLocal, length < (addressBytes == 0 ? 0 : 2 * addressBytes + 4) { return .malformed }
        guard bytes.count >= end else { return .incomplete }
        // §2.2: of LOCAL nothing but the length counts; TLVs behind the addresses are skipped.
        if isLocal || addressBytes == 0 { return .header(.own, byteCount: end) }
        let ports = 16 + 2 * addressBytes
        let source = Endpoint(address(bytes, 16, addressBytes), port(bytes, ports))
        let destination = Endpoint(
            address(bytes, 16 + addressBytes, addressBytes),
            port(bytes, ports + 2)
        )
        return .header(.client(source, destination: destination), byteCount: end)
    }

    private static func address(_ b: UnsafeRawBufferPointer, _ at: Int, _ count: Int) -> HostAddress
    {
        let word = { (range: Range<Int>) in range.reduce(UInt64(0)) { $0 << 8 | UInt64(b[$1]) } }
        if count == 4 { return .v4(UInt32(truncatingIfNeeded: word(at..<(at + 4)))) }
        return .ipv6(high: word(at..<(at + 8)), low: word((at + 8)..<(at + 16)))
    }

    private static func port(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> UInt16 {
        UInt16(bytes[at]) << 8 | UInt16(bytes[at + 1])
    }
}
