// A name server's answer as flat values: what libresolv's parser found in the packet, nothing
// decided yet. `Inquiry` reads it against a question. Whatever is not a well-formed DNS message
// from end to end gives no answer at all; bytes from the network never trap here.
// RFC 1035 §4, RFC 6891 §6.1.3 (extended response codes).

import CResolv
import EkidenMail
import EkidenRuntime

/// Record types that are asked for or looked at (RFC 1035 §3.2.2, RFC 3596 §2.1).
package enum RecordType {
    package static let a: UInt16 = 1
    package static let ns: UInt16 = 2
    package static let cname: UInt16 = 5
    package static let soa: UInt16 = 6
    package static let ptr: UInt16 = 12
    package static let mx: UInt16 = 15
    package static let aaaa: UInt16 = 28
    static let opt: UInt16 = 41

    /// `MX`; `TYPE123` for those without a name here (RFC 3597 §5).
    package static func text(_ type: UInt16) -> String {
        switch type {
        case a: "A"
        case ns: "NS"
        case cname: "CNAME"
        case soa: "SOA"
        case ptr: "PTR"
        case mx: "MX"
        case aaaa: "AAAA"
        default: "TYPE\(type)"
        }
    }
}

/// RFC 1035 §4.1.1 and the extended codes of RFC 6891.
package enum ResponseCode: Sendable, Hashable {
    case noError
    case formatError
    case serverFailure
    /// NXDOMAIN: the name does not exist.
    case nameError
    case notImplemented
    case refused
    case other(UInt16)

    package init(_ number: UInt16) {
        switch number {
        case 0: self = .noError
        case 1: self = .formatError
        case 2: self = .serverFailure
        case 3: self = .nameError
        case 4: self = .notImplemented
        case 5: self = .refused
        default: self = .other(number)
        }
    }

    /// As name server operators write it: `SERVFAIL`.
    package var text: String {
        switch self {
        case .noError: "NOERROR"
        case .formatError: "FORMERR"
        case .serverFailure: "SERVFAIL"
        case .nameError: "NXDOMAIN"
        case .notImplemented: "NOTIMP"
        case .refused: "REFUSED"
        case .other(let number): "RCODE\(number)"
        }
    }
}

/// The data of a record. Names are lower case without a trailing dot, odd bytes escaped
/// (RFC 1035 §5.1), the root is ".".
package enum RecordData: Sendable, Hashable {
    case address(HostAddress)
    case exchange(preference: UInt16, name: String)
    case alias(String)
    case pointer(String)
    /// SOA: seconds for which a negative answer holds (RFC 2308 §4).
    case authority(minimumSeconds: UInt32)
    /// A type that is not looked into.
    case other(type: UInt16)

    package var type: UInt16 {
        switch self {
        case .address(let address): address.isV4 ? RecordType.a : RecordType.aaaa
        case .exchange: RecordType.mx
        case .alias: RecordType.cname
        case .pointer: RecordType.ptr
        case .authority: RecordType.soa
        case .other(let type): type
        }
    }
}

package struct Record: Sendable, Equatable {
    package let owner: String
    /// The type in the packet. An AAAA record may hold an IPv4-mapped address, which is read as
    /// IPv4, so the data does not tell.
    package let type: UInt16
    package let ttlSeconds: UInt32
    package let data: RecordData

    package init(owner: String, type: UInt16, ttlSeconds: UInt32, data: RecordData) {
        self.owner = owner
        self.type = type
        self.ttlSeconds = ttlSeconds
        self.data = data
    }
}

/// One answer packet, taken apart. Records of other classes than IN are left out.
package struct Answer: Sendable, Equatable {
    package let id: UInt16
    package let code: ResponseCode
    package let isTruncated: Bool
    /// The question it repeats; nil when there is none, or several, or one not of class IN.
    package let question: NameQuestion?
    package let answers: [Record]
    package let authorities: [Record]

    /// nil for bytes that are no well-formed response.
    package init?(_ packet: [UInt8]) {
        guard packet.count <= Self.packetBytesMax else { return nil }
        let parsed = packet.withUnsafeBufferPointer { PacketReader.read($0) }
        guard let parsed else { return nil }
        self = parsed
    }

    fileprivate init(
        id: UInt16,
        code: ResponseCode,
        isTruncated: Bool,
        question: NameQuestion?,
        answers: [Record],
        authorities: [Record]
    ) {
        self.id = id
        self.code = code
        self.isTruncated = isTruncated
        self.question = question
        self.answers = answers
        self.authorities = authorities
    }

    /// RFC 1035 §4.2.2: the length prefix over TCP has 16 bits.
    package static let packetBytesMax = 65_535
    /// Records of one section that are looked at. A message of 65 535 bytes has room for some
    /// 5 000; no mail domain has use for more than this.
    package static let recordsPerSectionMax = 512
}

/// Walks one packet. Lives only while the packet's bytes stay put.
private struct PacketReader {
    private var message = ns_msg()
    private let owner: UnsafeMutablePointer<CChar>
    private let target: UnsafeMutablePointer<CChar>

    static func read(_ packet: UnsafeBufferPointer<UInt8>) -> Answer? {
        let room = Int(EKIDEN_DNS_NAME_BYTES)
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: room * 2) { names in
            guard let base = names.baseAddress else { return nil }
            names.initialize(repeating: 0)
            var reader = PacketReader(owner: base, target: base + room)
            return reader.answer(packet)
        }
    }

    private init(owner: UnsafeMutablePointer<CChar>, target: UnsafeMutablePointer<CChar>) {
        self.owner = owner
        self.target = target
    }

    private mutating func answer(_ packet: UnsafeBufferPointer<UInt8>) -> Answer? {
        var header = ekiden_dns_header()
        guard let base = packet.baseAddress,
            ekiden_dns_open(&message, base, Int32(packet.count), &header) == 0,
            header.is_response == 1
        else { return nil }
        guard let question = question(count: header.questions),
            let answers = section(EKIDEN_DNS_ANSWER, count: header.answers),
            let authorities = section(EKIDEN_DNS_AUTHORITY, count: header.authorities),
            let extended = extendedCode(count: header.additionals)
        else { return nil }
        return Answer(
            id: header.id,
            code: ResponseCode(extended << 4 | UInt16(header.rcode)),
            isTruncated: header.is_truncated == 1,
            question: question.value,
            answers: answers,
            authorities: authorities
        )
    }

    private struct Question { let value: NameQuestion? }

    private mutating func question(count: UInt16) -> Question? {
        guard count == 1 else { return Question(value: nil) }
        var type: UInt16 = 0
        var classNumber: UInt16 = 0
        guard ekiden_dns_first_question(&message, &type, &classNumber, owner) == 0 else {
            return nil
        }
        guard classNumber == 1 else { return Question(value: nil) }
        return Question(value: NameQuestion(name: name(owner), type: type))
    }

    private mutating func section(_ section: Int, count: UInt16) -> [Record]? {
        var records: [Record] = []
        var record = ekiden_dns_record()
        for index in 0..<min(Int(count), Answer.recordsPerSectionMax) {
            guard
                ekiden_dns_record_at(
                    &message,
                    Int32(section),
                    Int32(index),
                    &record,
                    owner,
                    target
                ) == 0
            else { return nil }
            guard record.class_ == 1 else { continue }
            records.append(
                Record(
                    owner: name(owner),
                    type: record.type,
                    // RFC 2181 §8: a TTL with the top bit set counts as zero.
                    ttlSeconds: record.ttl >> 31 == 1 ? 0 : record.ttl,
                    data: data(of: record)
                )
            )
        }
        return records
    }

    private func data(of record: ekiden_dns_record) -> RecordData {
        switch record.type {
        case RecordType.a: .address(.v4(record.address4))
        case RecordType.aaaa:
            .address(.ipv6(high: record.address6_high, low: record.address6_low))
        case RecordType.mx: .exchange(preference: record.preference, name: name(target))
        case RecordType.cname: .alias(name(target))
        case RecordType.ptr: .pointer(name(target))
        case RecordType.soa: .authority(minimumSeconds: record.minimum)
        default: .other(type: record.type)
        }
    }

    /// The upper eight bits of the response code, from the OPT record: without them BADVERS would
    /// pass for "no error, no data" (RFC 6891 §6.1.3).
    private mutating func extendedCode(count: UInt16) -> UInt16? {
        var record = ekiden_dns_record()
        for index in 0..<min(Int(count), Answer.recordsPerSectionMax) {
            guard
                ekiden_dns_record_at(
                    &message,
                    Int32(EKIDEN_DNS_ADDITIONAL),
                    Int32(index),
                    &record,
                    owner,
                    target
                ) == 0
            else { return nil }
            if record.type == RecordType.opt { return UInt16(record.ttl >> 24) }
        }
        return 0
    }

    private func name(_ text: UnsafeMutablePointer<CChar>) -> String {
        HostName.folded(String(cString: text))
    }
}
