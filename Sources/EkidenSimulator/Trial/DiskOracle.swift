// What the next start would find if the machine died at this moment, held against the ledger: every
// acknowledged recipient without an end is there, none is there whose end was certain, holds hold.
// Asked at every crash, at some of the 250s, when an operator was told that something is done, and
// at disk operations drawn by the seed. The world does not notice: it happens on a copy of the disk,
// in a world of its own.

import EkidenMail
import EkidenRuntime
import EkidenSpool

extension Town {
    /// One change of the disk in so many is looked at as if the machine died after it.
    private static let changesPerLook: UInt64 = 40
    /// So is one 250 in so many.
    private static let acknowledgementsPerLook: UInt64 = 6
    /// Looks at one world at most: a long one has days of heartbeats.
    private static let looksMax = 80

    // MARK: When

    /// Promise 1: it has had its 250, so no power loss takes it.
    func checkDurable(_ id: String) {
        if lookRandom.once(in: Self.acknowledgementsPerLook) { lookAtDisk(.nothing) }
    }

    /// An operator was told that it is done: no power loss undoes it.
    func checkDone() { lookAtDisk(.nothing) }

    /// A disk operation has ended.
    func diskMoved(_ operation: SimDiskOperation) {
        switch operation {
        case .write, .sync, .syncDirectory, .rename, .remove: break
        case .open, .size, .read, .preallocate, .list, .makeDirectory, .lock, .space: return
        }
        guard lookRandom.once(in: Self.changesPerLook) else { return }
        lookAtDisk(lookRandom.once(in: 3) ? nil : .draw(lookRandom))
    }

    /// nil: the process would be killed.
    private func lookAtDisk(_ loss: SimPowerLoss?) {
        guard !isRotten, let image = machine.disk?.image,
            counts["looked-at-disk", default: 0] < Self.looksMax
        else { return }
        if let loss {
            check(image.afterPowerLoss(lookRandom, loss), lostSince: lossHorizon, "a power loss")
        } else {
            check(image.afterKill(), lostSince: machine.unwrittenSince, "a kill")
        }
    }

    /// What a crash really left; marks since `lostSince` may be gone.
    func checkImage(_ image: SimDiskImage, lostSince: Instant?) {
        check(image.copy(), lostSince: lostSince, "the crash")
    }

    // MARK: What must be there

    private func check(_ image: SimDiskImage, lostSince: Instant?, _ what: String) {
        count("looked-at-disk")
        let found: [String: QueuedMessage]
        do {
            let queue = try Recovery.queue(image, plan, readsContent: true)
            for words in queue.unreadable {
                ledger.violation("\(words), after \(what)")
            }
            found = queue.messages
        } catch {
            return ledger.violation("no start after \(what) at this moment: \(error)")
        }
        for id in ledger.copyOrder {
            guard let copy = ledger.copies[id] else { continue }
            let message = found[id]
            if let message { checkHold(message, what) }
            for recipient in copy.recipients {
                let place = Place(id: id, recipient: recipient)
                let isPending = message?.isPending(recipient) ?? false
                if isPending {
                    checkNotSettled(place, lostSince, what)
                } else if !ledger.hasEnded(place), !mayHaveFailedSilently(place),
                    !isToldOf(place, copy, found)
                {
                    ledger.violation("\(place.text) would be nowhere after \(what)")
                }
            }
        }
    }

    private func checkHold(_ message: QueuedMessage, _ what: String) {
        if message.hold?.reason == .damaged {
            ledger.violation("\(message.id.text) would be damaged after \(what)")
        }
        if ledger.heldSince[message.id.text] != nil, message.hold == nil {
            ledger.violation("\(message.id.text) would not be held any more after \(what)")
        }
    }

    /// A report on it, or on another recipient of the letter, is in the queue; or there is nobody
    /// to tell.
    private func isToldOf(_ place: Place, _ copy: Copy, _ found: [String: QueuedMessage]) -> Bool {
        guard let letter = ledger.letters[copy.key] else { return true }
        if ledger.untold.contains(place.id) || ledger.mayHaveRefusedReport(at: world.instant) {
            return true
        }
        if letter.sender == nil, ledger.strayRefusals > 0 { return true }
        return found.values.contains { message in
            message.sender.isNull
                && message.recipients.contains {
                    $0.state == .pending
                        && ($0.address.text == letter.sender || $0.address.text == plan.postmaster)
                }
        }
    }

    /// What has had its end may not be there to be sent again.
    private func checkNotSettled(_ place: Place, _ lostSince: Instant?, _ what: String) {
        if ledger.removed[place] != nil {
            ledger.violation("\(place.text), removed, would be back after \(what)")
        }
        for arrival in ledger.arrivals[place] ?? [] {
            guard let settled = arrival.settledAt, !isExcused(arrival) else { continue }
            if let lostSince, settled >= lostSince { continue }
            ledger.violation("\(place.text), delivered, would be sent again after \(what)")
        }
    }
}

// MARK: - Index equals log

/// What index and log said of messages when they said different things, by id.
struct Disagreements {
    var boot = 0
    /// When it was looked.
    var at = Instant(nanoseconds: 0)
    var words: [String: String] = [:]
}

extension Town {
    /// Index looks of one world; each opens the spool on a copy of the disk.
    private static let indexLooksMax = 40

    /// Holds what the relay believes to be queued against what a start would find in its log now and
    /// then, for as long as the world lasts.
    func watchIndex() {
        guard !isRotten, counts["looked-at-index", default: 0] < Self.indexLooksMax else { return }
        let pause = lookRandom.duration(in: .seconds(60) ... .seconds(plan.isLong ? 7200 : 900))
        world.schedule(after: pause) { [unowned self] in
            if isOver { return }
            disagreements = Disagreements(boot: machine.boot)
            lookAtIndex()
            // What was under way the first time has ended by the second.
            world.schedule(after: .seconds(15)) { [unowned self] in
                lookAtIndex()
                watchIndex()
            }
        }
    }

    private func lookAtIndex() {
        machine.with { [unowned self] relay in
            guard machine.unwrittenSince == nil, let image = machine.disk?.image else { return }
            count("looked-at-index")
            let differences = compare(relay.queue, image.afterKill())
            let before = disagreements
            let now = world.instant
            disagreements = Disagreements(boot: machine.boot, at: now, words: differences)
            checkSpace(relay.queue, image)
            guard before.boot == machine.boot, now >= before.at + .seconds(10) else { return }
            for id in differences.keys.sorted() where before.words[id] == differences[id] {
                ledger.violation("index and log differ: \(differences[id] ?? id)")
            }
        }
    }

    /// docs/SPOOL.md: the log stays below twice the live bytes and four segments; one more is being
    /// made and one may be leaving. What a message has besides its bytes is little.
    private func checkSpace(_ queue: [QueuedMessage], _ image: SimDiskImage) {
        let log = image.files.filter { $0.path.hasPrefix("log/") && !$0.path.hasSuffix("footer") }
            .reduce(0) { $0 + $1.byteCount }
        let live = queue.reduce(0) { $0 + $1.byteCount + 1000 + 400 * $1.recipients.count }
        if log > 2 * live + 6 * plan.segmentBytes {
            ledger.violation(
                "the log has \(log) bytes for \(live) of mail in segments of \(plan.segmentBytes)"
            )
        }
    }

    /// With nothing under way they must be equal.
    func checkIndex(_ index: [QueuedMessage], _ image: SimDiskImage, _ what: String) {
        if isRotten { return }
        let differences = compare(index, image)
        for id in differences.keys.sorted() {
            ledger.violation("index and log differ \(what): \(differences[id] ?? id)")
        }
    }

    private func compare(_ index: [QueuedMessage], _ image: SimDiskImage) -> [String: String] {
        let found: [String: QueuedMessage]
        do { found = try Recovery.queue(image, plan, readsContent: false).messages } catch {
            return ["": "no start: \(error)"]
        }
        var differences: [String: String] = [:]
        var rest = found
        for message in index {
            let id = message.id.text
            let other = rest.removeValue(forKey: id)
            if other != message {
                differences[id] = "\(id) is \(message.difference(from: other))"
            }
        }
        for id in rest.keys { differences[id] = "\(id) is in the log alone" }
        return differences
    }
}

extension QueuedMessage {
    fileprivate func isPending(_ recipient: String) -> Bool {
        recipients.contains { $0.state == .pending && $0.address.text == recipient }
    }

    /// What the index has and, after "in the log", what a start would find.
    fileprivate func difference(from logged: QueuedMessage?) -> String {
        guard let logged else { return "in the index alone" }
        if origin != logged.origin || isReleased != logged.isReleased {
            return "routed as \(origin), released \(isReleased), in the log \(logged.origin), "
                + "\(logged.isReleased)"
        }
        if hold != logged.hold {
            return "\(Self.words(hold)), in the log \(Self.words(logged.hold))"
        }
        for (ours, theirs) in zip(recipients, logged.recipients) where ours != theirs {
            return "\(Self.words(ours)), in the log \(Self.words(theirs))"
        }
        return "\(self), in the log \(logged)"
    }

    private static func words(_ hold: Hold?) -> String {
        guard let hold else { return "not held" }
        return "held for \(hold.reason) since \(hold.since.nanoseconds)"
    }

    private static func words(_ status: RecipientStatus) -> String {
        "<\(status.address.text)> \(status.state) after \(status.attempts) attempts"
            + " (\(status.reason)), next at \(status.nextAttempt?.nanoseconds ?? 0)"
            + (status.delayNoticeSent ? ", delay told" : "")
    }
}

extension Recovery {
    /// What a start finds in the queue of an image; the image is used up.
    static func queue(
        _ image: SimDiskImage,
        _ plan: TrialPlan,
        readsContent: Bool
    ) throws -> FoundQueue {
        let world = SimWorld(seed: plan.seed)
        let disk = SimDisk(world: world, image: image)
        let settings = settings(plan)
        let found = try world.run {
            let spool = try await Spool.open(
                disk: disk,
                owner: world.loops[0],
                settings: settings,
                events: Deaf()
            ).spool
            let messages = spool.messages(after: nil, limit: .max)
            var unreadable: [String] = []
            for message in messages where readsContent && message.hold?.reason != .damaged {
                if let why = await problem(reading: message.id, of: spool) {
                    unreadable.append("\(message.id.text) could not be read (\(why))")
                }
            }
            // So that its tasks end, and its memory is free again.
            await spool.close()
            return FoundQueue(
                messages: Dictionary(uniqueKeysWithValues: messages.map { ($0.id.text, $0) }),
                unreadable: unreadable
            )
        }
        world.discard()
        return found
    }

    /// Reads all of a message, as a delivery would.
    private static func problem(reading id: QueueID, of spool: Spool) async -> String? {
        do throws(ContentUnavailable) {
            let content = try await spool.content(of: id)
            guard case .stored(let reader, let byteCount) = content.body else { return nil }
            var at = 0
            while at < byteCount {
                let bytes = try await reader.read(at: at, count: 1 << 18)
                if bytes.isEmpty { return "it ends after \(at) bytes of its body" }
                at += bytes.count
            }
            return nil
        } catch { return error.text }
    }
}

/// The queue after a start.
struct FoundQueue {
    /// By id.
    var messages: [String: QueuedMessage]
    /// Messages whose bytes are not what they were, in words.
    var unreadable: [String]
}
