// Carries out the faults of the simulated name servers: first on an answer, which stays a message
// of DNS, if an odd one; then on the packet's bytes. What each fault promises is said with
// `SimNameFault`; every choice within is drawn from the seed.

import EkidenMail
import EkidenRuntime

struct SimMischief {
    let question: NameQuestion
    let random: SimRandom

    private var name: String { SimZones.folded(question.name) }

    // MARK: The answer

    func spoil(_ answer: inout SimAnswer, _ fault: SimNameFault) {
        switch fault {
        case .serverFailure: refuse(&answer, .serverFailure)
        case .refused: refuse(&answer, .refused)
        case .formatError: refuse(&answer, .formatError)
        case .notImplemented: refuse(&answer, .notImplemented)
        case .badVersion:
            answer = SimAnswer(to: answer.question)
            answer.extendedCode = 1
        case .referral: refer(&answer)
        case .truncated: answer.isTruncated = true
        case .changingExchanges, .aliasedExchange, .deadExchange, .manyExchanges:
            spoilExchanges(&answer, fault)
        case .bareNegative:
            if !answer.answers.contains(where: { $0.type == question.type }) {
                answer.authorities.removeAll { $0.type == SimRecordType.soa }
            }
        case .zeroTTL: setTTL(&answer, 0)
        case .longestTTL: setTTL(&answer, UInt32(Int32.max))
        case .negativeTTL: setTTL(&answer, 1 << 31 | UInt32(random.below(1 << 31)))
        case .strayRecords: addStrays(&answer)
        case .endlessAliases:
            let start = random.below(1000)
            answer.code = .noError
            answer.authorities = []
            answer.answers = chain(
                [name] + (0...random.below(20)).map { SimConjured.endless(start + $0) }
            )
        case .aliasLoop:
            let others = (1...1 + random.below(4)).map { "loop\($0).invalid" }
            answer.code = .noError
            answer.authorities = []
            answer.answers = chain([name] + others + [name])
        case .wrongRecords: mistake(&answer)
        case .wrongQuestion:
            answer.question =
                random.happens(1, in: 2)
                ? NameQuestion(name: "another.invalid", type: question.type)
                : NameQuestion(name: name, type: SimRecordType.txt)
        case .malformedData: addMalformed(&answer)
        case .pointerLoop: addPointerLoop(&answer)
        case .timeout, .unavailable, .slow, .randomBytes, .cutPacket, .trailingBytes, .bitFlips,
            .lyingCounts, .notAResponse:
            break
        }
    }

    /// Servers that refuse may leave the question out.
    private func refuse(_ answer: inout SimAnswer, _ code: SimResponseCode) {
        answer = SimAnswer(to: random.happens(1, in: 4) ? nil : answer.question)
        answer.code = code
    }

    private func refer(_ answer: inout SimAnswer) {
        answer = SimAnswer(to: answer.question)
        answer.authorities = (1...2).map { number in
            SimRecord(name, SimRecordType.ns, ttlSeconds: 300, .name("ns\(number).invalid"))
        }
    }

    private func chain(_ names: [String]) -> [SimRecord] {
        zip(names, names.dropFirst()).map {
            SimRecord($0, SimRecordType.cname, ttlSeconds: 300, .name($1))
        }
    }

    private func setTTL(_ answer: inout SimAnswer, _ seconds: UInt32) {
        for i in answer.answers.indices { answer.answers[i].ttlSeconds = seconds }
        for i in answer.authorities.indices {
            answer.authorities[i].ttlSeconds = seconds
            if case .authority(let zone, _) = answer.authorities[i].data {
                answer.authorities[i].data = .authority(zone: zone, minimumSeconds: seconds)
            }
        }
    }

    // MARK: MX sets

    private func spoilExchanges(_ answer: inout SimAnswer, _ fault: SimNameFault) {
        let places = answer.answers.indices.filter {
            if case .exchange(_, let host) = answer.answers[$0].data { host != "." } else { false }
        }
        // A domain that takes no mail, or has no such record, keeps saying so.
        guard let first = places.first else { return }
        let owner = answer.answers[first].owner
        let ttl = answer.answers[first].ttlSeconds
        let preferences = places.map { Self.preference(answer.answers[$0]) }
        let (best, worst) = (preferences.min() ?? 0, preferences.max() ?? 0)
        switch fault {
        case .changingExchanges:
            answer.answers = answer.answers.filter { record in
                guard case .exchange(let preference, _) = record.data else { return true }
                return preference == best || random.happens(1, in: 2)
            }
        case .aliasedExchange:
            let place = places[Int(random.below(UInt64(places.count)))]
            guard case .exchange(let preference, let host) = answer.answers[place].data,
                let alias = SimConjured.alias(of: host)
            else { return }
            answer.answers[place].data = .exchange(preference: preference, host: alias)
        case .deadExchange:
            let host =
                random.happens(1, in: 2)
                ? SimConjured.bareHost : "host." + SimConjured.missingZone
            let preference = UInt16(truncatingIfNeeded: random.next())
            insert(exchange(owner, ttl, preference, host), into: &answer.answers)
        default:
            guard worst < .max else { return }
            // Behind the real ones: the relay looks at the first 512 records of a section alone.
            for number in 0..<(100 + random.below(700)) {
                let preference = worst + 1 + UInt16(random.below(UInt64(UInt16.max - worst)))
                let host = "mx\(number)." + SimConjured.missingZone
                answer.answers.append(exchange(owner, ttl, preference, host))
            }
        }
    }

    private static func preference(_ record: SimRecord) -> UInt16 {
        if case .exchange(let preference, _) = record.data { preference } else { 0 }
    }

    private func exchange(
        _ owner: String,
        _ ttl: UInt32,
        _ preference: UInt16,
        _ host: String
    ) -> SimRecord {
        SimRecord(
            owner,
            SimRecordType.mx,
            ttlSeconds: ttl,
            .exchange(preference: preference, host: host)
        )
    }

    // MARK: Records that do not belong

    private func insert(_ record: SimRecord, into records: inout [SimRecord]) {
        records.insert(record, at: Int(random.below(UInt64(records.count + 1))))
    }

    private func addStrays(_ answer: inout SimAnswer) {
        let stranger = HostAddress.v4(0xcb00_7100 | UInt32(random.below(256)))
        var chaos = SimRecord(name, SimRecordType.a, ttlSeconds: 300, .address(stranger))
        chaos.classNumber = SimRecord.classChaos
        var chaosExchange = exchange(name, 300, 0, "stray.invalid")
        chaosExchange.classNumber = UInt16(2 + random.below(65_000))
        let noise = (0..<random.below(40)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        let strays = [
            chaos, chaosExchange,
            exchange("stray.invalid", 300, 0, "stray.invalid"),
            SimRecord("stray.invalid", SimRecordType.a, ttlSeconds: 300, .address(stranger)),
            SimRecord("stray.invalid", SimRecordType.cname, ttlSeconds: 300, .name(name)),
            SimRecord(name, SimRecordType.txt, ttlSeconds: 300, .bytes([3, 0x61, 0x62, 0x63])),
            SimRecord(name, SimRecordType.unknown, ttlSeconds: 0, .bytes(noise)),
        ]
        for stray in strays where random.happens(1, in: 2) { insert(stray, into: &answer.answers) }
        for record in answer.answers where random.happens(1, in: 4) {
            insert(record, into: &answer.answers)
        }
        if random.happens(1, in: 2) {
            let other = SimRecord.Data.authority(zone: "stray.invalid", minimumSeconds: 1)
            let record = SimRecord("stray.invalid", SimRecordType.soa, ttlSeconds: 1, other)
            insert(record, into: &answer.authorities)
        }
    }

    private func mistake(_ answer: inout SimAnswer) {
        let isClass = random.happens(1, in: 2)
        for i in answer.answers.indices {
            if isClass {
                answer.answers[i].classNumber = SimRecord.classChaos
            } else {
                answer.answers[i].type = SimRecordType.unknown
            }
        }
    }

    private func addMalformed(_ answer: inout SimAnswer) {
        let forms: [(UInt16, SimRecord.Data)] = [
            (SimRecordType.a, .bytes([192, 0, 2])),
            (SimRecordType.a, .bytes([192, 0, 2, 1, 0])),
            (SimRecordType.aaaa, .bytes([0x20, 1, 0xd, 0xb8])),
            (SimRecordType.mx, .bytes([])),
            (SimRecordType.mx, .bytes([0, 10])),
            // A label longer than what is left.
            (SimRecordType.mx, .bytes([0, 10, 63, 0x61])),
            // Bytes after the name.
            (SimRecordType.cname, .bytes([1, 0x61, 0, 0])),
            (SimRecordType.soa, .bytes([0, 0, 0, 0, 0, 1])),
        ]
        let (type, data) = forms[Int(random.below(UInt64(forms.count)))]
        insert(SimRecord(name, type, ttlSeconds: 300, data), into: &answer.answers)
    }

    private func addPointerLoop(_ answer: inout SimAnswer) {
        let bad = SimBadPointer(rawValue: random.below(SimBadPointer.count)) ?? .atItself
        let address = SimRecord.Data.address(.v4(0xc000_0201))
        var record = SimRecord(name, SimRecordType.a, ttlSeconds: 300, address)
        switch random.below(3) {
        case 0: record.badOwner = bad
        case 1:
            record.type = SimRecordType.mx
            record.data = .badPointer(after: [0, 10], bad)
        default:
            record.type = SimRecordType.cname
            record.data = .badPointer(after: [], bad)
        }
        insert(record, into: &answer.answers)
    }

    // MARK: The bytes

    /// `packet` is as the writer made it, but for what `truncated` cut off. One of the other faults
    /// at most is for one packet: two together might repair each other, and mislead.
    func spoil(_ packet: inout [UInt8], _ fault: SimNameFault) {
        switch fault {
        case .truncated: cutAsTruncated(&packet)
        case .randomBytes: replaceByNoise(&packet)
        case .cutPacket: packet.removeSubrange(Int(random.below(UInt64(packet.count)))...)
        case .trailingBytes: packet += noise(1 + random.below(40))
        case .bitFlips:
            for _ in 0...random.below(8) {
                let bit = Int(random.below(UInt64(packet.count * 8)))
                packet[bit / 8] ^= 1 << UInt8(bit % 8)
            }
        case .lyingCounts:
            let place = 4 + 2 * Int(random.below(4))
            let count = UInt64(packet[place]) << 8 | UInt64(packet[place + 1])
            // Any other number, most of them near.
            let lies = [count + 1, count &- 1, count ^ (1 + random.below(0xffff))]
            let lie = lies[Int(random.below(3))]
            packet[place] = UInt8(truncatingIfNeeded: lie >> 8)
            packet[place + 1] = UInt8(truncatingIfNeeded: lie)
        case .notAResponse: packet[2] &= 0x7f
        default: break
        }
    }

    /// Servers cut anywhere, or say that there is more and cut nothing.
    private func cutAsTruncated(_ packet: inout [UInt8]) {
        guard random.happens(1, in: 2) else { return }
        let least = SimPacketWriter.headerBytes
        let kept = least + Int(random.below(UInt64(packet.count - least + 1)))
        packet.removeSubrange(kept...)
    }

    private func replaceByNoise(_ packet: inout [UInt8]) {
        let count = random.below(700)
        switch random.below(3) {
        case 0: packet = noise(count)
        case 1:
            // A header that promises an answer.
            packet.removeSubrange(SimPacketWriter.headerBytes...)
            packet += noise(count)
        default:
            let kept = SimPacketWriter.headerBytes + question.name.utf8.count + 2 + 4
            packet.removeSubrange(min(kept, packet.count)...)
            packet[SimPacketWriter.Section.answer.rawValue + 1] = UInt8(1 + random.below(9))
            packet += noise(count)
        }
    }

    private func noise(_ count: UInt64) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }
}
