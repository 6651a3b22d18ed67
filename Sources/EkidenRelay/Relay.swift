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
    let shelf: TLSShelf
    let reloads: Reloads
    /// Looks at the files of certificates.
    let certificates: Lookout
    /// Looks whether routes open.
    let demand: Lookout
    private let state = Mutex(State())

    private struct State {
        var isStopping = false
    }

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
        let shelf = TLSShelf(world.tls)
        try prepareTLS(settings, shelf)
        let hopLogins = HopLogins(world)
        try await prepareLogins(configuration, hopLogins, on: owner)
        let inlet = Inlet()
        let (spool, recovery) = try await openSpool(settings, world, inlet)
        let house = furnish(spool, world, settings, shelf, hopLogins)
        let dispatch = Dispatch(house: house, settings: settings.scheduler)
        inlet.open(
            take: { dispatch.accepted($0) },
            health: { dispatch.spoolChanged(isWell: $0) }
        )
        await dispatch.takeUpQueue()
        dispatch.start()
        await dispatch.lookAtDemand()
        let crew = IngressCrew(
            loops: world.loops,
            door: FrontDoor(house: house),
            events: world.events,
            logins: users.logins,
            sessionsMax: settings.descriptors.sessionsMax,
            sessionsPerClientMax: settings.descriptors.sessionsPerClientMax
        )
        crew.rates.adopt(configuration.rateLimits)
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
        relay.watchDemand()
        relay.warnOfCertificateEnds()
        for listener in listeners { listener.start() }
        users.watch()
        await lists.adopt(configuration)
        relay.announce(recovery)
        return relay
    }

    private func announce(_ recovery: RecoveryReport) {
        if let shortage = house.settings.descriptors.shortage {
            house.notice(.warning, "relay", shortage)
        }
        house.notice(
            .info,
            "relay",
            "started with \(recovery.messages) messages in the queue; listening on "
                + listeners.map(\.endpoint.text).joined(separator: ", ")
        )
    }

    private static func furnish(
        _ spool: Spool,
        _ world: RelayWorld,
        _ settings: RelaySettings,
        _ shelf: TLSShelf,
        _ logins: HopLogins
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
            settings: settings,
            shelf: shelf,
            logins: logins,
            localTime: world.localTime
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
        reloads = Reloads(on: house.owner)
        certificates = Lookout(on: house.owner, every: Self.certificateInterval)
        demand = Lookout(on: house.owner, every: Dispatch.demandInterval)
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
        certificates.stop()
        demand.stop()
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

    var allowances: Allowances { lists.allowances }
    var isStopping: Bool { state.withLock { $0.isStopping } }
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
