import EkidenMail
import Testing

@testable import EkidenScheduler

@Suite struct StructureTests {
    @Test func theDueHeapGivesGroupsInOrderOfTimeAndThenOfArrival() {
        var heap = DueHeap()
        let random = TestRandom(1)
        var model: [(due: Int64, group: UInt32)] = []
        for group in 0..<500 as Range<UInt32> {
            let due = Int64(random.below(40))
            heap.insert(group, due: Instant(nanoseconds: due))
            model.append((due, group))
        }
        for _ in 0..<200 {
            let victim = model.remove(at: random.below(model.count)).group
            heap.remove(victim)
            #expect(!heap.contains(victim))
        }
        for expected in model.sorted(by: { ($0.due, $0.group) < ($1.due, $1.group) }) {
            #expect(heap.first?.group == expected.group)
            heap.remove(expected.group)
        }
        #expect(heap.count == 0)
    }

    @Test func chainsKeepTheirOrderWhateverIsTakenOut() {
        var links = Links()
        var chain = Chain()
        var model: [UInt32] = []
        let random = TestRandom(2)
        for step in 0..<2000 {
            switch random.below(4) {
            case 0 where !model.isEmpty:
                links.remove(model.remove(at: random.below(model.count)), from: &chain)
            case 1:
                links.prepend(UInt32(step), to: &chain)
                model.insert(UInt32(step), at: 0)
            case 2 where !model.isEmpty:
                links.rotate(&chain)
                model.append(model.removeFirst())
            default:
                links.append(UInt32(step), to: &chain)
                model.append(UInt32(step))
            }
            var seen: [UInt32] = []
            var number = chain.head
            while number != none {
                seen.append(number)
                number = links.next(after: number)
            }
            #expect(seen == model)
            #expect(Int(chain.count) == model.count)
            #expect(chain.tail == model.last ?? none)
        }
    }

    @Test func theMessageTableFindsWhatIsThereAndOnlyThat() {
        var ledger = Ledger()
        let random = TestRandom(3)
        var present: [UInt64: UInt32] = [:]
        for _ in 0..<20_000 {
            // Ids as they are given out: neighbours in time, and a few far apart.
            let id = UInt64(random.below(3000)) << (random.below(2) == 0 ? 0 : 16)
            if let group = present[id] {
                #expect(ledger.find(QueueID(number: id)) != nil)
                if random.below(2) == 0 {
                    let wasLast = ledger.removeGroup(group)
                    #expect(wasLast)
                    present[id] = nil
                }
            } else {
                #expect(ledger.find(QueueID(number: id)) == nil)
                let number = ledger.addMessage(QueueID(number: id), isLarge: false)!
                present[id] = ledger.addGroup(message: number, hop: 0, recipients: [0])
            }
        }
        for id in present.keys { #expect(ledger.find(QueueID(number: id)) != nil) }
        #expect(ledger.messages.count == present.count)
    }

    /// Group, message, links of group and of message, heap place and entry, half-full table.
    @Test func aQueuedMessageWithOneRecipientTakesAboutAHundredBytes() {
        let group = MemoryLayout<Group>.stride + 2 * 8 + 4 + 16
        let message = MemoryLayout<MessageRecord>.stride + 2 * 4
        #expect(group + message <= 120)
    }

    @Test func aGroupSplitsFromTheFront() {
        var ledger = Ledger()
        let number = ledger.addMessage(QueueID(number: 1), isLarge: true)!
        let group = ledger.addGroup(message: number, hop: 0, recipients: [2, 4, 6, 8])
        let part = ledger.split(group, first: 3)
        #expect(ledger.recipients(part) == [2, 4, 6])
        #expect(ledger.recipients(group) == [8])
    }
}

@Suite struct SiteHealthTests {
    private var settings: SiteLimits {
        var settings = SchedulerSettings().usual
        settings.backOffJitter = 0
        return settings
    }
    private func at(_ seconds: Int64) -> Instant { Instant(nanoseconds: seconds * 1_000_000_000) }

    @Test func theWindowGrowsByOnePerWindowOfSuccessesUpToItsCeiling() {
        var health = SiteHealthState(window: 2)
        var growth: [Int] = []
        for _ in 0..<9 {
            _ = health.alive(settings)
            growth.append(health.window)
        }
        #expect(growth == [2, 3, 3, 3, 4, 4, 4, 4, 5])
        for _ in 0..<1000 { _ = health.alive(settings) }
        #expect(health.window == settings.windowCeiling)
    }

    @Test func troubleHalvesTheWindowOncePerRoundAndBacksOffAfterAWholeRound() {
        var health = SiteHealthState(window: 12)
        for n in 1...3 {
            let change = health.trouble(
                failure,
                startedAt: at(10),
                inFlight: 4 - n + 1,
                draw: 0.5,
                now: at(20),
                settings
            )
            #expect(change == .none)
            #expect(health.window == 6)
        }
        let change = health.trouble(
            failure,
            startedAt: at(10),
            inFlight: 1,
            draw: 0.5,
            now: at(21),
            settings
        )
        #expect(change == .backedOff)
        #expect(health.backOff?.until == at(81))
        #expect(!health.isOpen)
    }

    @Test func oneSuccessAmongTroublesKeepsTheSiteOpen() {
        var health = SiteHealthState(window: 4)
        for _ in 0..<10 {
            _ = health.trouble(
                failure,
                startedAt: at(1),
                inFlight: 3,
                draw: 0.5,
                now: at(2),
                settings
            )
            _ = health.trouble(
                failure,
                startedAt: at(1),
                inFlight: 2,
                draw: 0.5,
                now: at(2),
                settings
            )
            let change = health.alive(settings)
            #expect(change == .none)
        }
        #expect(health.isOpen)
    }

    @Test func backOffGrowsWithEachFailedProbeUpToItsCeilingAndEndsWithASuccess() {
        var health = SiteHealthState(window: 1)
        var lengths: [Int64] = []
        for _ in 0..<7 {
            _ = health.trouble(
                failure,
                startedAt: at(0),
                inFlight: 1,
                draw: 0.5,
                now: at(0),
                settings
            )
            lengths.append(health.backOff!.until.nanoseconds / 1_000_000_000)
            health.probe()
            #expect(health.window == 1)
        }
        #expect(lengths == [60, 120, 240, 480, 960, 1800, 1800])
        let change = health.alive(settings)
        #expect(change == .recovered)
        #expect(health.window == settings.windowInitial)
        #expect(!health.isFailing)
    }
}
