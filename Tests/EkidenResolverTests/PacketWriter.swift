// Writes DNS messages byte by byte, well-formed or not, for tests.

import EkidenMail
import EkidenResolver
import EkidenRuntime

struct PacketWriter {
    enum Section: Int {
        case answer = 6
        case authority = 8
        case additional = 10
    }

    private(set) var bytes: [UInt8]

    /// A response with RD and RA set.
    init(id: UInt16 = 0x1234, code: UInt8 = 0, isTruncated: Bool = false, asking: NameQuestion?) {
        bytes = [UInt8(id >> 8), UInt8(id & 0xff), isTruncated ? 0x83 : 0x81, 0x80 | code]
        bytes += [0, asking == nil ? 0 : 1, 0, 0, 0, 0, 0, 0]
        if let asking { bytes += Self.name(asking.name) + Self.two(asking.type) + Self.two(1) }
    }

    mutating func add(
        in section: Section = .answer,
        _ owner: [UInt8],
        type: UInt16,
        class classNumber: UInt16 = 1,
        ttl: UInt32 = 300,
        data: [UInt8]
    ) {
        bytes += owner + Self.two(type) + Self.two(classNumber) + Self.four(ttl)
        bytes += Self.two(UInt16(data.count)) + data
        let count = Int(bytes[section.rawValue]) << 8 | Int(bytes[section.rawValue + 1])
        bytes.replaceSubrange(
            section.rawValue..<(section.rawValue + 2),
            with: Self.two(UInt16(count + 1))
        )
    }

    mutating func add(
        in section: Section = .answer,
        _ owner: String,
        _ data: RecordData,
        ttl: UInt32 = 300
    ) {
        add(in: section, Self.name(owner), type: data.type, ttl: ttl, data: Self.encode(data))
    }

    mutating func patch(_ offset: Int, _ value: UInt8) { bytes[offset] = value }
    mutating func append(_ more: [UInt8]) { bytes += more }

    /// Labels as they are, without compression; "." is the root.
    static func name(_ name: String) -> [UInt8] {
        var bytes: [UInt8] = []
        for label in name.utf8.split(separator: UInt8(ascii: ".")) {
            bytes += [UInt8(label.count)] + label
        }
        return bytes + [0]
    }

    static func pointer(to offset: Int) -> [UInt8] { two(0xc000 | UInt16(offset)) }

    static func two(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xff)] }

    static func four(_ value: UInt32) -> [UInt8] {
        two(UInt16(value >> 16)) + two(UInt16(value & 0xffff))
    }

    static func encode(_ data: RecordData) -> [UInt8] {
        switch data {
        case .address(.v4(let bits)): four(bits)
        case .address(.v6(let high, let low)):
            [high, low].flatMap { four(UInt32($0 >> 32)) + four(UInt32($0 & 0xffff_ffff)) }
        case .exchange(let preference, let target): two(preference) + name(target)
        case .alias(let target), .pointer(let target): name(target)
        case .authority(let minimumSeconds):
            name("ns.example") + name("root.example") + four(1) + four(2) + four(3) + four(4)
                + four(minimumSeconds)
        case .other: [1, 2, 3]
        }
    }
}

func address(_ text: String) -> HostAddress {
    guard let address = HostAddress(text) else { preconditionFailure("not an address: \(text)") }
    return address
}
