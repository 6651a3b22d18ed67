// A command line after parsing: which options were given, with which values, and how their values
// are read. A value that can't be read is a usage problem that names the option.

import EkidenMail

struct Invocation {
    var command: Command
    var values: [String: [String]] = [:]
    var arguments: [String] = []

    func has(_ option: String) -> Bool { values[option] != nil }
    func value(_ option: String) -> String? { values[option]?.last }
    func all(_ option: String) -> [String] { values[option] ?? [] }

    func integer(
        _ option: String,
        in range: ClosedRange<Int>,
        default standard: Int
    ) throws(CommandProblem) -> Int {
        guard let text = value(option) else { return standard }
        guard let number = Int(text), range.contains(number) else {
            throw .usage(
                "--\(option) takes a whole number from \(range.lowerBound) to "
                    + "\(range.upperBound), not \"\(text)\""
            )
        }
        return number
    }

    /// A size such as `4096`, `4KiB` or `10MB`, in bytes.
    func size(_ option: String, default standard: Int) throws(CommandProblem) -> Int {
        guard let text = value(option) else { return standard }
        guard let bytes = parseSize(text) else {
            throw .usage(
                "--\(option) takes a size, not \"\(text)\"",
                hint: "sizes look like 4096, 4KiB or 10MiB"
            )
        }
        return bytes
    }

    /// A time such as `500ms`, `30s`, `5m`.
    func duration(_ option: String) throws(CommandProblem) -> Duration? {
        guard let text = value(option) else { return nil }
        guard let duration = parseDuration(text) else {
            throw .usage(
                "--\(option) takes a time, not \"\(text)\"",
                hint: "times look like 500ms, 30s, 5m, 2h or 3d"
            )
        }
        return duration
    }

    func endpoint(_ option: String, default standard: String) throws(CommandProblem) -> Endpoint {
        let text = value(option) ?? standard
        guard let endpoint = parseEndpoint(text) else {
            throw .usage(
                "--\(option) takes an address and a port, not \"\(text)\"",
                hint: "for example 127.0.0.1:2525, [::1]:2525, or just 2525 on this machine"
            )
        }
        return endpoint
    }
}

/// `HOST:PORT` with a numeric host, `localhost:PORT`, or a bare port on the loopback address.
func parseEndpoint(_ text: String) -> Endpoint? {
    if let port = UInt16(text), port > 0 { return Endpoint(.loopback4, port) }
    if text.hasPrefix("localhost:") { return Endpoint("127.0.0.1:" + text.dropFirst(10)) }
    return Endpoint(text)
}

func parseSize(_ text: String) -> Int? {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    guard let number = Int(digits) else { return nil }
    let factor: Int
    switch text.dropFirst(digits.count).lowercased() {
    case "", "b": factor = 1
    case "k", "kib": factor = 1 << 10
    case "m", "mib": factor = 1 << 20
    case "g", "gib": factor = 1 << 30
    case "kb": factor = 1000
    case "mb": factor = 1_000_000
    case "gb": factor = 1_000_000_000
    default: return nil
    }
    let (bytes, overflow) = number.multipliedReportingOverflow(by: factor)
    return overflow ? nil : bytes
}

func parseDuration(_ text: String) -> Duration? {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    guard let number = Int64(digits), number < 1_000_000_000_000 else { return nil }
    switch text.dropFirst(digits.count) {
    case "ms": return .milliseconds(number)
    case "", "s": return .seconds(number)
    case "m", "min": return .seconds(number * 60)
    case "h": return .seconds(number * 3600)
    case "d": return .seconds(number * 86_400)
    default: return nil
    }
}
