// Base64 of a part's bytes as they come, in lines (RFC 2045 §6.8).

import EkidenCrypto
import EkidenMail

struct Base64Lines {
    /// Bytes of a full line: 76 characters.
    private static let lineBytes = 57

    /// What does not fill a line yet.
    private var rest: [UInt8] = []

    init() { rest.reserveCapacity(Self.lineBytes) }

    mutating func encode(_ bytes: UnsafeRawBufferPointer, into out: inout BytesBuilder) {
        var index = 0
        while index < bytes.count {
            let end = min(index + Self.lineBytes - rest.count, bytes.count)
            let piece = UnsafeRawBufferPointer(rebasing: bytes[index..<end])
            index = end
            if piece.count == Self.lineBytes {
                Self.write(piece, into: &out)
                continue
            }
            rest.append(contentsOf: piece)
            if rest.count == Self.lineBytes { finish(into: &out) }
        }
    }

    /// The last line; each line has its CRLF.
    mutating func finish(into out: inout BytesBuilder) {
        if rest.isEmpty { return }
        rest.withUnsafeBytes { Self.write($0, into: &out) }
        rest.removeAll(keepingCapacity: true)
    }

    private static func write(_ line: UnsafeRawBufferPointer, into out: inout BytesBuilder) {
        Base64.encode(line, into: &out)
        out.append("\r\n")
    }

    /// What so many bytes become.
    static func encodedBytes(of count: Int) -> Int {
        let full = count / lineBytes
        let rest = count % lineBytes
        return full * (lineBytes / 3 * 4 + 2) + (rest == 0 ? 0 : (rest + 2) / 3 * 4 + 2)
    }
}
