// Plain non-blocking sockets and the set one waits for, for `sink` and `bench`. These are tools beside the
// relay, each a loop on a thread of its own; the relay's own I/O is in EkidenLinux.

import EkidenMail
import Glibc

/// Ctrl-C sets it; the loops look at it between waits.
enum Interrupt {
    nonisolated(unsafe) private static var flag: sig_atomic_t = 0

    static var wasAsked: Bool { flag != 0 }

    /// From now on SIGINT and SIGTERM ask instead of killing; a second one kills.
    static func listen() {
        for number in [SIGINT, SIGTERM] {
            var action = sigaction()
            action.__sigaction_handler.sa_handler = { _ in Interrupt.flag = 1 }
            action.sa_flags = Int32(bitPattern: UInt32(SA_RESETHAND))
            sigaction(number, &action, nil)
        }
    }
}

func monotonicNanoseconds() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

func wallTimeNow() -> WallTime {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return WallTime(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
}

func systemWords(_ code: Int32 = errno) -> String { String(cString: strerror(code)) }

/// As many descriptors as the system allows; a thousand sessions need more than the usual 1024.
func raiseDescriptorLimit() {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
    limit.rlim_cur = min(limit.rlim_max, 65_536)
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
}

extension Endpoint {
    func withSocketAddress<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        switch address {
        case .v4(let bits):
            var v4 = sockaddr_in()
            v4.sin_family = sa_family_t(AF_INET)
            v4.sin_port = port.bigEndian
            v4.sin_addr.s_addr = bits.bigEndian
            return withUnsafePointer(to: &v4) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        case .v6(let high, let low):
            var v6 = sockaddr_in6()
            v6.sin6_family = sa_family_t(AF_INET6)
            v6.sin6_port = port.bigEndian
            withUnsafeMutableBytes(of: &v6.sin6_addr) {
                $0.storeBytes(of: high.bigEndian, as: UInt64.self)
                $0.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
            }
            return withUnsafePointer(to: &v6) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<sockaddr_in6>.size))
                }
            }
        }
    }

    fileprivate init?(storage: sockaddr_storage) {
        var storage = storage
        switch Int32(storage.ss_family) {
        case AF_INET:
            self = withUnsafeBytes(of: &storage) { bytes in
                let v4 = bytes.load(as: sockaddr_in.self)
                return Endpoint(
                    .v4(UInt32(bigEndian: v4.sin_addr.s_addr)),
                    UInt16(bigEndian: v4.sin_port)
                )
            }
        case AF_INET6:
            self = withUnsafeBytes(of: &storage) { bytes in
                let v6 = bytes.load(as: sockaddr_in6.self)
                return withUnsafeBytes(of: v6.sin6_addr) {
                    let high = UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self))
                    let low = UInt64(
                        bigEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
                    )
                    return Endpoint(
                        .ipv6(high: high, low: low),
                        UInt16(bigEndian: v6.sin6_port)
                    )
                }
            }
        default: return nil
        }
    }
}

/// A TCP socket that never blocks; closed by its owner.
struct Socket {
    let descriptor: Int32

    static func listen(on endpoint: Endpoint) throws(CommandProblem) -> Socket {
        let socket = Socket(descriptor: make(endpoint))
        var one: Int32 = 1
        setsockopt(socket.descriptor, SOL_SOCKET, SO_REUSEADDR, &one, 4)
        let result = endpoint.withSocketAddress { bind(socket.descriptor, $0, $1) }
        guard socket.descriptor >= 0, result == 0, Glibc.listen(socket.descriptor, 4096) == 0
        else {
            let words = systemWords()
            socket.close()
            throw CommandProblem(
                .negative,
                "can't listen on \(endpoint.text): \(words)",
                hint: words == systemWords(EADDRINUSE)
                    ? "another program has that port; choose one with --listen" : ""
            )
        }
        return socket
    }

    /// Begins to connect; done when it becomes writable. nil when it failed at once.
    static func connect(to endpoint: Endpoint) -> Socket? {
        let socket = Socket(descriptor: make(endpoint))
        socket.setNoDelay()
        let result = endpoint.withSocketAddress { Glibc.connect(socket.descriptor, $0, $1) }
        if result == 0 || errno == EINPROGRESS { return socket }
        socket.close()
        return nil
    }

    private static func make(_ endpoint: Endpoint) -> Int32 {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        return socket(endpoint.address.isV4 ? AF_INET : AF_INET6, kind, 0)
    }

    func accept() -> (Socket, Endpoint)? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let accepted = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.accept(descriptor, $0, &length)
            }
        }
        guard accepted >= 0, let peer = Endpoint(storage: storage) else { return nil }
        let socket = Socket(descriptor: accepted)
        _ = fcntl(accepted, F_SETFL, O_NONBLOCK)
        _ = fcntl(accepted, F_SETFD, FD_CLOEXEC)
        socket.setNoDelay()
        return (socket, peer)
    }

    var local: Endpoint? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                getsockname(descriptor, $0, &length)
            }
        }
        return result == 0 ? Endpoint(storage: storage) : nil
    }

    func setNoDelay() {
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
    }

    /// The errno a connect ended with; 0 when it succeeded.
    var connectError: Int32 {
        var code: Int32 = 0
        var length = socklen_t(4)
        getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length)
        return code
    }

    /// Bytes received, 0 at the end, or nil when there are none yet; -1 when it broke.
    func receive(into buffer: UnsafeMutableRawBufferPointer) -> Int? {
        while true {
            let count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
            if count >= 0 { return count }
            if errno == EAGAIN { return nil }
            if errno != EINTR { return -1 }
        }
    }

    /// Bytes the socket took, 0 when it is full; -1 when it broke.
    func send(_ bytes: UnsafeRawBufferPointer) -> Int {
        while true {
            let flags = Int32(MSG_NOSIGNAL)
            let count = Glibc.send(descriptor, bytes.baseAddress, bytes.count, flags)
            if count >= 0 { return count }
            if errno == EAGAIN { return 0 }
            if errno != EINTR { return -1 }
        }
    }

    func close() { _ = Glibc.close(descriptor) }
}

/// The set of sockets a loop waits for. `poll` is enough for a tool's few hundred connections.
final class Poller {
    struct Interest: OptionSet {
        let rawValue: Int16
        static let readable = Interest(rawValue: Int16(POLLIN))
        static let writable = Interest(rawValue: Int16(POLLOUT))
    }

    private var entries: [pollfd] = []
    /// Place in `entries` by descriptor; -1 for none.
    private var places: [Int] = []
    private var ready: [(Int32, Interest)] = []

    func add(_ socket: Socket, _ interest: Interest) {
        let descriptor = Int(socket.descriptor)
        while places.count <= descriptor { places.append(-1) }
        places[descriptor] = entries.count
        entries.append(pollfd(fd: socket.descriptor, events: interest.rawValue, revents: 0))
    }

    func change(_ socket: Socket, _ interest: Interest) {
        entries[places[Int(socket.descriptor)]].events = interest.rawValue
    }

    /// Must precede the socket's close.
    func remove(_ socket: Socket) {
        let place = places[Int(socket.descriptor)]
        places[Int(socket.descriptor)] = -1
        let last = entries.removeLast()
        if place < entries.count {
            entries[place] = last
            places[Int(last.fd)] = place
        }
    }

    /// Waits up to `milliseconds` and calls `body` for each socket that has something to say.
    /// `body` may add and remove sockets; it may still be called for one it removed in this wait.
    func wait(milliseconds: Int32, _ body: (Int32, Interest) -> Void) {
        var left = poll(&entries, nfds_t(entries.count), milliseconds)
        guard left > 0 else { return }
        ready.removeAll(keepingCapacity: true)
        for entry in entries where entry.revents != 0 {
            var interest = Interest(rawValue: entry.revents)
            // A broken connection is found by reading or writing it.
            if entry.revents & Int16(POLLHUP | POLLERR) != 0 {
                interest.formUnion([.readable, .writable])
            }
            ready.append((entry.fd, interest))
            left -= 1
            if left == 0 { break }
        }
        for (descriptor, interest) in ready { body(descriptor, interest) }
    }
}
