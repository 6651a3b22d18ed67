import CEkiden
import EkidenMail

/// CRC-32C (Castagnoli): the spool's guard against damage. 8 GB/s with the processor's instruction.
/// Not a signature: it finds accidents, not attacks.
package struct Checksum: Sendable, Equatable {
    package private(set) var value: UInt32

    /// Goes on from an earlier value, or begins with 0.
    package init(_ value: UInt32 = 0) { self.value = value }

    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        value = ekiden_crc32c(value, base, bytes.count)
    }

    package mutating func update(_ bytes: Bytes) { update(bytes.pointer) }
}
