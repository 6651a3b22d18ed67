// Ekiden, from the wire to the wire. This file is the order of things; everything it names is a
// stage that knows nothing of the others.
//
//   network → Ingress → Rewriting → Spool → Scheduler → Resolver → Delivery → network
//                                     ▲                               │
//                                     └────────── Outcome ◄───────────┘

import EkidenConfiguration
import EkidenIngress
import EkidenMail
import EkidenResolver
import EkidenRuntime
import EkidenSpool
import Synchronization

/// The world a relay runs in: the real one, or a simulated one.
package struct RelayWorld: Sendable {
    /// At least one; the first is the owner of spool and scheduler.
    package var loops: [Loop]
    package var disk: any Disk
    package var names: any NameTransport
    package var tls: any TLSProvider
    package var random: any RandomSource
    /// Random bits that are hard to guess: for nonces.
    package var secrets: any RandomSource
    /// The configuration's other files.
    package var files: any Files
    package var workers: any Workers
    package var events: any EventSink
    /// This machine's addresses.
    package var localNetworks: [NetworkPrefix]
    /// The bytes of the system's table of host names (`/etc/hosts`).
    package var hostTable: [UInt8]
    /// Descriptors the process may have.
    package var descriptors: Int
    package var program: ProgramFacts
    /// Only the simulated world sets any.
    package var rarePaths: RarePaths

    package init(
        loops: [Loop],
        disk: any Disk,
        names: any NameTransport,
        tls: any TLSProvider = NoTLS(),
        random: any RandomSource,
        secrets: any RandomSource,
        files: any Files,
        workers: any Workers,
        events: any EventSink,
        localNetworks: [NetworkPrefix] = [],
        hostTable: [UInt8] = [],
        descriptors: Int = .max,
        program: ProgramFacts = ProgramFacts(),
        rarePaths: RarePaths = RarePaths()
    ) {
        self.loops = loops
        self.disk = disk
        self.names = names
        self.tls = tls
        self.random = random
        self.secrets = secrets
        self.files = files
        self.workers = workers
        self.events = events
        self.localNetworks = localNetworks
        self.hostTable = hostTable
        self.descriptors = descriptors
        self.program = program
        self.rarePaths = rarePaths
    }
}

/// Switches that make the odd paths of the production code the usual ones: segments that are full
/// at once, a cache that holds nothing, bodies that are large from the start.
package struct RarePaths: Sendable {
    package var segmentBytes: Int?
    package var largeMessageBytes: Int?
    package var cacheBytes: Int?
    package var guardInterval: Duration?
    /// Live messages are moved out of the oldest segment whatever it costs, with this pause between.
    package var eagerReclaimRest: Duration?

    package init() {}

    func apply(to spool: inout SpoolSettings) {
        if let segmentBytes { spool.segmentBytes = segmentBytes }
        if let largeMessageBytes { spool.largeMessageBytes = largeMessageBytes }
        if let cacheBytes { spool.cacheBytes = cacheBytes }
        if let guardInterval { spool.guardInterval = guardInterval }
        if let eagerReclaimRest {
            spool.reclaimsEagerly = true
            spool.eagerReclaimRest = eagerReclaimRest
        }
    }
}

/// What `ekiden status` says of the program itself.
package struct ProgramFacts: Sendable {
    package var version: String
    package var processID: Int
    /// nil: it runs on defaults.
    package var configurationFile: String?

    package init(version: String = "", processID: Int = 0, configurationFile: String? = nil) {
        self.version = version
        self.processID = processID
        self.configurationFile = configurationFile
    }
}

/// Why a relay could not start; the sentence says what and what to do.
package struct StartFailure: Error, Sendable, Equatable {
    package let text: String
    package init(_ text: String) { self.text = text }
}

package final class Relay: Sendable {
    let house: House
    let dispatch: Dispatch
    let crew: IngressCrew
    let users: UsersDesk
    let lists: ListsDesk
    let listeners: [Listener]
    let started: WallTime
    let world: RelayWorld
    let rates: RateMeter
    private let shelf: TLSShelf
    private let state = Mutex(State())

    private struct State {
        var isStopping = false
        var watchesCertificates = false
        var lastReload: (at: WallTime, text: String)?
        var reloader: Reloader?
    }

    /// Reads the configuration's source again and applies it; what it said, or what is wrong.
    package typealias Reloader = @Sendable (Relay) async -> Result<String, StartFailure>

    // MARK: Start, in the order of the path from its end: who takes mail comes last

    /// Opens the spool, takes up what it holds, and listens. From a task of the first loop.
    package static func start(
        _ configuration: Configuration,
        in given: RelayWorld
    )
        async throws(StartFailure) -> Relay
    {
        let rates = RateMeter(clock: given.loops[0].backend, events: given.events)
        var counted = given
        counted.events = rates
        let world = counted
        let owner = world.loops[0]
        owner.preconditionCurrent()
        let settings = RelaySettings(configuration, descriptors: world.descriptors)
        let users = UsersDesk(configuration.auth, in: world)
        try await users.open(configuration.auth.users)
        let lists = ListsDesk(in: world)
        try await lists.prepare(configuration)
        let inlet = Inlet()
        let (spool, recovery) = try await openSpool(settings, world, inlet)
        let house = furnish(spool, world, settings)
        let dispatch = Dispatch(house: house, settings: settings.scheduler)
        inlet.open(
            take: { dispatch.accepted($0) },
            health: { dispatch.spoolChanged(isWell: $0) }
        )
        await dispatch.takeUpQueue()
        dispatch.start()
        let crew = IngressCrew(
            loops: world.loops,
            door: FrontDoor(house: house),
            events: world.events,
            logins: users.logins,
            sessionsMax: settings.descriptors.sessionsMax
        )
        crew.rates.adopt(configuration.rateLimits)
        let shelf = TLSShelf(world.tls)
        let listeners: [Listener]
        do throws(StartFailure) {
            listeners = try listen(settings, crew, owner, shelf, lists)
        } catch {
            await dispatch.stop(until: owner.now())
            await spool.close()
            throw error
        }
        let relay = Relay(
            world: world,
            rates: rates,
            house: house,
            dispatch: dispatch,
            crew: crew,
            users: users,
            lists: lists,
            listeners: listeners,
            shelf: shelf
        )
        relay.watchCertificates()
        for listener in listeners { listener.start() }
        users.watch()
        await lists.adopt(configuration)
        if let shortage = settings.descriptors.shortage {
            house.notice(.warning, "relay", shortage)
        }
        house.notice(
            .info,
            "relay",
            "started with \(recovery.messages) messages in the queue; listening on "
                + listeners.map(\.endpoint.text).joined(separator: ", ")
        )
        return relay
    }

    private static func furnish(
        _ spool: Spool,
        _ world: RelayWorld,
        _ settings: RelaySettings
    ) -> House {
        let resolver = Resolver(
            transport: world.names,
            random: world.random,
            settings: settings.resolver(
                local: world.localNetworks,
                hosts: HostTable(text: world.hostTable)
            ),
            cacheEntries: settings.configuration.resolver.cacheMax
        )
        return House(
            loops: world.loops,
            spool: spool,
            resolver: resolver,
            random: world.random,
            events: world.events,
            settings: settings
        )
    }

    private init(
        world: RelayWorld,
        rates: RateMeter,
        house: House,
        dispatch: Dispatch,
        crew: IngressCrew,
        users: UsersDesk,
        lists: ListsDesk,
        listeners: [Listener],
        shelf: TLSShelf
    ) {
        self.world = world
        self.rates = rates
        self.house = house
        self.dispatch = dispatch
        self.crew = crew
        self.users = users
        self.lists = lists
        self.listeners = listeners
        self.shelf = shelf
        started = house.owner.wallNow()
    }

    private static func openSpool(
        _ settings: RelaySettings,
        _ world: RelayWorld,
        _ inlet: Inlet
    ) async throws(StartFailure) -> (Spool, RecoveryReport) {
        var spoolSettings = settings.spool
        world.rarePaths.apply(to: &spoolSettings)
        do throws(SpoolOpenFailure) {
            return try await Spool.open(
                disk: world.disk,
                owner: world.loops[0],
                settings: spoolSettings,
                events: world.events,
                hooks: SpoolHooks(
                    accepted: { inlet.take($0) },
                    healthChanged: { inlet.tell(isWell: $0) }
                )
            )
        } catch {
            let directory = settings.configuration.spool.directory
            throw StartFailure("can't open the spool in \(directory): \(error.text)")
        }
    }

    private static func listen(
        _ settings: RelaySettings,
        _ crew: IngressCrew,
        _ loop: Loop,
        _ shelf: TLSShelf,
        _ lists: ListsDesk
    )
        throws(StartFailure) -> [Listener]
    {
        var listeners: [Listener] = []
        for listener in settings.configuration.listeners {
            let policy = try settings.policy(of: listener, shelf, lists)
            let ledger = ConnectionLedger()
            for endpoint in listener.listen {
                do throws(SystemError) {
                    listeners.append(
                        try Listener(
                            on: endpoint,
                            policy: policy,
                            crew: crew,
                            ledger: ledger,
                            loop: loop
                        )
                    )
                } catch {
                    // A machine without IPv6 has no ::1; the other family still serves.
                    if endpoint.address == .loopback6, listener.listen.count > 1, error.isNoAddress
                    {
                        crew.report(.warning, "no IPv6 here: not listening on \(endpoint.text)")
                        continue
                    }
                    throw StartFailure(
                        "listener \"\(listener.name)\" can't listen on \(endpoint.text): "
                            + error.text
                    )
                }
            }
        }
        return listeners
    }

    // MARK: Stop, in reverse

    /// Takes no new mail, sends nothing new, waits for replies to final dots for at most the
    /// configured time, and closes the spool. From a task of the first loop.
    package func stop() async {
        let isFirst = state.withLock { state in
            defer { state.isStopping = true }
            return !state.isStopping
        }
        guard isFirst else { return }
        let owner = house.owner
        let deadline = owner.now() + house.settings.configuration.relay.stopTime
        house.notice(.info, "relay", "stopping")
        for listener in listeners { listener.stop() }
        crew.stop()
        users.stop()
        lists.stop()
        await dispatch.stop(until: deadline)
        while crew.count > 0, owner.now() < deadline { await owner.sleep(for: .milliseconds(10)) }
        house.resolver.stop(at: owner.now())
        await house.spool.close()
        house.notice(.info, "relay", "stopped")
    }

    /// Messages in the spool. From a task of the first loop.
    package var queueLength: Int { house.spool.messageCount }

    /// All of them, oldest first. From a task of the first loop.
    package var queue: [QueuedMessage] { house.spool.messages(after: nil, limit: .max) }

    // MARK: Reload

    /// Takes another configuration: all of it that needs no restart. Open sessions keep what they
    /// began with. Returns what a person should know. Errors: a certificate can't be used; then
    /// nothing has changed.
    package func reload(_ configuration: Configuration) async -> Result<String, StartFailure> {
        let running = house.settings.configuration
        let fixed = configuration.restartOnlyChanges(from: running)
        let settings = RelaySettings(
            configuration.keepingRestartOnly(of: running),
            descriptors: world.descriptors
        )
        var policies: [String: ListenerPolicy] = [:]
        do throws(StartFailure) {
            try await lists.prepare(settings.configuration)
            for own in settings.configuration.listeners {
                policies[own.name] = try settings.policy(of: own, shelf, lists)
            }
        } catch {
            return reloadFailed(error.text)
        }
        shelf.keep(
            only: settings.configuration.listeners.compactMap(settings.configuration.tlsSettings)
        )
        watchCertificates()
        house.adopt(settings)
        crew.rates.adopt(settings.configuration.rateLimits)
        await users.reload(settings.configuration.auth)
        await lists.adopt(settings.configuration)
        house.resolver.replace(
            settings.resolver(local: world.localNetworks, hosts: HostTable(text: world.hostTable))
        )
        for listener in listeners {
            if let policy = policies[listener.name] { listener.adopt(policy) }
        }
        if configuration.resolver != running.resolver { house.resolver.flush() }
        await dispatch.ask { core in
            core.scheduler.settings = settings.scheduler
            core.scheduler.routesChanged(at: self.dispatch.moment)
        }
        if configuration.routes != running.routes {
            await dispatch.forgive(routesChangedFrom: running.routes, to: configuration.routes)
            await dispatch.rerouteQueue()
        }
        let text =
            fixed.isEmpty
            ? "configuration reloaded"
            : "configuration reloaded; these need a restart: " + fixed.joined(separator: ", ")
        noteReload(text, .info)
        return .success(text)
    }

    /// How often certificate files are looked at.
    private static let certificateInterval = Duration.seconds(10)

    /// Takes up certificates as they are renewed, for as long as any listener has TLS.
    private func watchCertificates() {
        let isFirst = state.withLock { state in
            defer { state.watchesCertificates = state.watchesCertificates || !shelf.isEmpty }
            return !state.watchesCertificates && !shelf.isEmpty
        }
        guard isFirst else { return }
        let owner = house.owner
        owner.spawn {
            while !self.isStopping {
                await owner.sleep(for: Self.certificateInterval)
                for change in self.shelf.refresh() {
                    switch change {
                    case .success(let text):
                        self.house.notice(.info, "tls", "new certificates are in use: " + text)
                    case .failure(let failure):
                        self.house.notice(
                            .error,
                            "tls",
                            "certificates have changed and can't be used, the ones read before "
                                + "stay: " + failure.text
                        )
                    }
                }
            }
        }
    }

    /// A configuration that could not be used: the running one stays.
    package func reloadFailed(_ text: String) -> Result<String, StartFailure> {
        noteReload("configuration not reloaded, the running one stays: " + text, .error)
        return .failure(StartFailure(text))
    }

    private func noteReload(_ text: String, _ level: EventLevel) {
        let now = house.owner.wallNow()
        state.withLock { $0.lastReload = (now, text) }
        house.notice(level, "config", text)
    }

    /// How the operator's "reload" reaches the configuration's source.
    package func setReloader(_ reloader: @escaping Reloader) {
        state.withLock { $0.reloader = reloader }
    }

    var reloader: Reloader? { state.withLock { $0.reloader } }
    var allowances: Allowances { lists.allowances }
    var isStopping: Bool { state.withLock { $0.isStopping } }
    var lastReload: (at: WallTime, text: String)? { state.withLock { $0.lastReload } }
}

/// Where durable messages go once there is somebody to take them.
final class Inlet: Sendable {
    /// Not the bare closure: behind a generic lock each read of one wraps it once more, and the
    /// layers add up for as long as the process runs.
    private struct Taker {
        let take: @Sendable (QueuedMessage) -> Void
        let health: @Sendable (Bool) -> Void
    }

    private let taker = Mutex<Taker?>(nil)

    func open(
        take: @escaping @Sendable (QueuedMessage) -> Void,
        health: @escaping @Sendable (Bool) -> Void
    ) {
        taker.withLock { $0 = Taker(take: take, health: health) }
    }

    func take(_ message: QueuedMessage) { taker.withLock { $0 }?.take(message) }

    func tell(isWell: Bool) { taker.withLock { $0 }?.health(isWell) }
}
