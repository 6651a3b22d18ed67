// Lines over a simulated connection, for the clients and hosts outside the relay. They speak the
// protocol with code of their own, so that a mistake in ours is not made on both sides.

import EkidenMail
import EkidenRuntime

struct Wire: ~Copyable {
    var connection: Connection

    init(_ connection: consuming Connection) { self.connection = connection }

    /// The next line without its CRLF; at most 2000 bytes of it.
    mutating func line(within patience: Duration) async throws(IOFailure) -> String {
        connection.setDeadline(connection.loop.now() + patience)
        while true {
            let unread = connection.unread
            if let end = unread.firstIndex(of: 10) {
                let text = String(decoding: unread[..<end].filter { $0 != 13 }, as: UTF8.self)
                connection.consume(end + 1)
                return text
            }
            if unread.count > 2000 { throw .other("a line without end") }
            guard try await connection.fill() else { throw .lost }
        }
    }

    /// A reply of one or more lines: its code and the text of its last line.
    mutating func reply(within patience: Duration) async throws(IOFailure) -> (Int, String) {
        while true {
            let line = try await line(within: patience)
            if line.count > 3, line.dropFirst(3).first == "-" { continue }
            guard let code = Int(line.prefix(3)) else { throw .other("no reply: \(line)") }
            return (code, String(line.dropFirst(4)))
        }
    }

    mutating func say(_ text: String, within patience: Duration) async throws(IOFailure) {
        try await send(Array((text + "\r\n").utf8), within: patience)
    }

    mutating func send(_ bytes: [UInt8], within patience: Duration) async throws(IOFailure) {
        connection.setDeadline(connection.loop.now() + patience)
        try await connection.send([Bytes(bytes)])
    }

    /// A message up to its final dot, unstuffed.
    mutating func message(within patience: Duration) async throws(IOFailure) -> [UInt8] {
        connection.setDeadline(connection.loop.now() + patience)
        var all: [UInt8] = []
        while true {
            let unread = connection.unread
            // The end may lie across two reads.
            let from = max(all.count - 4, 0)
            all += unread
            if let end = Self.end(of: all, from: from) {
                let taken = end + 3 - (all.count - unread.count)
                connection.consume(taken)
                return Self.unstuffed(all[..<end])
            }
            connection.consume(unread.count)
            guard try await connection.fill() else { throw .lost }
        }
    }

    /// Where the line that is a dot alone begins.
    private static func end(of bytes: [UInt8], from: Int) -> Int? {
        var i = from
        while i + 2 < bytes.count {
            let isLineStart = i == 0 || (i >= 2 && bytes[i - 2] == 13 && bytes[i - 1] == 10)
            if isLineStart, bytes[i] == 0x2e, bytes[i + 1] == 13, bytes[i + 2] == 10 { return i }
            i += 1
        }
        return nil
    }

    private static func unstuffed(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(bytes.count)
        var isLineStart = true
        for byte in bytes {
            if isLineStart, byte == 0x2e {
                isLineStart = false
                continue
            }
            output.append(byte)
            isLineStart = byte == 10
        }
        return output
    }

    static func stuffed(_ bytes: [UInt8]) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(bytes.count + 16)
        var isLineStart = true
        for byte in bytes {
            if isLineStart, byte == 0x2e { output.append(0x2e) }
            output.append(byte)
            isLineStart = byte == 10
        }
        return output
    }
}
