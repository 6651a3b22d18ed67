// Streams in a simulated world (docs/DELIVERY.md): mail of one listener goes no faster than a rate, that of
// another before the rest. The scheduler's own tests have both to the message; here the rate is held
// roughly, from outside, through crashes and all.

import EkidenMail
import EkidenRuntime

struct TrialStreams {
    let perMinute: Int
    let burst: Int

    /// The ways to the listener whose mail is slow.
    static let slow: [ClientWay.Entrance] = [.proxied1, .proxied2]

    /// Every other world has some.
    static func draw(_ random: SimRandom) -> TrialStreams? {
        guard random.once(in: 2) else { return nil }
        return TrialStreams(
            perMinute: random.pick([1, 2, 10]),
            burst: random.int(in: 1...2)
        )
    }

    var configuration: String {
        """
        [[stream]]
        name = "slow"
        listeners = ["balanced"]
        rate = "\(perMinute)/m"
        burst = \(burst)
        [[stream]]
        name = "first"
        listeners = ["peers"]
        priority = "high"
        """
    }
}

/// What came of a stream that has a rate since a start of the relay. What was let go may have stood at a
/// silent host for long, and then comes at once; so all of it is held against all the time there was.
struct StreamArrivals {
    private var boots: [Int: (since: Instant, count: Int)] = [:]

    mutating func started(_ boot: Int, at now: Instant) { boots[boot] = (now, 0) }

    /// Twice, for an attempt may end at two hosts.
    mutating func isTooMany(
        with boot: Int,
        at now: Instant,
        perMinute: Int,
        burst: Int
    ) -> Bool {
        guard let seen = boots[boot] else { return true }
        boots[boot]?.count += 1
        let minutes = Int((now - seen.since).wholeSeconds) / 60 + 1
        return seen.count + 1 > 2 * (perMinute * minutes + burst)
    }
}

extension Town {
    /// A letter of the slow stream came to a host.
    func streamArrival(_ letter: Letter, _ transaction: HostTransaction) {
        guard let streams = plan.streams, slowKeys.contains(letter.key) else { return }
        count("stream-paced")
        let isTooMany = streamArrivals.isTooMany(
            with: transaction.boot,
            at: world.instant,
            perMinute: streams.perMinute,
            burst: streams.burst
        )
        if isTooMany {
            ledger.violation("more messages of the slow stream than twice its rate")
        }
    }
}
