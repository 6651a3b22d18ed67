// One session of the sink: bytes in, reply bytes out, messages to whoever asked. It knows just
// enough SMTP to say yes to everything, and looks for the end of data with memchr over whole reads.

import EkidenMail
import Glibc

/// What the sink keeps of each message.
struct SinkCapture {
    /// Sender, recipients and HELO name as text.
    var keepsEnvelope = false
    /// Bytes of the message, as they came over the wire; `.max` for all, 0 to count only.
    var contentBytes = 0
}

/// A message the sink took.
struct SinkMessage {
    var helo: String
    var client: Endpoint
    var sender: String
    var recipients: [String]
    /// As on the wire, dots stuffed; perhaps only its beginning.
    var content: [UInt8]
    /// Bytes on the wire from the reply to DATA to the final dot, without it.
    var byteCount: Int
    /// Parameters of MAIL: `SIZE=123 BODY=8BITMIME`.
    var parameters: String
}

struct SinkSession {
    private enum Phase {
        case commands
        case data
    }

    /// The session can't go on until someone waited, hung up or did nothing.
    enum Pause: Equatable {
        case delay(Duration)
        case close
        /// Close at once, without sending what is queued.
        case drop
    }

    private static let longestLineBytes = 65_536
    private static let endOfData = Array("\r\n.\r\n".utf8)

    let client: Endpoint
    private let capture: SinkCapture
    private let extensions: String
    private(set) var output: [UInt8] = []
    private var phase = Phase.commands
    private var line: [UInt8] = []
    /// How much of CRLF.CRLF the data so far ends with.
    private var matched = 0
    private var helo = ""
    private var sender = ""
    private var parameters = ""
    private var recipients: [String] = []
    private var content: [UInt8] = []
    private var byteCount = 0

    init(client: Endpoint, capture: SinkCapture, extensions: String) {
        self.client = client
        self.capture = capture
        self.extensions = extensions
    }

    mutating func takeOutput() -> [UInt8] {
        let taken = output
        output.removeAll(keepingCapacity: true)
        return taken
    }

    mutating func greet(_ script: inout SinkScript) -> Pause? {
        reply("220 sink ESMTP\r\n", at: .connect, line: "", &script)
    }

    /// Takes bytes until they are used up or a pause is due; answers how many it took.
    mutating func feed(
        _ bytes: UnsafeRawBufferPointer,
        _ script: inout SinkScript,
        _ received: (SinkMessage) -> Void
    ) -> (taken: Int, pause: Pause?) {
        guard let base = bytes.baseAddress else { return (0, nil) }
        var offset = 0
        while offset < bytes.count {
            let rest = UnsafeRawBufferPointer(start: base + offset, count: bytes.count - offset)
            var pause: Pause?
            switch phase {
            case .data:
                if !script.isEmpty, byteCount == 0, script.action(at: .body, line: "") == .drop {
                    return (offset, .drop)
                }
                let (taken, isEnd) = takeData(rest)
                offset += taken
                if isEnd { pause = endMessage(&script, received) }
            case .commands:
                let (taken, isWhole) = takeLine(rest)
                offset += taken
                if isWhole {
                    pause = command(&script)
                    line.removeAll(keepingCapacity: true)
                } else if line.count > Self.longestLineBytes {
                    return (offset, .drop)
                }
            }
            if pause != nil { return (offset, pause) }
        }
        return (offset, nil)
    }

    private mutating func takeLine(_ bytes: UnsafeRawBufferPointer) -> (Int, Bool) {
        guard let base = bytes.baseAddress, let end = memchr(base, 0x0a, bytes.count) else {
            line.append(contentsOf: bytes)
            return (bytes.count, false)
        }
        let taken = UnsafeRawPointer(end) - base + 1
        line.append(contentsOf: UnsafeRawBufferPointer(start: base, count: taken))
        return (taken, true)
    }

    // MARK: Commands

    private mutating func command(_ script: inout SinkScript) -> Pause? {
        switch verb {
        case Self.mail:
            recipients.removeAll(keepingCapacity: true)
            if capture.keepsEnvelope { (sender, parameters) = pathAndParameters() }
            return reply("250 2.1.0 sender ok\r\n", at: .mail, &script)
        case Self.rcpt:
            let before = output.count
            let pause = reply("250 2.1.5 recipient ok\r\n", at: .rcpt, &script)
            let isAccepted = output.count > before && output[before] == UInt8(ascii: "2")
            if isAccepted { recipients.append(capture.keepsEnvelope ? pathAndParameters().0 : "") }
            return pause
        case Self.data:
            return beginData(&script)
        case Self.ehlo, Self.helo:
            if capture.keepsEnvelope {
                helo = lineText.split(separator: " ").dropFirst().first.map(String.init) ?? ""
            }
            let answer = verb == Self.ehlo ? extensions : "250 sink\r\n"
            return reply(answer, at: .ehlo, &script)
        case Self.rset:
            recipients.removeAll(keepingCapacity: true)
            return reply("250 2.0.0 ok\r\n", at: .rset, &script)
        case Self.quit:
            return reply("221 2.0.0 bye\r\n", at: .quit, &script) ?? .close
        case Self.noop:
            output.append(contentsOf: "250 2.0.0 ok\r\n".utf8)
        default:
            output.append(contentsOf: "500 5.5.1 command not known\r\n".utf8)
        }
        return nil
    }

    private mutating func beginData(_ script: inout SinkScript) -> Pause? {
        guard !recipients.isEmpty else {
            output.append(contentsOf: "503 5.5.1 no recipients\r\n".utf8)
            return nil
        }
        let before = output.count
        let pause = reply("354 go ahead\r\n", at: .data, &script)
        if output.count > before, output[before] == UInt8(ascii: "3") {
            phase = .data
            matched = 2
            byteCount = 0
            content.removeAll(keepingCapacity: true)
        }
        return pause
    }

    /// Queues the scripted reply of a step, or else `standard`.
    private mutating func reply(
        _ standard: String,
        at step: SinkStep,
        line: String? = nil,
        _ script: inout SinkScript
    ) -> Pause? {
        if script.isEmpty {
            output.append(contentsOf: standard.utf8)
            return nil
        }
        let delay = script.delay(at: step)
        switch script.action(at: step, line: line ?? lineText) {
        case .drop: return .drop
        case .reply(let text, let closes):
            output.append(contentsOf: text.utf8)
            if closes { return .close }
        case nil: output.append(contentsOf: standard.utf8)
        }
        return delay.map { .delay($0) }
    }

    private var lineText: String {
        String(decoding: line.filter { $0 != 0x0d && $0 != 0x0a }, as: UTF8.self)
    }

    private func pathAndParameters() -> (String, String) {
        let text = lineText
        guard let open = text.firstIndex(of: "<"), let close = text.lastIndex(of: ">"), open < close
        else { return (text, "") }
        let path = text[text.index(after: open)..<close]
        return (String(path), String(text[text.index(after: close)...].drop { $0 == " " }))
    }

    /// The first four letters of the line in upper case, as one number.
    private var verb: UInt32 {
        guard line.count >= 4 else { return 0 }
        return line[..<4].reduce(0) { $0 << 8 | UInt32($1 & 0xdf) }
    }

    private static func verb(_ text: StaticString) -> UInt32 {
        (0..<4).reduce(0) { $0 << 8 | UInt32(text.utf8Start[$1]) }
    }
    private static let ehlo = verb("EHLO")
    private static let helo = verb("HELO")
    private static let mail = verb("MAIL")
    private static let rcpt = verb("RCPT")
    private static let data = verb("DATA")
    private static let rset = verb("RSET")
    private static let quit = verb("QUIT")
    private static let noop = verb("NOOP")

    // MARK: Data

    /// Takes message bytes up to the end of data, if it is there.
    private mutating func takeData(_ bytes: UnsafeRawBufferPointer) -> (Int, Bool) {
        let mark = Self.endOfData
        var offset = 0
        // First the end that may have begun in an earlier read, byte by byte.
        while matched > 0, offset < bytes.count {
            let byte = bytes[offset]
            offset += 1
            if byte == mark[matched] {
                matched += 1
                if matched == mark.count { return end(bytes, offset) }
            } else {
                matched = byte == 0x0d ? 1 : 0
            }
        }
        guard offset < bytes.count, let base = bytes.baseAddress else {
            return kept(bytes)
        }
        let rest = UnsafeRawBufferPointer(start: base + offset, count: bytes.count - offset)
        if let found = firstOffset(of: mark, in: rest) {
            return end(bytes, offset + found + mark.count)
        }
        let tail = bytes[offset...].suffix(mark.count - 1)
        for length in stride(from: tail.count, through: 1, by: -1)
        where tail.suffix(length).elementsEqual(mark[..<length]) {
            matched = length
            break
        }
        return kept(bytes)
    }

    private mutating func kept(_ bytes: UnsafeRawBufferPointer) -> (Int, Bool) {
        keep(bytes[...])
        return (bytes.count, false)
    }

    private mutating func end(_ bytes: UnsafeRawBufferPointer, _ count: Int) -> (Int, Bool) {
        keep(bytes[..<count])
        return (count, true)
    }

    private mutating func keep(_ bytes: Slice<UnsafeRawBufferPointer>) {
        byteCount += bytes.count
        let room = capture.contentBytes - content.count
        if room > 0 { content.append(contentsOf: bytes.prefix(room)) }
    }

    private mutating func endMessage(
        _ script: inout SinkScript,
        _ received: (SinkMessage) -> Void
    ) -> Pause? {
        phase = .commands
        line.removeAll(keepingCapacity: true)
        matched = 0
        // ".CRLF" is not part of the message; the CRLF before it is.
        byteCount -= 3
        if content.count > byteCount { content.removeLast(content.count - byteCount) }
        let before = output.count
        let pause = reply("250 2.0.0 accepted\r\n", at: .dot, line: "", &script)
        if output.count > before, output[before] == UInt8(ascii: "2") {
            received(
                SinkMessage(
                    helo: helo,
                    client: client,
                    sender: sender,
                    recipients: recipients,
                    content: content,
                    byteCount: byteCount,
                    parameters: parameters
                )
            )
        }
        recipients.removeAll(keepingCapacity: true)
        return pause
    }
}

/// The message as it was before dots were stuffed (RFC 5321 §4.5.2).
func removingDotStuffing(_ wire: [UInt8]) -> [UInt8] {
    var message: [UInt8] = []
    message.reserveCapacity(wire.count)
    var start = 0
    while start < wire.count {
        let end = wire[start...].firstIndex(of: 0x0a).map { $0 + 1 } ?? wire.count
        message += wire[(wire[start] == UInt8(ascii: ".") ? start + 1 : start)..<end]
        start = end
    }
    return message
}

/// Where `needle` first stands in `bytes`; nil if it does not.
func firstOffset(of needle: [UInt8], in bytes: UnsafeRawBufferPointer) -> Int? {
    guard let base = bytes.baseAddress, bytes.count >= needle.count else { return nil }
    // Candidates: every place of the first byte from which the whole still fits.
    let last = bytes.count - needle.count
    var offset = 0
    while offset <= last,
        let found = memchr(base + offset, Int32(needle[0]), last - offset + 1)
    {
        let place = UnsafeRawPointer(found) - base
        if memcmp(base + place, needle, needle.count) == 0 { return place }
        offset = place + 1
    }
    return nil
}
