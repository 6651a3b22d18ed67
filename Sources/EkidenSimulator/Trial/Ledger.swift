// The truth about a simulated world, kept by those outside the relay: what clients sent and were
// told, what hosts took and answered, what operators did. The oracles hold it against what the
// promises say. Nothing here knows how the relay works.

import EkidenMail
import EkidenRuntime

/// A message a client means to send. Its number is in every address and in its subject.
package struct Letter: Sendable {
    package let key: Int
    /// nil: the null sender.
    package let sender: String?
    package let recipients: [String]
    /// Header block as the client sends it, without the empty line.
    let header: [UInt8]
    let body: [UInt8]
    var wishes = LetterWishes()
    var isBulk = false
}

/// A recipient of one accepted copy of a letter.
package struct Place: Hashable, Comparable {
    let id: String
    let recipient: String

    package static func < (a: Place, b: Place) -> Bool {
        (a.id, a.recipient) < (b.id, b.recipient)
    }
    package var text: String { "\(id) <\(recipient)>" }
}

/// A message the relay said 250 to.
struct Copy {
    let id: String
    let key: Int
    let recipients: [String]
    let at: Instant
}

/// A transaction in which a host took a message.
final class HostTransaction {
    let host: String
    let takenAt: Instant
    /// Which start of the relay it came from.
    let boot: Int
    /// Under TLS.
    let isSecure: Bool
    /// What the relay called itself.
    let helo: String
    /// The host knows DSN: how the sender hears of success is its business.
    let toldDSN: Bool
    /// When the relay's next word on the connection came: it had read our reply. nil: never.
    var settledAt: Instant?
    init(
        host: String,
        takenAt: Instant,
        boot: Int,
        isSecure: Bool = false,
        toldDSN: Bool = false,
        helo: String = "relay.test"
    ) {
        self.helo = helo
        self.toldDSN = toldDSN
        self.host = host
        self.takenAt = takenAt
        self.boot = boot
        self.isSecure = isSecure
    }
}

package final class Ledger {
    var letters: [Int: Letter] = [:]
    /// How each letter's client comes in.
    var protocolWords: [Int: String] = [:]
    /// Letters whose client has TLS.
    var securedKeys: Set<Int> = []
    /// The address each letter's client has for the relay, as in a Received field.
    var clientLiterals: [Int: String] = [:]
    var copies: [String: Copy] = [:]
    var copyOrder: [String] = []
    var arrivals: [Place: [HostTransaction]] = [:]
    /// Failure reports that arrived, by what they are about; each with the transaction it came in.
    var failureReports: [Place: [HostTransaction]] = [:]
    var delayReports: [Place: [HostTransaction]] = [:]
    /// Of which a report said that they were passed on.
    var relayedReports: Set<Place> = []
    /// Of which the log said that they failed.
    var failedByLog: Set<Place> = []
    /// When the relay ended last, whatever the cause.
    var lastDeath: Instant?
    /// Recipients some host refused for good, whatever the copy: "key recipient".
    var refusals: Set<String> = []
    /// Hosts that refused for good before they knew for whom the mail was.
    var rudeHosts: Set<String> = []
    /// Confirmed removals, and those whose confirmation never came.
    var removed: [Place: Instant] = [:]
    var perhapsRemoved: Set<Place> = []
    /// From a confirmed hold to the request of its release.
    var heldSince: [String: Instant] = [:]
    /// An operator asked to let them go.
    var releaseAsked: Set<String> = []
    /// An operator let go whatever was held, and will again.
    var isAllReleased = false
    /// Held at any time, perhaps without a confirmation.
    var everHeld: Set<String> = []
    /// The relay's word that it made a report, and what it is about.
    var subjects: [String: String] = [:]
    /// Messages whose report could not be delivered, of which the postmaster was told instead.
    var toldInstead: Set<String> = []
    /// Messages of which the postmaster refused the report: the log alone tells their end.
    var untold: Set<String> = []
    /// Refused reports whose making the log had no time to tell of, so that nobody knows what they
    /// were about: each excuses one message.
    var strayRefusals = 0
    var damage = ToldDamage()
    /// When the postmaster refused a report last; which one it was the log says a moment later.
    var postmasterRefusedAt: Instant?
    package var violations: [String] = []

    var copyCount: Int { copyOrder.count }

    /// More of them say nothing new; the world need not go on.
    static let violationsMax = 20
    /// Called with each violation as it is found.
    var noted: ((String) -> Void)?

    func violation(_ text: String) {
        guard violations.count < Self.violationsMax else { return }
        violations.append(text)
        noted?(text)
    }

    /// Takes a message that is not known to be untold for one of the strays.
    func excuseStray(_ id: String) -> Bool {
        guard strayRefusals > 0 else { return false }
        strayRefusals -= 1
        untold.insert(id)
        return true
    }

    /// A report has just been refused, and the log does not say which yet.
    func mayHaveRefusedReport(at now: Instant) -> Bool {
        postmasterRefusedAt.map { now - $0 < .seconds(30) } ?? false
    }

    /// The relay ended, perhaps before the log could say which report was refused.
    func relayEnded(at now: Instant) {
        lastDeath = now
        if mayHaveRefusedReport(at: now) { untold.formUnion(subjects.values) }
    }

    func acknowledge(_ id: String, _ letter: Letter, _ recipients: [String], at: Instant) {
        if copies[id] != nil { violation("\(id) was given out twice") }
        copies[id] = Copy(id: id, key: letter.key, recipients: recipients, at: at)
        copyOrder.append(id)
    }

    /// Places whose end is not known yet, in order.
    func open() -> [Place] {
        var open: [Place] = []
        for id in copyOrder {
            guard let copy = copies[id] else { continue }
            for recipient in copy.recipients {
                let place = Place(id: id, recipient: recipient)
                if !hasEnded(place) { open.append(place) }
            }
        }
        return open
    }

    func hasEnded(_ place: Place) -> Bool {
        arrivals[place] != nil || failureReports[place] != nil || removed[place] != nil
            || perhapsRemoved.contains(place) || toldInstead.contains(place.id)
    }

    static func key(of recipient: String) -> Int? {
        // "ok3.k17@d1.test"
        guard let local = recipient.split(separator: "@").first,
            let mark = local.lastIndex(of: "k")
        else { return nil }
        return Int(local[local.index(after: mark)...])
    }
}
