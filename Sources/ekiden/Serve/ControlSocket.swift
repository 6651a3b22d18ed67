// The control socket: accepts the command line's connections, learns from the kernel who asks, and
// moves bytes between them and `ControlServerSession`. Lives on loop 0.

import EkidenConfiguration
import EkidenControl
import EkidenLinux
import EkidenMail
import EkidenRelay
import EkidenRuntime
import Glibc

final class ControlSocket: Sendable {
    private let loop: Loop
    private let handle: Handle
    private let path: String
    private let handler: any ControlHandler

    /// Reading a request and sending a page have this long; a reader that stalls is let go.
    private static let patience = Duration.seconds(30)

    /// Listens at the configured path; from a task of `loop`.
    static func open(
        _ handler: any ControlHandler,
        _ configuration: Configuration,
        on loop: Loop
    ) throws(StartFailure) -> ControlSocket {
        guard let backend = loop.backend as? LinuxBackend else {
            preconditionFailure("the control socket is of the real world")
        }
        let path = configuration.controlSocketPath
        let handle = loop.makeHandle()
        let group = configuration.control.group
        // Connecting needs write permission: the owner's, and the group's where one is named.
        let result = backend.listenUnix(handle, path: path, mode: group == nil ? 0o600 : 0o660)
        if result < 0 {
            loop.releaseHandle(handle)
            throw StartFailure(
                "can't open the control socket \(path): \(SystemError(code: Int32(-result)).text)"
            )
        }
        if let group, let error = LinuxBackend.setGroup(path, group) {
            backend.close(handle)
            loop.releaseHandle(handle)
            throw StartFailure("can't give the control socket to group \(group): \(error.text)")
        }
        let socket = ControlSocket(loop: loop, handle: handle, path: path, handler: handler)
        loop.spawn { await socket.serve(backend) }
        return socket
    }

    private init(loop: Loop, handle: Handle, path: String, handler: any ControlHandler) {
        self.loop = loop
        self.handle = handle
        self.path = path
        self.handler = handler
    }

    /// Accepts no more; from a task of the loop.
    func close() {
        unlink(path)
        loop.cancel(handle)
    }

    private func serve(_ backend: LinuxBackend) async {
        while await loop.wait(handle, for: .readable) == .ready {
            switch backend.accept(handle) {
            case .success(let socket):
                loop.spawn {
                    var connection = Connection(adopting: socket, on: self.loop)
                    try? await self.converse(&connection, backend)
                    _ = consume connection
                }
            case .failure(let error) where error.isWouldBlock:
                loop.clear(.readable, of: handle)
            case .failure:
                await loop.sleep(for: .milliseconds(100))
            }
        }
        backend.close(handle)
        loop.releaseHandle(handle)
    }

    private func converse(
        _ connection: inout Connection,
        _ backend: LinuxBackend
    ) async throws(IOFailure) {
        guard let process = backend.peerProcess(connection.handle) else { return }
        let peer = ControlPeer(uid: process.uid, gid: process.gid, pid: process.pid)
        var session = ControlServerSession(handler: handler, peer: peer)
        while true {
            while let answer = await session.next() {
                connection.setDeadline(loop.now() + Self.patience)
                try await connection.send([answer])
            }
            if session.isClosed { return }
            connection.setDeadline(loop.now() + Self.patience)
            guard try await connection.fill() else { return }
            session.receive(connection.unread)
            connection.consume(connection.unread.count)
        }
    }
}
