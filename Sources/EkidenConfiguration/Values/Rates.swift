// Rates: so many in a time, "60/m"; and times of the week.

extension ValueType<Configuration.Rate> {
    private static let units: [(name: String, period: Duration, aliases: [String])] = [
        ("s", .seconds(1), ["sec", "second"]), ("m", .seconds(60), ["min", "minute"]),
        ("h", .seconds(3600), ["hr", "hour"]), ("d", .seconds(86_400), ["day"]),
    ]
    private static let counts = 1...1_000_000

    /// A whole number and the time in which so many may come: a second, minute, hour or day.
    static let rate = ValueType<Configuration.Rate>(
        "a rate",
        range: "1 to 1000000 in s, m, h or d",
        decode: { node throws(Misfit) in
            guard case .string(let text) = node.value else {
                throw Misfit("is a rate; write it such as \"60/m\", not \(node.value.noun)")
            }
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            let isNumber = !parts[0].isEmpty && parts[0].utf8.allSatisfy(\.isDigit)
            guard parts.count == 2, isNumber else {
                throw Misfit("is a rate such as \"60/m\" or \"1000/h\", not \(quoted(text))")
            }
            guard let unit = units.first(where: { $0.name == parts[1] }) else {
                let meant = units.first { $0.aliases.contains(parts[1].lowercased()) }
                throw Misfit(
                    "has an unknown time \(quoted(String(parts[1]))); write s, m, h or d"
                        + (meant.map { ", did you mean \"\(parts[0])/\($0.name)\"?" } ?? "")
                )
            }
            guard let count = Int(parts[0]), counts.contains(count) else {
                throw Misfit("must be 1 to 1000000 in its time, not \(parts[0])")
            }
            return Configuration.Rate(count, per: unit.period)
        },
        encode: { rate in
            units.first { $0.period == rate.period }.map { quoted("\(rate.count)/\($0.name)") }
        }
    )
}

extension ValueType<WeekWindow> {
    /// `22:00-06:00`, with days in front unless it is every day.
    static let weekWindow = ValueType<WeekWindow>(
        "a time of the week",
        decode: { node throws(Misfit) in
            let example = "Mon-Fri 22:00-06:00"
            let text = try node.text("a time of the week", like: example)
            guard let window = WeekWindow(text) else {
                throw Misfit(
                    "is a time of the week such as \"22:00-06:00\" or \"\(example)\", not "
                        + quoted(text)
                        + " (days are Mon to Sun, without spaces; a whole day is 00:00-24:00)"
                )
            }
            return window
        },
        encode: { quoted($0.text) }
    )
}
