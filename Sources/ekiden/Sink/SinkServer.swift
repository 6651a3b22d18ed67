// The sink's loop: one thread, one large buffer for all connections. Used by
// `ekiden sink` and, on a thread of its own, by `ekiden bench`.

import EkidenMail
import Glibc

final class SinkServer {
    private final class Connection {
        let socket: Socket
        var session: SinkSession
        /// Bytes that came while the session paused.
        var stash: [UInt8] = []
        var unsent: [UInt8] = []
        var isClosing = false
        /// Waits for room to send instead of for bytes.
        var wasBlocked = false
        var resumeAt: Int64?

        init(_ socket: Socket, _ session: SinkSession) {
            self.socket = socket
            self.session = session
        }
    }

    let endpoint: Endpoint
    private let listener: Socket
    private let poller = Poller()
    private let capture: SinkCapture
    private let extensions: String
    private var script: SinkScript
    private var connections: [Int32: Connection] = [:]
    private var delayed: [Int32] = []
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 64)
    private let received: (SinkMessage) -> Void

    /// - Parameter without: extensions the sink does not offer, upper case.
    init(
        listeningOn endpoint: Endpoint,
        capture: SinkCapture,
        script: SinkScript = SinkScript(),
        without: [String] = [],
        received: @escaping (SinkMessage) -> Void
    ) throws(CommandProblem) {
        listener = try Socket.listen(on: endpoint)
        self.endpoint = listener.local ?? endpoint
        self.capture = capture
        self.script = script
        self.received = received
        let offered = ["PIPELINING", "8BITMIME", "SIZE", "ENHANCEDSTATUSCODES"].filter {
            !without.contains($0)
        }
        let lines = ["sink"] + offered
        extensions = lines.enumerated().map { index, line in
            "250\(index == lines.count - 1 ? " " : "-")\(line)\r\n"
        }.joined()
        poller.add(listener, .readable)
    }

    deinit {
        for connection in connections.values { connection.socket.close() }
        listener.close()
        buffer.deallocate()
    }

    var connectionCount: Int { connections.count }

    /// One wait and the work it brings; at most `milliseconds` long.
    func turn(milliseconds: Int32) {
        var patience = milliseconds
        if !delayed.isEmpty {
            let now = monotonicNanoseconds()
            let next = delayed.compactMap { connections[$0]?.resumeAt }.min() ?? now
            patience = Int32(
                clamping: min(Int64(milliseconds), max(0, (next - now) / 1_000_000 + 1))
            )
        }
        poller.wait(milliseconds: patience) { descriptor, interest in
            if descriptor == listener.descriptor {
                acceptAll()
            } else if let connection = connections[descriptor] {
                serve(connection, interest)
            }
        }
        if !delayed.isEmpty { resumeDue() }
    }

    private func acceptAll() {
        while let (socket, peer) = listener.accept() {
            let connection = Connection(
                socket,
                SinkSession(client: peer, capture: capture, extensions: extensions)
            )
            connections[socket.descriptor] = connection
            poller.add(socket, .readable)
            let pause = connection.session.greet(&script)
            act(on: pause, connection)
        }
    }

    private func serve(_ connection: Connection, _ interest: Poller.Interest) {
        if connection.resumeAt != nil {
            // Asleep; only a broken connection wakes it.
            if interest.contains(.writable) { close(connection) }
            return
        }
        if interest.contains(.writable), !connection.unsent.isEmpty {
            send(connection)
            return
        }
        switch connection.socket.receive(into: buffer) {
        case nil: return
        case .some(let count) where count > 0:
            feed(connection, UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        default: close(connection)
        }
    }

    private func feed(_ connection: Connection, _ bytes: UnsafeRawBufferPointer) {
        let (taken, pause) = connection.session.feed(bytes, &script, received)
        if taken < bytes.count { connection.stash += bytes[taken...] }
        act(on: pause, connection)
    }

    private func act(on pause: SinkSession.Pause?, _ connection: Connection) {
        switch pause {
        case nil: send(connection)
        case .close:
            connection.isClosing = true
            send(connection)
        case .drop: close(connection)
        case .delay(let duration):
            connection.resumeAt = monotonicNanoseconds() + duration.wholeNanoseconds
            delayed.append(connection.socket.descriptor)
            poller.change(connection.socket, [])
        }
    }

    private func resumeDue() {
        let now = monotonicNanoseconds()
        for descriptor in delayed {
            guard let connection = connections[descriptor], let due = connection.resumeAt,
                due <= now
            else { continue }
            connection.resumeAt = nil
            poller.change(connection.socket, .readable)
            send(connection)
            let stash = connection.stash
            connection.stash = []
            if connections[descriptor] === connection, !stash.isEmpty {
                stash.withUnsafeBytes { feed(connection, $0) }
            }
        }
        delayed.removeAll { connections[$0]?.resumeAt == nil }
    }

    private func send(_ connection: Connection) {
        let output = connection.session.takeOutput()
        if connection.unsent.isEmpty {
            connection.unsent = output
        } else {
            connection.unsent += output
        }
        if !connection.unsent.isEmpty {
            let sent = connection.unsent.withUnsafeBytes { connection.socket.send($0) }
            if sent < 0 {
                close(connection)
                return
            }
            if sent < connection.unsent.count {
                connection.unsent.removeFirst(sent)
                connection.wasBlocked = true
                poller.change(connection.socket, .writable)
                return
            }
            connection.unsent.removeAll(keepingCapacity: true)
        }
        if connection.isClosing {
            close(connection)
        } else if connection.resumeAt == nil, connection.wasBlocked {
            connection.wasBlocked = false
            poller.change(connection.socket, .readable)
        }
    }

    private func close(_ connection: Connection) {
        connections[connection.socket.descriptor] = nil
        poller.remove(connection.socket)
        connection.socket.close()
    }
}
