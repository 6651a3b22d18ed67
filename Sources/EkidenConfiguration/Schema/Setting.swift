// A setting is one row: its name, the field it fills, the type that reads it, and what people need
// to know. From the rows come the loader, the manual, the example, `config explain` and the answer
// to "does this need a restart"; no setting is spelled out anywhere else.

/// What people need to know of a setting.
package struct SettingRow: Sendable, Equatable {
    /// Name of the section: "retry".
    package let section: String
    /// Name within the section: "first".
    package let name: String
    /// "a time"
    package let noun: String
    /// "1s to 30d"; may be empty.
    package let range: String
    /// The default in TOML; nil when it is unset or must be given.
    package let defaultValue: String?
    /// The default in words, where TOML can't say it.
    package let defaultWords: String?
    /// A value in TOML that shows the form.
    package let example: String
    package let sentence: String
    package let needsRestart: Bool
    /// It has no default: the section is not complete without it.
    package let isRequired: Bool

    /// `retry.first`
    package var path: String { section + "." + name }
}

/// A row and the field of `Section` it fills.
struct Setting<Section: Sendable>: Sendable {
    let name: String
    let needsRestart: Bool
    let isRequired: Bool
    let row: @Sendable (_ section: String, _ defaults: Section) -> SettingRow
    let decode: @Sendable (TOMLNode, inout Section) throws(Misfit) -> Void
    let isEqual: @Sendable (Section, Section) -> Bool
    let copy: @Sendable (_ from: Section, _ to: inout Section) -> Void

    init<Value>(
        _ name: String,
        _ field: any WritableKeyPath<Section, Value> & Sendable,
        _ type: ValueType<Value>,
        default words: String? = nil,
        example: String,
        restart: Bool = false,
        required: Bool = false,
        _ sentence: String
    ) {
        self.name = name
        needsRestart = restart
        isRequired = required
        row = { section, defaults in
            SettingRow(
                section: section,
                name: name,
                noun: type.noun,
                range: type.range,
                defaultValue: required || words != nil
                    ? nil : type.encode(defaults[keyPath: field]),
                defaultWords: words,
                example: example,
                sentence: sentence,
                needsRestart: restart,
                isRequired: required
            )
        }
        decode = { node, section throws(Misfit) in
            section[keyPath: field] = try type.decode(node)
        }
        isEqual = { $0[keyPath: field] == $1[keyPath: field] }
        copy = { from, to in to[keyPath: field] = from[keyPath: field] }
    }
}
