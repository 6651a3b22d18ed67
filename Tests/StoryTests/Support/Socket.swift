// Blocking sockets with patience: every wait has an end. Used by the stories' client and peers.

import Foundation

struct Place: Sendable, Equatable, CustomStringConvertible {
    var address: String
    var port: UInt16

    init(_ address: String, _ port: UInt16) {
        self.address = address
        self.port = port
    }

    /// `127.0.0.1:25`, `[::1]:25`
    var description: String {
        address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)"
    }

    /// Calls with the address in the system's form.
    func withSocketAddress<Result>(
        _ body: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        if address.contains(":") {
            var six = sockaddr_in6()
            six.sin6_family = sa_family_t(AF_INET6)
            six.sin6_port = port.bigEndian
            inet_pton(AF_INET6, address, &six.sin6_addr)
            return withUnsafePointer(to: &six) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body(AF_INET6, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
                }
            }
        }
        var four = sockaddr_in()
        four.sin_family = sa_family_t(AF_INET)
        four.sin_port = port.bigEndian
        inet_pton(AF_INET, address, &four.sin_addr)
        return withUnsafePointer(to: &four) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body(AF_INET, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}

func systemError(_ what: String) -> StoryFailure {
    StoryFailure("\(what): \(String(cString: strerror(errno)))")
}

final class Socket: Sendable {
    let descriptor: Int32

    init(adopting descriptor: Int32) { self.descriptor = descriptor }

    private init(family: Int32) throws {
        descriptor = socket(family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        if descriptor < 0 { throw systemError("socket") }
    }

    deinit { close(descriptor) }

    static func listen(on place: Place) throws -> Socket {
        let made = try Socket(family: place.address.contains(":") ? AF_INET6 : AF_INET)
        var yes: Int32 = 1
        setsockopt(made.descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, 4)
        let bound = place.withSocketAddress { _, address, length in
            bind(made.descriptor, address, length)
        }
        if bound != 0 { throw systemError("bind \(place)") }
        if Foundation.listen(made.descriptor, 512) != 0 { throw systemError("listen \(place)") }
        return made
    }

    /// - Parameter source: the address to come from.
    static func connect(to place: Place, from source: String? = nil) throws -> Socket {
        let made = try Socket(family: place.address.contains(":") ? AF_INET6 : AF_INET)
        if let source {
            let bound = Place(source, 0).withSocketAddress { _, address, length in
                bind(made.descriptor, address, length)
            }
            if bound != 0 { throw systemError("bind \(source)") }
        }
        let connected = place.withSocketAddress { _, address, length in
            Foundation.connect(made.descriptor, address, length)
        }
        if connected != 0 { throw systemError("connect to \(place)") }
        var yes: Int32 = 1
        setsockopt(made.descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, 4)
        return made
    }

    var localPort: UInt16 {
        var address = sockaddr_in6()
        var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
        _ = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                getsockname(descriptor, $0, &length)
            }
        }
        return UInt16(bigEndian: address.sin6_port)
    }

    /// False when nothing came within the time.
    func isReadable(within seconds: Double) -> Bool {
        var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return Foundation.poll(&poll, 1, Int32(max(0, seconds) * 1000)) > 0
    }

    func accept() -> Socket? {
        let taken = Foundation.accept(descriptor, nil, nil)
        if taken < 0 { return nil }
        _ = fcntl(taken, F_SETFD, FD_CLOEXEC)
        return Socket(adopting: taken)
    }

    /// The bytes that came; empty at the end of the stream; nil when it broke.
    func receive() -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        return count < 0 ? nil : Array(buffer[..<count])
    }

    /// False when the connection broke, or the other side took nothing for ten seconds.
    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        var offset = 0
        while offset < bytes.count {
            var poll = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            if Foundation.poll(&poll, 1, 10_000) <= 0 { return false }
            let sent = bytes[offset...].withUnsafeBytes {
                Foundation.send(
                    descriptor,
                    $0.baseAddress,
                    $0.count,
                    Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)
                )
            }
            if sent < 0, errno == EAGAIN || errno == EINTR { continue }
            if sent < 0 { return false }
            offset += sent
        }
        return true
    }

    func shutDown(_ how: Int32) { shutdown(descriptor, how) }

    /// From now on, closing it sends a reset.
    func breakOff() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(
            descriptor,
            SOL_SOCKET,
            SO_LINGER,
            &linger,
            socklen_t(MemoryLayout.size(ofValue: linger))
        )
    }
}
