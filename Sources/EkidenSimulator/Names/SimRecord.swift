// Resource records and answers of the simulated name servers, before they become packets. Records
// may be nonsense on purpose: a wrong class, data of a wrong length, a name that points at itself.
// RFC 1035 §3.2 and §4.1, RFC 3596 §2.1 (AAAA), RFC 6891 §6.1 (OPT).

import EkidenMail
import EkidenRuntime

/// Record type numbers, for questions and for the scope of a fault. Written down here once more,
/// like all of a packet's format: with the resolver's own, a wrong number there would be answered
/// as it was asked, and no world would notice.
package enum SimRecordType {
    package static let a: UInt16 = 1
    package static let ns: UInt16 = 2
    package static let cname: UInt16 = 5
    package static let soa: UInt16 = 6
    package static let mx: UInt16 = 15
    package static let txt: UInt16 = 16
    package static let aaaa: UInt16 = 28
    static let opt: UInt16 = 41
    /// Reserved for private use (RFC 6895 §3.1): a type nobody knows.
    static let unknown: UInt16 = 65_280

    static func text(_ type: UInt16) -> String {
        switch type {
        case a: "A"
        case ns: "NS"
        case cname: "CNAME"
        case soa: "SOA"
        case mx: "MX"
        case txt: "TXT"
        case aaaa: "AAAA"
        default: "TYPE\(type)"
        }
    }
}

/// RFC 1035 §4.1.1, as in the four bits of the header.
enum SimResponseCode: UInt8 {
    case noError = 0
    case formatError = 1
    case serverFailure = 2
    /// NXDOMAIN.
    case nameError = 3
    case notImplemented = 4
    case refused = 5
}

/// A name in a packet that is no name: compression pointers gone wrong (RFC 1035 §4.1.4 has them
/// point back, at a name before).
enum SimBadPointer: UInt64 {
    case atItself
    /// Past the end of any packet here.
    case beyondEnd
    /// One label, then back to that label: a name that never stops growing.
    case growing

    static let count: UInt64 = 3
}

struct SimRecord: Equatable {
    enum Data: Equatable {
        case address(HostAddress)
        case exchange(preference: UInt16, host: String)
        /// CNAME, NS.
        case name(String)
        case authority(zone: String, minimumSeconds: UInt32)
        case bytes([UInt8])
        /// These bytes, then a name that is none.
        case badPointer(after: [UInt8], SimBadPointer)
    }

    static let classInternet: UInt16 = 1
    static let classChaos: UInt16 = 3

    var owner: String
    var type: UInt16
    var classNumber = SimRecord.classInternet
    var ttlSeconds: UInt32
    var data: Data
    /// Written in place of the owner's name.
    var badOwner: SimBadPointer?

    init(_ owner: String, _ type: UInt16, ttlSeconds: UInt32, _ data: Data) {
        self.owner = owner
        self.type = type
        self.ttlSeconds = ttlSeconds
        self.data = data
    }
}

/// What a name server says to a question.
struct SimAnswer: Equatable {
    /// As repeated in the packet; nil to leave it out.
    var question: NameQuestion?
    var code = SimResponseCode.noError
    /// The upper bits of the code, in an OPT record (RFC 6891 §6.1.3); nil for no such record.
    var extendedCode: UInt8?
    var isTruncated = false
    var answers: [SimRecord] = []
    var authorities: [SimRecord] = []
    var additionals: [SimRecord] = []

    init(to question: NameQuestion?) { self.question = question }
}
