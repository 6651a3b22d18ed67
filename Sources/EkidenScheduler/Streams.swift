// Streams: mail that the operator has told apart by who sends it. A stream may go first, and it may have
// a rate; what is over the rate waits in the order it came, before it is ready for anything.

import EkidenMail

/// What a message's place in line depends on, beside where it goes.
package struct Standing: Sendable, Equatable {
    /// Messages with the same number share each turn: one sender's, or one login's. Two that have the
    /// same by chance share theirs, too.
    package var share: UInt32
    /// It goes before others.
    package var isUrgent: Bool
    /// The name in `SchedulerSettings.streams` of its rate, if it has one.
    package var stream: String?

    package init(share: UInt32 = 0, isUrgent: Bool = false, stream: String? = nil) {
        self.share = share
        self.isUrgent = isUrgent
        self.stream = stream
    }
}

/// A stream with a rate. Once known it stays known, as its name may be in records.
struct StreamRecord {
    let name: String
    var pace = Pace()
    /// Groups that wait for it, longest first.
    var waiting = Chain()
    /// When it lets the next one go; nil: nobody waits, or it has none.
    var alarm: Instant?
}

extension Scheduler {
    /// The number of a stream in messages' records; 0: none.
    func number(ofStream name: String?) -> UInt16 {
        guard let name else { return 0 }
        if let known = streams.firstIndex(where: { $0.name == name }) { return UInt16(known + 1) }
        // More than an operator writes.
        guard streams.count < Int(UInt16.max) else { return 0 }
        streams.append(StreamRecord(name: name))
        return UInt16(streams.count)
    }

    private func stream(of group: UInt32) -> Int? {
        let number = ledger.messages[ledger.groups[group].message].stream
        return number == 0 ? nil : Int(number) - 1
    }

    func streamName(of group: UInt32) -> String? { stream(of: group).map { streams[$0].name } }

    private func rate(of stream: Int) -> PaceSettings? { settings.streams[streams[stream].name] }

    /// A group that is due: into its lane, or, over its stream's rate, to those who wait for it.
    func comeDue(_ group: UInt32, because: Reason, at: Moment) {
        guard let stream = stream(of: group), let rate = rate(of: stream) else {
            return enqueue(group, because: because, at: at)
        }
        if streams[stream].waiting.isEmpty,
            letGo(group, of: stream, rate, because: because, at: at)
        {
            return
        }
        move(group, to: .waiting, because: .streamPaced, at: at)
        ledger.groups[group].isPaced = true
        let turns = Int(streams[stream].waiting.count)
        ledger.groups[group].due =
            (max(streams[stream].pace.next(rate), at.instant) + rate.interval * turns).nanoseconds
        laneLinks.append(group, to: &streams[stream].waiting)
        setAlarm(of: stream, at: at)
    }

    /// The rest of a transaction, in another one: first of its share, but no way around a rate.
    func goAgain(_ group: UInt32, at: Moment) {
        guard let stream = stream(of: group), rate(of: stream) != nil else {
            return enqueue(group, first: true, because: .tooManyRecipients, at: at)
        }
        comeDue(group, because: .tooManyRecipients, at: at)
    }

    /// Lets as much of a group go as the rate allows now, which counts transactions: all of it, or
    /// some of its recipients.
    /// - Returns: true when it was all.
    private func letGo(
        _ group: UInt32,
        of stream: Int,
        _ rate: PaceSettings,
        because: Reason,
        at: Moment
    ) -> Bool {
        let most = settings.recipientsPerTransaction
        let allowed = streams[stream].pace.available(rate, at: at.instant) * most
        if allowed == 0 { return false }
        let count = ledger.recipientCount(group)
        var part = group
        if count > allowed {
            part = ledger.split(group, first: allowed)
            hops[ledger.groups[part].hop].groups += 1
        } else {
            leaveStream(group)
        }
        streams[stream].pace.take(rate, transactions(min(count, allowed)), at: at.instant)
        enqueue(part, because: because, at: at)
        return part == group
    }

    /// A group failed before there was a connection, or does not go after all: nothing of its stream has
    /// gone.
    func giveBack(_ group: UInt32, at: Moment) {
        guard let stream = stream(of: group), let rate = rate(of: stream) else { return }
        streams[stream].pace.giveBack(rate, transactions(ledger.recipientCount(group)))
        setAlarm(of: stream, at: at)
    }

    private func transactions(_ recipients: Int) -> Int {
        (recipients + settings.recipientsPerTransaction - 1) / settings.recipientsPerTransaction
    }

    /// Takes a waiting group out of those who wait for their stream's rate.
    func leaveStream(_ group: UInt32) {
        guard ledger.groups[group].isPaced, let stream = stream(of: group) else { return }
        ledger.groups[group].isPaced = false
        laneLinks.remove(group, from: &streams[stream].waiting)
    }

    private static let streamAlarmMax = Duration.seconds(60)

    private func setAlarm(of stream: Int, at: Moment) {
        guard !streams[stream].waiting.isEmpty else { return }
        let next = rate(of: stream).map { streams[stream].pace.next($0) } ?? at.instant
        // Not far ahead: what is given back brings it nearer, and an alarm in the heap stays there.
        let soon = min(next, at.instant + Self.streamAlarmMax)
        let time = max(soon, at.instant + .nanoseconds(1))
        if let known = streams[stream].alarm, known <= time { return }
        streams[stream].alarm = time
        alarms.insert(.stream(stream), at: time)
    }

    /// Lets go what the rate allows now, at most a turn's worth.
    func streamAlarm(_ stream: Int, at: Moment) {
        guard let time = streams[stream].alarm, time <= at.instant else { return }
        streams[stream].alarm = nil
        var budget = settings.turnGroups
        while budget > 0, !streams[stream].waiting.isEmpty {
            let group = streams[stream].waiting.head
            if let rate = rate(of: stream) {
                guard letGo(group, of: stream, rate, because: .dueTimeReached, at: at) else {
                    break
                }
            } else {
                leaveStream(group)
                enqueue(group, because: .dueTimeReached, at: at)
            }
            budget -= 1
        }
        setAlarm(of: stream, at: at)
    }

    /// The operator's rates changed: nobody waits longer than the new ones have it.
    func streamsChanged(at: Moment) {
        for stream in streams.indices {
            if let rate = rate(of: stream) { streams[stream].pace.adopt(rate, at: at.instant) }
            streams[stream].alarm = nil
            setAlarm(of: stream, at: at)
        }
    }

    /// The operator tells messages apart in another way now.
    package func restand(_ message: QueueID, as standing: Standing, at: Moment) {
        guard let number = ledger.find(message) else { return }
        let stream = self.number(ofStream: standing.stream)
        let record = ledger.messages[number]
        if record.share == standing.share, record.isUrgent == standing.isUrgent,
            record.stream == stream
        {
            return
        }
        var moved: [(group: UInt32, wasQueued: Bool)] = []
        for group in ledger.groupNumbers(of: number) {
            if ledger.groups[group].place == .queued {
                unqueue(group)
                moved.append((group, true))
            } else if ledger.groups[group].isPaced {
                unwait(group)
                moved.append((group, false))
            }
        }
        ledger.setStanding(number, share: standing.share, standing.isUrgent, stream: stream)
        for (group, wasQueued) in moved {
            let because = ledger.groups[group].reason
            if wasQueued {
                enqueue(group, because: because, at: at)
            } else {
                comeDue(group, because: .dueTimeReached, at: at)
            }
        }
    }
}
