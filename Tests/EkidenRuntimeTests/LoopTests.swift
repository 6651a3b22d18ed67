// The loop in a world without time of its own: what is tested here happens in the same order on
// every machine. The same loop on epoll is tested in EkidenLinuxTests.

import EkidenMail
import EkidenRuntime
import EkidenSimulator
import Synchronization
import Testing

private final class Notes: Sendable {
    private let lines = Mutex<[String]>([])
    func add(_ line: String) { lines.withLock { $0.append(line) } }
    var all: [String] { lines.withLock { $0 } }
}

@Suite struct LoopTests {
    @Test func `sleepers wake in the order of their deadlines, at their deadlines`() {
        let world = SimWorld(seed: 1)
        let loop = world.loops[0]
        let notes = Notes()
        let start = world.instant
        for seconds in [30, 10, 20] {
            loop.spawn {
                await loop.sleep(for: .seconds(seconds))
                notes.add("\(seconds) at \(Int((loop.now() - start).inSeconds.rounded()))")
            }
        }
        world.run(for: .seconds(60))
        #expect(notes.all == ["10 at 10", "20 at 20", "30 at 30"])
    }

    @Test func `a released handle wakes its waiter as cancelled and is a stranger afterwards`() {
        let world = SimWorld(seed: 2)
        let loop = world.loops[0]
        let notes = Notes()
        loop.spawn {
            let handle = loop.makeHandle()
            loop.spawn {
                loop.releaseHandle(handle)
                let next = loop.makeHandle()
                notes.add(next.index == handle.index ? "index used again" : "another index")
                // A late event for the old handle must not reach the new one.
                loop.happened(.readable, to: handle)
                loop.setDeadline(next, loop.now() + .seconds(1))
                notes.add("\(await loop.wait(next, for: .readable))")
            }
            notes.add("\(await loop.wait(handle, for: .readable))")
        }
        world.run(for: .seconds(5))
        #expect(notes.all == ["index used again", "cancelled", "timedOut"])
    }

    @Test func `a deadline moved later does not fire early, one moved earlier does`() {
        let world = SimWorld(seed: 3)
        let loop = world.loops[0]
        let notes = Notes()
        let start = world.instant
        loop.spawn {
            let handle = loop.makeHandle()
            loop.setDeadline(handle, start + .seconds(1))
            loop.setDeadline(handle, start + .seconds(5))
            notes.add(
                "\(await loop.wait(handle, for: .readable)) \(loop.now() - start >= .seconds(5))"
            )
            loop.setDeadline(handle, start + .seconds(500))
            loop.setDeadline(handle, start + .seconds(7))
            notes.add(
                "\(await loop.wait(handle, for: .readable)) \(loop.now() - start < .seconds(8))"
            )
            loop.releaseHandle(handle)
        }
        world.run(for: .seconds(600))
        #expect(notes.all == ["timedOut true", "timedOut true"])
    }

    @Test func `letters from other loops are taken in the order they were sent`() {
        let world = SimWorld(seed: 4, loopCount: 2)
        let (a, b) = (world.loops[0], world.loops[1])
        let notes = Notes()
        b.spawn {
            for i in 0..<20 { a.call { notes.add("\(i) \(a.isCurrent)") } }
        }
        world.run(for: .seconds(1))
        #expect(notes.all == (0..<20).map { "\($0) true" })
    }

    @Test func `what is left for the end of a turn runs once, after the turn's jobs`() {
        let world = SimWorld(seed: 5)
        let loop = world.loops[0]
        let notes = Notes()
        loop.spawn {
            loop.atEndOfTurn { notes.add("end") }
            notes.add("job")
        }
        world.run(for: .seconds(1))
        #expect(notes.all == ["job", "end"])
    }

    @Test func `chance is even and stays below its bound`() {
        let random = SimRandom(seed: 6)
        var counts = [Int](repeating: 0, count: 7)
        for _ in 0..<7000 { counts[Int(random.below(7))] += 1 }
        #expect(counts.allSatisfy { $0 > 800 && $0 < 1200 })
        #expect((0..<1000).allSatisfy { _ in (0..<1).contains(random.fraction()) })
    }

    /// None is lost and none runs twice, but hardly ever in the order they came.
    @Test func `shuffled ready jobs each run once, in an order of the seed`() {
        func order(_ seed: UInt64) -> [String] {
            let world = SimWorld(seed: seed)
            world.shufflesReady = true
            let notes = Notes()
            for number in 0..<300 { world.loops[0].spawn { notes.add("\(number)") } }
            world.run(for: .seconds(1))
            return notes.all
        }
        let inOrder = (0..<300).map { "\($0)" }
        #expect(order(1).sorted() == inOrder.sorted())
        #expect(order(1) != inOrder)
        #expect(order(1) == order(1))
        #expect(order(1) != order(2))
    }
}
