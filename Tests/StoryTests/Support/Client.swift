// A small SMTP client that does as told: any bytes, in any fragments, and replies read with
// patience. It knows enough of the protocol to submit a message in one call.

import Foundation

struct Reply: Equatable, CustomStringConvertible {
    let code: Int
    /// Without codes.
    let lines: [String]

    var text: String { lines.joined(separator: " | ") }
    var description: String { "\(code) \(text)" }

    /// `5.7.1`; empty when the first word is none.
    var status: String {
        let word = lines[0].prefix { $0 != " " }
        let isStatus =
            word.split(separator: ".").count == 3 && word.allSatisfy { $0.isNumber || $0 == "." }
        return isStatus ? String(word) : ""
    }

    /// `550 5.7.1`
    var codes: String { status.isEmpty ? "\(code)" : "\(code) \(status)" }
}

final class Client {
    let socket: Socket
    private var unread: [UInt8] = []
    private var isAtEnd = false

    init(_ place: Place, from source: String? = nil) throws {
        socket = try Socket.connect(to: place, from: source)
    }

    // MARK: Bytes

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) throws {
        if !socket.send(bytes) { throw StoryFailure("the relay takes no more bytes") }
    }

    /// Sends in pieces of `size` bytes, each a segment of its own as far as can be arranged.
    func send(_ bytes: [UInt8], inPiecesOf size: Int) throws {
        for start in stride(from: 0, to: bytes.count, by: size) {
            try send(Array(bytes[start..<min(bytes.count, start + size)]))
            sched_yield()
        }
    }

    /// Says that nothing more will come.
    func endSending() { socket.shutDown(Int32(SHUT_WR)) }

    // MARK: Replies

    private func line(until end: Date) throws -> String {
        while true {
            if let newline = unread.firstIndex(of: 10) {
                let line = String(decoding: unread[..<newline], as: UTF8.self)
                unread.removeSubrange(...newline)
                guard line.hasSuffix("\r") else {
                    throw StoryFailure("a reply line ends without CR: \(line.debugDescription)")
                }
                return String(line.dropLast())
            }
            try more(until: end)
        }
    }

    private func more(until end: Date) throws {
        if isAtEnd { throw StoryFailure("the relay closed the connection; a reply was expected") }
        guard socket.isReadable(within: end.timeIntervalSinceNow) else {
            throw StoryFailure("no reply in time; so far: \(unread.count) bytes")
        }
        let bytes = socket.receive() ?? []
        if bytes.isEmpty { isAtEnd = true }
        unread += bytes
    }

    func reply(within seconds: Double = 15) throws -> Reply {
        let end = Date(timeIntervalSinceNow: seconds)
        var lines: [String] = []
        while true {
            let line = try line(until: end)
            guard line.utf8.count >= 3, let code = Int(line.prefix(3)) else {
                throw StoryFailure("no reply line: \(line.debugDescription)")
            }
            lines.append(String(line.dropFirst(4)))
            if line.dropFirst(3).first != "-" { return Reply(code: code, lines: lines) }
        }
    }

    /// Sends a line and reads its reply.
    @discardableResult
    func say(_ line: String, within seconds: Double = 15) throws -> Reply {
        try send(line + "\r\n")
        return try reply(within: seconds)
    }

    /// As `say`, and the reply must begin with `expected`: "250", "550 5.7.1", "2".
    @discardableResult
    func say(_ line: String, expecting expected: String) throws -> Reply {
        let reply = try say(line)
        try Self.require(reply, expected, after: line)
        return reply
    }

    @discardableResult
    func expect(_ expected: String, after what: String = "what was sent") throws -> Reply {
        let reply = try reply()
        try Self.require(reply, expected, after: what)
        return reply
    }

    private static func require(_ reply: Reply, _ expected: String, after line: String) throws {
        if !"\(reply)".hasPrefix(expected) {
            throw StoryFailure("\(expected) expected after \(line.debugDescription), got: \(reply)")
        }
    }

    /// All that still comes, to the end of the stream.
    @discardableResult
    func rest(within seconds: Double = 15) throws -> String {
        let end = Date(timeIntervalSinceNow: seconds)
        while !isAtEnd {
            guard socket.isReadable(within: end.timeIntervalSinceNow) else {
                throw StoryFailure("the relay does not close the connection")
            }
            guard let bytes = socket.receive() else { break }
            if bytes.isEmpty { isAtEnd = true }
            unread += bytes
        }
        defer { unread = [] }
        return String(decoding: unread, as: UTF8.self)
    }

    // MARK: Whole pieces of the conversation

    /// Greeting and EHLO.
    func hello(_ name: String = "client.test") throws {
        try expect("220", after: "connecting")
        try say("EHLO \(name)", expecting: "250")
    }

    /// Hands over a message: its bytes as they are before dots are stuffed, with their CRLFs.
    /// - Returns: the reply to the final dot.
    func hand(
        from sender: String,
        to recipients: [String],
        _ message: [UInt8],
        parameters: String = ""
    ) throws -> Reply {
        try say("MAIL FROM:<\(sender)>\(parameters)", expecting: "250")
        for recipient in recipients { try say("RCPT TO:<\(recipient)>", expecting: "250") }
        try say("DATA", expecting: "354")
        try send(stuffed(message) + Array(".\r\n".utf8))
        return try reply()
    }
}

extension Stage {
    /// A client of the relay that has heard the greeting and said EHLO.
    func client(from source: String? = nil) throws -> Client {
        let client = try Client(place, from: source)
        try client.hello()
        return client
    }

    /// Hands one message over and says goodbye; the queue id of the 250.
    @discardableResult
    func submit(
        from sender: String = "alice@origin.test",
        to recipients: String...,
        message: [UInt8]? = nil,
        parameters: String = ""
    ) throws -> String {
        let client = try client()
        let reply = try client.hand(
            from: sender,
            to: recipients,
            message ?? letter(from: sender, to: recipients.first ?? ""),
            parameters: parameters
        )
        guard reply.codes == "250 2.0.0" else { throw StoryFailure("not accepted: \(reply)") }
        try client.say("QUIT", expecting: "221")
        return String(reply.text.dropFirst(6))
    }
}

/// A complete little message: the relay has no reason to add fields to it.
func letter(
    from sender: String = "alice@origin.test",
    to recipient: String = "bob@example.test",
    subject: String = "a story",
    body: String = "Good morning.\r\n"
) -> [UInt8] {
    Array(
        ("""
        From: <\(sender)>\r
        To: <\(recipient)>\r
        Subject: \(subject)\r
        Date: Sat, 21 Nov 2026 02:07:58 +0000\r
        Message-ID: <\(UUID().uuidString)@origin.test>\r
        \r

        """ + body).utf8
    )
}

/// RFC 5321 §4.5.2, on lines that end in CRLF.
func stuffed(_ message: [UInt8]) -> [UInt8] {
    var wire: [UInt8] = []
    wire.reserveCapacity(message.count + 16)
    var isLineStart = true
    for (index, byte) in message.enumerated() {
        if isLineStart, byte == UInt8(ascii: ".") { wire.append(byte) }
        wire.append(byte)
        isLineStart = byte == 10 && index > 0 && message[index - 1] == 13
    }
    return wire
}

func unstuffed(_ wire: [UInt8]) -> [UInt8] {
    var message: [UInt8] = []
    message.reserveCapacity(wire.count)
    var isLineStart = true
    for (index, byte) in wire.enumerated() {
        if !(isLineStart && byte == UInt8(ascii: ".")) { message.append(byte) }
        isLineStart = byte == 10 && index > 0 && wire[index - 1] == 13
    }
    return message
}
