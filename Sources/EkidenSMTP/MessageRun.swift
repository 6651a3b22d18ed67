// What a body receiver hands on of one piece of input: usually a part of the input itself, where
// nothing had to be taken out or put in; then no byte is copied.

import EkidenMail

package struct MessageRun: ~Copyable {
    private var slice = UnsafeRawBufferPointer(start: nil, count: 0)
    private var copy = BytesBuilder(capacity: 0)

    package init() {}

    /// The bytes in place; valid while the input they came from is, and until the next change.
    package var pointer: UnsafeRawBufferPointer { copy.count > 0 ? copy.pointer : slice }

    package var isEmpty: Bool { pointer.isEmpty }

    package mutating func removeAll() {
        slice = UnsafeRawBufferPointer(start: nil, count: 0)
        copy.removeAll()
    }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        if bytes.isEmpty { return }
        if copy.count > 0 {
            copy.append(bytes)
        } else if slice.isEmpty {
            slice = bytes
        } else if let base = slice.baseAddress, base + slice.count == bytes.baseAddress {
            slice = UnsafeRawBufferPointer(start: base, count: slice.count + bytes.count)
        } else {
            copy.append(slice)
            copy.append(bytes)
        }
    }
}
