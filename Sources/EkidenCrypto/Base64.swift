// Base64 with padding, to the letter of RFC 4648 §4: no white space, nothing behind the padding, no
// stray bits in the last letter (§3.5), so that each text has one meaning and each value one text.
// Called by the login mechanisms, the users file, the control socket, and for parts of mail that go out
// in 7 bits.

import EkidenMail

package enum Base64 {
    private static let alphabet = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8
    )
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 0xff, count: 256)
        for (value, letter) in alphabet.enumerated() { values[Int(letter)] = UInt8(value) }
        return values
    }()
    private static let pad = UInt8(ascii: "=")

    package static func encode(_ bytes: [UInt8]) -> String {
        var out = BytesBuilder(capacity: (bytes.count + 2) / 3 * 4)
        bytes.withUnsafeBytes { encode($0, into: &out) }
        return String(decoding: out.pointer, as: UTF8.self)
    }

    package static func encode(_ bytes: UnsafeRawBufferPointer, into out: inout BytesBuilder) {
        let letters = (bytes.count + 2) / 3 * 4
        let room = out.tail(letters)
        let alphabet = alphabet
        var end = 0
        var index = 0
        while index < bytes.count {
            let left = bytes.count - index
            var group = UInt32(bytes[index]) << 16
            if left > 1 { group |= UInt32(bytes[index + 1]) << 8 }
            if left > 2 { group |= UInt32(bytes[index + 2]) }
            for place in 0..<4 {
                let letter = alphabet[Int(group >> UInt32(18 - 6 * place)) & 63]
                room[end + place] = place <= left ? letter : pad
            }
            index += 3
            end += 4
        }
        out.advance(letters)
    }

    /// Without the padding, as PHC strings have it.
    package static func encodeUnpadded(_ bytes: [UInt8]) -> String {
        String(encode(bytes).prefix { $0 != "=" })
    }

    /// The bytes, or nil where the text is not exactly what `encodeUnpadded` would have made.
    package static func decodeUnpadded(_ text: String) -> [UInt8]? {
        if text.utf8.last == pad { return nil }
        return decode(text + String(repeating: "=", count: (4 - text.utf8.count % 4) % 4))
    }

    /// The bytes, or nil where the text is not exactly what `encode` would have made.
    package static func decode(_ text: String) -> [UInt8]? {
        var text = text
        return text.withUTF8 { decode(UnsafeRawBufferPointer($0)) }
    }

    package static func decode(_ letters: UnsafeRawBufferPointer) -> [UInt8]? {
        guard letters.count % 4 == 0 else { return nil }
        var end = letters.count
        while end > 0, letters.count - end < 2, letters[end - 1] == pad { end -= 1 }
        var out: [UInt8] = []
        out.reserveCapacity(letters.count / 4 * 3)
        var group: UInt32 = 0
        var bits = 0
        for letter in letters[..<end] {
            let value = values[Int(letter)]
            if value == 0xff { return nil }
            group = group << 6 | UInt32(value)
            bits += 6
            if bits >= 8 {
                bits -= 8
                out.append(UInt8(truncatingIfNeeded: group >> UInt32(bits)))
            }
        }
        // RFC 4648 §3.5: bits left over must be zero.
        return group & (1 << UInt32(bits) - 1) == 0 ? out : nil
    }
}
