import EkidenMail
import EkidenRuntime
import EkidenSimulator
import Glibc
import Testing

@testable import EkidenSpool

// Method: run a scripted workload and cut the power (or kill the process) at the n-th disk
// operation, for n = 1, 2, 3 … until the workload ends untouched. After each crash open what is
// left and hold it against what was promised: everything acknowledged is there, byte for byte and
// in its state; each group is whole or absent; nothing is there that nobody sent. Then crash again
// at once: the second recovery must find the same.

/// What the workload was told, per message.
struct Belief: Sendable {
    enum Fact: Sendable { case begun, kernel(Instant), durable }
    var body: [UInt8]
    var recipientCount: Int
    var accepted = false
    /// The recipients' final state, if one was ever asked for.
    var ending: Fact?
    /// Highest number of attempts asked for, and known durable.
    var attemptsBegun = 0
    var attempts: (count: Int, Fact)?
    var held: (Bool, isKnown: Bool) = (false, true)
    /// The message this one is the bounce of.
    var causedBy: QueueID?
    var causes: QueueID?
}

final class Beliefs: Sendable {
    let all = Shared<[QueueID: Belief]>([:])
    func note(_ id: QueueID, _ change: @Sendable (inout Belief) -> Void) {
        all.change { if var b = $0[id] { change(&b); $0[id] = b } }
    }
}

enum CrashWorkload: String, CaseIterable, Sendable {
    case mixed, bounces, reclaiming, largeBodies
}

struct Workload: Sendable {
    let test: TestWorld
    let spool: Spool
    let beliefs: Beliefs
    let random: SimRandom
    let kind: CrashWorkload

    func run() async {
        switch kind {
        case .mixed: for _ in 0..<10 { await round(accepts: 4, bodyMax: 3000) }
        case .bounces: for _ in 0..<8 { await round(accepts: 2, bodyMax: 500, bounces: true) }
        case .reclaiming: for _ in 0..<14 { await round(accepts: 5, bodyMax: 9000) }
        case .largeBodies: for _ in 0..<3 { await round(accepts: 2, bodyMax: 40_000) }
        }
    }

    /// Several messages at once, then something is done with some of those there are.
    func round(accepts: Int, bodyMax: UInt64, bounces: Bool = false) async {
        let open = Shared(accepts)
        for _ in 0..<accepts {
            let body = randomBytes(Int(random.below(bodyMax)), random)
            let loop = test.world.loops[Int(random.below(UInt64(test.world.loops.count)))]
            loop.spawn { @Sendable in
                await accept(body)
                open.change { $0 -= 1 }
            }
        }
        while open.value > 0 { await test.world.loops[0].sleep(for: .microseconds(100)) }
        for id in beliefs.all.value.keys.sorted() {
            let belief = beliefs.all.value[id]
            guard belief?.accepted == true, belief?.ending == nil else { continue }
            switch random.below(bounces ? 4 : 10) {
            case 0: await deliver(id)
            case 1: await bounce(id)
            case 2, 3: await put(off: id)
            case 4: await holdOrRelease(id)
            case 5: await remove(id)
            case 6, 7: await deliver(id)
            default: break
            }
        }
    }

    func accept(_ body: [UInt8]) async {
        let id = spool.nextID()
        let count = 1 + Int(random.below(3))
        beliefs.all.change { $0[id] = Belief(body: body, recipientCount: count) }
        let new = message(id, to: (0..<count).map { "r\($0)@example\($0).net" })
        do throws(SpoolRefusal) {
            try await spool.accept(new, arriving: body, pieceBytes: 4000)
            beliefs.note(id) { $0.accepted = true }
        } catch { Issue.record("refused: \(error.text)") }
    }

    private func marks(_ id: QueueID, _ state: RecipientState, attempts: Int) -> [RecipientMark] {
        (0..<(beliefs.all.value[id]?.recipientCount ?? 0)).map {
            mark($0, state, attempts: attempts)
        }
    }

    func deliver(_ id: QueueID) async {
        beliefs.note(id) { $0.ending = .begun }
        _ = await spool.record(MarkGroup(id: id, marks: marks(id, .delivered, attempts: 9)))
        let now = test.world.instant
        beliefs.note(id) { $0.ending = .kernel(now) }
    }

    func put(off id: QueueID) async {
        let attempts = (beliefs.all.value[id]?.attemptsBegun ?? 0) + 1
        beliefs.note(id) { $0.attemptsBegun = attempts }
        _ = await spool.record(MarkGroup(id: id, marks: marks(id, .pending, attempts: attempts)))
        let now = test.world.instant
        beliefs.note(id) { $0.attempts = (attempts, .kernel(now)) }
    }

    func bounce(_ id: QueueID) async {
        let bounce = spool.nextID()
        let body = randomBytes(Int(random.below(800)), random)
        beliefs.all.change {
            var new = Belief(body: body, recipientCount: 1)
            new.causedBy = id
            $0[bounce] = new
            $0[id]?.ending = .begun
            $0[id]?.causes = bounce
        }
        let group = MarkGroup(
            id: id,
            marks: marks(id, .failed, attempts: 1),
            caused: [message(bounce, to: ["a@example.org"], from: nil, body: body)]
        )
        guard await spool.record(group) == .recorded else { return }
        beliefs.note(id) { $0.ending = .durable }
        beliefs.note(bounce) { $0.accepted = true }
    }

    func holdOrRelease(_ id: QueueID) async {
        let wasHeld = beliefs.all.value[id]?.held.0 ?? false
        beliefs.note(id) { $0.held = (wasHeld, isKnown: false) }
        if wasHeld {
            try? await spool.release(id, uid: 1)
        } else {
            try? await spool.hold(id, uid: 1)
        }
        beliefs.note(id) { $0.held = (!wasHeld, isKnown: true) }
    }

    func remove(_ id: QueueID) async {
        beliefs.note(id) { $0.ending = .begun }
        try? await spool.remove(id, uid: 1)
        beliefs.note(id) { $0.ending = .durable }
    }
}

@Suite struct CrashLoopTests {
    static func settings(_ settings: inout SpoolSettings, _ kind: CrashWorkload) {
        settings.segmentBytes = 32_768
        settings.batchBytesMax = 16_384
        settings.largeMessageBytes = kind == .largeBodies ? 6000 : 100_000
        settings.reclaimsEagerly = kind == .reclaiming
    }

    /// What must hold of a spool that was opened after a crash at `end`.
    static func check(
        _ spool: Spool,
        _ beliefs: [QueueID: Belief],
        isPowerLoss: Bool,
        end: Instant,
        _ comment: String
    ) async throws {
        let found = spool.messages(after: nil, limit: .max)
        for queued in found {
            guard let belief = beliefs[queued.id] else {
                Issue.record("\(comment): \(queued.id) was never sent")
                continue
            }
            let content = try await spool.content(of: queued.id)
            #expect(try await bodyBytes(content) == belief.body, "\(comment) \(queued.id)")
            #expect(queued.recipients.count == belief.recipientCount, "\(comment)")
            #expect(queued.hold?.reason != .damaged, "\(comment) \(queued.id)")
        }
        let present = Dictionary(uniqueKeysWithValues: found.map { ($0.id, $0) })
        func isCertain(_ fact: Belief.Fact) -> Bool {
            switch fact {
            case .begun: false
            case .kernel(let at): !isPowerLoss || end - at > .milliseconds(23)
            case .durable: true
            }
        }
        for id in beliefs.keys.sorted() {
            guard let belief = beliefs[id] else { continue }
            let queued = present[id]
            if belief.accepted, belief.ending == nil {
                #expect(queued != nil, "\(comment): \(id) is lost")
            }
            if let ending = belief.ending, isCertain(ending) {
                #expect(queued == nil, "\(comment): \(id) came back")
            }
            if let queued, belief.ending == nil {
                let attempts = queued.recipients[0].attempts
                #expect(attempts <= belief.attemptsBegun, "\(comment)")
                if let (count, fact) = belief.attempts, isCertain(fact) {
                    #expect(attempts >= count, "\(comment): a mark of \(id) is lost")
                }
                if belief.held.isKnown {
                    #expect((queued.hold != nil) == belief.held.0, "\(comment): hold of \(id)")
                }
            }
            if let bounce = belief.causes, beliefs[bounce]?.ending == nil {
                #expect(
                    (queued == nil) == (present[bounce] != nil),
                    "\(comment): \(id) and its bounce must be one"
                )
            }
        }
    }

    /// `EKIDEN_THOROUGH=1 swift test --filter CrashLoopTests`: every single operation.
    static let isThorough = getenv("EKIDEN_THOROUGH") != nil

    /// One crash; false when the workload ended untouched.
    static func crash(_ kind: CrashWorkload, seed: UInt64, at n: Int) throws -> Bool {
        let comment = "\(kind) seed \(seed) crash at \(n)"
        let test = TestWorld(seed: seed, loops: 1 + Int(seed % 3)) { settings(&$0, kind) }
        test.disk.crashAtOperation = n
        let beliefs = Beliefs()
        var ended = false
        do {
            try test.world.run {
                let spool = try await test.open()
                let random = SimRandom(seed: seed &* 77)
                await Workload(
                    test: test,
                    spool: spool,
                    beliefs: beliefs,
                    random: random,
                    kind: kind
                ).run()
                await spool.close()
            }
            ended = true
        } catch let stuck as SimStuck { #expect(stuck.isHalted, "\(comment): stuck") }
        let end = test.world.instant
        let isPowerLoss = (UInt64(n) &+ seed) % 3 != 0
        let random = SimRandom(seed: seed &+ UInt64(n))
        var image = test.disk.image
        if isPowerLoss { image = image.afterPowerLoss(random) }
        let believed = beliefs.all.value
        test.world.discard()

        var seen: [QueuedMessage] = []
        for attempt in 0..<2 {
            let again = TestWorld(seed: seed &+ 1000, image: image) { settings(&$0, kind) }
            seen = try again.world.run {
                let (spool, report) = try await again.openWithReport()
                #expect(report.damagedPlaces == 0, "\(comment): \(report.sentences)")
                try await check(
                    spool,
                    believed,
                    isPowerLoss: isPowerLoss,
                    end: end,
                    "\(comment), start \(attempt)"
                )
                let found = spool.messages(after: nil, limit: .max)
                if attempt > 0 { await spool.close() }
                return found
            }
            if attempt == 0 {
                let before = seen
                let twice = TestWorld(seed: seed, image: again.disk.image.afterPowerLoss(random)) {
                    settings(&$0, kind)
                }
                let after = try twice.world.run {
                    let spool = try await twice.open()
                    return spool.messages(after: nil, limit: .max)
                }
                #expect(before == after, "\(comment): recovering twice differs")
                image = twice.disk.image
                twice.world.discard()
            }
            again.world.discard()
        }
        return !ended
    }

    @Test(arguments: CrashWorkload.allCases)
    func `A start may crash anywhere, and again, and loses nothing`(kind: CrashWorkload) throws {
        let seed: UInt64 = 21
        let test = TestWorld(seed: seed) { Self.settings(&$0, kind) }
        test.disk.crashAtOperation = 64
        let beliefs = Beliefs()
        #expect(throws: SimStuck.self) {
            try test.world.run {
                let spool = try await test.open()
                let random = SimRandom(seed: 4)
                await Workload(
                    test: test,
                    spool: spool,
                    beliefs: beliefs,
                    random: random,
                    kind: kind
                ).run()
            }
        }
        let end = test.world.instant
        let believed = beliefs.all.value
        let random = SimRandom(seed: 5)
        var image = test.disk.image.afterPowerLoss(random)
        // Each start crashes a little later than the one before, on what that one left.
        for n in 1..<70 {
            let start = TestWorld(seed: UInt64(n), image: image) { Self.settings(&$0, kind) }
            start.disk.crashAtOperation = n
            _ = try? start.world.run {
                let spool = try await start.open()
                await start.world.loops[0].sleep(for: .seconds(3))
                await spool.close()
            }
            image = n % 3 == 0 ? start.disk.image : start.disk.image.afterPowerLoss(random)
            start.world.discard()
        }
        let last = TestWorld(image: image) { Self.settings(&$0, kind) }
        try last.world.run {
            let (spool, report) = try await last.openWithReport()
            #expect(report.damagedPlaces == 0, "\(report.sentences)")
            try await Self.check(spool, believed, isPowerLoss: true, end: end, "\(kind)")
            #expect(spool.messageCount > 0)
            await spool.close()
        }
    }

    @Test(arguments: CrashWorkload.allCases, [1, 2, 3])
    func `Nothing acknowledged is lost wherever the crash comes`(
        kind: CrashWorkload,
        seed: UInt64
    ) throws {
        var n = 1
        while try Self.crash(kind, seed: seed, at: n) {
            // Every operation of the first stretch, then every few; all of them when asked to.
            n += n < 30 || Self.isThorough ? 1 : 5 + n % 13
            if n > 5000 {
                Issue.record("the workload never ends")
                return
            }
        }
        #expect(n > 60, "the workload is too small to mean anything: \(n)")
    }
}
