// A section of the file: its rows, and how a table (or each table of a list) fills its part of the
// `Configuration`. The generic makers below turn rows of one section type into closures over the
// whole configuration, so that the loader, the manual and the reload walk one plain list.

/// A section whose tables carry a name of their own.
protocol NamedSection: Sendable {
    var name: String { get }
    init()
}

extension Configuration.Certificate: NamedSection {}
extension Configuration.Listener: NamedSection {}
extension Configuration.AccessList: NamedSection {}
extension Configuration.CertificateUser: NamedSection {}
extension Configuration.RateLimit: NamedSection {}
extension Configuration.SiteRule: NamedSection {}
extension Configuration.TLSRule: NamedSection {}
extension Configuration.HopLogin: NamedSection {}
extension Configuration.RetryRule: NamedSection {}
extension Configuration.Stream: NamedSection {}
extension Route: NamedSection {}

struct SectionSchema: Sendable {
    let name: String
    /// `[[name]]` rather than `[name]`.
    let isList: Bool
    let sentence: String
    let rows: [SettingRow]
    /// Reads the section's node into the configuration, noting problems and places.
    let load: @Sendable (TOMLNode, inout Configuration, inout Loading) -> Void
    /// Paths of settings that differ and need a restart.
    let restartOnlyChanges: @Sendable (_ old: Configuration, _ new: Configuration) -> [String]
    /// Puts back the settings of `old` that need a restart.
    let keepRestartOnly: @Sendable (_ old: Configuration, _ new: inout Configuration) -> Void

    var header: String { isList ? "[[\(name)]]" : "[\(name)]" }

    /// `[name]`
    static func table<Section: Sendable>(
        _ name: String,
        _ part: any WritableKeyPath<Configuration, Section> & Sendable,
        _ sentence: String,
        _ settings: [Setting<Section>]
    ) -> SectionSchema {
        let defaults = Configuration(hostname: "localhost")[keyPath: part]
        return SectionSchema(
            name: name,
            isList: false,
            sentence: sentence,
            rows: settings.map { $0.row(name, defaults) },
            load: { node, configuration, loading in
                guard case .table(let table) = node.value else {
                    let isList = if case .array = node.value { true } else { false }
                    loading.error(
                        at: node.position,
                        "\(name) is one table; write [\(name)]\(isList ? " once" : " on its own line")"
                    )
                    return
                }
                let place = Loading.Place(section: name, path: name, position: node.position)
                loading.read(table, at: place, settings, into: &configuration[keyPath: part])
            },
            restartOnlyChanges: { old, new in
                settings.changed(old[keyPath: part], new[keyPath: part]).map { "\(name).\($0)" }
            },
            keepRestartOnly: { old, new in
                settings.keep(old[keyPath: part], in: &new[keyPath: part])
            }
        )
    }

    /// `[[name]]`
    static func list<Section: NamedSection>(
        _ name: String,
        _ part: any WritableKeyPath<Configuration, [Section]> & Sendable,
        _ sentence: String,
        _ settings: [Setting<Section>]
    ) -> SectionSchema {
        SectionSchema(
            name: name,
            isList: true,
            sentence: sentence,
            rows: settings.map { $0.row(name, Section()) },
            load: { node, configuration, loading in
                guard case .array(let elements) = node.value else {
                    loading.error(
                        at: node.position,
                        "there can be several of \(name); write [[\(name)]] with two brackets"
                    )
                    return
                }
                var sections: [Section] = []
                for (index, element) in elements.enumerated() {
                    guard case .table(let table) = element.value else {
                        loading.error(at: element.position, "\(name) is a table; write [[\(name)]]")
                        continue
                    }
                    let path = "\(name)[\(index)]"
                    let place = Loading.Place(section: name, path: path, position: element.position)
                    var section = Section()
                    loading.read(table, at: place, settings, into: &section)
                    sections.append(section)
                }
                if !sections.isEmpty { configuration[keyPath: part] = sections }
            },
            restartOnlyChanges: { old, new in
                listChanges(name, settings, old[keyPath: part], new[keyPath: part])
            },
            keepRestartOnly: { old, new in
                guard settings.contains(where: \.needsRestart) else { return }
                let updated = new[keyPath: part]
                new[keyPath: part] = old[keyPath: part].map { running in
                    guard var section = updated.first(where: { $0.name == running.name }) else {
                        return running
                    }
                    settings.keep(running, in: &section)
                    return section
                }
            }
        )
    }

    /// Elements are the same when they have the same name; one that came or went is a change of
    /// its own where any of its settings needs a restart.
    private static func listChanges<Section: NamedSection>(
        _ name: String,
        _ settings: [Setting<Section>],
        _ old: [Section],
        _ new: [Section]
    ) -> [String] {
        guard settings.contains(where: \.needsRestart) else { return [] }
        var changes: [String] = []
        for section in new {
            if let before = old.first(where: { $0.name == section.name }) {
                changes += settings.changed(before, section).map { "\(name).\(section.name).\($0)" }
            } else {
                changes.append("\(name).\(section.name)")
            }
        }
        for section in old where !new.contains(where: { $0.name == section.name }) {
            changes.append("\(name).\(section.name)")
        }
        return changes
    }
}

extension Array {
    /// Names of the settings that need a restart and differ.
    fileprivate func changed<Section>(_ old: Section, _ new: Section) -> [String]
    where Element == Setting<Section> {
        filter { $0.needsRestart && !$0.isEqual(old, new) }.map(\.name)
    }

    fileprivate func keep<Section>(_ old: Section, in new: inout Section)
    where Element == Setting<Section> {
        for setting in self where setting.needsRestart { setting.copy(old, &new) }
    }
}

/// A file while it is read: what was wrong so far, and where each setting stands, so that checks
/// across settings can point at them too.
struct Loading {
    /// A table of the file.
    struct Place {
        /// "listener"
        let section: String
        /// "listener[0]"
        let path: String
        let position: TOMLPosition
    }

    let file: String
    private(set) var problems: [ConfigurationProblem] = []
    private var positions: [String: TOMLPosition] = [:]

    init(file: String) { self.file = file }

    mutating func note(_ position: TOMLPosition, of path: String) { positions[path] = position }

    /// The file sets it, rather than leaving it at its default.
    func isSet(_ path: String) -> Bool { positions[path] != nil }

    /// Where the first of these settings that is set stands; when none is, the section of the
    /// first.
    func position(of paths: String...) -> TOMLPosition? {
        for path in paths {
            if let position = positions[path] { return position }
        }
        return paths.first?.lastIndex(of: ".").flatMap { positions[String(paths[0][..<$0])] }
    }

    mutating func error(at position: TOMLPosition?, _ sentence: String) {
        problems.append(ConfigurationProblem(.error, file: file, position: position, sentence))
    }

    mutating func warning(at position: TOMLPosition?, _ sentence: String) {
        problems.append(ConfigurationProblem(.warning, file: file, position: position, sentence))
    }

    /// Reads the keys of one table by its rows.
    mutating func read<Section>(
        _ table: TOMLTable,
        at place: Place,
        _ settings: [Setting<Section>],
        into section: inout Section
    ) {
        note(place.position, of: place.path)
        for entry in table.entries {
            let path = place.path + "." + entry.key.name
            guard let setting = settings.first(where: { $0.name == entry.key.name }) else {
                let known = settings.map(\.name)
                error(
                    at: entry.key.position,
                    Schema.unknown(entry.key.name, in: place.section, known)
                )
                continue
            }
            note(entry.node.position, of: path)
            do {
                try setting.decode(entry.node, &section)
            } catch {
                self.error(
                    at: error.position ?? entry.node.position,
                    "\(place.section).\(setting.name) \(error.sentence)"
                )
            }
        }
        for setting in settings where setting.isRequired && table[setting.name] == nil {
            error(
                at: place.position,
                "this \(place.section) has no \"\(setting.name)\"; add it, such as "
                    + "\(setting.name) = \(setting.row(place.section, section).example)"
            )
        }
    }
}
