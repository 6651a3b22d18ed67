import EkidenMail
import EkidenSimulator
import Testing

@testable import EkidenSpool

@Suite struct IndexTests {
    static func queued(_ number: UInt64, recipients: Int = 1) -> QueuedMessage {
        QueuedMessage(
            id: QueueID(number: number),
            sender: .address(address("some.sender\(number)@customer\(number % 50).example")),
            recipients: (0..<recipients).map {
                RecipientStatus(
                    address: address("user.name\(number)\($0)@host\($0 % 9).example.com")
                )
            },
            byteCount: 4096,
            arrived: SimWorld.firstWallTime
        )
    }

    static func place(_ number: UInt64) -> LogPlace {
        LogPlace(segment: UInt32(1 + number / 1000), offset: Int(number % 1000) * 8)
    }

    @Test func `A message takes less than 250 bytes, a further recipient less than 96`() {
        let single = SpoolIndex()
        for number in 1...100_000 as ClosedRange<UInt64> {
            single.insert(Self.queued(number << 16), at: Self.place(number), frameBytes: 4300)
        }
        #expect(single.count == 100_000)
        let each = single.footprintBytes / 100_000
        #expect(each <= 250, "\(each) bytes a message")
        let many = SpoolIndex()
        for number in 1...1000 as ClosedRange<UInt64> {
            many.insert(
                Self.queued(number, recipients: 101),
                at: Self.place(number),
                frameBytes: 9000
            )
        }
        let further = (many.footprintBytes / 1000 - each) / 100
        #expect(further <= 96, "\(further) bytes a further recipient")
    }

    @Test func `The index agrees with a simple model`() {
        let random = SimRandom(seed: 11)
        let index = SpoolIndex()
        var model: [QueueID: QueuedMessage] = [:]
        for step in 0..<6000 as Range<UInt64> {
            let id = QueueID(number: 1 + random.below(1500))
            switch random.below(10) {
            case 0..<5 where model[id] == nil:
                let new = Self.queued(id.number, recipients: 1 + Int(random.below(4)))
                model[id] = new
                index.insert(new, at: Self.place(step), frameBytes: 800)
            case 5..<8:
                let state = RecipientState.allCases[Int(random.below(4))]
                let which = Int(random.below(4))
                _ = index.apply([mark(which, state, attempts: 2)], to: id, at: Self.place(step))
                guard let count = model[id]?.recipients.count, which < count,
                    model[id]?.recipients[which].state == .pending
                else { continue }
                let m = mark(which, state, attempts: 2)
                model[id]?.recipients[which].state = state
                model[id]?.recipients[which].attempts = 2
                model[id]?.recipients[which].nextAttempt = m.nextAttempt
                model[id]?.recipients[which].reason = m.reason
                if model[id]?.recipients.allSatisfy(\.state.isFinal) == true { model[id] = nil }
            case 8:
                let hold = Hold(reason: .operatorHold, uid: 3, since: SimWorld.firstWallTime)
                index.setHold(hold, of: id)
                model[id]?.hold = hold
            default:
                index.remove(id)
                model[id] = nil
            }
        }
        #expect(index.count == model.count)
        var all: [QueuedMessage] = []
        while true {
            let page = index.messages(after: all.last?.id ?? QueueID(number: 0), limit: 37)
            if page.isEmpty { break }
            all += page
        }
        #expect(all == model.keys.sorted().compactMap { model[$0] })
        #expect(index.totalLiveBytes == model.count * 800)
        #expect(index.liveBytes.values.reduce(0, +) == model.count * 800)
        #expect(index.queuedBytes == model.count * 4096)
        for id in model.keys.sorted() { index.remove(id) }
        #expect(index.totalLiveBytes == 0)
        #expect(index.count == 0)
    }

    @Test func `Ids keep their order however they come and go`() {
        let random = SimRandom(seed: 8)
        var ids = OrderedIDs()
        var model: [UInt64: UInt32] = [:]
        for step in 0..<30_000 as Range<UInt64> {
            let id = random.below(3) == 0 ? random.below(20_000) : step
            if model[id] == nil {
                ids.insert(id, UInt32(step))
                model[id] = UInt32(step)
            } else if random.below(2) == 0 {
                ids.remove(id)
                model[id] = nil
            }
        }
        #expect(ids.count == model.count)
        #expect(
            ids.slots(after: 0, limit: .max)
                == model.keys.sorted().filter { $0 > 0 }.compactMap { model[$0] }
        )
        for id in model.keys.sorted() {
            #expect(ids.slot(id) == model[id])
            ids.remove(id)
        }
        #expect(ids.count == 0)
        #expect(ids.slots(after: 0, limit: 10).isEmpty)
    }

    @Test func `The cache keeps the newest and counts its bytes`() {
        let cache = ContentCache(bytesMax: 10_000)
        func content(_ count: Int) -> Content {
            Content(
                header: Bytes(),
                body: .memory(Bytes([UInt8](repeating: 1, count: count))),
                facts: MessageFacts()
            )
        }
        for number in 1...50 as ClosedRange<UInt64> {
            cache.insert(QueueID(number: number), content(1000))
            _ = cache.content(QueueID(number: 1))
            #expect(cache.byteCount <= 10_000)
        }
        #expect(cache.content(QueueID(number: 1)) != nil, "what is used stays")
        #expect(cache.content(QueueID(number: 2)) == nil)
        #expect(cache.content(QueueID(number: 50)) != nil)
        for number in 1...50 as ClosedRange<UInt64> { cache.remove(QueueID(number: number)) }
        #expect(cache.byteCount == 0)
    }
}
