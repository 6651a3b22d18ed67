/// The one name of a message, from the `250` reply to the last log line.
///
/// 48 bits of milliseconds (wall time when it was given out) above a 16-bit counter, so that ids
/// sort by arrival; never given out twice by a spool, even when the clock steps back, because the
/// next id is always above the last.
/// Text form: 13 characters of Crockford's base 32 (no I, L, O, U), which sort like the numbers.
package struct QueueID: Sendable, Hashable, Comparable {
    package let number: UInt64

    package init(number: UInt64) { self.number = number }

    /// The id after `last` for something that arrives at `now`.
    package static func next(after last: QueueID, at now: WallTime) -> QueueID {
        let clock = UInt64(clamping: max(now.milliseconds, 0)) << 16
        return QueueID(number: max(clock, last.number + 1))
    }

    package static func < (a: QueueID, b: QueueID) -> Bool { a.number < b.number }

    private static let alphabet = Array("0123456789ABCDEFGHJKMNPQRSTVWXYZ".utf8)

    package var text: String {
        var characters = [UInt8](repeating: 0, count: 13)
        var rest = number
        for i in stride(from: 12, through: 0, by: -1) {
            characters[i] = Self.alphabet[Int(rest & 31)]
            rest >>= 5
        }
        return String(decoding: characters, as: UTF8.self)
    }

    /// Reads the text form, in either case; nil for anything else.
    package init?(_ text: some StringProtocol) {
        guard text.utf8.count == 13 else { return nil }
        var number: UInt64 = 0
        for (position, byte) in text.utf8.enumerated() {
            let upper = byte >= 0x61 && byte <= 0x7a ? byte & 0xdf : byte
            guard let value = Self.alphabet.firstIndex(of: upper), position > 0 || value < 16
            else { return nil }
            number = number << 5 | UInt64(value)
        }
        self.init(number: number)
    }
}

extension QueueID: CustomStringConvertible {
    package var description: String { text }
}
