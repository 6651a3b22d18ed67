// The real world around one relay: loops, disk, name servers, log, control socket and signals, in
// the order they are needed, and ended in reverse.

import EkidenConfiguration
import EkidenLinux
import EkidenMail
import EkidenRelay
import EkidenRuntime
import Glibc
import Synchronization

final class Daemon: Sendable {
    private let configuration: Configuration
    private let source: ConfigurationSource
    private let log: LogWriter
    private let stops = Mutex(0)
    private let names = Mutex<UDPNameTransport?>(nil)

    private static let signals = [SIGTERM, SIGINT, SIGHUP]

    init(_ configuration: Configuration, source: ConfigurationSource) {
        // Before the first thread, so that no thread but the watch takes them.
        SignalWatch.block(Self.signals)
        self.configuration = configuration
        self.source = source
        log = LogWriter(
            format: configuration.log.format == .json ? .json : .text,
            level: configuration.log.level,
            history: configuration.historySettings
        )
    }

    func run(_ console: Console) throws(CommandProblem) -> ExitStatus {
        let directory = configuration.spool.directory
        try makeDirectory(directory)
        let descriptors = DescriptorLimit.raise(to: configuration.limits.openFiles)
        let count = configuration.limits.loops > 0 ? configuration.limits.loops : Processors.online
        let loops: LinuxLoops
        let programs: LinuxPrograms
        do throws(SystemError) {
            programs = try LinuxPrograms()
            loops = try LinuxLoops(count: count)
        } catch {
            throw CommandProblem(.negative, "can't start the event loops: \(error.text)")
        }
        let disk = PosixDisk(root: directory)
        let workers = WorkQueue(name: "files", threads: 1)
        // Hashing passwords may take half of the machine and no more.
        let hashing = WorkQueue(name: "hash", threads: max(1, Processors.online / 2))
        let names = UDPNameTransport(
            settings: nameServers(configuration),
            random: LinuxRandom(),
            workers: workers
        )
        self.names.withLock { $0 = names }
        let world = RelayWorld(
            loops: loops.loops,
            disk: disk,
            names: names,
            tls: OpenSSLProvider(),
            random: QuickRandom(),
            secrets: LinuxRandom(),
            files: LinuxFiles(),
            workers: hashing,
            programs: programs,
            events: log,
            localTime: { LocalZone.time($0) },
            localNetworks: LocalAddresses.all(),
            hostTable: (try? LinuxFiles().readNow("/etc/hosts", maxBytes: 1 << 20)) ?? [],
            descriptors: descriptors > 0 ? descriptors : .max,
            program: ProgramFacts(
                version: versionText,
                processID: Int(getpid()),
                configurationFile: source.path
            )
        )
        let outcome = serve(world)
        self.names.withLock { $0 = nil }
        names.stop()
        loops.stop()
        programs.close()
        disk.close()
        workers.close()
        hashing.close()
        log.close()
        if let problem = outcome { throw CommandProblem(.negative, problem) }
        return .success
    }

    /// Starts the relay on its first loop and returns when it has stopped; the problem, if it could
    /// not start.
    private func serve(_ world: RelayWorld) -> String? {
        let ended = Once<String?>()
        let owner = world.loops[0]
        owner.spawn {
            do throws(StartFailure) {
                let relay = try await Relay.start(self.configuration, in: world)
                relay.setReloader { await self.reload($0) }
                let control = try ControlSocket.open(relay, self.configuration, on: owner)
                SignalWatch.start(Self.signals) { self.take($0, relay, control, owner, ended) }
            } catch {
                ended.set(error.text)
            }
        }
        return ended.wait()
    }

    private func take(
        _ signal: Int32,
        _ relay: Relay,
        _ control: ControlSocket,
        _ owner: Loop,
        _ ended: Once<String?>
    ) {
        if signal == SIGHUP {
            owner.spawn { _ = await relay.reloadFromSource() }
            return
        }
        let isFirst = stops.withLock { stops in
            stops += 1
            return stops == 1
        }
        // Asked twice, the operator means now. The spool is made for it.
        if !isFirst { _exit(1) }
        owner.spawn {
            control.close()
            await relay.stop()
            ended.set(nil)
        }
    }

    /// Reads the file again; all or nothing.
    private func reload(_ relay: Relay) async -> Result<String, StartFailure> {
        switch source.read() {
        case .success(nil):
            return relay.reloadFailed("the relay was started without a configuration file")
        case .success(let inspection?):
            let next = inspection.configuration
            let result = await relay.reload(next)
            guard case .success = result else { return result }
            log.reconfigure(
                format: next.log.format == .json ? .json : .text,
                level: next.log.level,
                history: next.historySettings
            )
            names.withLock { $0 }?.replace(nameServers(next))
            return result
        case .failure(let problem):
            return relay.reloadFailed(problem.text)
        }
    }

    private func makeDirectory(_ path: String) throws(CommandProblem) {
        if mkdir(path, 0o700) == 0 || errno == EEXIST { return }
        throw CommandProblem(
            .negative,
            "can't make the spool directory \(path): \(systemWords())",
            hint: "make it yourself, owned by the user the relay runs as, or set spool.directory"
        )
    }

    private func nameServers(_ configuration: Configuration) -> NameServerSettings {
        var settings = NameServerSettings()
        settings.servers = configuration.resolver.servers
        settings.timeout = configuration.resolver.timeout
        settings.attempts = configuration.resolver.attempts
        return settings
    }
}

/// A value that one thread waits for and another sets.
private final class Once<Value: Sendable>: Sendable {
    private let value = Mutex<Value?>(nil)
    private let bell = Semaphore()

    func set(_ value: Value) {
        self.value.withLock { $0 = value }
        bell.signal()
    }

    func wait() -> Value {
        while true {
            bell.wait()
            if let value = value.withLock({ $0 }) { return value }
        }
    }
}

extension Configuration {
    /// Where `serve` writes the history and `trace` reads it.
    var historySettings: HistorySettings {
        HistorySettings(
            directory: spool.directory + "/history",
            keep: history.keep,
            maxBytes: history.maxSize
        )
    }
}
