// Bodies as they come in, and large ones as they are read back. A small body stays in memory; one
// over 256 KiB streams to a file of its own while it arrives, and file and name are durable before
// the record that names them is written.

import EkidenCrypto
import EkidenMail
import EkidenRuntime

/// Takes a body while it arrives. One task uses it; end it with `finish` or `abandon`.
package final class BodyIntake {
    private let disk: any Disk
    private let settings: SpoolSettings
    private let id: QueueID
    private var buffer = BytesBuilder(capacity: 4096)
    private var file: DiskFile?
    private var written = 0
    private var checksums: [UInt32] = []
    package private(set) var byteCount = 0

    init(disk: any Disk, settings: SpoolSettings, id: QueueID) {
        self.disk = disk
        self.settings = settings
        self.id = id
    }

    /// Adds bytes. Errors: the disk has no room, or is not well; `abandon` then.
    package func append(_ bytes: UnsafeRawBufferPointer) async throws(SpoolRefusal) {
        byteCount += bytes.count
        buffer.append(bytes)
        if file == nil, buffer.count <= settings.inlineBodyBytesMax { return }
        try await writeWholeBlocks()
    }

    package func append(_ bytes: Bytes) async throws(SpoolRefusal) {
        try await append(bytes.pointer)
        withExtendedLifetime(bytes) {}
    }

    private func writeWholeBlocks() async throws(SpoolRefusal) {
        let blockBytes = LargeName.blockBytes
        guard buffer.count >= blockBytes || file == nil else { return }
        try await openFile()
        while buffer.count >= blockBytes {
            var full = BytesBuilder(capacity: blockBytes)
            swap(&full, &buffer)
            let bytes = full.finish()
            let whole = bytes.count / blockBytes * blockBytes
            buffer.append(bytes[whole..<bytes.count])
            try await write(bytes[0..<whole])
        }
    }

    private func openFile() async throws(SpoolRefusal) {
        guard file == nil else { return }
        do { file = try await disk.open(LargeName.path(id.number), .create, lane: .bulk) } catch {
            throw SpoolRefusal(error)
        }
    }

    private func write(_ bytes: Bytes) async throws(SpoolRefusal) {
        guard let file, !bytes.isEmpty else { return }
        for start in stride(from: 0, to: bytes.count, by: LargeName.blockBytes) {
            var sum = Checksum()
            sum.update(bytes[start..<min(start + LargeName.blockBytes, bytes.count)])
            checksums.append(sum.value)
        }
        do {
            try await disk.write([bytes], to: file, at: written, sync: false, written: nil)
        } catch { throw SpoolRefusal(error) }
        written += bytes.count
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
        var rest = BytesBuilder(capacity: 0)
        swap(&rest, &buffer)
        let bytes = rest.finish()
        guard file != nil else { return .memory(bytes) }
        try await write(bytes)
        guard let file else { return .memory(bytes) }
        do {
            try await disk.sync(file)
            try await disk.syncDirectory("large")
        } catch { throw SpoolRefusal(error) }
        await disk.close(file)
        self.file = nil
        let name = LargeName(number: id.number, checksums: checksums)
        let reader = LargeBodyReader(disk: disk, name: name, byteCount: byteCount)
        return .stored(reader, byteCount: byteCount)
    }

    /// The message will not be: its file goes. Harmless at any time before `accept` succeeded.
    package func abandon() async {
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

    init(disk: any Disk, name: LargeName, byteCount: Int) {
        self.disk = disk
        self.name = name
        self.byteCount = byteCount
    }

    func read(at offset: Int, count: Int) async throws(ContentUnavailable) -> Bytes {
        let end = min(offset + count, byteCount)
        guard offset < end else { return Bytes() }
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
