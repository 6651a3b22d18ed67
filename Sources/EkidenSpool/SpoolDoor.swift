// The part of the spool that every loop may touch: the queue into the commit loop, the ids, the
// guards and the cache. One lock each, never held across a wait.

import EkidenMail
import EkidenRuntime
import Synchronization

final class SpoolDoor: Sendable {
    let cache: ContentCache

    private struct Queue {
        var marks: [LogEntry] = []
        var durable: [LogEntry] = []
        var isSignalled = false
        var isClosed = false
    }
    private let queue = Mutex(Queue())

    private struct Guards {
        var freeBytes = Int.max
        var freeInodes = Int.max
        var messages = 0
        var bytes = 0
        /// Set while the disk is bad, only the reserve is left, or the relay stops.
        var refusal: SpoolRefusal?
    }
    private let guards = Mutex(Guards())

    private struct IDs {
        var last: QueueID
        var ceiling: QueueID
    }
    private let ids: Mutex<IDs>
    /// Ids of messages whose body has its own file.
    private let large = Mutex<Set<QueueID>>([])
    /// Asked at every judgement, whatever loop it is made on.
    private let clock: Mutex<ClockWatch>
    private let settings: SpoolSettings

    init(settings: SpoolSettings, lastID: QueueID, clock: ClockWatch) {
        self.settings = settings
        self.clock = Mutex(clock)
        cache = ContentCache(bytesMax: settings.cacheBytes)
        ids = Mutex(IDs(last: lastID, ceiling: lastID))
    }

    // MARK: Ids

    func nextID(at wall: WallTime) -> QueueID {
        ids.withLock { ids in
            ids.last = QueueID.next(after: ids.last, at: wall)
            return ids.last
        }
    }

    var lastID: QueueID { ids.withLock { $0.last } }

    /// Ids up to the result may be given out until the next heartbeat: it is recorded, so that no
    /// id is given out twice even when the wall clock is set back between two starts.
    func raiseCeiling(at wall: WallTime) -> QueueID {
        ids.withLock { ids in
            let ahead = QueueID.next(
                after: ids.last,
                at: wall + settings.heartbeatInterval + settings.heartbeatInterval
            )
            ids.ceiling = max(ids.ceiling, ahead)
            return ids.ceiling
        }
    }

    // MARK: The clock

    /// Runs `body` on the watch after it has looked at the clock; what it noticed, for the log.
    func withClock<Value>(
        of loop: Loop,
        _ body: (inout ClockWatch) -> Value
    ) -> (value: Value, change: ClockWatch.Change) {
        let (wall, now) = (loop.wallNow(), loop.now())
        return clock.withLock { clock in
            let change = clock.tick(wall: wall, now: now)
            return (body(&clock), change)
        }
    }

    // MARK: The queue

    /// True when the commit loop must be woken; nil when the spool is closed.
    func push(_ entry: LogEntry) -> Bool? {
        queue.withLock { queue in
            if queue.isClosed { return nil }
            if entry.isDurable { queue.durable.append(entry) } else { queue.marks.append(entry) }
            let mustSignal = !queue.isSignalled
            queue.isSignalled = true
            return mustSignal
        }
    }

    func takeAll() -> (marks: [LogEntry], durable: [LogEntry]) {
        queue.withLock { queue in
            let all = (queue.marks, queue.durable)
            queue.marks = []
            queue.durable = []
            queue.isSignalled = false
            return all
        }
    }

    func close() { queue.withLock { $0.isClosed = true } }

    // MARK: Guards

    func admit(byteCount: Int) throws(SpoolRefusal) {
        let refusal = guards.withLock { guards -> SpoolRefusal? in
            if let refusal = guards.refusal { return refusal }
            if guards.messages >= settings.messagesMax {
                return SpoolRefusal(
                    .full,
                    "the queue has \(guards.messages) messages, its limit",
                    limit: "messages: it takes \(settings.messagesMax)"
                )
            }
            let (bytes, overflow) = guards.bytes.addingReportingOverflow(byteCount)
            if overflow || bytes > settings.queuedBytesMax {
                return SpoolRefusal(
                    .full,
                    "the queue has \(guards.bytes) bytes, its limit is near",
                    limit: "bytes: it takes \(settings.queuedBytesMax)"
                )
            }
            if guards.freeBytes - byteCount < settings.freeBytesMin {
                return SpoolRefusal(
                    .full,
                    "only \(guards.freeBytes) bytes are free on the disk",
                    limit: "bytes of its disk: \(settings.freeBytesMin) stay free"
                )
            }
            if guards.freeInodes < settings.freeInodesMin {
                return SpoolRefusal(
                    .full,
                    "only \(guards.freeInodes) inodes are free on the disk",
                    limit: "inodes of its disk: \(settings.freeInodesMin) stay free"
                )
            }
            return nil
        }
        if let refusal { throw refusal }
    }

    /// Why not even an empty message would be taken now; nil when it would.
    var presentRefusal: SpoolRefusal? {
        do throws(SpoolRefusal) {
            try admit(byteCount: 0)
            return nil
        } catch { return error }
    }

    func setCounts(messages: Int, bytes: Int) {
        guards.withLock {
            $0.messages = messages
            $0.bytes = bytes
        }
    }

    func setSpace(_ space: DiskSpace) {
        guards.withLock {
            $0.freeBytes = space.freeBytes
            $0.freeInodes = space.freeInodes
        }
    }

    func setRefusal(_ refusal: SpoolRefusal?) { guards.withLock { $0.refusal = refusal } }
    var refusal: SpoolRefusal? { guards.withLock { $0.refusal } }

    // MARK: Large files

    func noteLarge(_ id: QueueID) { large.withLock { _ = $0.insert(id) } }
    func forgetLarge(_ id: QueueID) -> Bool { large.withLock { $0.remove(id) != nil } }
}
