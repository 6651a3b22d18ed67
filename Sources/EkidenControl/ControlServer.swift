// The daemon's side of the control socket, without the socket: bytes of requests in, lines of
// answers out. A driver accepts connections, learns the peer's user from the kernel, and moves the
// bytes; the relay implements `ControlHandler`.
//
// Answers come in pages that the driver asks for one by one, so a list of any length is never in
// memory as a whole, and a reader that is slow slows only itself.

import EkidenMail

/// Who asks, as the kernel says (SO_PEERCRED).
package struct ControlPeer: Sendable, Equatable {
    package let uid: UInt32
    package let gid: UInt32
    package let pid: Int32
    package init(uid: UInt32, gid: UInt32, pid: Int32) {
        self.uid = uid
        self.gid = gid
        self.pid = pid
    }
}

/// Where a page ends and the next begins: the last id of a list, an offset of a message; the
/// handler's own.
package struct ControlCursor: Sendable, Equatable {
    package let number: UInt64
    package init(number: UInt64) { self.number = number }
}

/// A part of an answer.
package struct ControlPage: Sendable {
    /// Rows as lines; see `ControlPage.init(rows:…)`.
    package var lines: Bytes
    package var rest: Rest

    package enum Rest: Sendable, Equatable {
        case more(ControlCursor)
        case end(ControlEnd)
    }

    package init(lines: Bytes, rest: Rest) {
        self.lines = lines
        self.rest = rest
    }

    package init(rows: [any ControlRow] = [], rest: Rest) {
        var writer = JSONWriter(capacity: 256 + rows.count * 512)
        for row in rows { row.writeLine(&writer) }
        self.init(lines: writer.finish(), rest: rest)
    }
}

/// Answers requests: the relay.
package protocol ControlHandler: Sendable {
    /// One page of the answer, about `ControlServerSession.pageRows` rows at most.
    ///
    /// A change is done with its first page and durable before it returns. `cursor` is nil for the
    /// first page, then what the page before gave.
    /// Errors: the answer ends there, with the problem as its last line.
    func page(
        of request: ControlRequest,
        after cursor: ControlCursor?,
        for peer: ControlPeer
    ) async throws(ControlProblem) -> ControlPage
}

/// One connection to the control socket.
package struct ControlServerSession {
    /// Rows a page should have at most: one turn of the queue's owner, some hundred kilobytes.
    package static let pageRows = 500
    /// A request's line; an operator may name some ten thousand ids.
    package static let requestBytes = 1_048_576

    private enum State {
        case reading
        case answering(ControlRequest, ControlCursor?)
        case closed
    }

    private let handler: any ControlHandler
    private let peer: ControlPeer
    private var input: [UInt8] = []
    private var state = State.reading

    package init(handler: any ControlHandler, peer: ControlPeer) {
        self.handler = handler
        self.peer = peer
    }

    /// No more is answered here; close once the last bytes are out.
    package var isClosed: Bool { if case .closed = state { true } else { false } }

    package mutating func receive(_ bytes: UnsafeRawBufferPointer) {
        if !isClosed { input.append(contentsOf: bytes) }
    }

    /// The next bytes to send; nil when it takes another `receive` first, or when closed.
    package mutating func next() async -> Bytes? {
        switch state {
        case .closed: return nil
        case .reading:
            guard let line = takeLine() else { return oversized() }
            do throws(ControlProblem) {
                let request = try line.withRawBytes { (bytes) throws(ControlProblem) in
                    try ControlRequest(line: bytes)
                }
                return await answer(request, after: nil)
            } catch {
                return close(with: error)
            }
        case .answering(let request, let cursor):
            return await answer(request, after: cursor)
        }
    }

    private mutating func answer(
        _ request: ControlRequest,
        after cursor: ControlCursor?
    ) async -> Bytes {
        do throws(ControlProblem) {
            let page = try await handler.page(of: request, after: cursor, for: peer)
            switch page.rest {
            case .more(let next):
                state = .answering(request, next)
                return page.lines
            case .end(let end):
                state = .reading
                var writer = JSONWriter()
                end.writeLine(&writer)
                var all = BytesBuilder(capacity: page.lines.count + writer.count)
                all.append(page.lines)
                all.append(writer.finish())
                return all.finish()
            }
        } catch {
            state = .reading
            return line(of: error)
        }
    }

    private mutating func takeLine() -> ArraySlice<UInt8>? {
        guard let end = input.firstIndex(of: 0x0a) else { return nil }
        let line = input[..<end]
        input.removeSubrange(...end)
        return line
    }

    private mutating func oversized() -> Bytes? {
        guard input.count > Self.requestBytes else { return nil }
        return close(with: ControlProblem(.malformed, "the request is too long"))
    }

    /// After bytes that are no request nothing that follows can be trusted to be one.
    private mutating func close(with problem: ControlProblem) -> Bytes {
        state = .closed
        input = []
        return line(of: problem)
    }

    private func line(of problem: ControlProblem) -> Bytes {
        var writer = JSONWriter()
        problem.writeLine(&writer)
        return writer.finish()
    }
}

extension ArraySlice<UInt8> {
    fileprivate func withRawBytes<R>(
        _ body: (UnsafeRawBufferPointer) throws(ControlProblem) -> R
    ) throws(ControlProblem) -> R {
        var result: Result<R, ControlProblem>?
        withUnsafeBytes { bytes in
            do throws(ControlProblem) {
                result = .success(try body(bytes))
            } catch {
                result = .failure(error)
            }
        }
        guard let result else { throw ControlProblem(.malformed, "the request is empty") }
        return try result.get()
    }
}
