// The machine the relay under trial runs on: it is booted, killed, loses its power, and its disk
// outlives all of it. What starts again after a crash is the production code on what the disk has.

import EkidenConfiguration
import EkidenMail
import EkidenRelay
import EkidenRuntime

/// `@unchecked Sendable`: used on the world's one thread alone.
final class Machine: @unchecked Sendable {
    enum State { case off, starting, running, stopping }

    private unowned let town: Town
    private let random: SimRandom
    private(set) var state = State.off
    /// Starts so far.
    private(set) var boot = 0
    private var image = SimDiskImage()
    private(set) var disk: SimDisk?
    private(set) var loops: [Loop] = []
    private(set) var relay: Relay?
    /// What the disk is like, from one boot to the next.
    var diskFaults = SimDiskFaults()
    var diskTiming = SimDiskTiming()
    var isFull = false
    var hasNoInodes = false
    /// What was settled since then, and from which boot on, nobody has synced: the process died
    /// soon after, and no start has read and vouched for it yet.
    private(set) var unvouched: (since: Instant, boot: Int)?
    /// Since when the disk is not well, and since when it is again.
    private var troubledSince: Instant?
    private var wellSince: Instant?

    init(town: Town) {
        self.town = town
        random = town.random.branch()
    }

    /// What is on its disk now.
    var files: [(path: String, byteCount: Int)] { image.files }

    private func programs() -> SimPrograms {
        let random = SimRandom(seed: town.plan.seed &+ UInt64(boot) ^ 0x746f_6b65_6e73)
        return SimPrograms { [unowned town] _ in town.runCommand(random) }
    }

    // MARK: On

    func start() {
        guard state == .off else { return }
        state = .starting
        boot += 1
        let disk = SimDisk(world: town.world, image: image, random: random.branch())
        disk.hasWarmCache = town.plan.hasWarmCache
        disk.ended = { [unowned town] in town.diskMoved($0) }
        self.disk = disk
        adjustDisk()
        loops = town.world.addLoops(town.plan.loops, at: town.plan.relayAddress)
        town.streamArrivals.started(boot, at: town.world.instant)
        town.trace.note("machine boot \(boot) with \(loops.count) loops")
        let (number, owner) = (boot, loops[0])
        let world = RelayWorld(
            loops: loops,
            disk: disk,
            names: town.names,
            tls: SimTLS(),
            random: random.branch(),
            secrets: SimRandom(seed: town.world.seed ^ UInt64(boot)),
            files: town.files,
            workers: SimWorkers(town.world),
            programs: programs(),
            events: TownEvents(town: town),
            localNetworks: [NetworkPrefix(town.plan.relayAddress, length: 32)].compactMap { $0 },
            rarePaths: town.rarePaths
        )
        let configuration = town.configuration
        owner.spawn {
            let result: Result<Relay, StartFailure>
            do throws(StartFailure) {
                result = .success(try await Relay.start(configuration, in: world))
            } catch { result = .failure(error) }
            self.started(result, boot: number)
        }
    }

    private func started(_ result: Result<Relay, StartFailure>, boot number: Int) {
        guard boot == number, state == .starting else { return }
        switch result {
        case .success(let relay):
            self.relay = relay
            state = .running
            unvouched = nil
            town.trace.note("machine runs")
            let configuration = town.configuration
            relay.setReloader { await $0.reload(configuration) }
        case .failure(let failure):
            town.trace.note("machine could not start: \(failure.text)")
            town.count("start-failed")
            if troubledSince == nil { town.ledger.violation("no start: \(failure.text)") }
            // Its supervisor tries again.
            town.world.schedule(after: .zero) { self.die(.kill, silently: false) }
        }
    }

    /// Puts the present faults on the present disk.
    func adjustDisk() {
        guard let disk else { return }
        disk.faults = diskFaults
        disk.timing = diskTiming
        disk.freeInodes = hasNoInodes ? 0 : .max
        disk.capacityBytes = isFull ? image.files.reduce(1000) { $0 + $1.byteCount } : nil
        if isFull || hasNoInodes || !diskFaults.inputOutputOneIn.isEmpty {
            troubledSince = unwrittenSince ?? town.world.instant
            wellSince = nil
        } else if wellSince == nil {
            wellSince = town.world.instant
        }
    }

    /// Outcomes since then may not be written if the relay ends now, since the disk was not well;
    /// once it is, the relay has some seconds to make up for it.
    var unwrittenSince: Instant? {
        if let wellSince, town.world.instant - wellSince > .seconds(30) { return nil }
        return troubledSince
    }

    // MARK: Standing still

    /// Since when the process gets no processor, and for a moment after it did again: what it meant
    /// to sync is not synced.
    private(set) var pausedSince: Instant?

    /// The process gets no processor for so long; its kernel and disk go on.
    func pause(for duration: Duration) {
        guard state != .off, pausedSince == nil else { return }
        pausedSince = town.world.instant
        let (paused, number) = (loops, boot)
        town.world.freeze(paused)
        town.world.schedule(after: duration) {
            self.town.world.thaw(paused)
            guard self.boot == number else { return }
            // Nobody was looked at meanwhile.
            self.town.idleSites = IdleSites(boot: number)
            self.town.world.schedule(after: Town.marksDelayMax) {
                if self.boot == number { self.pausedSince = nil }
            }
        }
    }

    // MARK: Off

    func kill() {
        if state != .off { town.count("crashed") }
        die(.kill, silently: false, lostSince: unwrittenSince)
    }

    func cutPower() {
        if state != .off { town.count("crashed") }
        town.outcomesLost(since: town.lossHorizon)
        die(.powerLoss(random.branch()), silently: true, lostSince: town.lossHorizon)
    }

    /// In the middle of the disk operation that comes so many after this.
    func crash(afterOperations count: Int, losesPower: Bool) {
        guard let disk else { return }
        disk.crashAtOperation = disk.operationCount + count
        disk.whenCrashed = { [unowned self] in
            town.trace.note("machine crashes at disk operation \(disk.operationCount)")
            if losesPower { cutPower() } else { kill() }
        }
    }

    /// No crash that was to come comes any more.
    func calmDown() { disk?.crashAtOperation = nil }

    private func die(_ death: SimDeath, silently: Bool, lostSince: Instant? = nil) {
        guard state != .off, let disk else { return }
        town.trace.note("machine dies")
        if let unwrittenSince { town.outcomesLost(since: unwrittenSince) }
        town.ledger.relayEnded(at: town.world.instant)
        if unvouched == nil {
            let last = pausedSince ?? town.world.instant
            unvouched = (last + (.zero - Town.marksDelayMax), boot)
        }
        image = disk.die(death)
        town.world.network.machineDied(loops, silently: silently)
        town.world.removeLoops(loops)
        loops = []
        pausedSince = nil
        relay = nil
        self.disk = nil
        state = .off
        town.checkRecovery(of: image, lostSince: lostSince)
        bootLater()
    }

    private func bootLater() {
        town.world.schedule(after: random.duration(in: .seconds(1) ... .seconds(90))) {
            self.start()
        }
    }

    /// As SIGTERM does; the process ends when the relay has stopped.
    func stop() {
        guard state == .running, let relay else { return }
        state = .stopping
        town.trace.note("machine stops")
        let number = boot
        loops[0].spawn {
            await relay.stop()
            guard self.boot == number, self.state == .stopping else { return }
            let left = relay.queue
            self.town.world.schedule(after: .zero) {
                guard self.boot == number, self.state == .stopping else { return }
                self.town.trace.note("machine stopped")
                let isWell = self.unwrittenSince == nil
                self.die(.kill, silently: false)
                if isWell { self.town.checkIndex(left, self.image.copy(), "after the stop") }
            }
        }
    }

    /// Runs `body` as a task of loop 0 of the running relay.
    func with(_ body: @escaping @Sendable (Relay) async -> Void) {
        guard state == .running, let relay else { return }
        loops[0].spawn { await body(relay) }
    }
}
