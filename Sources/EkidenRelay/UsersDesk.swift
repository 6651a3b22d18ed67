// The users file in the running relay: read at start, and again when it changes, when its path does
// or when the operator asks for it. A new file that can't be used leaves the users as they were and
// is told of once. Lives on loop 0; the sessions' side of it is `Logins`.

import EkidenConfiguration
import EkidenIngress
import EkidenMail
import EkidenRuntime
import Synchronization

final class UsersDesk: Sendable {
    private struct State {
        var path: String?
        var mechanisms: [Configuration.Mechanism]
        /// The file as it was when it was last looked at, well or broken.
        var stamp: FileStamp?
    }

    let logins: Logins
    private let world: RelayWorld
    private let loop: Loop
    private let lookout: Lookout
    private let state: Mutex<State>

    /// Between two looks at the file.
    private static let interval: Duration = .seconds(3)

    /// From a task of the first loop.
    init(_ configuration: Configuration.Auth, in world: RelayWorld) {
        self.world = world
        state = Mutex(State(mechanisms: configuration.mechanisms))
        loop = world.loops[0]
        lookout = Lookout(on: loop, every: Self.interval)
        logins = Logins(
            users: UserTable(),
            lockout: LockoutSettings(configuration),
            workers: world.workers,
            random: world.secrets
        )
    }

    /// Reads the users for the first time. Errors: the file can't be read or understood.
    func open(_ path: String?) async throws(StartFailure) {
        guard let path else { return }
        do throws(FileTrouble) {
            let stamp = try await read(path)
            state.withLock { state in
                state.path = path
                state.stamp = stamp
            }
        } catch {
            throw StartFailure("can't use the users file \(path): \(error.text)")
        }
    }

    /// Takes another configuration, and looks at the file whether it seems changed or not.
    func reload(_ configuration: Configuration.Auth) async {
        logins.adopt(LockoutSettings(configuration))
        let path = configuration.users
        let isOther = state.withLock { state in
            defer { state.path = path }
            state.mechanisms = configuration.mechanisms
            return state.path != path
        }
        guard path != nil else {
            if isOther { logins.adopt(UserTable()) }
            return
        }
        state.withLock { $0.stamp = nil }
        await look()
        watch()
    }

    /// Looks at the file from time to time until `stop`, if there is one. From a task of the loop.
    func watch() {
        guard state.withLock({ $0.path != nil }) else { return }
        lookout.start { await self.look() }
    }

    /// From a task of the loop.
    func stop() { lookout.stop() }

    /// Reads the file if it is not the one that was read last.
    private func look() async {
        let (path, known) = state.withLock { ($0.path, $0.stamp) }
        guard let path else { return }
        let stamp = try? await world.files.stamp(path)
        if let known, known == stamp { return }
        if known != nil, stamp?.isFresh(at: loop.wallNow()) == true { return }
        // Gone, and known to be.
        if stamp == nil, known == FileStamp.absent { return }
        do throws(FileTrouble) {
            let stamp = try await read(path)
            state.withLock { $0.stamp = stamp }
            tell(.info, "\(path) read: \(logins.userCount) users")
        } catch {
            state.withLock { $0.stamp = stamp ?? .absent }
            tell(.warning, "\(path) not taken, the users stay as they were: \(error.text)")
        }
    }

    private func read(_ path: String) async throws(FileTrouble) -> FileStamp {
        let (stamp, bytes) = try await world.readSteady(path, maxBytes: UserTable.bytesMax)
        let parsed = await world.workers.run(on: loop) {
            () -> Result<UserTable, UserTableProblem> in
            do throws(UserTableProblem) {
                return .success(try UserTable(parsing: bytes))
            } catch {
                return .failure(error)
            }
        }
        switch parsed {
        case .success(let users):
            logins.adopt(users)
            warnOfMechanisms(users, path)
        case .failure(let problem):
            throw FileTrouble(text: "line \(problem.line): \(problem.text)")
        }
        if let looseness = stamp.looseness { tell(.warning, "\(path) has \(looseness)") }
        return stamp
    }

    /// Users who can't log in by any mechanism that is allowed.
    private func warnOfMechanisms(_ users: UserTable, _ path: String) {
        let others = state.withLock { state in
            state.mechanisms.contains { $0 != .scramSHA256 && $0 != .scramSHA256Plus }
        }
        guard users.count > 0, !users.hasSCRAMKeys, !others else { return }
        tell(
            .warning,
            "nobody in \(path) has keys for SCRAM, and auth.mechanisms allows nothing else: nobody "
                + "can log in; set the passwords anew, or allow PLAIN"
        )
    }

    private func tell(_ level: EventLevel, _ text: String) {
        world.events.emit(.notice(.init(level, "users", text)), at: loop.wallNow())
    }
}

extension LockoutSettings {
    init(_ auth: Configuration.Auth) {
        self.init()
        failures = auth.maxFailures
        window = auth.failureTime
        lockout = auth.lockoutTime
    }
}
