// The fixed part of a frame: 64 bytes, little-endian, described in docs/SPOOL.md. Pure; the batch
// writer makes them, the scanner believes one only when its checksum, its segment and its own
// place in it all agree.

import EkidenCrypto
import EkidenMail

/// What a frame holds. The numbers are on disk.
enum FrameKind: UInt8, Sendable, CaseIterable {
    /// First of each segment: its number, and how far earlier segments count.
    case preamble = 1
    /// A message: envelope, header block, body (or the name of its file).
    case accepted = 2
    /// Outcomes for recipients of one message, with the messages they cause.
    case marks = 3
    case hold = 4
    case release = 5
    /// Recipients removed by an operator.
    case removed = 6
    /// A message moved here from an older segment, with the state of every recipient.
    case consolidated = 7
    /// The wall time, and how far ids may have been given out.
    case heartbeat = 8
    /// The whole of a footer file.
    case footer = 9
}

struct FrameHead: Equatable, Sendable {
    static let byteCount = 64
    /// "EKDN" in the file.
    static let magic: UInt32 = 0x4e44_4b45
    static let version: UInt8 = 1
    /// Sanity bound of the tagged fields: a hundred thousand recipients fit.
    static let metaBytesMax = 64 << 20

    var kind: FrameKind
    /// Number of the segment it was written for.
    var generation: UInt64
    /// Counts up by one over all frames of the log.
    var sequence: UInt64
    var offset: UInt64
    /// All bytes of this segment before this offset were durable when the frame was written.
    var syncedUpTo: UInt64
    var metaBytes: Int
    var headerBytes: Int
    var bodyBytes: Int
    /// CRC-32C over header block and body.
    var extentsChecksum: UInt32

    /// With padding to 8.
    var frameBytes: Int { Self.padded(Self.byteCount + metaBytes + headerBytes + bodyBytes) }
    var extentsOffset: Int { Self.byteCount + metaBytes }
    var extentsBytes: Int { headerBytes + bodyBytes }

    static func padded(_ count: Int) -> Int { (count + 7) & ~7 }

    /// Writes the head before the meta that already stands at `place + 64`, with their checksum.
    func seal(_ place: UnsafeMutableRawPointer) {
        place.storeBytes(of: Self.magic.littleEndian, toByteOffset: 0, as: UInt32.self)
        place.storeBytes(of: Self.version, toByteOffset: 4, as: UInt8.self)
        place.storeBytes(of: kind.rawValue, toByteOffset: 5, as: UInt8.self)
        place.storeBytes(of: 0, toByteOffset: 6, as: UInt16.self)
        place.storeBytes(of: generation.littleEndian, toByteOffset: 8, as: UInt64.self)
        place.storeBytes(of: sequence.littleEndian, toByteOffset: 16, as: UInt64.self)
        place.storeBytes(of: offset.littleEndian, toByteOffset: 24, as: UInt64.self)
        place.storeBytes(of: syncedUpTo.littleEndian, toByteOffset: 32, as: UInt64.self)
        place.storeBytes(of: UInt32(metaBytes).littleEndian, toByteOffset: 40, as: UInt32.self)
        place.storeBytes(of: UInt32(headerBytes).littleEndian, toByteOffset: 44, as: UInt32.self)
        place.storeBytes(of: UInt64(bodyBytes).littleEndian, toByteOffset: 48, as: UInt64.self)
        place.storeBytes(of: extentsChecksum.littleEndian, toByteOffset: 56, as: UInt32.self)
        let sum = Self.checksum(UnsafeRawPointer(place), metaBytes: metaBytes)
        place.storeBytes(of: sum.littleEndian, toByteOffset: 60, as: UInt32.self)
    }

    /// Over the first 60 bytes of the head and the meta after it.
    static func checksum(_ place: UnsafeRawPointer, metaBytes: Int) -> UInt32 {
        var sum = Checksum()
        sum.update(UnsafeRawBufferPointer(start: place, count: 60))
        sum.update(UnsafeRawBufferPointer(start: place + byteCount, count: metaBytes))
        return sum.value
    }

    enum Problem: Error, Equatable {
        case notAFrame
        case newerVersion(UInt8)
    }

    /// Reads the fields without believing them; at least 64 bytes.
    static func parse(_ bytes: UnsafeRawBufferPointer) throws(Problem) -> FrameHead {
        guard bytes.count >= byteCount,
            UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self)) == magic
        else { throw .notAFrame }
        let version = bytes[4]
        guard version == Self.version else { throw .newerVersion(version) }
        guard let kind = FrameKind(rawValue: bytes[5]) else { throw .notAFrame }
        let long = { (at: Int) in
            UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self))
        }
        let short = { (at: Int) in
            UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self))
        }
        guard short(40) <= metaBytesMax, long(48) < 1 << 40 else { throw .notAFrame }
        return FrameHead(
            kind: kind,
            generation: long(8),
            sequence: long(16),
            offset: long(24),
            syncedUpTo: long(32),
            metaBytes: Int(short(40)),
            headerBytes: Int(short(44)),
            bodyBytes: Int(long(48)),
            extentsChecksum: short(56)
        )
    }

    /// True when head and meta, which follow each other in `bytes`, are as they were written.
    func isIntact(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count >= Self.byteCount + metaBytes, let base = bytes.baseAddress
        else { return false }
        let stored = UInt32(
            littleEndian: bytes.loadUnaligned(fromByteOffset: 60, as: UInt32.self)
        )
        return Self.checksum(base, metaBytes: metaBytes) == stored
    }
}
