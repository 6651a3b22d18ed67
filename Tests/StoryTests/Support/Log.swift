// The relay's log as a story reads it: JSON lines, by event and field.

import Foundation

struct LogLine: CustomStringConvertible {
    let text: String
    private let object: [String: Any]

    init?(_ text: Substring) {
        guard
            let object = try? JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
        else { return nil }
        self.text = String(text)
        self.object = object
    }

    var description: String { text }
    var event: String { self["event"] }
    /// Empty when the line has no such field.
    subscript(_ field: String) -> String {
        switch object[field] {
        case let text as String: text
        case let texts as [String]: texts.joined(separator: ",")
        case let number as NSNumber: number.stringValue
        default: ""
        }
    }

    /// `time` and `next` in seconds since 1970.
    func seconds(_ field: String) -> Double {
        let format = ISO8601DateFormatter()
        format.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
        return format.date(from: self[field])?.timeIntervalSince1970 ?? 0
    }
}

extension Stage {
    /// All lines the relay wrote since the stage began, over all its starts.
    var log: [LogLine] {
        logText.split(separator: "\n").compactMap { LogLine($0) }
    }

    func log(_ event: String, where matches: (LogLine) -> Bool = { _ in true }) -> [LogLine] {
        log.filter { $0.event == event && matches($0) }
    }

    /// Waits for a line.
    @discardableResult
    func logged(
        _ event: String,
        within seconds: Double = 20,
        where matches: (LogLine) -> Bool = { _ in true }
    ) throws -> LogLine {
        try eventually("a log line \"\(event)\"", within: seconds) {
            log(event, where: matches).first
        }
    }

    /// Waits for a notice that contains the words.
    @discardableResult
    func noticed(_ words: String, within seconds: Double = 20) throws -> LogLine {
        try eventually("a notice \"\(words)\"", within: seconds) {
            log("notice") { $0["text"].contains(words) }.first
        }
    }

    /// Waits for the outcome of an attempt: "delivered", "deferred", "bounced", "expired".
    @discardableResult
    func outcome(
        _ status: String,
        of id: String,
        to recipient: String? = nil,
        attempt: Int? = nil,
        within seconds: Double = 20
    ) throws -> LogLine {
        try eventually("\(id) \(recipient ?? "") is \(status)", within: seconds) {
            log(status) {
                $0["id"] == id && (recipient == nil || $0["to"] == "<\(recipient ?? "")>")
                    && (attempt == nil || $0["attempt"] == String(attempt ?? 0))
            }.first
        }
    }
}
