// A host with addresses of two families: who has the connection, and that none is left behind.

import EkidenMail
import EkidenRuntime
import EkidenSimulator
import Synchronization
import Testing

@testable import EkidenDelivery

@Suite struct FamilyRaceTests {
    private enum Host { case answers, refuses, silent }

    private static let six = Endpoint(.v6(high: 0x2001_0db8_0000_0000, low: 1), 25)
    private static let four = Endpoint(.v4(0xc000_0201), 25)

    private struct Outcome: Equatable, Sendable {
        /// nil: an error, in words.
        var isRival: Bool?
        var words = ""
        var rivalFailed = false
        var asked = false
        var milliseconds = 0
    }

    /// Runs a race; IPv6 first.
    private func race(
        _ first: Host,
        _ second: Host,
        hasRival: Bool = true,
        stopAfter: Duration? = nil
    ) -> Outcome {
        let world = SimWorld(seed: 7)
        let loop = world.loops[0]
        let crew = SessionCrew(loops: world.loops)
        loop.call {
            for (endpoint, host) in [(Self.six, first), (Self.four, second)] where host == .answers
            {
                _ = loop.backend.listen(loop.makeHandle(), on: endpoint, backlog: 8)
            }
        }
        world.run(for: .milliseconds(1))
        world.network.weather.silent = first == .silent ? 1 : 0
        world.schedule(after: .milliseconds(100)) {
            world.network.weather.silent = second == .silent ? 1 : 0
        }
        let result = Mutex(Outcome())
        let began = world.instant
        loop.spawn {
            let race = FamilyRace(loop: loop, crew: crew, deadline: began + .seconds(30))
            var outcome = Outcome()
            do throws(IOFailure) {
                let reached = try await race.run(
                    .endpoint(Self.six),
                    rival: {
                        outcome.asked = true
                        return hasRival ? .endpoint(Self.four) : nil
                    },
                    rivalFailed: { _ in outcome.rivalFailed = true }
                )
                outcome.isRival = reached.isRival
                outcome.words = reached.earlier.map { $0.text } ?? ""
                crew.leave(reached.connection.handle, on: loop)
            } catch {
                outcome.words = "\(error)"
            }
            outcome.milliseconds = Int((loop.now() - began).inSeconds * 1000)
            result.withLock { $0 = outcome }
        }
        if let stopAfter {
            world.schedule(after: stopAfter) { loop.call { crew.stopSending() } }
        }
        world.run(for: .seconds(60))
        // Whatever happened, nothing is connected or connecting any more.
        #expect(world.network.openConnections(to: Self.six) == 0)
        #expect(world.network.openConnections(to: Self.four) == 0)
        return result.withLock { $0 }
    }

    @Test func `the first has it when it answers within its head start`() {
        let outcome = race(.answers, .answers)
        #expect(outcome.isRival == false && !outcome.asked && outcome.milliseconds < 250)
    }

    @Test func `a silent first loses to the other family soon`() {
        let outcome = race(.silent, .answers)
        #expect(outcome.isRival == true && outcome.words.isEmpty)
        #expect((250...300).contains(outcome.milliseconds), "\(outcome)")
    }

    @Test func `a first that refuses is over at once, and the plan says who is next`() {
        let outcome = race(.refuses, .answers)
        #expect(outcome.isRival == nil && outcome.words == "refused" && !outcome.asked)
    }

    @Test func `with the other refusing, or silent too, the first's failure is told`() {
        let refusing = race(.silent, .refuses)
        #expect(refusing.words == "timedOut" && refusing.rivalFailed)
        let silent = race(.silent, .silent)
        #expect(silent.words == "timedOut" && silent.rivalFailed && silent.milliseconds >= 30_000)
    }

    @Test func `without an address of the other family it waits for the first alone`() {
        let outcome = race(.silent, .answers, hasRival: false)
        #expect(outcome.words == "timedOut" && !outcome.rivalFailed)
        #expect(outcome.milliseconds >= 30_000)
    }

    @Test func `a stop ends both`() {
        let outcome = race(.silent, .silent, stopAfter: .seconds(2))
        #expect(outcome.words == "cancelled" && (2000...2100).contains(outcome.milliseconds))
    }

    @Test func `a plan gives the other family's address away once, and takes it back`() throws {
        let exchange = Exchange(preference: 10, name: "a")
        let addresses: [HostAddress] = [Self.six.address, Self.four.address, .v4(0xc000_0202)]
        var plan = ConnectionPlan(
            site: Site(exchanges: [exchange]),
            limit: 3,
            random: SimRandom(seed: 1)
        )
        _ = plan.next()
        plan.found(addresses, for: exchange)
        guard case .connect(let first) = plan.next() else { return #expect(Bool(false)) }
        let taken = plan.takeRival(of: first)
        let rival = try #require(taken)
        #expect(rival.address == Self.four.address)
        let other = plan.takeRival(of: first)
        #expect(other?.address == .v4(0xc000_0202))
        // The limit counts them.
        let end = plan.next()
        #expect(end == .exhausted)
        plan.putBack(rival)
        let again = plan.next()
        #expect(again == .connect(rival))
        let none = plan.takeRival(of: rival)
        #expect(none == nil)
    }

    @Test func `left out, IPv6 is not tried, at this host and the next`() {
        let hosts = [Exchange(preference: 10, name: "a"), Exchange(preference: 20, name: "b")]
        var plan = ConnectionPlan(
            site: Site(exchanges: hosts),
            dead: [Self.six.address],
            limit: 9,
            random: SimRandom(seed: 1)
        )
        _ = plan.next()
        plan.found([Self.six.address, .v6(high: 1, low: 1), Self.four.address], for: hosts[0])
        #expect(plan.mayHaveIPv4)
        let isFirst = plan.leaveOutIPv6()
        let isSecond = plan.leaveOutIPv6()
        #expect(isFirst && !isSecond)
        var tried: [String] = []
        while true {
            switch plan.next() {
            case .connect(let candidate): tried.append(candidate.address?.text ?? "")
            case .lookUp(let exchange):
                plan.found([.v6(high: 2, low: 2), .v4(0xc000_0203)], for: exchange)
            case .exhausted:
                #expect(tried == ["192.0.2.1", "192.0.2.3"] && !plan.mayHaveIPv4)
                return
            }
        }
    }
}
