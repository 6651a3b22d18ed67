import EkidenMail
import Glibc

/// Where a connection goes to.
package enum Destination: Sendable, Equatable {
    /// - source: which of our addresses it comes from; nil: the system's choice.
    case endpoint(Endpoint, from: HostAddress? = nil)
    /// A stream socket in the file system.
    case socket(path: String)
}

/// A connected byte stream with its buffers, owned by one task and at home on one loop.
///
/// Every wait ends at a deadline: `deadline` is one moment for whatever comes next, a command or a
/// whole reply, and not a patience per read (RFC 5321 §4.5.3.2 speaks of the reply).
package struct Connection: ~Copyable {
    package let loop: Loop
    package let handle: Handle
    package let peer: Endpoint
    package let local: Endpoint

    private var input: UnsafeMutableRawBufferPointer?
    private var inputStart = 0
    private var inputEnd = 0
    private var output = BytesBuilder(capacity: 512)
    /// Set once the session is secured; then the buffers above hold plain text.
    private var tls: (any TLSEngine)?

    /// Makes an accepted socket at home on `loop`; from a task of that loop.
    package init(adopting socket: AcceptedSocket, on loop: Loop) {
        handle = loop.makeHandle()
        self.loop = loop
        peer = socket.peer
        local = socket.local
        loop.backend.adopt(socket, as: handle)
    }

    private init(loop: Loop, handle: Handle, peer: Endpoint, local: Endpoint) {
        self.loop = loop
        self.handle = handle
        self.peer = peer
        self.local = local
    }

    /// Connects from a task of `loop`. A socket's connection has the peer 0.0.0.0:0. Errors: refused, unreachable, timed out, cancelled,
    /// exhausted.
    /// - Parameter opened: told the handle before the wait begins, so that it can be cancelled.
    package static func connect(
        to destination: Destination,
        on loop: Loop,
        until deadline: Instant,
        opened: (Handle) -> Void = { _ in }
    ) async throws(IOFailure) -> Connection {
        let handle = loop.makeHandle()
        opened(handle)
        loop.setDeadline(handle, deadline)
        var result: Int
        var peer = Endpoint(.v4(0), 0)
        switch destination {
        case .endpoint(let endpoint, let source):
            peer = endpoint
            result = loop.backend.connect(handle, to: endpoint, from: source)
        case .socket(let path):
            result = loop.backend.connectUnix(handle, path: path)
        }
        if result >= 0 {
            switch await loop.wait(handle, for: .writable) {
            case .ready: result = loop.backend.connectResult(handle)
            case .timedOut: result = -Int(ETIMEDOUT)
            case .cancelled: result = -Int(ECANCELED)
            }
        }
        guard result >= 0 else {
            loop.backend.close(handle)
            loop.releaseHandle(handle)
            if result == -Int(ECANCELED) { throw .cancelled }
            if case .socket = destination, result == -Int(EACCES) || result == -Int(EPERM) {
                throw .other(SystemError(code: Int32(-result)).text)
            }
            throw IOFailure(errno: Int32(-result))
        }
        let local = loop.backend.localEndpoint(handle) ?? Endpoint(.v4(0), 0)
        return Connection(loop: loop, handle: handle, peer: peer, local: local)
    }

    /// The same to an address and port, from any of ours.
    package static func connect(
        to peer: Endpoint,
        on loop: Loop,
        until deadline: Instant,
        opened: (Handle) -> Void = { _ in }
    ) async throws(IOFailure) -> Connection {
        try await connect(to: .endpoint(peer), on: loop, until: deadline, opened: opened)
    }

    deinit {
        if let input { loop.giveBuffer(input) }
        loop.backend.close(handle)
        loop.releaseHandle(handle)
    }

    /// The moment at which whatever is waited for has taken too long.
    package func setDeadline(_ deadline: Instant) { loop.setDeadline(handle, deadline) }

    // MARK: Reading

    /// Bytes received and not yet consumed; valid until the next call that changes the connection.
    package var unread: UnsafeRawBufferPointer {
        guard let input else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return UnsafeRawBufferPointer(rebasing: input[inputStart..<inputEnd])
    }

    package mutating func consume(_ count: Int) {
        precondition(count >= 0 && inputStart + count <= inputEnd)
        inputStart += count
        if inputStart == inputEnd {
            inputStart = 0
            inputEnd = 0
        }
    }

    /// Sends what is queued, then waits for more bytes and appends them to `unread`.
    /// False at the end of the stream. The caller keeps `unread` below the buffer's size.
    package mutating func fill() async throws(IOFailure) -> Bool {
        if output.count > 0 { try await flush() }
        if inputEnd == 0, let empty = input {
            loop.giveBuffer(empty)
            input = nil
        }
        while true {
            if tls?.hasPending != true { try await waitUntilReadable() }
            let buffer = input ?? loop.takeBuffer()
            input = buffer
            if inputEnd == buffer.count, inputStart > 0 {
                let kept = inputEnd - inputStart
                UnsafeMutableRawBufferPointer(rebasing: buffer[..<kept]).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: buffer[inputStart..<inputEnd])
                )
                inputStart = 0
                inputEnd = kept
            }
            let room = UnsafeMutableRawBufferPointer(rebasing: buffer[inputEnd...])
            precondition(room.count > 0, "the reader let its buffer run full")
            if let tls {
                let count = try await receive(by: tls, into: room)
                inputEnd += count
                return count > 0
            }
            guard let n = try receiveNow(into: room) else { continue }
            inputEnd += n
            return n > 0
        }
    }

    private func waitUntilReadable() async throws(IOFailure) {
        switch await loop.wait(handle, for: .readable) {
        case .ready: break
        case .timedOut: throw .timedOut
        case .cancelled: throw .cancelled
        }
    }

    /// Bytes the socket had, 0 at the end of the stream; nil when it had none after all.
    private func receiveNow(
        into room: UnsafeMutableRawBufferPointer
    ) throws(IOFailure) -> Int? {
        let n = loop.backend.receive(handle, into: room)
        if n >= 0 {
            if n > 0, n < room.count { loop.clearReadableUnlessHungUp(handle) }
            return n
        }
        if n == -Int(EAGAIN) {
            loop.clear(.readable, of: handle)
        } else if n != -Int(EINTR) {
            throw IOFailure(errno: Int32(-n))
        }
        return nil
    }

    /// True when bytes, or the end of the stream, are there to be read without waiting.
    package mutating func hasInput() async -> Bool {
        if inputEnd > inputStart || tls?.hasPending == true { return true }
        loop.setDeadline(handle, loop.turnTime)
        return await loop.wait(handle, for: .readable) == .ready
    }

    // MARK: Writing

    /// Adds to what the next `flush` or `fill` sends.
    package mutating func queue(_ bytes: Bytes) { output.append(bytes) }
    package mutating func queue(_ text: StaticString) { output.append(text) }
    package mutating func queue(text: String) { output.append(text: text) }
    package mutating func queue(_ bytes: UnsafeRawBufferPointer) { output.append(bytes) }

    package var queuedBytes: Int { output.count }

    package mutating func flush() async throws(IOFailure) {
        guard output.count > 0 else { return }
        try await send([])
    }

    /// Sends what is queued and then `parts`.
    package mutating func send(_ parts: [Bytes]) async throws(IOFailure) {
        // The queued bytes move out so that the pointers below stay put across waits.
        var queued = BytesBuilder(capacity: 0)
        swap(&queued, &output)
        let head = queued.finish()
        var pending = parts.filter { !$0.isEmpty }
        if !head.isEmpty { pending.insert(head, at: 0) }
        guard let tls else { return try await transmit(pending) }
        var written = 0
        for part in pending {
            // In pieces, so that never much more than one is there twice.
            for start in stride(from: 0, to: part.count, by: Self.securedPiece) {
                let end = min(start + Self.securedPiece, part.count)
                do throws(TLSFailure) {
                    try tls.write(UnsafeRawBufferPointer(rebasing: part.pointer[start..<end]))
                } catch { throw .other(error.text) }
                written += end - start
                if written >= Self.securedPiece {
                    try await transmit(from: tls)
                    written = 0
                }
            }
        }
        try await transmit(from: tls)
    }

    private static let securedPiece = 65_536

    /// Sends what a session has to say, if anything.
    private mutating func transmit(from engine: any TLSEngine) async throws(IOFailure) {
        let bytes = engine.drain()
        if !bytes.isEmpty { try await transmit([bytes]) }
    }

    /// Sends parts as they are, none of them empty, in one system call as far as the socket takes
    /// them.
    private mutating func transmit(_ pending: [Bytes]) async throws(IOFailure) {
        var index = 0
        var offset = 0
        while index < pending.count {
            // At most 64 parts a call; bodies come in few, large parts.
            let buffers = pending[index..<min(index + 64, pending.count)].enumerated().map {
                $0.offset == 0
                    ? UnsafeRawBufferPointer(rebasing: $0.element.pointer[offset...])
                    : $0.element.pointer
            }
            var n = loop.backend.send(handle, buffers)
            if n < 0 {
                try await handleSendError(n)
                continue
            }
            while n > 0 {
                let left = pending[index].count - offset
                if n < left {
                    offset += n
                    n = 0
                } else {
                    n -= left
                    index += 1
                    offset = 0
                }
            }
        }
        withExtendedLifetime(pending) {}
    }

    private func handleSendError(_ n: Int) async throws(IOFailure) {
        if n == -Int(EINTR) { return }
        guard n == -Int(EAGAIN) else { throw IOFailure(errno: Int32(-n)) }
        loop.clear(.writable, of: handle)
        switch await loop.wait(handle, for: .writable) {
        case .ready: return
        case .timedOut: throw .timedOut
        case .cancelled: throw .cancelled
        }
    }

    /// Tells the peer that nothing more comes, while its last words can still be read.
    package func shutdownSending() {
        if let tls {
            // As far as the socket takes it at once: it is a courtesy (RFC 8446 §6.1).
            tls.close()
            let last = tls.drain()
            if !last.isEmpty { _ = loop.backend.send(handle, [last.pointer]) }
        }
        loop.backend.shutdownSending(handle)
    }

    // MARK: TLS

    /// Shakes hands, and from then on reads and writes through the session. Nothing may be unread.
    package mutating func secure(
        with engine: any TLSEngine
    ) async throws(SecureFailure) -> TLSFacts {
        precondition(inputStart == inputEnd, "plain text is left from before TLS")
        while true {
            let isDone: Bool
            do throws(TLSFailure) { isDone = try engine.shakeHands() } catch {
                try? await transmit(from: engine)
                throw .handshake(error)
            }
            do throws(IOFailure) {
                try await transmit(from: engine)
                if isDone { break }
                guard try await receive(for: engine) else { throw IOFailure.lost }
            } catch { throw .connection(error) }
        }
        tls = engine
        return engine.facts
    }

    /// Plain text of what has come, in bytes, 0 at its end; what the session itself has to say goes
    /// out.
    private mutating func receive(
        by engine: any TLSEngine,
        into room: UnsafeMutableRawBufferPointer
    ) async throws(IOFailure) -> Int {
        while true {
            let result: TLSRead
            do throws(TLSFailure) { result = try engine.read(into: room) } catch {
                try? await transmit(from: engine)
                throw .other(error.text)
            }
            try await transmit(from: engine)
            switch result {
            case .bytes(let count): return count
            case .closed: return 0
            // The end of the stream without the session's own is an end as well: what matters in
            // SMTP has an end of its own.
            case .starved: guard try await receive(for: engine) else { return 0 }
            }
        }
    }

    /// Gives the engine what the socket has; false at the end of the stream.
    private mutating func receive(for engine: any TLSEngine) async throws(IOFailure) -> Bool {
        while true {
            try await waitUntilReadable()
            let buffer = loop.takeBuffer()
            defer { loop.giveBuffer(buffer) }
            guard let n = try receiveNow(into: buffer) else { continue }
            engine.take(UnsafeRawBufferPointer(rebasing: buffer[..<n]))
            return n > 0
        }
    }
}
