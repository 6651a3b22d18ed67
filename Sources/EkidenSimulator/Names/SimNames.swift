// The name servers of the simulated world: the seam `NameTransport` in virtual time. Answers are
// real packets, which the production parser reads; what they say is in `zones`, what goes wrong
// with them in `faults`, and everything drawn comes from one random source, so that the same seed
// gives the same packets. Keeps no state of a question, so a loop that dies leaves nothing behind.

import EkidenMail
import EkidenRuntime

/// `@unchecked Sendable`: used on the world's one thread.
package final class SimNames: NameTransport, @unchecked Sendable {
    /// What the servers know from now on. A question sees them as they were when it was asked,
    /// however late its answer.
    package var zones = SimZones()
    /// What goes wrong with questions asked from now on.
    package var faults = SimNameFaults()
    /// Whether answers take the liberties that the standards leave to servers: compression, letter
    /// case, order, additional records, aliases told one by one. Off, the same zones give the same
    /// packet, but for its id and for faults.
    package var varies = true
    /// Gets a line for each question and one for what became of it, when it does. The lines of a
    /// question begin alike, with its number.
    package var noted: ((String) -> Void)?

    /// Questions asked so far.
    package private(set) var questionCount = 0
    private var faultCounts = [Int](repeating: 0, count: SimNameFault.allCases.count)

    private let world: SimWorld
    private let random: SimRandom

    /// Draws from `random` alone; hand in a source of its own to keep the rest of the world's draws
    /// as they are.
    package init(world: SimWorld, random: SimRandom) {
        self.world = world
        self.random = random
    }

    /// How many questions met this fault so far.
    package func count(of fault: SimNameFault) -> Int {
        SimNameFault.allCases.firstIndex(of: fault).map { faultCounts[$0] } ?? 0
    }

    /// From a task of `loop`; returns or throws by `deadline`.
    package func ask(
        _ question: NameQuestion,
        on loop: Loop,
        until deadline: Instant
    ) async throws(NameTransportFailure) -> [UInt8] {
        loop.preconditionCurrent()
        questionCount += 1
        let label = noted == nil ? "" : label(of: question)
        guard Self.isAskable(question.name) else {
            noted?("\(label): can't be asked")
            throw .unaskable
        }
        let met = meetFaults(question)
        noted?("\(label): asked on loop \(loop.index)\(met.map { " " + $0.rawValue }.joined())")
        let arrival = met.contains(.timeout) ? .distantFuture : world.instant + latency(met)
        let reply = reply(to: question, met)
        await loop.sleep(until: min(arrival, deadline))
        if arrival >= deadline {
            noted?("\(label): timed out")
            throw .timedOut
        }
        guard let reply else {
            noted?("\(label): unavailable")
            throw .unavailable("no way to any name server")
        }
        noted?("\(label): \(reply.text), \(reply.packet.count) bytes \(reply.fingerprint)")
        return reply.packet
    }

    private func label(of question: NameQuestion) -> String {
        "names \(questionCount) \(SimRecordType.text(question.type)) of \(question.name)"
    }

    /// As the real transport has it: printable ASCII, no escapes, and short enough for the wire.
    private static func isAskable(_ name: String) -> Bool {
        let isPrintable = name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != 0x5c }
        return isPrintable && SimZones.fitsWire(SimZones.folded(name))
    }

    private func meetFaults(_ question: NameQuestion) -> [SimNameFault] {
        let met = faults.draw(question, random)
        for (index, fault) in SimNameFault.allCases.enumerated() where met.contains(fault) {
            faultCounts[index] += 1
        }
        return met
    }

    private func latency(_ met: [SimNameFault]) -> Duration {
        let range = met.contains(.slow) ? faults.slowLatency : faults.latency
        let spread = (range.upperBound - range.lowerBound).wholeNanoseconds
        return range.lowerBound + .nanoseconds(Int64(random.below(UInt64(spread) + 1)))
    }

    private struct Reply {
        let packet: [UInt8]
        /// What the answer said before its bytes were spoilt.
        let text: String

        /// FNV-1a, so that a trace tells apart packets of the same length.
        var fingerprint: String {
            var hash: UInt32 = 0x811c_9dc5
            for byte in packet { hash = (hash ^ UInt32(byte)) &* 0x0100_0193 }
            return String(hash, radix: 16)
        }
    }

    /// nil when there is no way to ask.
    private func reply(to question: NameQuestion, _ met: [SimNameFault]) -> Reply? {
        if met.contains(.timeout) || met.contains(.unavailable) { return nil }
        let mischief = SimMischief(question: question, random: random)
        var answer = SimRecursion(zones: zones, random: random, varies: varies).answer(question)
        for fault in met { mischief.spoil(&answer, fault) }
        let id = UInt16(truncatingIfNeeded: random.next())
        var packet = SimPacketWriter.packet(answer, id: id, varies: varies, random: random)
        if met.contains(.truncated) { mischief.spoil(&packet, .truncated) }
        if let fault = met.first(where: \.spoilsBytes) { mischief.spoil(&packet, fault) }
        let counts = "\(answer.answers.count) + \(answer.authorities.count)"
        return Reply(packet: packet, text: "code \(answer.code.rawValue), \(counts) records")
    }
}
