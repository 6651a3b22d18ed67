// What one line of a message says about itself: the only place that knows which lines belong to a
// header and which fields the rewriter cares about. Works on whole lines in place.

import EkidenMail

/// The fields a rule names; all others pass unread.
enum KnownField {
    case bcc
    case returnPath
    case received
    case messageID
    case date
    case tlsRequired
    case other

    /// Case does not matter in a field name (RFC 5322 §1.2.2).
    init(name: UnsafeRawBufferPointer) {
        switch name.count {
        case 3: self = matches(name, "bcc") ? .bcc : .other
        case 4: self = matches(name, "date") ? .date : .other
        case 8: self = matches(name, "received") ? .received : .other
        case 10:
            if matches(name, "resent-bcc") {
                self = .bcc
            } else {
                self = matches(name, "message-id") ? .messageID : .other
            }
        case 12: self = matches(name, "tls-required") ? .tlsRequired : .other
        case 11: self = matches(name, "return-path") ? .returnPath : .other
        default: self = .other
        }
    }
}

enum HeaderLine {
    case empty
    case continuation
    case field(KnownField)
    /// `From …` or `>From …`: left by mailbox files; no field, but known and harmless in a header.
    case mailboxLine
    /// The bare name of a field we remove, its colon perhaps on the next line. No grammar allows
    /// it, yet a reader that unfolds first would see the field, so it must not slip through.
    case removableName
    /// Belongs to no header.
    case stray

    /// Judges a line with its line end, if it has one. The line has at least one byte.
    init(_ line: UnsafeRawBufferPointer) {
        let first = line[0]
        if first == 0x20 || first == 0x09 {
            self = .continuation
            return
        }
        if isLineEnd(line[...]) {
            self = .empty
            return
        }
        // RFC 5322 §3.6.8: a field name is printable ASCII without colon; §4.5: spaces and tabs
        // may stand before the colon in old mail.
        var end = 0
        while end < line.count, line[end] > 0x20, line[end] < 0x7f, line[end] != 0x3a { end += 1 }
        var colon = end
        while colon < line.count, line[colon] == 0x20 || line[colon] == 0x09 { colon += 1 }
        let name = UnsafeRawBufferPointer(rebasing: line[..<end])
        if end > 0, colon < line.count, line[colon] == 0x3a {
            self = .field(KnownField(name: name))
        } else if isMailboxLine(line) {
            self = .mailboxLine
        } else if isLineEnd(line[colon...]), KnownField(name: name) == .bcc {
            self = .removableName
        } else {
            self = .stray
        }
    }
}

private func isLineEnd(_ rest: Slice<UnsafeRawBufferPointer>) -> Bool {
    switch rest.count {
    case 0: true
    case 1: rest[rest.startIndex] == 0x0a
    case 2: rest[rest.startIndex] == 0x0d && rest[rest.startIndex + 1] == 0x0a
    default: false
    }
}

private func isMailboxLine(_ line: UnsafeRawBufferPointer) -> Bool {
    var start = 0
    while start < line.count, line[start] == UInt8(ascii: ">") { start += 1 }
    let word: StaticString = "From "
    guard line.count - start >= word.utf8CodeUnitCount else { return false }
    return (0..<word.utf8CodeUnitCount).allSatisfy { line[start + $0] == word.utf8Start[$0] }
}

/// `expected` is lower case; every byte of `name` is printable ASCII.
private func matches(_ name: UnsafeRawBufferPointer, _ expected: StaticString) -> Bool {
    for i in 0..<name.count where name[i] | 0x20 != expected.utf8Start[i] { return false }
    return true
}
