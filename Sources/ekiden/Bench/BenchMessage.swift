// The message the benchmark sends, and the mark in it by which the sink knows when it set out.

import EkidenMail

/// What one benchmark does.
struct BenchPlan {
    var target: Endpoint
    var sessions: Int
    var messages: Int
    /// Bytes of a message, header and body, before the relay adds its own.
    var messageBytes: Int
    var recipients: Int
    var sender: String
    /// `name@domain`; with several recipients the name gets a number.
    var recipient: String
    var pipelines: Bool
    var keepsConnections: Bool
}

/// The field `X-Ekiden-Bench: RUN SEQUENCE TIME`, three numbers of 16 hexadecimal digits.
enum BenchMark {
    static let field = Array("X-Ekiden-Bench: ".utf8)
    static let byteCount = 3 * 16 + 2

    static func write(run: UInt64, sequence: Int, time: Int64, into bytes: inout ArraySlice<UInt8>)
    {
        let numbers = [run, UInt64(sequence), UInt64(time)]
        for (index, number) in numbers.enumerated() {
            let start = bytes.startIndex + index * 17
            for digit in 0..<16 {
                let value = UInt8(truncatingIfNeeded: number >> UInt64(60 - 4 * digit)) & 15
                bytes[start + digit] = value < 10 ? 0x30 + value : 0x57 + value
            }
        }
    }

    /// Finds the mark in the beginning of a message.
    static func find(in content: [UInt8]) -> (run: UInt64, sequence: Int, time: Int64)? {
        let offset: Int? = content.withUnsafeBytes { bytes in
            firstOffset(of: field, in: bytes).map { $0 + field.count }
        }
        guard let offset, offset + byteCount <= content.count else { return nil }
        func number(_ index: Int) -> UInt64? {
            var value: UInt64 = 0
            for byte in content[(offset + index * 17)..<(offset + index * 17 + 16)] {
                switch byte {
                case 0x30...0x39: value = value << 4 | UInt64(byte - 0x30)
                case 0x61...0x66: value = value << 4 | UInt64(byte - 0x57)
                default: return nil
                }
            }
            return value
        }
        guard let run = number(0), let sequence = number(1), let time = number(2) else {
            return nil
        }
        return (run, Int(truncatingIfNeeded: sequence), Int64(truncatingIfNeeded: time))
    }
}

/// The parts of a session's words that are the same for every message.
struct BenchTexts {
    let hello = Array("EHLO bench.localhost\r\n".utf8)
    let quit = Array("QUIT\r\n".utf8)
    let mail: [UInt8]
    let recipients: [[UInt8]]
    let data = Array("DATA\r\n".utf8)
    /// MAIL, RCPT… and DATA in one piece.
    let envelope: [UInt8]
    /// The header with an empty mark, its fields and the empty line.
    let header: [UInt8]
    let markOffset: Int
    /// Body and end of data, shared by all sessions.
    let body: [UInt8]

    init(_ plan: BenchPlan, date: WallTime) {
        let parts = plan.recipient.split(separator: "@", maxSplits: 1)
        let addresses = (0..<plan.recipients).map { index in
            plan.recipients == 1 ? plan.recipient : "\(parts[0])\(index)@\(parts.last ?? "")"
        }
        mail = Array("MAIL FROM:<\(plan.sender)>\r\n".utf8)
        recipients = addresses.map { Array("RCPT TO:<\($0)>\r\n".utf8) }
        envelope = mail + recipients.joined() + data

        let blank = String(repeating: "0", count: BenchMark.byteCount)
        let before =
            "From: <\(plan.sender)>\r\nTo: <\(addresses[0])>\r\nSubject: ekiden bench\r\n"
            + "Date: \(date.mailDate)\r\nMessage-ID: <"
        let middle = "@bench.localhost>\r\n"
        var spaced = Array(blank.utf8)
        for index in 1...2 { spaced[index * 17 - 1] = UInt8(ascii: " ") }
        // The mark also makes the Message-ID unique; there it is filled in with its dots.
        var header = Array((before + "0000000000000000.0000000000000000" + middle).utf8)
        header += BenchMark.field
        markOffset = header.count
        header += spaced + Array("\r\n\r\n".utf8)
        self.header = header
        messageIDOffset = before.utf8.count

        var body: [UInt8] = []
        let line = Array(
            "The quick brown fox jumps over the lazy dog while the relay takes its baton.\r\n".utf8
        )
        let room = max(0, plan.messageBytes - header.count)
        while body.count + line.count <= room { body += line }
        let rest = room - body.count
        if rest >= 2 { body += line.prefix(rest - 2) + [0x0d, 0x0a] }
        self.body = body + Array(".\r\n".utf8)
    }

    private let messageIDOffset: Int

    /// Marks a session's copy of the header for its next message.
    func stamp(_ header: inout [UInt8], run: UInt64, sequence: Int, time: Int64) {
        let end = markOffset + BenchMark.byteCount
        BenchMark.write(run: run, sequence: sequence, time: time, into: &header[markOffset..<end])
        for index in 0..<16 {
            header[messageIDOffset + index] = header[markOffset + index]
            header[messageIDOffset + 17 + index] = header[markOffset + 17 + index]
        }
    }
}
