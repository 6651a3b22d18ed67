// Another configuration for a running relay: all of it or nothing, and one reload at a time.

import EkidenConfiguration
import EkidenIngress
import EkidenMail
import EkidenResolver
import EkidenRuntime
import Synchronization

extension Relay {
    /// Reads the configuration's source again and applies it; what it said, or what is wrong.
    package typealias Reloader = @Sendable (Relay) async -> Result<String, StartFailure>

    /// How a reload reaches the configuration's source.
    package func setReloader(_ reloader: @escaping Reloader) { reloads.set(reloader) }

    /// Reads the configuration's source again and takes what it says; nil without a source. While a
    /// reload is under way the next one waits, and all who ask meanwhile share that one. From a task
    /// of the first loop.
    package func reloadFromSource() async -> Result<String, StartFailure>? {
        guard let reloader = reloads.reloader else { return nil }
        return await reloads.run { await reloader(self) }
    }

    var lastReload: (at: WallTime, text: String)? { reloads.last }

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
            try Self.prepareTLS(settings, shelf)
            try await Self.prepareLogins(settings.configuration, house.logins, on: house.owner)
        } catch {
            keepTLS(of: house.settings)
            return reloadFailed(error.text)
        }
        watchCertificates()
        house.adopt(settings)
        house.logins.keep(only: settings.configuration.hopLogins)
        // After that: who asks for a connector asks for one of these.
        keepTLS(of: settings)
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
            core.scheduler.settingsChanged(at: self.dispatch.moment)
        }
        let (routes, streams) = (configuration.routes, configuration.streams)
        if routes != running.routes || streams != running.streams {
            await dispatch.forgive(routesChangedFrom: running.routes, to: configuration.routes)
            await dispatch.rerouteQueue()
            await dispatch.lookAtDemand()
            watchDemand()
        }
        let text =
            fixed.isEmpty
            ? "configuration reloaded"
            : "configuration reloaded; these need a restart: " + fixed.joined(separator: ", ")
        noteReload(text, .info)
        return .success(text)
    }

    /// A configuration that could not be used: the running one stays.
    private func keepTLS(of settings: RelaySettings) {
        shelf.keep(
            only: settings.configuration.listeners.compactMap(settings.configuration.tlsSettings),
            and: settings.outboundTLS.allSettings
        )
    }

    package func reloadFailed(_ text: String) -> Result<String, StartFailure> {
        noteReload("configuration not reloaded, the running one stays: " + text, .error)
        return .failure(StartFailure(text))
    }

    private func noteReload(_ text: String, _ level: EventLevel) {
        reloads.note(text, at: house.owner.wallNow())
        house.notice(level, "config", text)
    }
}

/// The reloads of a relay: they change many things one after the other, so two at once could leave
/// half of each. Lives on one loop.
final class Reloads: Sendable {
    typealias Outcome = Result<String, StartFailure>

    private struct State {
        var reloader: Relay.Reloader?
        var last: (at: WallTime, text: String)?
        var isRunning = false
        /// Who asked while one was running, and may have changed the source since it was read.
        var waiting: [UnsafeContinuation<Outcome, Never>] = []
    }

    private let loop: Loop
    private let state = Mutex(State())

    init(on loop: Loop) { self.loop = loop }

    var reloader: Relay.Reloader? { state.withLock { $0.reloader } }

    func set(_ reloader: @escaping Relay.Reloader) { state.withLock { $0.reloader = reloader } }

    var last: (at: WallTime, text: String)? { state.withLock { $0.last } }

    func note(_ text: String, at now: WallTime) { state.withLock { $0.last = (now, text) } }

    /// Runs a reload, now or when the one under way is over; what it said. From a task of the loop.
    func run(_ reload: @escaping @Sendable () async -> Outcome) async -> Outcome {
        loop.preconditionCurrent()
        let isFirst = state.withLock { state in
            defer { state.isRunning = true }
            return !state.isRunning
        }
        if isFirst { return await runNow(reload) }
        return await withUnsafeContinuation { waiter in
            state.withLock { $0.waiting.append(waiter) }
        }
    }

    private func runNow(_ reload: @escaping @Sendable () async -> Outcome) async -> Outcome {
        let outcome = await reload()
        let waiting = state.withLock { state in
            defer { state.waiting = [] }
            state.isRunning = !state.waiting.isEmpty
            return state.waiting
        }
        if !waiting.isEmpty {
            loop.spawn {
                let next = await self.runNow(reload)
                for waiter in waiting { waiter.resume(returning: next) }
            }
        }
        return outcome
    }
}
