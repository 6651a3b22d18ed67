// Unix stream sockets. The control socket: its file's permissions say who may connect, and the kernel
// names the peer. And those of mail hosts on this machine (LMTP).

import CEkiden
import EkidenMail
import EkidenRuntime
import Glibc

extension LinuxBackend {
    /// Listens on a Unix socket at `path`, replacing one that nobody listens on any more.
    /// - Parameter mode: permissions of the socket file; connecting needs write permission.
    /// Errors: the path is too long (ENAMETOOLONG), another process listens there (EADDRINUSE).
    package func listenUnix(_ handle: Handle, path: String, mode: UInt32) -> Int {
        guard let address = Self.address(path) else { return -Int(ENAMETOOLONG) }
        let descriptor = Self.openSocket()
        if descriptor < 0 { return -Int(errno) }
        var result = Self.with(address) { Glibc.bind(descriptor, $0, $1) }
        if result < 0, errno == EADDRINUSE, !Self.isAnswered(address) {
            unlink(path)
            result = Self.with(address) { Glibc.bind(descriptor, $0, $1) }
        }
        if result == 0 { result = chmod(path, mode) }
        if result == 0 { result = Glibc.listen(descriptor, 16) }
        if result < 0 {
            let code = errno
            Glibc.close(descriptor)
            return -Int(code)
        }
        attach(descriptor: descriptor, to: handle)
        return 0
    }

    /// Connects to the socket at `path`. Errors: the path is too long (ENAMETOOLONG), nobody is there
    /// (ENOENT, ECONNREFUSED) or has room (EAGAIN), or it is not for us (EACCES).
    package func connectUnix(_ handle: Handle, path: String) -> Int {
        guard let address = Self.address(path) else { return -Int(ENAMETOOLONG) }
        let descriptor = Self.openSocket()
        if descriptor < 0 { return -Int(errno) }
        if Self.with(address, { Glibc.connect(descriptor, $0, $1) }) < 0 {
            let code = errno
            Glibc.close(descriptor)
            return -Int(code)
        }
        attach(descriptor: descriptor, to: handle)
        return 0
    }

    private static func openSocket() -> Int32 {
        let type =
            Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
            | Int32(SOCK_CLOEXEC.rawValue)
        return socket(AF_UNIX, type, 0)
    }

    /// nil: unix(7) has no room for the path.
    private static func address(_ path: String) -> sockaddr_un? {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return nil }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        return address
    }

    /// Who is at the other end of a Unix socket; nil if the kernel won't say.
    package func peerProcess(_ handle: Handle) -> (uid: UInt32, gid: UInt32, pid: Int32)? {
        var uid: UInt32 = 0
        var gid: UInt32 = 0
        var pid: Int32 = 0
        let result = ekiden_peer(descriptor(of: handle), &uid, &gid, &pid)
        return result == 0 ? (uid, gid, pid) : nil
    }

    /// Gives the socket file to a group, so that its members may connect.
    package static func setGroup(_ path: String, _ name: String) -> SystemError? {
        guard let group = getgrnam(name) else { return SystemError(code: ENOENT) }
        return chown(path, uid_t.max, group.pointee.gr_gid) == 0 ? nil : SystemError(code: errno)
    }

    /// Whether somebody listens there; a file left by a process that is gone refuses.
    private static func isAnswered(_ address: sockaddr_un) -> Bool {
        let probe = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { Glibc.close(probe) }
        return with(address) { Glibc.connect(probe, $0, $1) } == 0
    }

    private static func with(
        _ address: sockaddr_un,
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        withUnsafePointer(to: address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}
