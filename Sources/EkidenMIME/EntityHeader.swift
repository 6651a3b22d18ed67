// The header of an entity (a message or a part) as it streams by: which lines are fields, where it
// ends, and what its MIME fields said. Where it can't be read with certainty it is damaged, and the
// entity is left as it is.

/// What a line is to the header that it stands in.
enum EntityHeaderLine: Equatable {
    case field(MIMEField)
    case continuation
    /// The empty line: the body follows.
    case end
    /// No field: readers disagree on where the header ends.
    case stray
}

struct EntityHeader {
    /// Bytes of a field's value that are read; MIME fields are short.
    static let valueBytesMax = 8192

    /// The whole message, or one inside it (message/rfc822): its own MIME-Version counts.
    let isMessage: Bool
    private(set) var hasVersion = false
    private(set) var contentType: [UInt8]?
    private(set) var transferEncoding: [UInt8]?
    /// Bytes of the Content-Transfer-Encoding field, with its line ends; 0: there is none.
    private(set) var encodingFieldBytes = 0
    private(set) var isDamaged = false
    /// The field that a continuation continues; nil: no field has begun.
    private var current: MIMEField?

    init(isMessage: Bool) { self.isMessage = isMessage }

    /// Takes the next line with its line end.
    mutating func take(_ line: UnsafeRawBufferPointer) -> EntityHeaderLine {
        if lineText(line).isEmpty, !line.isEmpty { return .end }
        if let first = line.first, first == 0x20 || first == 0x09 {
            guard let current else { return stray() }
            note(current, line, isNew: false)
            return .continuation
        }
        if let (field, value) = Self.field(line) {
            current = field
            note(field, value, isNew: true)
            if field == .transferEncoding { encodingFieldBytes = line.count }
            return .field(field)
        }
        // What mailbox files leave behind stands in headers and harms nobody.
        if isMessage, Self.isMailboxLine(line) {
            current = .other
            return .field(.other)
        }
        return stray()
    }

    private mutating func stray() -> EntityHeaderLine {
        isDamaged = true
        return .stray
    }

    private mutating func note(
        _ field: MIMEField,
        _ value: UnsafeRawBufferPointer,
        isNew: Bool
    ) {
        switch field {
        case .version: hasVersion = true
        case .contentType: Self.collect(value, isNew, into: &contentType, &isDamaged)
        case .transferEncoding:
            Self.collect(value, isNew, into: &transferEncoding, &isDamaged)
            if !isNew { encodingFieldBytes += value.count }
        case .other: break
        }
    }

    private static func collect(
        _ value: UnsafeRawBufferPointer,
        _ isNew: Bool,
        into whole: inout [UInt8]?,
        _ isDamaged: inout Bool
    ) {
        // RFC 5322 §3.6 has such fields once; of two, each reader takes its own.
        if isNew, whole != nil { isDamaged = true }
        if isNew { whole = [] }
        if (whole?.count ?? 0) + value.count > valueBytesMax {
            isDamaged = true
        } else {
            whole?.append(contentsOf: value)
        }
    }

    /// RFC 5322 §3.6.8: a name is printable ASCII without colon; §4.5: old mail has spaces behind it.
    private static func field(
        _ line: UnsafeRawBufferPointer
    ) -> (MIMEField, value: UnsafeRawBufferPointer)? {
        var end = 0
        while end < line.count, line[end] > 0x20, line[end] < 0x7f, line[end] != 0x3a { end += 1 }
        var colon = end
        while colon < line.count, line[colon] == 0x20 || line[colon] == 0x09 { colon += 1 }
        guard end > 0, colon < line.count, line[colon] == 0x3a else { return nil }
        return (
            MIMEField(name: UnsafeRawBufferPointer(rebasing: line[..<end])),
            UnsafeRawBufferPointer(rebasing: line[(colon + 1)...])
        )
    }

    private static func isMailboxLine(_ line: UnsafeRawBufferPointer) -> Bool {
        line.drop { $0 == UInt8(ascii: ">") }.starts(with: "From ".utf8)
    }
}
