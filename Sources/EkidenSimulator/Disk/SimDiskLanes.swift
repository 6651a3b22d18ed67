// The threads of a simulated disk: who waits for whom, how long each operation takes, and what
// becomes of those under way when the process dies; and who holds which lock. One thread works for the log, three for the
// rest, as in the real world: operations of the bulk lane may overtake each other.

import EkidenMail
import EkidenRuntime

/// What an operation may do when its time has come.
enum SimExtent {
    case whole
    /// The process or the write ends midway: some first part of the bytes.
    case part
}

/// A piece of work of one thread; it holds the thread until `finish`.
final class SimDiskJob {
    fileprivate let lanes: SimDiskLanes
    fileprivate let lane: DiskLane
    /// Order of the beginnings; the operations under way are settled in it.
    fileprivate var number = 0
    /// What the operation under way does when it ends.
    fileprivate var effect: ((SimExtent) -> Void)?

    fileprivate init(lanes: SimDiskLanes, lane: DiskLane) {
        self.lanes = lanes
        self.lane = lane
    }

    /// One operation: after `latency` `body` is called, unless the disk is dead by then. `effect`
    /// is what the operation does if the process dies while it is under way.
    func step(
        _ latency: Duration,
        effect: @escaping (SimExtent) -> Void,
        _ body: @escaping () -> Void
    ) {
        self.effect = effect
        lanes.world.schedule(after: latency) { [self] in
            if lanes.isDead { return }
            self.effect = nil
            body()
        }
    }

    /// Gives the thread to the next.
    func finish() { lanes.finish(self) }
}

final class SimDiskLanes {
    let world: SimWorld
    private(set) var isDead = false
    private var idle: [DiskLane: Int] = [.log: 1, .bulk: 3]
    private var waiting: [DiskLane: [(SimDiskJob, (SimDiskJob) -> Void)]] = [:]
    private var running: [SimDiskJob] = []
    private var begun = 0

    init(world: SimWorld) { self.world = world }

    /// Calls `body` when a thread of the lane is free.
    func submit(_ lane: DiskLane, _ body: @escaping (SimDiskJob) -> Void) {
        if isDead { return }
        let job = SimDiskJob(lanes: self, lane: lane)
        if idle[lane, default: 0] > 0 {
            idle[lane, default: 0] -= 1
            begin(job, body)
        } else {
            waiting[lane, default: []].append((job, body))
        }
    }

    private func begin(_ job: SimDiskJob, _ body: (SimDiskJob) -> Void) {
        begun += 1
        job.number = begun
        running.append(job)
        body(job)
    }

    fileprivate func finish(_ job: SimDiskJob) {
        if isDead { return }
        running.removeAll { $0 === job }
        if waiting[job.lane]?.isEmpty == false, let (next, body) = waiting[job.lane]?.removeFirst()
        {
            begin(next, body)
        } else {
            idle[job.lane, default: 0] += 1
        }
    }

    /// Nothing ends any more. What waited for a thread never happens; what was under way in the
    /// kernel happens, happens in part, or does not, as drawn.
    func die(_ random: SimRandom) {
        if isDead { return }
        isDead = true
        for job in running {
            guard let effect = job.effect else { continue }
            switch random.below(3) {
            case 0: effect(.whole)
            case 1: effect(.part)
            default: break
            }
        }
        running = []
        waiting = [:]
    }
}

/// Who holds which lock, among the processes of one machine.
final class SimDiskLocks {
    private var held: [Int: (file: DiskFile, owner: ObjectIdentifier)] = [:]

    func isHeld(_ inode: SimInode) -> Bool { held[inode.number] != nil }

    func take(_ inode: SimInode, _ file: DiskFile, _ owner: SimDisk) {
        held[inode.number] = (file, ObjectIdentifier(owner))
    }

    func release(_ file: DiskFile, _ owner: SimDisk) {
        let owner = ObjectIdentifier(owner)
        held = held.filter { $0.value.file != file || $0.value.owner != owner }
    }
}
