// The answer's lines. Each is one JSON object whose first field, `kind`, says what it is; rows come
// first, and an `end` or an `error` closes the answer. The rows are what `--json` prints, so their
// fields are an interface: they may gain fields, never lose or change them.

import EkidenMail

/// A row of an answer.
package protocol ControlRow: Sendable, Equatable {
    static var kind: String { get }
    func write(_ w: inout JSONWriter)
    init(_ object: JSONObject) throws(JSONProblem)
}

extension ControlRow {
    /// Appends the row's line.
    package func writeLine(_ w: inout JSONWriter) {
        w.line {
            $0.field("kind", Self.kind)
            write(&$0)
        }
    }
}

/// The line that closes an answer: what came of it in numbers.
package struct ControlEnd: ControlRow {
    package static let kind = "end"
    /// Rows, or messages that were dealt with.
    package var count: Int
    /// Messages that were not dealt with; each has its `OutcomeRow`.
    package var failed: Int
    /// There are more rows than the limit let through; ask again `after` the last one.
    package var isCutShort: Bool
    /// One sentence for the operator; may be empty.
    package var text: String

    package init(count: Int = 0, failed: Int = 0, isCutShort: Bool = false, text: String = "") {
        self.count = count
        self.failed = failed
        self.isCutShort = isCutShort
        self.text = text
    }

    package func write(_ w: inout JSONWriter) {
        w.field("count", count)
        w.field("failed", failed)
        w.field("cut_short", isCutShort)
        if !text.isEmpty { w.field("text", text) }
    }

    package init(_ object: JSONObject) throws(JSONProblem) {
        count = try object.integer("count")
        failed = try object.optionalInteger("failed") ?? 0
        isCutShort = try object.flag("cut_short")
        text = try object.optionalString("text") ?? ""
    }
}

extension ControlProblem: ControlRow {
    package static let kind = "error"

    package func write(_ w: inout JSONWriter) {
        w.field("code", code.rawValue)
        w.field("text", text)
        if !hint.isEmpty { w.field("hint", hint) }
    }

    package init(_ object: JSONObject) throws(JSONProblem) {
        self.init(
            try object.word("code") ?? .unavailable,
            try object.string("text"),
            hint: try object.optionalString("hint") ?? ""
        )
    }
}

/// A line as the command line reads it: its kind, and the object to make a row of.
package struct ControlLine {
    package let kind: String
    package let object: JSONObject

    package init(_ line: UnsafeRawBufferPointer) throws(JSONProblem) {
        object = try JSONReader.object(line)
        kind = try object.string("kind")
    }

    /// The line's kind without reading the line; nil when it does not begin as ours do.
    package static func kind(of line: UnsafeRawBufferPointer) -> String? {
        let head = Array(#"{"kind":""#.utf8)
        guard line.count > head.count, line[..<head.count].elementsEqual(head),
            let end = line[head.count...].firstIndex(of: 0x22)
        else { return nil }
        return String(decoding: line[head.count..<end], as: UTF8.self)
    }
}
