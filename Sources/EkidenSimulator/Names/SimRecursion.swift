// The recursive name server of the simulated world: from zones and a question to an answer as it
// should be, with aliases followed (RFC 1034 §4.3.2, §5.2.2) and an SOA for what is not there
// (RFC 2308 §3). What servers may do differently and still be right is drawn: the order of records,
// how much of a chain of aliases is told at once, addresses of mail hosts sent along.

import EkidenMail
import EkidenRuntime

struct SimRecursion {
    let zones: SimZones
    let random: SimRandom
    /// Whether the liberties above are taken.
    let varies: Bool

    /// Aliases told in one answer at most.
    private static let aliasesMax = 20

    func answer(_ question: NameQuestion) -> SimAnswer {
        var answer = SimAnswer(to: question)
        var name = SimZones.folded(question.name)
        var seen: [String] = []
        let aliasesTold = varies && random.below(3) == 0 ? 1 : Self.aliasesMax
        while true {
            guard let node = node(name) else {
                // RFC 6604 §3: the code speaks of the last name of the chain.
                answer.code = .nameError
                answer.authorities = [authority(of: name)]
                return answer
            }
            guard let target = node.alias, question.type != SimRecordType.cname else {
                answer.answers += shuffled(records(of: name, node, question.type))
                if answer.answers.last?.type != question.type {
                    answer.authorities = [authority(of: name)]
                }
                answer.additionals = glue(of: answer.answers)
                return answer
            }
            answer.answers.append(
                SimRecord(name, SimRecordType.cname, ttlSeconds: node.aliasTTL, .name(target))
            )
            seen.append(name)
            // A loop, or as far as this server goes: what was found so far is the answer.
            if seen.contains(target) || seen.count >= aliasesTold { return answer }
            name = target
        }
    }

    private func node(_ name: String) -> SimZones.Node? {
        zones.node(name) ?? SimConjured.node(name)
    }

    private func records(
        of name: String,
        _ node: SimZones.Node,
        _ type: UInt16
    ) -> [SimRecord] {
        switch type {
        case SimRecordType.mx:
            return node.exchanges.map { exchange in
                SimRecord(
                    name,
                    type,
                    ttlSeconds: node.exchangesTTL,
                    .exchange(preference: exchange.preference, host: exchange.host)
                )
            }
        case SimRecordType.a, SimRecordType.aaaa:
            return node.addresses.filter { $0.isV4 == (type == SimRecordType.a) }.map {
                SimRecord(name, type, ttlSeconds: node.addressesTTL, .address($0))
            }
        case SimRecordType.cname:
            guard let target = node.alias else { return [] }
            return [SimRecord(name, type, ttlSeconds: node.aliasTTL, .name(target))]
        default:
            return []
        }
    }

    private func authority(of name: String) -> SimRecord {
        let authority = zones.authority(of: name)
        return SimRecord(
            authority.zone,
            SimRecordType.soa,
            ttlSeconds: authority.ttlSeconds,
            .authority(zone: authority.zone, minimumSeconds: authority.minimumSeconds)
        )
    }

    /// RFC 1035 §3.3.9: the addresses of a mail host as additional records; sometimes.
    private func glue(of answers: [SimRecord]) -> [SimRecord] {
        guard varies, random.below(2) == 0 else { return [] }
        var found: [SimRecord] = []
        for answer in answers.prefix(10) {
            guard case .exchange(_, let host) = answer.data, let node = node(host) else { continue }
            found += records(of: host, node, SimRecordType.a)
            found += records(of: host, node, SimRecordType.aaaa)
        }
        return found
    }

    /// Records of one name and type have no order (RFC 2181 §5).
    private func shuffled(_ records: [SimRecord]) -> [SimRecord] {
        varies ? random.shuffled(records) : records
    }
}

extension SimRandom {
    func shuffled<Element>(_ elements: [Element]) -> [Element] {
        var copy = elements
        for i in copy.indices.dropFirst().reversed() {
            copy.swapAt(i, Int(below(UInt64(i + 1))))
        }
        return copy
    }

    /// True `count` times in `of`.
    func happens(_ count: UInt64, in total: UInt64) -> Bool { below(total) < count }
}

/// Names that faults lead to, so that the questions that follow find something. They hold without
/// any state: what they are is in the name. All but one kind lie below `invalid` (RFC 6761 §6.4),
/// where nobody else has names.
enum SimConjured {
    /// `n7.endless.invalid` is an alias of `n8.endless.invalid`, and so on.
    static let endlessZone = "endless.invalid"
    /// Does not exist.
    static let missingZone = "missing.invalid"
    /// Exists, without any data.
    static let bareHost = "bare.invalid"
    /// `simulated-alias.mx.example` is an alias of `mx.example`.
    private static let aliasLabel = "simulated-alias."

    static func endless(_ number: UInt64) -> String { "n\(number).\(endlessZone)" }

    /// nil when the name would be too long.
    static func alias(of host: String) -> String? {
        let name = aliasLabel + host
        return host != "." && SimZones.fitsWire(name) ? name : nil
    }

    static func node(_ name: String) -> SimZones.Node? {
        var node = SimZones.Node()
        if name == bareHost || name == endlessZone { return node }
        if name.hasPrefix(aliasLabel) {
            node.alias = String(name.dropFirst(aliasLabel.count))
            node.aliasTTL = 300
            return node
        }
        guard name.hasPrefix("n"), name.hasSuffix("." + endlessZone),
            let number = UInt64(name.dropFirst().dropLast(endlessZone.count + 1))
        else { return nil }
        node.alias = endless(number &+ 1)
        node.aliasTTL = 300
        return node
    }
}
