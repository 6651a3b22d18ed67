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
            ledger.violation("more messages of the slow stream in a minute than twice its rate")
        }
    }
}
