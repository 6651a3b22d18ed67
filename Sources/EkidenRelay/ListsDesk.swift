// The files of lists in the running relay (recipients, allow and deny lists): read at start, at a
// reload, and again when they change. A file that was fine and is broken now leaves its list as it
// was and is told of once; one that was never read stops the start or the reload. Lives on loop 0;
// the sessions' side of it is `WatchedList`.

import EkidenConfiguration
import EkidenIngress
import EkidenMail
import EkidenRuntime
import Synchronization

final class ListsDesk: Sendable {
    /// A file and what is expected in it.
    struct Name: Sendable, Hashable {
        let path: String
        let form: ListForm
        /// The setting that names it, for messages.
        let setting: String

        static func == (a: Name, b: Name) -> Bool { a.path == b.path && a.form == b.form }
        func hash(into hasher: inout Hasher) { hasher.combine(path) }
    }

    private struct Shelf {
        let name: Name
        let list: WatchedList
        /// The file as it was when it was last looked at, well or broken.
        var stamp: FileStamp
    }

    private struct State {
        /// In the order of the configuration.
        var shelves: [Shelf] = []
        /// Domains that some recipients file is to have addresses of.
        var relayDomains: [(path: String, domain: Domain)] = []
    }

    /// Who may relay for a while; not from a file, and of the same sessions' interest.
    let allowances = Allowances()

    private let world: RelayWorld
    private let loop: Loop
    private let lookout: Lookout
    private let state = Mutex(State())

    /// Between two looks at the files.
    private static let interval: Duration = .seconds(3)

    init(in world: RelayWorld) {
        self.world = world
        loop = world.loops[0]
        lookout = Lookout(on: loop, every: Self.interval)
    }

    /// The list of a file that the configuration given last names.
    func list(_ path: String, as form: ListForm) -> WatchedList? {
        state.withLock { state in
            state.shelves.first { $0.name.path == path && $0.name.form == form }?.list
        }
    }

    /// This machine's addresses.
    var localNetworks: [NetworkPrefix] { world.localNetworks }

    // MARK: Start and reload

    /// Reads the files that are new with this configuration. Errors: one can't be read or
    /// understood; then nothing has changed. From a task of the loop.
    func prepare(_ configuration: Configuration) async throws(StartFailure) {
        var known = state.withLock { $0.shelves }
        for name in configuration.listFiles where !known.contains(where: { $0.name == name }) {
            do throws(FileTrouble) {
                let (stamp, entries) = try await read(name)
                let list = WatchedList(path: name.path, form: name.form)
                list.adopt(entries)
                known.append(Shelf(name: name, list: list, stamp: stamp))
            } catch {
                throw StartFailure("can't use \(name.path) (\(name.setting)): \(error.text)")
            }
        }
        let all = known
        state.withLock { $0.shelves = all }
    }

    /// The configuration is in use: forgets the files it does not name, looks at the others
    /// whether they seem changed or not, and goes on watching.
    func adopt(_ configuration: Configuration) async {
        let names = configuration.listFiles
        state.withLock { state in
            state.shelves.removeAll { !names.contains($0.name) }
            state.relayDomains = configuration.listeners.flatMap { listener in
                listener.relayDomains.compactMap { pattern in
                    guard let path = listener.recipients, case .exact(let domain) = pattern
                    else { return nil }
                    return (path, domain)
                }
            }
        }
        for listener in configuration.listeners
        where listener.recipients != nil && listener.relayDomains.isEmpty {
            tell(
                .warning,
                "recipients of listener \"\(listener.name)\" has no effect without relay_domains; "
                    + "list the domains it is about"
            )
        }
        await look(isAsked: true)
        for name in names where name.form == .recipients { warnOfGaps(in: name) }
        if !names.isEmpty { lookout.start { await self.look() } }
    }

    /// From a task of the loop.
    func stop() { lookout.stop() }

    // MARK: Looking

    /// Reads the files that are not the ones that were read last.
    /// - Parameter isAsked: by an operator, who has done writing.
    private func look(isAsked: Bool = false) async {
        for shelf in state.withLock({ $0.shelves }) {
            let name = shelf.name
            let stamp = (try? await world.files.stamp(name.path)) ?? .absent
            if stamp == shelf.stamp { continue }
            if !isAsked, stamp.isFresh(at: loop.wallNow()) { continue }
            do throws(FileTrouble) {
                let (stamp, entries) = try await read(name)
                shelf.list.adopt(entries)
                note(stamp, of: name)
                tell(.info, "\(name.path) read: \(entries.count) entries")
                warnOfGaps(in: name)
            } catch {
                note(stamp, of: name)
                tell(
                    .warning,
                    "\(name.path) not taken, its list stays as it was: \(error.text)"
                )
            }
        }
    }

    private func note(_ stamp: FileStamp, of name: Name) {
        state.withLock { state in
            guard let index = state.shelves.firstIndex(where: { $0.name == name }) else { return }
            state.shelves[index].stamp = stamp
        }
    }

    private func read(_ name: Name) async throws(FileTrouble) -> (FileStamp, EntryList) {
        let (stamp, bytes) = try await world.readSteady(name.path, maxBytes: EntryList.bytesMax)
        let parsed = await world.workers.run(on: loop) {
            () -> Result<EntryList, EntryListProblem> in
            do throws(EntryListProblem) {
                return .success(try EntryList(parsing: bytes, as: name.form))
            } catch {
                return .failure(error)
            }
        }
        switch parsed {
        case .success(let entries): return (stamp, entries)
        case .failure(let problem): throw FileTrouble(text: problem.text)
        }
    }

    /// All mail for a domain without a single recipient would be refused, which is a mistake more
    /// often than not.
    private func warnOfGaps(in name: Name) {
        guard name.form == .recipients else { return }
        let (list, domains) = state.withLock { state in
            (
                state.shelves.first { $0.name == name }?.list.current,
                state.relayDomains.filter { $0.path == name.path }.map(\.domain)
            )
        }
        guard let list else { return }
        for domain in domains where !list.mailboxes.mentions(domain) {
            tell(
                .warning,
                "\(name.path) names nobody at \(domain.text), so all mail for it is refused; "
                    + "@\(domain.text) there would take any address"
            )
        }
    }

    private func tell(_ level: EventLevel, _ text: String) {
        world.events.emit(.notice(.init(level, "lists", text)), at: loop.wallNow())
    }
}

extension Configuration {
    /// Files of lists, each once.
    var listFiles: [ListsDesk.Name] {
        var names: [ListsDesk.Name] = []
        for listener in listeners {
            guard let path = listener.recipients else { continue }
            let name = ListsDesk.Name(
                path: path,
                form: .recipients,
                setting: "recipients of listener \"\(listener.name)\""
            )
            if !names.contains(name) { names.append(name) }
        }
        if let path = auth.senders {
            names.append(ListsDesk.Name(path: path, form: .senders, setting: "auth.senders"))
        }
        for list in lists {
            guard let path = list.file else { continue }
            let name = ListsDesk.Name(
                path: path,
                form: list.form,
                setting: "file of list \"\(list.name)\""
            )
            if !names.contains(name) { names.append(name) }
        }
        return names
    }
}

extension Configuration {
    /// What keeps the files of lists from being used, as a start would find it; for who checks a
    /// configuration without running it.
    package func listProblems(
        reading read: (_ path: String, _ maxBytes: Int) throws(FileProblem) -> [UInt8]
    ) -> [String] {
        listFiles.compactMap { name in
            let what = "can't use \(name.path) (\(name.setting)): "
            do throws(FileProblem) {
                let bytes = try read(name.path, EntryList.bytesMax)
                do throws(EntryListProblem) {
                    _ = try EntryList(parsing: bytes, as: name.form)
                    return nil
                } catch {
                    return what + error.text
                }
            } catch {
                return what + error.text
            }
        }
    }
}
