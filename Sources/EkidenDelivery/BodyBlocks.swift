// The stored bytes of a message, block by block, for whoever looks at them or sends them.

import EkidenMail

extension Content.Body {
    /// Bytes of a stored body read at a time.
    private static let blockBytes = 262_144

    /// The block at `offset`, which is within the body; one in memory is whole.
    /// Errors: it can't be read, or is shorter than it should be.
    func block(at offset: Int) async throws(ContentUnavailable) -> Bytes {
        switch self {
        case .memory(let bytes): return bytes[offset..<bytes.count]
        case .stored(let reader, let byteCount):
            let block = try await reader.read(
                at: offset,
                count: min(Self.blockBytes, byteCount - offset)
            )
            if block.isEmpty {
                throw ContentUnavailable("the stored body is too short", isDamage: true)
            }
            return block
        }
    }
}
