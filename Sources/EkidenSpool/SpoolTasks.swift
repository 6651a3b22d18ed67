// The spool's background life: what begins when it opens, what happens every second, what a stop
// waits for.

import EkidenMail
import EkidenRuntime

extension SpoolLog {
    /// Starts the tasks of an opened spool and records what recovery decided.
    func begin(damaged: [QueueID: String]) {
        owner.spawn { [self] in await commitLoop() }
        spawn { [self] in await reclaimLoop() }
        spawn { [self] in await housekeeping() }
        for segment in segments where !segment.hasFooter && segment !== active {
            spawn { [self] in await writeFooter(segment) }
        }
        supply.refill()
        let now = owner.wallNow()
        for id in damaged.keys.sorted() {
            guard let message = index.message(id), message.hold == nil else { continue }
            let hold = Hold(reason: .damaged, uid: nil, since: now)
            index.setHold(hold, of: id)
            if door.push(LogEntry(work: .operation(.hold, OperatorRecord(id: id, hold)))) == true {
                owner.signal(wakeUp)
            }
        }
        if let pause = expiryPause { noticeClock(.paused(pause)) }
    }

    /// Free space, the supply, the clock, a sign of life.
    private func housekeeping() async {
        var nextHeartbeat = owner.now() + settings.heartbeatInterval
        while !isStopping {
            owner.setDeadline(housekeepingTimer, owner.now() + settings.guardInterval)
            if await owner.wait(housekeepingTimer, for: []) == .cancelled { return }
            if let space = try? await disk.space() { door.setSpace(space) }
            if isStopping { return }
            supply.refill()
            updateRefusal()
            noticeGuards()
            owner.signal(reclaimSignal)
            _ = expiryPause
            if owner.now() >= nextHeartbeat, active != nil {
                nextHeartbeat = owner.now() + settings.heartbeatInterval
                if door.push(LogEntry(work: .heartbeat(isLast: false))) == true {
                    owner.signal(wakeUp)
                }
            }
        }
    }

    /// Tells when a guard (free space, inodes, messages, bytes) begins or ceases to refuse mail.
    private func noticeGuards() {
        // What the disk's own trouble refuses is told where it begins.
        guard door.refusal == nil else { return }
        let refusal = door.presentRefusal
        if let refusal, !guardsRefuse {
            notice(.warning, "no new mail is accepted: \(refusal.text)")
        } else if refusal == nil, guardsRefuse {
            notice(.info, "there is room for new mail again")
        }
        guardsRefuse = refusal != nil
    }

    /// Why nothing may expire at this moment; from any loop.
    var expiryPause: String? { withClock { $0.pause } }

    func confirmClock() { withClock { $0.confirm(wall: owner.wallNow()) } }

    /// The time to write down.
    func believedTime() -> WallTime {
        let wall = owner.wallNow()
        return withClock { $0.believed(wall) }
    }

    private func withClock<Value>(_ body: (inout ClockWatch) -> Value) -> Value {
        let (value, change) = door.withClock(of: owner, body)
        noticeClock(change)
        return value
    }

    private func noticeClock(_ change: ClockWatch.Change) {
        let text: String
        switch change {
        case .none: return
        case .paused(let why):
            text =
                "nothing expires until the clock has been steady for an hour or an operator "
                + "confirms it: \(why)"
        case .resumed: text = "the clock has been steady for an hour; mail expires again"
        }
        events.emit(.notice(.init(.warning, "clock", text)), at: owner.wallNow())
    }

    func stop() async {
        guard !isStopping else { return }
        isStopping = true
        updateRefusal()
        door.close()
        owner.cancel(housekeepingTimer)
        owner.signal(reclaimSignal)
        owner.signal(wakeUp)
        if !isDone { await withUnsafeContinuation { stopWaiter = $0 } }
        supply.stop()
        await supply.settle()
        await settle()
        for segment in segments {
            if let reader = segment.reader { await disk.close(reader) }
            segment.reader = nil
        }
        if let next = supply.next?.file { await disk.close(next) }
        if let file = candidate?.file { await disk.close(file) }
        for handle in [wakeUp, reclaimSignal, housekeepingTimer] { owner.releaseHandle(handle) }
    }
}
