// All sections in the order of the paper path: into the relay, through the spool, out of it. Their
// rows are in the files beside this one.

package enum Schema {
    static let sections: [SectionSchema] = [
        relay, log, history, control, certificate, listener, rate, list, auth, certificateUser,
        rewriting,
        spool,
        retry, retryRule,
        stream,
        sites, site, route, tlsPolicy, hopLogin,
        resolver,
        delivery,
        bounces, limits,
    ]

    /// Every setting, in the order of the manual.
    package static var rows: [SettingRow] { sections.flatMap(\.rows) }

    /// What to say of a name that is no setting of its section.
    static func unknown(_ name: String, in section: String, _ known: [String]) -> String {
        if let meant = Suggestion.nearest(to: name, among: known) {
            return "there is no setting \"\(name)\" in \(section), did you mean \"\(meant)\"?"
        }
        if let row = rows.first(where: { $0.name == name }) {
            return "there is no setting \"\(name)\" in \(section); it belongs in \(row.section)"
        }
        return
            "there is no setting \"\(name)\" in \(section); \"ekiden config explain \(section)\" "
            + "lists them"
    }

    /// What to say of a name at the top level that is no section.
    static func unknownSection(_ name: String) -> String {
        let names = sections.map(\.name)
        if let meant = Suggestion.nearest(to: name, among: names) {
            return "there is no section \"\(name)\", did you mean \"\(meant)\"?"
        }
        if let row = rows.first(where: { $0.name == name }) {
            return "\"\(name)\" stands outside any section; it belongs in \(row.section)"
        }
        return "there is no section \"\(name)\"; the sections are " + names.joined(separator: ", ")
    }
}
