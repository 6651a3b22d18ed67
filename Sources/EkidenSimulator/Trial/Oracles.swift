// What must hold in every simulated world, whatever went wrong in it: the promises of
// docs/ARCHITECTURE.md, held against the ledger of those outside. Some are checked when something
// arrives, some at each crash, the rest when the world has come to rest.

import EkidenMail
import EkidenRuntime
import EkidenSpool

extension Town {
    // MARK: When a message arrives at a host

    func arrived(
        _ message: [UInt8],
        from sender: String,
        to recipients: [String],
        _ transaction: HostTransaction,
        _ heard: HeardParameters = HeardParameters()
    ) {
        let names = recipients.joined(separator: ",")
        trace.note("\(transaction.host) took \(message.count) bytes from <\(sender)> to \(names)")
        checkSecurity(of: transaction, recipients)
        checkHost(transaction, recipients)
        if recipients.contains(where: { $0.hasPrefix("s.") || $0.hasPrefix("postmaster") }) {
            let text = String(decoding: message, as: UTF8.self)
            return reportArrived(text, from: sender, to: recipients, transaction)
        }
        guard let key = recipients.first.flatMap(Ledger.key), let letter = ledger.letters[key]
        else {
            return ledger.violation("mail nobody sent, to \(names)")
        }
        if sender != letter.sender ?? "" {
            ledger.violation("k\(key) came from <\(sender)>, not <\(letter.sender ?? "")>")
        }
        pacedArrival(recipients, transaction)
        streamArrival(letter, transaction)
        checkDemand(letter, recipients)
        checkSmarthost(letter, recipients, transaction)
        checkParameters(letter, heard, recipients)
        var message = message
        if isConverted(letter, heard) {
            guard let decoded = Converted.decoded(message) else {
                return ledger.violation("k\(key) came to a host without 8BITMIME as no 7-bit mail")
            }
            count("converted")
            message = decoded
        }
        guard let id = checkContent(message, letter) else { return }
        checkRoutes(letter, id, recipients, transaction)
        for recipient in recipients {
            let place = Place(id: id, recipient: recipient)
            if !letter.recipients.contains(recipient) {
                ledger.violation("\(id) came to \(recipient), whom nobody named")
            }
            if ledger.removed[place] != nil, !isRotten {
                ledger.violation("\(place.text) was removed, and then delivered")
            }
            if let held = ledger.heldSince[id], held < transaction.takenAt, !isRotten {
                ledger.violation("\(place.text) was delivered while it was held")
            }
            ledger.arrivals[place, default: []].append(transaction)
        }
    }

    /// Nothing goes in the clear where policy asks for TLS.
    private func checkSecurity(of transaction: HostTransaction, _ recipients: [String]) {
        if transaction.isSecure { return }
        for recipient in recipients where plan.mustBeSecure(recipient) {
            ledger.violation("\(recipient) has TLS for a policy, and got mail in the clear")
        }
    }

    /// Promise 4: bytes are sacred. Returns the id from our Received field.
    private func checkContent(_ message: [UInt8], _ letter: Letter) -> String? {
        let what = "k\(letter.key)"
        let head = message.dropLast(letter.body.count)
        let header = String(decoding: head, as: UTF8.self)
        guard header.hasPrefix("Received: "),
            let idAt = header.firstRange(of: "\tid ") ?? header.firstRange(of: " id ")
        else {
            ledger.violation("\(what) came without our Received field: \(header.prefix(200))")
            return nil
        }
        let id = String(header[idAt.upperBound...].prefix { $0.isLetter || $0.isNumber })
        if !message.suffix(letter.body.count).elementsEqual(letter.body) {
            ledger.violation("\(what) (\(id)) came with another body")
        }
        if Array(head.suffix(4)) != [13, 10, 13, 10] {
            ledger.violation("\(what) (\(id)): its body does not begin where it did")
        }
        if let word = ledger.protocolWords[letter.key],
            !header.contains("with \(word) "), !header.contains("with \(word)\r\n")
        {
            ledger.violation("\(what) (\(id)) did not come with \(word): \(header.prefix(200))")
        }
        if let literal = ledger.clientLiterals[letter.key], !header.contains(literal) {
            ledger.violation("\(what) (\(id)) did not come from \(literal): \(header.prefix(200))")
        }
        for line in String(decoding: letter.header, as: UTF8.self).split(separator: "\r\n") {
            let isHidden = line.contains("secret.test")
            if header.contains(line) == isHidden {
                ledger.violation(
                    "\(what) (\(id)): \(isHidden ? "kept" : "lost") \(line.prefix(40))"
                )
            }
        }
        return id
    }

    private func reportArrived(
        _ text: String,
        from sender: String,
        to recipients: [String],
        _ transaction: HostTransaction
    ) {
        if sender != "" { ledger.violation("a report came from <\(sender)>") }
        guard let field = text.firstRange(of: "X-Ekiden-Queue-ID: ") else {
            return ledger.violation("a report that says not what it is about")
        }
        let id = String(text[field.upperBound...].prefix { $0.isLetter || $0.isNumber })
        var recipient: String?
        for line in text[field.upperBound...].split(separator: "\r\n") {
            if line.hasPrefix("Final-Recipient: rfc822; ") {
                recipient = String(line.dropFirst("Final-Recipient: rfc822; ".count))
            } else if line.hasPrefix("Action: "), let about = recipient {
                let place = Place(id: id, recipient: about)
                checkWishes(place, String(line.dropFirst("Action: ".count)), text)
                if line.hasSuffix("delayed") {
                    ledger.delayReports[place, default: []].append(transaction)
                } else if line.hasSuffix("relayed") {
                    ledger.relayedReports.insert(place)
                } else {
                    ledger.failureReports[place, default: []].append(transaction)
                    if let subject = ledger.subjects[id] { ledger.toldInstead.insert(subject) }
                    checkDue(place)
                }
                if let key = Ledger.key(of: about), ledger.letters[key]?.sender == nil,
                    recipients.contains(where: { $0.hasPrefix("s.") })
                {
                    ledger.violation("\(place.text) had no sender, and a report went to one")
                }
                recipient = nil
            }
        }
    }

    /// A report of failure exactly when one is due.
    private func checkDue(_ place: Place) {
        if place.recipient == plan.postmaster {
            return ledger.violation("\(place.text) gets reports alone, and one is about it")
        }
        if place.recipient.hasPrefix("s.") { return }
        let domain = place.recipient.split(separator: "@").last.map { String($0) } ?? ""
        if ledger.refusals.contains(place.recipient) || hasRudeHost(domain) { return }
        guard let copy = ledger.copies[place.id], let letter = ledger.letters[copy.key] else {
            return
        }
        if isHopeless(domain, for: letter) { return }
        checkKept(place, domain, letter)
        if world.instant - copy.at < expiryFloor {
            ledger.violation("\(place.text) was given up \(world.instant - copy.at) after it came")
        }
        // With all well for so long it had its turn, unless its box is full half of the time, or its
        // stream's rate lets it go when that time is over.
        let isFull = place.recipient.hasPrefix("full") || slowKeys.contains(copy.key)
        let enough: Duration = plan.ceiling * 2 + Self.calmMin
        let expires: Instant = copy.at + (plan.lifetime - clockSlack)
        if let calmSince, !isFull, expires > calmSince + enough {
            ledger.violation("\(place.text) was given up with its hosts well for hours")
        }
    }

    /// A site is left alone for half an hour at most; the rest is for long queues at slow hosts.
    static let calmMin = Duration.seconds(2 * 3600)

    /// Nothing can have expired sooner, with the clock as it was set. Leaps of days must not count.
    var expiryFloor: Duration { plan.lifetime - plan.ceiling - clockSlack }

    // MARK: Duplicates (Promise 3)

    /// The relay ended, and outcomes of this start since then may not be on the disk: the last ones
    /// before a power loss, those of a time in which the disk could not be written.
    func outcomesLost(since: Instant) {
        let first = machine.unvouched?.boot ?? machine.boot
        for boot in first...machine.boot { powerLosses.append(PowerLoss(boot: boot, since: since)) }
    }

    /// Marks are durable after 20 ms and a sync, which may be slow.
    static let marksDelayMax = Duration.seconds(2)

    /// Outcomes since then may be gone with a power loss now: unless the disk is not well, those
    /// whose marks can't have been synced yet; while the process stands still, those of the moment
    /// before as well; and while the relay starts, those that the process before left to the kernel.
    var lossHorizon: Instant {
        let last = world.instant + (.zero - Self.marksDelayMax)
        let paused = machine.pausedSince.map { $0 + (.zero - Self.marksDelayMax) }
        let all = [machine.unwrittenSince, machine.unvouched?.since, paused]
        return all.reduce(last) { earliest, since in since.map { min($0, earliest) } ?? earliest }
    }

    /// How often a host may see this again: it took it, and the relay may not know.
    private func excuses(_ transactions: [HostTransaction]) -> Int {
        transactions.count { isExcused($0) }
    }

    func isExcused(_ transaction: HostTransaction) -> Bool {
        guard let settled = transaction.settledAt else { return true }
        return powerLosses.contains { $0.boot == transaction.boot && settled >= $0.since }
    }

    // MARK: When the world has come to rest

    /// Everything that must hold in the end.
    package func judge() {
        for id in ledger.copyOrder {
            guard let copy = ledger.copies[id], let letter = ledger.letters[copy.key] else {
                continue
            }
            for recipient in copy.recipients {
                judgeEnd(Place(id: id, recipient: recipient), letter)
            }
        }
        // Marks rot as well; then nobody knows any more what was done.
        if !isRotten {
            judgeCopies()
            judgeRelayed()
        }
        for name in counts.keys.sorted() { trace.note("counted \(name) \(counts[name] ?? 0)") }
    }

    private func judgeCopies() {
        for place in ledger.arrivals.keys.sorted() {
            let arrivals = ledger.arrivals[place] ?? []
            if arrivals.count > 1 + excuses(arrivals) {
                ledger.violation(
                    "\(place.text) was delivered \(arrivals.count) times, allowed are \(1 + excuses(arrivals))"
                )
            }
        }
        for place in ledger.failureReports.keys.sorted() {
            let reports = ledger.failureReports[place] ?? []
            if reports.count > 1 + excuses(reports) {
                ledger.violation("\(place.text) was reported \(reports.count) times")
            }
            let arrivals = ledger.arrivals[place] ?? []
            if arrivals.count > excuses(arrivals) {
                ledger.violation("\(place.text) was delivered and reported as failed")
            }
        }
    }

    /// Promise 2: exactly one end.
    private func judgeEnd(_ place: Place, _ letter: Letter) {
        if ledger.hasEnded(place) || mayHaveFailedSilently(place) { return }
        // Its report, or the one that its report failed, went to the postmaster, who refused it.
        if ledger.untold.contains(place.id) { return }
        if letter.sender == nil, ledger.excuseStray(place.id) { return }
        if isRotten, isToldDamaged(place) { return }
        ledger.violation("\(place.text) of k\(letter.key) is nowhere")
    }

    /// With nothing queued and no bit rotten, nothing is left on the disk but the log's own few
    /// files, and nothing was ever called damaged.
    func checkDisk(_ files: [(path: String, byteCount: Int)]) {
        if isRotten { return }
        var logBytes = 0
        for file in files {
            if file.path.hasPrefix("damaged/") {
                ledger.violation("called damaged: \(file.path), \(file.byteCount) bytes")
            } else if file.path.hasPrefix("large/") {
                ledger.violation("left behind: \(file.path), \(file.byteCount) bytes")
            } else if file.path.hasSuffix("segment") || file.path.hasSuffix("spare") {
                logBytes += file.byteCount
            }
        }
        // docs/SPOOL.md: below twice the live bytes, of which there are none, and four segments; one
        // more is being made and one may be leaving.
        if logBytes > 6 * plan.segmentBytes {
            ledger.violation("the log has \(logBytes) bytes in segments of \(plan.segmentBytes)")
        }
    }

    // MARK: At each crash

    /// Recovering twice is recovering once, from any image a crash leaves.
    func checkRecovery(of image: SimDiskImage, lostSince: Instant?) {
        if isRotten { return }
        checkImage(image, lostSince: lostSince)
        guard plan.seed % 4 == 0 else { return }
        let once = Recovery.list(image.copy(), plan, times: 1)
        let twice = Recovery.list(image.copy(), plan, times: 2)
        if once == nil || once != twice {
            ledger.violation(
                "recovering twice differs: \(once?.count ?? -1) and \(twice?.count ?? -1) messages"
            )
        }
    }
}

/// An end of the relay that takes outcomes with it: those settled since then.
struct PowerLoss {
    let boot: Int
    let since: Instant
}

/// Opens a spool on a copy of an image, in a world of its own.
enum Recovery {
    static func settings(_ plan: TrialPlan) -> SpoolSettings {
        var settings = SpoolSettings()
        settings.segmentBytes = plan.segmentBytes
        settings.freeBytesMin = 0
        return settings
    }

    /// What the last of so many starts finds, each after a kill of the one before; nil: no start.
    static func list(_ image: SimDiskImage, _ plan: TrialPlan, times: Int) -> [QueuedMessage]? {
        var image = image
        var found: [QueuedMessage]?
        for _ in 0..<times {
            let world = SimWorld(seed: plan.seed)
            let disk = SimDisk(world: world, image: image)
            let fixed = settings(plan)
            found = try? world.run {
                let spool = try await Spool.open(
                    disk: disk,
                    owner: world.loops[0],
                    settings: fixed,
                    events: Deaf()
                ).spool
                return spool.messages(after: nil, limit: .max)
            }
            image = disk.die(.kill)
            world.discard()
        }
        return found
    }

    struct Deaf: EventSink {
        func emit(_ event: Event, at: WallTime) {}
    }
}
