// Bodies as they come in, and large ones as they are read back. A small body stays in memory; one
// over 256 KiB streams to a file of its own while it arrives, and file and name are durable before
// the record that names them is written.

import EkidenCrypto
import EkidenMail
import EkidenRuntime

/// Takes a body while it arrives. One task uses it; end it with `finish` or `abandon`.
package final class BodyIntake {
    private let disk: any Disk
    private let names: DirectorySync
    private let memory: MemoryShare
    private let id: QueueID
    private let inlineMax: Int
    /// What is not written yet: all of a small body, less than a block of a large one.
    private var buffer = BytesBuilder(capacity: 4096)
    private var file: DiskFile?
    private var nameTicket: DirectorySync.Ticket?
    private var written = 0
    private var checksums: [UInt32] = []
    /// The blocks written so far, to be sent on without reading them back; nil once there were
    /// too many of them here or elsewhere.
    private var fresh: [Bytes]? = []
    private var freshBytes = 0
    package private(set) var byteCount = 0

    /// A body larger than this is not worth its memory.
    private static let freshBytesMax = 4 << 20

    init(disk: any Disk, names: DirectorySync, memory: MemoryShare, inlineMax: Int, id: QueueID) {
        self.disk = disk
        self.names = names
        self.memory = memory
        self.inlineMax = inlineMax
        self.id = id
    }

    deinit { memory.giveBack(freshBytes) }

    /// Adds bytes. Errors: the disk has no room, or is not well; `abandon` then.
    package func append(_ bytes: UnsafeRawBufferPointer) async throws(SpoolRefusal) {
        byteCount += bytes.count
        var rest = bytes
        if file == nil {
            take(&rest, upTo: inlineMax)
            if rest.isEmpty { return }
            try await becomeLarge()
        }
        while !rest.isEmpty {
            if buffer.count == 0, buffer.capacity < LargeName.blockBytes {
                buffer = BytesBuilder(capacity: LargeName.blockBytes)
            }
            take(&rest, upTo: LargeName.blockBytes)
            if buffer.count == LargeName.blockBytes { try await write(takeBuffer(), sync: false) }
        }
    }

    package func append(_ bytes: Bytes) async throws(SpoolRefusal) {
        try await append(bytes.pointer)
        withExtendedLifetime(bytes) {}
    }

    /// Moves bytes into the buffer until it holds `limit`.
    private func take(_ rest: inout UnsafeRawBufferPointer, upTo limit: Int) {
        let n = min(max(limit - buffer.count, 0), rest.count)
        buffer.append(UnsafeRawBufferPointer(rebasing: rest[..<n]))
        rest = UnsafeRawBufferPointer(rebasing: rest[n...])
    }

    private func takeBuffer() -> Bytes {
        var full = BytesBuilder(capacity: 0)
        swap(&full, &buffer)
        return full.finish()
    }

    private func becomeLarge() async throws(SpoolRefusal) {
        let mark = names.mark()
        do { file = try await disk.open(LargeName.path(id.number), .create, lane: .bulk) } catch {
            throw SpoolRefusal(error)
        }
        nameTicket = names.begin(since: mark)
        let bytes = takeBuffer()
        let whole = bytes.count / LargeName.blockBytes * LargeName.blockBytes
        try await write(bytes[0..<whole], sync: false)
        buffer.append(bytes[whole..<bytes.count])
    }

    /// Writes whole blocks, or the last bytes of all.
    private func write(_ bytes: Bytes, sync: Bool) async throws(SpoolRefusal) {
        guard let file else { return }
        for start in stride(from: 0, to: bytes.count, by: LargeName.blockBytes) {
            let block = bytes[start..<min(start + LargeName.blockBytes, bytes.count)]
            var sum = Checksum()
            sum.update(block)
            checksums.append(sum.value)
            keep(block)
        }
        do {
            if bytes.isEmpty {
                if sync { try await disk.sync(file) }
            } else {
                try await disk.write([bytes], to: file, at: written, sync: sync, written: nil)
            }
        } catch { throw SpoolRefusal(error) }
        written += bytes.count
    }

    private func keep(_ block: Bytes) {
        guard fresh != nil else { return }
        let needed = LargeName.blockBytes
        if freshBytes + needed <= Self.freshBytesMax, memory.take(needed) {
            freshBytes += needed
            fresh?.append(block)
        } else {
            forgetFresh()
        }
    }

    private func forgetFresh() {
        fresh = nil
        memory.giveBack(freshBytes)
        freshBytes = 0
    }

    /// The whole body; a large one is durable when this returns. Errors: as `append`; the file is
    /// gone already.
    package func finish() async throws(SpoolRefusal) -> Content.Body {
        do throws(SpoolRefusal) { return try await makeDurable() } catch {
            await abandon()
            throw error
        }
    }

    private func makeDurable() async throws(SpoolRefusal) -> Content.Body {
        let bytes = takeBuffer()
        guard file != nil else { return .memory(bytes) }
        try await write(bytes, sync: true)
        guard let file, let nameTicket else { return .memory(bytes) }
        do { try await names.wait(for: nameTicket) } catch { throw SpoolRefusal(error) }
        await disk.close(file)
        self.file = nil
        let name = LargeName(number: id.number, checksums: checksums)
        let reader = LargeBodyReader(
            disk: disk,
            name: name,
            byteCount: byteCount,
            fresh: fresh ?? [],
            memory: memory,
            freshBytes: freshBytes
        )
        // From here on the reader counts them.
        fresh = nil
        freshBytes = 0
        return .stored(reader, byteCount: byteCount)
    }

    /// The message will not be: its file goes. Harmless at any time before `accept` succeeded.
    package func abandon() async {
        forgetFresh()
        guard file != nil || !checksums.isEmpty else { return }
        if let file { await disk.close(file) }
        file = nil
        checksums = []
        try? await disk.remove(LargeName.path(id.number))
    }
}

extension NewMessage {
    /// The file that a `BodyIntake` made under the message's own id.
    var largeName: LargeName? {
        guard case .stored(let reader as LargeBodyReader, _) = content.body,
            reader.name.number == id.number
        else { return nil }
        return reader.name
    }
}

extension SpoolRefusal {
    init(_ failure: DiskFailure) {
        let isFull = failure.kind == .noSpace || failure.kind == .noInodes
        self.init(isFull ? .full : .unavailable, failure.text)
    }
}

/// Reads a large body block by block, each against its checksum.
///
/// `@unchecked Sendable`: the values are constant; the file is opened and closed by each call.
final class LargeBodyReader: BodyReader, @unchecked Sendable {
    private let disk: any Disk
    let name: LargeName
    let byteCount: Int
    /// The blocks as they came in, while they are still in memory; else empty.
    private let fresh: [Bytes]
    /// What they were taken from, and how much. The cache alone does not bound them: a session that
    /// sends the body keeps it when the cache has let it go.
    private let memory: MemoryShare?
    private let freshBytes: Int

    init(
        disk: any Disk,
        name: LargeName,
        byteCount: Int,
        fresh: [Bytes] = [],
        memory: MemoryShare? = nil,
        freshBytes: Int = 0
    ) {
        self.disk = disk
        self.name = name
        self.byteCount = byteCount
        self.fresh = fresh
        self.memory = memory
        self.freshBytes = freshBytes
    }

    deinit { memory?.giveBack(freshBytes) }

    /// Memory that this value keeps from being freed, in bytes.
    var retainedBytes: Int { fresh.count * LargeName.blockBytes + name.checksums.count * 4 }

    func read(at offset: Int, count: Int) async throws(ContentUnavailable) -> Bytes {
        let end = min(offset + count, byteCount)
        guard offset < end else { return Bytes() }
        return fresh.isEmpty
            ? try await readStored(offset..<end) : readFresh(offset..<end)
    }

    private func readFresh(_ range: Range<Int>) -> Bytes {
        let first = range.lowerBound / LargeName.blockBytes
        let last = (range.upperBound - 1) / LargeName.blockBytes
        let start = first * LargeName.blockBytes
        if first == last {
            return fresh[first][range.lowerBound - start..<range.upperBound - start]
        }
        var joined = BytesBuilder(capacity: range.count)
        for index in first...last {
            let block = fresh[index]
            let at = index * LargeName.blockBytes
            joined.append(
                block[max(range.lowerBound - at, 0)..<min(range.upperBound - at, block.count)]
            )
        }
        return joined.finish()
    }

    private func readStored(_ range: Range<Int>) async throws(ContentUnavailable) -> Bytes {
        let offset = range.lowerBound
        let end = range.upperBound
        // Whole blocks, since those have checksums.
        let first = offset / LargeName.blockBytes
        let last = (end - 1) / LargeName.blockBytes
        let start = first * LargeName.blockBytes
        let stop = min((last + 1) * LargeName.blockBytes, byteCount)
        let bytes: Bytes
        do throws(DiskFailure) {
            let file = try await disk.open(name.path, .read, lane: .bulk)
            let result: Result<Bytes, DiskFailure>
            if let cached = disk.readIfCached(file, at: start, count: stop - start),
                cached.count == stop - start
            {
                result = .success(cached)
            } else {
                do {
                    result = .success(try await disk.read(file, at: start, count: stop - start))
                } catch { result = .failure(error) }
            }
            await disk.close(file)
            bytes = try result.get()
        } catch {
            // A file missing from a directory that is there is lost; with the directory gone, too,
            // the disk is not what it should be, and that may pass.
            var isLost = error.kind == .notFound
            if isLost { isLost = (try? await disk.list("large")) != nil }
            throw ContentUnavailable(error.text, isDamage: isLost)
        }
        guard bytes.count == stop - start else {
            throw ContentUnavailable("\(name.path) is too short", isDamage: true)
        }
        for block in first...last {
            let from = block * LargeName.blockBytes - start
            var sum = Checksum()
            sum.update(bytes[from..<min(from + LargeName.blockBytes, bytes.count)])
            guard block < name.checksums.count, sum.value == name.checksums[block] else {
                throw ContentUnavailable("\(name.path) has changed on the disk", isDamage: true)
            }
        }
        return bytes[offset - start..<end - start]
    }

    /// Reads everything; what is wrong, if anything is.
    func check() async -> ContentUnavailable? {
        var at = 0
        while at < byteCount {
            do { at += try await read(at: at, count: LargeName.blockBytes).count } catch {
                return error
            }
        }
        return nil
    }
}
