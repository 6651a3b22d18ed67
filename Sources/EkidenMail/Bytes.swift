// Message bytes are written once, then only read: received into a `BytesBuilder`, frozen into
// `Bytes`, and handed by reference to the disk and to sockets, which need an address that stays
// put while they work. Arrays give neither stable addresses nor slices without a copy.

/// The memory behind `Bytes`.
///
/// `@unchecked Sendable`: it is written only through the one `BytesBuilder` that made it, which is
/// not copyable and ends when it is frozen; afterwards nobody writes.
@usableFromInline
package final class ByteRegion: @unchecked Sendable {
    @usableFromInline var base: UnsafeMutableRawPointer
    @usableFromInline var capacity: Int

    @usableFromInline
    init(capacity: Int) {
        base = .allocate(byteCount: Swift.max(capacity, 16), alignment: 16)
        self.capacity = Swift.max(capacity, 16)
    }

    deinit { base.deallocate() }
}

/// An immutable run of bytes; a slice shares its memory with the whole.
@frozen
@usableFromInline
package struct Bytes: Sendable {
    @usableFromInline let region: ByteRegion
    @usableFromInline let start: Int
    @usableFromInline package let count: Int

    @inlinable
    init(region: ByteRegion, start: Int, count: Int) {
        self.region = region
        self.start = start
        self.count = count
    }

    package init() { self.init(region: Self.emptyRegion, start: 0, count: 0) }

    package init(_ bytes: some Sequence<UInt8>) {
        var builder = BytesBuilder()
        builder.append(contentsOf: Array(bytes))
        self = builder.finish()
    }

    package init(_ text: String) { self.init(text.utf8) }

    private static let emptyRegion = ByteRegion(capacity: 0)

    @inlinable package var isEmpty: Bool { count == 0 }

    /// The bytes in place; valid only while this value (or a slice of it) is kept alive.
    @inlinable
    package var pointer: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: region.base + start, count: count)
    }

    @inlinable
    package subscript(index: Int) -> UInt8 {
        precondition(index >= 0 && index < count)
        return (region.base + start + index).load(as: UInt8.self)
    }

    /// A part, sharing memory. Bounds are this value's own, from 0.
    @inlinable
    package subscript(range: Range<Int>) -> Bytes {
        precondition(range.lowerBound >= 0 && range.upperBound <= count)
        return Bytes(region: region, start: start + range.lowerBound, count: range.count)
    }

    package var array: [UInt8] { Array(pointer) }

    /// The bytes as text; invalid UTF-8 is replaced, so for people only.
    package var text: String { String(decoding: pointer, as: UTF8.self) }

    /// Memory that this value keeps from being freed, in bytes.
    package var retainedBytes: Int { region.capacity }
}

extension Bytes: Equatable {
    @usableFromInline
    package static func == (a: Bytes, b: Bytes) -> Bool {
        a.count == b.count && a.pointer.elementsEqual(b.pointer)
    }
}

/// Grows by doubling and becomes `Bytes` without a copy.
@frozen
@usableFromInline
package struct BytesBuilder: ~Copyable {
    @usableFromInline var region: ByteRegion
    @usableFromInline package private(set) var count: Int

    package init(capacity: Int = 64) {
        region = ByteRegion(capacity: capacity)
        count = 0
    }

    package var capacity: Int { region.capacity }

    /// Makes room for `additional` more bytes.
    package mutating func reserve(_ additional: Int) {
        let needed = count + additional
        if needed <= region.capacity { return }
        let grown = ByteRegion(capacity: max(needed, region.capacity * 2))
        grown.base.copyMemory(from: region.base, byteCount: count)
        region = grown
    }

    package mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        reserve(bytes.count)
        (region.base + count).copyMemory(from: source, byteCount: bytes.count)
        count += bytes.count
    }

    package mutating func append(_ bytes: Span<UInt8>) {
        bytes.withUnsafeBytes { append($0) }
    }

    package mutating func append(contentsOf bytes: [UInt8]) {
        bytes.withUnsafeBytes { append($0) }
    }

    package mutating func append(_ bytes: Bytes) { append(bytes.pointer) }

    package mutating func append(_ text: StaticString) {
        append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    package mutating func append(text: String) {
        var text = text
        text.withUTF8 { append(UnsafeRawBufferPointer($0)) }
    }

    package mutating func append(byte: UInt8) {
        reserve(1)
        (region.base + count).storeBytes(of: byte, as: UInt8.self)
        count += 1
    }

    /// Room for `n` bytes at the end, to be filled in place and then claimed with `advance`.
    package mutating func tail(_ n: Int) -> UnsafeMutableRawBufferPointer {
        reserve(n)
        return UnsafeMutableRawBufferPointer(
            start: region.base + count,
            count: region.capacity - count
        )
    }

    package mutating func advance(_ n: Int) {
        precondition(n >= 0 && count + n <= region.capacity)
        count += n
    }

    /// What was written so far; valid until the next change.
    package var pointer: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: region.base, count: count)
    }

    /// Overwrites bytes already written, such as a length known only at the end.
    package mutating func patch(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        precondition(offset >= 0 && offset + bytes.count <= count)
        if let source = bytes.baseAddress {
            (region.base + offset).copyMemory(from: source, byteCount: bytes.count)
        }
    }

    package mutating func removeAll() { count = 0 }

    /// Freezes what was written. The memory may be larger than the count (see `retainedBytes`).
    package consuming func finish() -> Bytes {
        Bytes(region: region, start: 0, count: count)
    }
}
