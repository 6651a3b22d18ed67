// Dates and times of TOML: RFC 3339 with its parts left out from either end. No setting is a date
// today; the syntax is complete so that a date written by mistake is named as what it is.

extension TOMLDateTime {
    /// `dddd-` or `dd:` at the start; nothing else in TOML begins so.
    static func looksLike(_ word: [UInt8]) -> Bool {
        let digits = word.prefix { $0.isDigit }.count
        guard digits < word.count else { return false }
        return digits == 4 && word[4] == UInt8(ascii: "-")
            || digits == 2 && word[2] == UInt8(ascii: ":")
    }

    init(_ word: [UInt8]) throws(MalformedValue) {
        var fields = DateFields(rest: word[...])
        var date: Date?
        var time: Time?
        var offset: Int?
        if word[2] != UInt8(ascii: ":") {
            date = try fields.date()
            if let separator = fields.rest.first {
                // RFC 3339 §5.6: "T", in either case, or a space.
                guard separator | 0x20 == UInt8(ascii: "t") || separator == 0x20 else {
                    throw DateFields.malformed
                }
                fields.rest = fields.rest.dropFirst()
                time = try fields.time()
                offset = try fields.offset()
            }
        } else {
            time = try fields.time()
        }
        guard fields.rest.isEmpty else { throw DateFields.malformed }
        self.init(date: date, time: time, offsetMinutes: offset)
    }
}

private struct DateFields {
    static let malformed = MalformedValue(
        sentence: "this is not a date or time; write it as 2026-11-21T08:30:00Z, 2026-11-21 or "
            + "08:30:00"
    )

    var rest: ArraySlice<UInt8>

    private mutating func digits(
        _ count: Int,
        _ range: ClosedRange<Int>
    ) throws(MalformedValue)
        -> Int
    {
        let field = rest.prefix(count)
        guard field.count == count, field.allSatisfy(\.isDigit) else { throw Self.malformed }
        rest = rest.dropFirst(count)
        let value = field.reduce(0) { $0 * 10 + Int($1 - 0x30) }
        guard range.contains(value) else {
            throw MalformedValue(
                sentence: "this date or time does not exist; \(value) is out of "
                    + "the range \(range.lowerBound) to \(range.upperBound)"
            )
        }
        return value
    }

    private mutating func mark(_ byte: UInt8) throws(MalformedValue) {
        guard rest.first == byte else { throw Self.malformed }
        rest = rest.dropFirst()
    }

    mutating func date() throws(MalformedValue) -> TOMLDateTime.Date {
        let year = try digits(4, 0...9999)
        try mark(UInt8(ascii: "-"))
        let month = try digits(2, 1...12)
        try mark(UInt8(ascii: "-"))
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        let day = try digits(2, 1...days[month - 1])
        return .init(year: year, month: month, day: day)
    }

    mutating func time() throws(MalformedValue) -> TOMLDateTime.Time {
        let hour = try digits(2, 0...23)
        try mark(UInt8(ascii: ":"))
        let minute = try digits(2, 0...59)
        try mark(UInt8(ascii: ":"))
        let second = try digits(2, 0...60)
        var nanosecond = 0
        if rest.first == UInt8(ascii: ".") {
            let fraction = rest.dropFirst().prefix(while: \.isDigit)
            guard !fraction.isEmpty else { throw Self.malformed }
            rest = rest.dropFirst(1 + fraction.count)
            nanosecond = fraction.prefix(9).reduce(0) { $0 * 10 + Int($1 - 0x30) }
            for _ in fraction.prefix(9).count..<9 { nanosecond *= 10 }
        }
        return .init(hour: hour, minute: minute, second: second, nanosecond: nanosecond)
    }

    mutating func offset() throws(MalformedValue) -> Int? {
        guard let first = rest.first else { return nil }
        if first | 0x20 == UInt8(ascii: "z") {
            rest = rest.dropFirst()
            return 0
        }
        guard first == UInt8(ascii: "+") || first == UInt8(ascii: "-") else { throw Self.malformed }
        rest = rest.dropFirst()
        let hours = try digits(2, 0...23)
        try mark(UInt8(ascii: ":"))
        let minutes = hours * 60 + (try digits(2, 0...59))
        return first == UInt8(ascii: "-") ? -minutes : minutes
    }
}
