// Reads a peer's replies (RFC 5321 §4.2.1) from bytes cut anywhere. Called by the driver of a
// client session each time bytes have come. Tolerant where peers err harmlessly (LF alone, no
// text, differing codes of one class), an error where what they mean can't be known; memory is
// bounded by `Limits.replyLineBytes` × `Limits.replyLinesKept`, whatever the peer sends.
// What comes out is safe to log: printable ASCII only.

import EkidenMail

package struct ReplyReader: Sendable {
    package enum Found: Sendable, Equatable {
        /// No whole reply yet: consume that many bytes, then read more.
        case nothing(consume: Int)
        case reply(Reply, consume: Int)
        /// Not SMTP; the text says what was wrong. The connection is of no use any more.
        case protocolError(String, consume: Int)
    }

    /// Bytes at the start of the unread ones that are known to hold no LF.
    private var scanned = 0
    /// The kept part of a line too long to be kept whole, while the rest is skipped.
    private var cutLine: [UInt8]?
    private var code: UInt16?
    private var status: EnhancedStatus?
    private var lines: [String] = []
    private var lineCount = 0
    private var skippedBytes = 0

    package init() {}

    package mutating func next(in unread: UnsafeRawBufferPointer) -> Found {
        var start = 0
        while let lf = firstIndex(of: lineFeed, in: unread, from: start + scanned) {
            var line = UnsafeRawBufferPointer(rebasing: unread[start..<lf])
            scanned = 0
            start = lf + 1
            // A line end without CR is tolerated; nothing can be smuggled through a reply.
            if line.last == carriageReturn {
                line = UnsafeRawBufferPointer(rebasing: line.dropLast())
            }
            let verdict: LineVerdict
            if let head = cutLine {
                cutLine = nil
                skippedBytes = 0
                verdict = head.withUnsafeBytes { take($0) }
            } else {
                verdict = take(UnsafeRawBufferPointer(rebasing: line.prefix(Limits.replyLineBytes)))
            }
            switch verdict {
            case .more: continue
            case .last(let reply):
                self = ReplyReader()
                return .reply(reply, consume: start)
            case .wrong(let text):
                self = ReplyReader()
                return .protocolError(text, consume: start)
            }
        }
        return holdBack(unread, from: start)
    }

    /// No line end in the rest: it waits in the driver's buffer, unless it is too long for that.
    private mutating func holdBack(_ unread: UnsafeRawBufferPointer, from start: Int) -> Found {
        let rest = UnsafeRawBufferPointer(rebasing: unread[start...])
        scanned = rest.count
        if cutLine == nil, rest.count < Limits.replyLineBytes { return .nothing(consume: start) }
        if cutLine == nil { cutLine = Array(rest.prefix(Limits.replyLineBytes)) }
        scanned = 0
        skippedBytes += rest.count
        if skippedBytes > Limits.replyLineBytes * Limits.replyLines {
            self = ReplyReader()
            return .protocolError("reply line without end", consume: unread.count)
        }
        return .nothing(consume: unread.count)
    }

    private enum LineVerdict {
        case more
        case last(Reply)
        case wrong(String)
    }

    private mutating func take(_ line: UnsafeRawBufferPointer) -> LineVerdict {
        guard let found = Self.code(of: line) else {
            return .wrong("not an SMTP reply: \(Self.printable(line.prefix(80)))")
        }
        // RFC 5321 §4.2.1: the same code on each line. Where they differ the last one counts, as
        // long as they agree in what matters.
        if let code, code / 100 != found / 100 {
            return .wrong("reply lines contradict each other: \(code) and \(found)")
        }
        code = found
        lineCount += 1
        if lineCount > Limits.replyLines {
            return .wrong("reply of more than \(Limits.replyLines) lines")
        }
        let isLast = line.count == 3 || line[3] != UInt8(ascii: "-")
        var text = UnsafeRawBufferPointer(rebasing: line.dropFirst(4))
        if let (found, length) = Self.status(of: text, code: found) {
            status = found
            text = UnsafeRawBufferPointer(rebasing: text.dropFirst(length))
        }
        if lines.count < Limits.replyLinesKept { lines.append(Self.printable(text[...])) }
        return isLast ? .last(Reply(found, status, lines: lines)) : .more
    }

    /// Three digits, 200…599, and a space, a hyphen or nothing behind them.
    private static func code(of line: UnsafeRawBufferPointer) -> UInt16? {
        guard line.count >= 3, line[..<3].allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else {
            return nil
        }
        let code = line[..<3].reduce(UInt16(0)) { $0 * 10 + UInt16($1 - 0x30) }
        guard (200...599).contains(code) else { return nil }
        guard line.count > 3 else { return code }
        return line[3] == 0x20 || line[3] == UInt8(ascii: "-") ? code : nil
    }

    /// RFC 2034 §4: an enhanced status at the start of the text, of the class of the code.
    private static func status(
        of text: UnsafeRawBufferPointer,
        code: UInt16
    ) -> (EnhancedStatus, length: Int)? {
        guard text.count >= 5, text[0] == UInt8(code / 100) + 0x30, text[1] == dot else {
            return nil
        }
        var end = 0
        while end < text.count, end < 10, text[end] != 0x20 { end += 1 }
        let word = UnsafeRawBufferPointer(rebasing: text[..<end])
        guard let status = EnhancedStatus.read(word) else { return nil }
        return (status, min(end + 1, text.count))
    }

    /// Characters that are not printable ASCII become `?`; white space at the end goes.
    private static func printable(_ bytes: Slice<UnsafeRawBufferPointer>) -> String {
        var bytes = bytes
        while bytes.last == 0x20 || bytes.last == 0x09 { bytes.removeLast() }
        if bytes.allSatisfy({ $0 >= 0x20 && $0 < 0x7f }) {
            return String(decoding: bytes, as: UTF8.self)
        }
        let safe = bytes.map { $0 >= 0x20 && $0 < 0x7f ? $0 : $0 == 0x09 ? 0x20 : 0x3f }
        return String(decoding: safe, as: UTF8.self)
    }
}
