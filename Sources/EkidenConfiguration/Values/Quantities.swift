// Numbers: counts, factors, switches, and quantities with a unit (times, sizes, shares). A
// quantity never goes without its unit, so that nobody has to remember which one a setting wants.

extension ValueType<Bool> {
    static let boolean = ValueType<Bool>(
        "true or false",
        decode: { node throws(Misfit) in
            guard case .boolean(let value) = node.value else {
                throw Misfit("is true or false, without quotes, not \(node.value.noun)")
            }
            return value
        },
        encode: { $0 ? "true" : "false" }
    )
}

extension ValueType where Value: FixedWidthInteger & Sendable {
    /// A plain number of something.
    static func count(_ range: ClosedRange<Value>) -> ValueType {
        ValueType(
            "a whole number",
            range: "\(range.lowerBound) to \(range.upperBound)",
            decode: { node throws(Misfit) in
                guard case .integer(let integer) = node.value else {
                    throw Misfit("is a whole number, without quotes, not \(node.value.noun)")
                }
                guard let value = Value(exactly: integer), range.contains(value) else {
                    throw Misfit(
                        "must be \(range.lowerBound) to \(range.upperBound), not \(integer)"
                    )
                }
                return value
            },
            encode: { "\($0)" }
        )
    }
}

extension ValueType<Double> {
    /// A number that may have a fraction.
    static func factor(_ range: ClosedRange<Double>) -> ValueType<Double> {
        ValueType(
            "a number",
            range: "\(range.lowerBound) to \(range.upperBound)",
            decode: { node throws(Misfit) in
                let value: Double
                switch node.value {
                case .integer(let integer): value = Double(integer)
                case .float(let float): value = float
                default:
                    throw Misfit("is a number, without quotes, not \(node.value.noun)")
                }
                // Also false for nan.
                guard range.contains(value) else {
                    throw Misfit(
                        "must be \(range.lowerBound) to \(range.upperBound), not \(value)"
                    )
                }
                return value
            },
            encode: { "\($0)" }
        )
    }
}

// MARK: Units

/// A unit and how many of the smallest it holds.
struct UnitScale: Sendable {
    let name: String
    let size: Int64

    /// In milliseconds; largest first, as they are written.
    static let times = [
        UnitScale(name: "w", size: 604_800_000), UnitScale(name: "d", size: 86_400_000),
        UnitScale(name: "h", size: 3_600_000), UnitScale(name: "m", size: 60_000),
        UnitScale(name: "s", size: 1000), UnitScale(name: "ms", size: 1),
    ]

    /// In bytes; binary and decimal units by their own names.
    static let sizes = [
        UnitScale(name: "TiB", size: 1 << 40), UnitScale(name: "GiB", size: 1 << 30),
        UnitScale(name: "MiB", size: 1 << 20), UnitScale(name: "KiB", size: 1 << 10),
        UnitScale(name: "TB", size: 1_000_000_000_000), UnitScale(name: "GB", size: 1_000_000_000),
        UnitScale(name: "MB", size: 1_000_000), UnitScale(name: "kB", size: 1000),
        UnitScale(name: "KB", size: 1000), UnitScale(name: "B", size: 1),
    ]
}

/// Reads `"1h30m"`: numbers each with a unit, largest unit first.
struct QuantityReader {
    let noun: String
    let example: String
    let units: [UnitScale]
    /// What people write for a unit, besides its name.
    let aliases: [String: String]

    static let time = QuantityReader(
        noun: "a time",
        example: "5m",
        units: UnitScale.times,
        aliases: [
            "sec": "s", "secs": "s", "second": "s", "seconds": "s", "min": "m", "mins": "m",
            "minute": "m", "minutes": "m", "hour": "h", "hours": "h", "hr": "h", "day": "d",
            "days": "d", "week": "w", "weeks": "w", "msec": "ms", "milliseconds": "ms",
        ]
    )
    static let size = QuantityReader(
        noun: "a size",
        example: "10MiB",
        units: UnitScale.sizes,
        aliases: ["k": "KiB", "m": "MiB", "g": "GiB", "t": "TiB", "bytes": "B", "byte": "B"]
    )

    private var unitNames: String { units.map(\.name).reversed().joined(separator: ", ") }

    func read(_ node: TOMLNode) throws(Misfit) -> Int64 {
        switch node.value {
        case .integer(let number):
            throw Misfit("is \(noun) and needs a unit; write it such as \"\(number)\(bareUnit)\"")
        case .string(let text): return try read(text)
        default: throw Misfit("is \(noun), such as \"\(example)\", not \(node.value.noun)")
        }
    }

    private var bareUnit: String { noun == "a time" ? "s" : "B" }

    private func read(_ text: String) throws(Misfit) -> Int64 {
        let malformed = Misfit("is \(noun), such as \"\(example)\", not \(quoted(text))")
        var rest = Array(text.utf8)[...]
        var total: Int64 = 0
        var smallest = Int64.max
        guard !rest.isEmpty else { throw malformed }
        while !rest.isEmpty {
            let digits = rest.prefix(while: \.isDigit)
            rest = rest.dropFirst(digits.count)
            let name = String(decoding: rest.prefix { !$0.isDigit }, as: UTF8.self)
            rest = rest.dropFirst(name.utf8.count)
            guard !digits.isEmpty else { throw malformed }
            let unit = try unit(name, in: text)
            guard unit.size < smallest else {
                throw Misfit("has its units in the wrong order; write the largest first")
            }
            smallest = unit.size
            guard let number = Int64(String(decoding: digits, as: UTF8.self)) else {
                throw Misfit("is too large: \(quoted(text))")
            }
            let (part, overflow) = number.multipliedReportingOverflow(by: unit.size)
            let (sum, overflowed) = total.addingReportingOverflow(part)
            guard !overflow, !overflowed else { throw Misfit("is too large: \(quoted(text))") }
            total = sum
        }
        return total
    }

    private func unit(_ name: String, in text: String) throws(Misfit) -> UnitScale {
        if let unit = units.first(where: { $0.name == name }) { return unit }
        if name.isEmpty {
            throw Misfit("is \(noun) and needs a unit; write it such as \"\(text)\(bareUnit)\"")
        }
        let trimmed = String(name.filter { $0 != " " })
        let meant =
            units.first { $0.name == trimmed }?.name
            ?? units.first { $0.name.lowercased() == trimmed.lowercased() }?.name
            ?? aliases[trimmed.lowercased()]
        if trimmed.hasPrefix(".") {
            throw Misfit("takes no fractions; use a smaller unit (\(unitNames))")
        }
        throw Misfit(
            "has an unknown unit \(quoted(name)); the units are \(unitNames)"
                + (meant.map { ", did you mean \"\($0)\"?" } ?? "")
        )
    }

    /// The shortest exact form: the largest unit that divides it.
    func write(_ amount: Int64) -> String {
        // Weeks and decimal sizes are read but not written; the manual stays with one family.
        let family = units.filter { $0.name != "w" && (!$0.name.hasSuffix("B") || isBinary($0)) }
        if amount == 0 { return "0" + bareUnit }
        for unit in family where amount % unit.size == 0 {
            return "\(amount / unit.size)\(unit.name)"
        }
        return "\(amount)\(bareUnit)"
    }

    private func isBinary(_ unit: UnitScale) -> Bool { unit.size & (unit.size - 1) == 0 }
}

extension ValueType<Duration> {
    /// A time with its unit. Whole milliseconds.
    static func time(_ range: ClosedRange<Duration>) -> ValueType<Duration> {
        let reader = QuantityReader.time
        let bounds = text(range.lowerBound) + " to " + text(range.upperBound)
        return ValueType(
            "a time",
            range: bounds,
            decode: { node throws(Misfit) in
                let value = Duration.milliseconds(try reader.read(node))
                guard range.contains(value) else {
                    throw Misfit("must be \(bounds), not \(text(value))")
                }
                return value
            },
            encode: { quoted(text($0)) }
        )
    }

    private static func text(_ value: Duration) -> String {
        QuantityReader.time.write(value.wholeNanoseconds / 1_000_000)
    }
}

extension ValueType<Int> {
    /// A size in bytes, with its unit.
    static func size(_ range: ClosedRange<Int>) -> ValueType<Int> {
        let reader = QuantityReader.size
        let bounds =
            reader.write(Int64(range.lowerBound)) + " to " + reader.write(Int64(range.upperBound))
        return ValueType(
            "a size",
            range: bounds,
            decode: { node throws(Misfit) in
                let value = Int(try reader.read(node))
                guard range.contains(value) else {
                    throw Misfit("must be \(bounds), not \(reader.write(Int64(value)))")
                }
                return value
            },
            encode: { quoted(reader.write(Int64($0))) }
        )
    }
}

extension ValueType<Percentage> {
    /// A share such as "10%" or "2.5%", in steps of a hundredth.
    static func percentage(_ range: ClosedRange<Int>) -> ValueType<Percentage> {
        let bounds = "\(range.lowerBound)% to \(range.upperBound)%"
        return ValueType(
            "a percentage",
            range: bounds,
            decode: { node throws(Misfit) in
                guard case .string(let text) = node.value, text.hasSuffix("%") else {
                    throw Misfit("is a percentage; write it such as \"10%\"")
                }
                guard let points = basisPoints(text.dropLast()) else {
                    throw Misfit("is a percentage such as \"10%\" or \"2.5%\", not \(quoted(text))")
                }
                guard (range.lowerBound * 100...range.upperBound * 100).contains(points) else {
                    throw Misfit("must be \(bounds), not \(text)")
                }
                return Percentage(basisPoints: points)
            },
            encode: { value in
                let (whole, rest) = value.basisPoints.quotientAndRemainder(dividingBy: 100)
                let fraction = rest == 0 ? "" : rest < 10 ? ".0\(rest)" : ".\(rest)"
                return quoted("\(whole)\(fraction)%")
            }
        )
    }

    private static func basisPoints(_ text: Substring) -> Int? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count <= 2, (1...6).contains(parts[0].utf8.count),
            parts.allSatisfy({ $0.utf8.allSatisfy(\.isDigit) }), let whole = Int(parts[0])
        else { return nil }
        guard parts.count == 2 else { return whole * 100 }
        guard (1...2).contains(parts[1].utf8.count), let rest = Int(parts[1]) else { return nil }
        return whole * 100 + (parts[1].utf8.count == 1 ? rest * 10 : rest)
    }
}
