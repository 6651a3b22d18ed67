// From an answer to the bytes of a DNS message (RFC 1035 §4), with the liberties servers take drawn
// from the seed: names compressed or not (§4.1.4), letters in either case (§2.3.3), an OPT record.
// `SimNames` sends what comes out; the production parser reads it.

import EkidenMail
import EkidenRuntime

struct SimPacketWriter {
    /// RFC 1035 §4.2.2: the length prefix over TCP has 16 bits.
    static let packetBytesMax = 65_535
    static let headerBytes = 12
    /// Where the counts of the four sections stand in the header (§4.1.1).
    enum Section: Int {
        case question = 4
        case answer = 6
        case authority = 8
        case additional = 10
    }

    private enum Compression {
        case never
        case always
        /// Drawn for each name.
        case sometimes
    }

    private(set) var bytes: [UInt8]
    private let random: SimRandom
    private var compression = Compression.always
    private var mixesCase = false
    /// Where each name, and each end of a name, was first written.
    private var places: [String: Int] = [:]

    /// The whole message. `varies`: whether liberties are taken, else names are compressed and
    /// nothing else is done.
    static func packet(
        _ answer: SimAnswer,
        id: UInt16,
        varies: Bool,
        random: SimRandom
    ) -> [UInt8] {
        var writer = SimPacketWriter(answer, id: id, random: random)
        var hasExtension = answer.extendedCode != nil
        if varies {
            let kinds: [Compression] = [.never, .always, .sometimes]
            writer.compression = kinds[Int(random.below(3))]
            writer.mixesCase = random.happens(1, in: 4)
            hasExtension = hasExtension || random.happens(1, in: 2)
        }
        if let question = answer.question { writer.append(question) }
        let sections: [(Section, [SimRecord])] = [
            (.answer, answer.answers), (.authority, answer.authorities),
            (.additional, answer.additionals),
        ]
        sections: for (section, records) in sections {
            for record in records {
                guard writer.append(record, in: section) else { break sections }
            }
        }
        if hasExtension { writer.appendExtension(code: answer.extendedCode ?? 0) }
        return writer.bytes
    }

    private init(_ answer: SimAnswer, id: UInt16, random: SimRandom) {
        self.random = random
        bytes = [UInt8](repeating: 0, count: Self.headerBytes)
        bytes[0] = UInt8(id >> 8)
        bytes[1] = UInt8(truncatingIfNeeded: id)
        // QR and RD; TC when cut; RA.
        bytes[2] = answer.isTruncated ? 0x83 : 0x81
        bytes[3] = 0x80 | answer.code.rawValue
    }

    // MARK: Entries

    private mutating func append(_ question: NameQuestion) {
        append(name: question.name)
        append(question.type)
        append(SimRecord.classInternet)
        count(in: .question)
    }

    /// False when there is no more room: the answer is then marked as cut (§4.1.1, TC).
    private mutating func append(_ record: SimRecord, in section: Section) -> Bool {
        let start = bytes.count
        if let bad = record.badOwner { append(bad) } else { append(name: record.owner) }
        append(record.type)
        append(record.classNumber)
        append(record.ttlSeconds)
        let lengthPlace = bytes.count
        append(UInt16(0))
        append(record.data)
        let length = UInt16(truncatingIfNeeded: bytes.count - lengthPlace - 2)
        bytes[lengthPlace] = UInt8(length >> 8)
        bytes[lengthPlace + 1] = UInt8(truncatingIfNeeded: length)
        // Room is left for the OPT record.
        if bytes.count > Self.packetBytesMax - 11 {
            bytes.removeSubrange(start...)
            bytes[2] |= 0x02
            return false
        }
        count(in: section)
        return true
    }

    private mutating func append(_ data: SimRecord.Data) {
        switch data {
        case .address(.v4(let bits)): append(bits)
        case .address(.v6(let high, let low)):
            for half in [high, low] {
                append(UInt32(truncatingIfNeeded: half >> 32))
                append(UInt32(truncatingIfNeeded: half))
            }
        case .exchange(let preference, let host):
            append(preference)
            append(name: host)
        case .name(let name): append(name: name)
        case .authority(let zone, let minimumSeconds):
            append(name: zone == "." ? "ns" : "ns." + zone)
            append(name: zone == "." ? "hostmaster" : "hostmaster." + zone)
            // Serial, refresh, retry, expire (§3.3.13).
            for number in [1, 3600, 600, 86_400, minimumSeconds] { append(number) }
        case .bytes(let more): bytes += more
        case .badPointer(let before, let bad):
            bytes += before
            append(bad)
        }
    }

    /// RFC 6891 §6.1.2: owner the root, class the size of what we take, TTL the upper code bits.
    private mutating func appendExtension(code: UInt8) {
        bytes.append(0)
        append(SimRecordType.opt)
        append(UInt16(1232))
        append(UInt32(code) << 24)
        append(UInt16(0))
        count(in: .additional)
    }

    private mutating func count(in section: Section) {
        let place = section.rawValue
        let count = (Int(bytes[place]) << 8 | Int(bytes[place + 1])) + 1
        bytes[place] = UInt8(truncatingIfNeeded: count >> 8)
        bytes[place + 1] = UInt8(truncatingIfNeeded: count)
    }

    // MARK: Names and numbers

    private mutating func append(name: String) {
        let mayCompress =
            switch compression {
            case .never: false
            case .always: true
            case .sometimes: random.happens(1, in: 2)
            }
        var rest = name == "." ? ""[...] : name[...]
        while !rest.isEmpty {
            // Zones hold lower case; a question in capitals is merely never pointed at.
            let key = String(rest)
            if let place = places[key] {
                if mayCompress {
                    append(UInt16(0xc000) | UInt16(place))
                    return
                }
            } else if bytes.count < 0x4000 {
                places[key] = bytes.count
            }
            let label = rest.prefix { $0 != "." }
            bytes.append(UInt8(label.utf8.count))
            for byte in label.utf8 { bytes.append(cased(byte)) }
            rest = rest.dropFirst(label.count + 1)
        }
        bytes.append(0)
    }

    private func cased(_ byte: UInt8) -> UInt8 {
        guard mixesCase, (0x61...0x7a).contains(byte | 0x20), random.happens(1, in: 2) else {
            return byte
        }
        return byte ^ 0x20
    }

    private mutating func append(_ bad: SimBadPointer) {
        let here = UInt16(truncatingIfNeeded: bytes.count & 0x3fff)
        switch bad {
        case .atItself: append(0xc000 | here)
        case .beyondEnd: append(UInt16(0xffff))
        case .growing:
            bytes += [1, 0x61]
            append(0xc000 | here)
        }
    }

    private mutating func append(_ number: UInt16) {
        bytes.append(UInt8(number >> 8))
        bytes.append(UInt8(truncatingIfNeeded: number))
    }

    private mutating func append(_ number: UInt32) {
        append(UInt16(number >> 16))
        append(UInt16(truncatingIfNeeded: number))
    }
}
