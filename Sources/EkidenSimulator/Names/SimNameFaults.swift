// What may go wrong with the simulated name servers, and how often: a value of rules that a test or
// a trial changes at any virtual time. `SimNames` draws from it for every question; `SimMischief`
// carries the faults out.

import EkidenMail
import EkidenRuntime

package enum SimNameFault: String, Sendable, CaseIterable {
    // The transport.
    /// Nothing comes until the deadline.
    case timeout = "time-out"
    /// It could not even ask: no socket, no way to any server.
    case unavailable
    /// The answer takes `slowLatency`, past the deadline as the case may be.
    case slow

    // Answers that say the server won't or can't tell.
    case serverFailure = "SERVFAIL"
    case refused = "REFUSED"
    case formatError = "FORMERR"
    case notImplemented = "NOTIMP"
    /// NOERROR in the header, BADVERS with the OPT record (RFC 6891 §6.1.3).
    case badVersion = "BADVERS"
    /// Names the servers to ask instead: the one asked does not recurse.
    case referral

    // Well-formed answers with something odd about them.
    /// TC set, and the records cut, at a record's end or within it.
    case truncated
    /// A part of the MX set only, another with every question; the best preference stays.
    case changingExchanges = "changing-mx"
    /// One MX record names an alias (RFC 2181 §10.3 forbids it, the world does it).
    case aliasedExchange = "mx-to-cname"
    /// One more MX record, of a host without addresses or that does not exist.
    case deadExchange = "mx-without-address"
    /// Hundreds of MX records more, all worse than the real ones, of hosts that do not exist.
    case manyExchanges = "many-mx"
    /// A negative answer without SOA.
    case bareNegative = "no-soa"
    case zeroTTL = "ttl-0"
    /// 2³¹−1, the largest (RFC 2181 §8).
    case longestTTL = "ttl-max"
    /// The top bit set: counts as zero (RFC 2181 §8).
    case negativeTTL = "ttl-negative"
    /// Beside the right records: other classes, types and owners, and the right ones twice.
    case strayRecords = "stray-records"
    /// A chain of aliases that never ends, however often one asks on.
    case endlessAliases = "endless-aliases"
    case aliasLoop = "alias-loop"
    /// In place of the right records: another class, or another type.
    case wrongRecords = "wrong-records"
    /// An answer to another question.
    case wrongQuestion = "wrong-question"

    // Bytes that are no DNS answer.
    /// An address of three bytes, an MX record without host, a name past its record's end.
    case malformedData = "malformed-data"
    /// Compression pointers that lead to themselves or nowhere.
    case pointerLoop = "pointer-loop"
    /// Any bytes, with or without a proper beginning.
    case randomBytes = "random-bytes"
    /// The packet's end is missing, and TC does not say so.
    case cutPacket = "cut-packet"
    case trailingBytes = "trailing-bytes"
    /// One to eight bits are wrong.
    case bitFlips = "bit-flips"
    /// A section has more or fewer records than its count.
    case lyingCounts = "lying-counts"
    /// A question comes back, not a response.
    case notAResponse = "no-response-bit"

    /// Whether a relay without fault may be led to a wrong outcome by it: a bounce of good mail, or
    /// a delivery to a stranger. All others end in a temporary failure or in the truth, so that a
    /// world whose oracles are strict has those alone.
    package var canMislead: Bool {
        switch self {
        case .wrongRecords, .bitFlips: true
        default: false
        }
    }

    /// Carried out on the packet's bytes; of several, the first drawn alone.
    var spoilsBytes: Bool {
        switch self {
        case .randomBytes, .cutPacket, .trailingBytes, .bitFlips, .lyingCounts, .notAResponse: true
        default: false
        }
    }

    /// Whether it ends what can be learnt from this answer: a temporary failure is sure to follow.
    /// (`slow` ends so only past the deadline.)
    package var isFailure: Bool {
        switch self {
        case .slow, .changingExchanges, .aliasedExchange, .deadExchange, .manyExchanges,
            .bareNegative, .zeroTTL, .longestTTL, .negativeTTL, .strayRecords, .wrongRecords,
            .bitFlips:
            false
        default: true
        }
    }
}

/// Which questions a rule is for.
package enum SimNameScope: Sendable, Hashable {
    case all
    case name(String)
    /// A name and all below it.
    case zone(String)

    func contains(_ name: String) -> Bool {
        switch self {
        case .all: true
        case .name(let own): name == SimZones.folded(own)
        case .zone(let zone):
            name == SimZones.folded(zone) || name.hasSuffix("." + SimZones.folded(zone))
        }
    }
}

package struct SimNameFaults: Sendable {
    private struct Rule: Sendable {
        let fault: SimNameFault
        let scope: SimNameScope
        let type: UInt16?
        let chance: Double
    }

    /// In the order set, which is the order of the draws.
    private var rules: [Rule] = []
    /// How long an ordinary answer takes.
    package var latency = Duration.milliseconds(1)...(.milliseconds(50))
    package var slowLatency = Duration.seconds(2)...(.seconds(30))

    package init() {}

    /// Switches a fault on for the questions of `scope`, of one record type or of all, with this
    /// chance for each; 0 switches it off. What was set before for the same is replaced.
    package mutating func set(
        _ fault: SimNameFault,
        for scope: SimNameScope = .all,
        type: UInt16? = nil,
        chance: Double = 1
    ) {
        rules.removeAll { $0.fault == fault && $0.scope == scope && $0.type == type }
        if chance > 0 {
            rules.append(Rule(fault: fault, scope: scope, type: type, chance: chance))
        }
    }

    /// Switches all faults off; latencies stay.
    package mutating func clear() { rules = [] }

    package var isEmpty: Bool { rules.isEmpty }

    /// The faults that this question meets, each once. One draw for every rule that fits.
    func draw(_ question: NameQuestion, _ random: SimRandom) -> [SimNameFault] {
        let name = SimZones.folded(question.name)
        var drawn: [SimNameFault] = []
        for rule in rules
        where rule.scope.contains(name) && (rule.type ?? question.type) == question.type {
            if random.fraction() < rule.chance, !drawn.contains(rule.fault) {
                drawn.append(rule.fault)
            }
        }
        return drawn
    }
}
