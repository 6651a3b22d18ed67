// The real world of a loop: epoll, sockets and the system's clocks. One `LinuxBackend` per loop,
// used on that loop's thread; only `wake` and the clocks are called from elsewhere.

import CEkiden
import EkidenMail
import EkidenRuntime
import Glibc
import Synchronization

/// `@unchecked Sendable`: `descriptors` and `epoll` are touched on the loop's thread only (the loop
/// checks); `eventDescriptor` never changes and writing to it is safe from any thread.
package final class LinuxBackend: LoopBackend, @unchecked Sendable {
    private let epoll: Int32
    private let eventDescriptor: Int32
    /// By handle index; -1 where the handle has no descriptor.
    private var descriptors: [Int32] = []
    private var events = [ekiden_event](repeating: ekiden_event(), count: 256)
    private let mustStop = Atomic<Bool>(false)

    private static let wakeData = UInt64.max

    package init() throws(SystemError) {
        epoll = ekiden_epoll_create()
        eventDescriptor = ekiden_eventfd()
        guard epoll >= 0, eventDescriptor >= 0 else { throw SystemError(code: errno) }
        // Edge-triggered: each write is an event of its own, so nobody has to read the counter.
        let result = ekiden_epoll_add(epoll, eventDescriptor, Self.wakeData)
        if result < 0 { throw SystemError(code: -result) }
    }

    deinit {
        Glibc.close(epoll)
        Glibc.close(eventDescriptor)
    }

    // MARK: Clocks

    package func now() -> Instant { LinuxClock.monotonic() }
    package func wallNow() -> WallTime { LinuxClock.wall() }

    // MARK: The thread

    package var isCurrent: Bool {
        ekiden_thread_get() == UnsafeMutableRawPointer(Unmanaged.passUnretained(self).toOpaque())
    }

    package func wake() {
        var one: UInt64 = 1
        _ = Glibc.write(eventDescriptor, &one, 8)
    }

    /// Makes `run` return after its present turn; from any thread.
    package func stop() {
        mustStop.store(true, ordering: .releasing)
        wake()
    }

    /// Drives `loop` on the calling thread until `stop`.
    func run(_ loop: Loop) {
        ekiden_thread_set(UnsafeMutableRawPointer(Unmanaged.passUnretained(self).toOpaque()))
        defer { ekiden_thread_set(nil) }
        while !mustStop.load(ordering: .acquiring) {
            loop.beginTurn()
            // Bounded, so that sockets and timers are looked at even when jobs keep coming.
            _ = loop.runJobs(limit: 2048)
            loop.finishTurn()
            let patience = loop.prepareToWait()
            poll(loop, timeout: patience.map { $0.wholeNanoseconds } ?? -1)
        }
    }

    private func poll(_ loop: Loop, timeout: Int64) {
        let n = ekiden_epoll_wait(epoll, &events, Int32(events.count), timeout)
        if n < 0 {
            precondition(-n == EINTR, "epoll_wait: \(SystemError(code: -n).text)")
            return
        }
        for event in events[..<Int(n)] where event.data != Self.wakeData {
            let handle = Handle(
                index: Int32(truncatingIfNeeded: event.data & 0xffff_ffff),
                generation: UInt32(truncatingIfNeeded: event.data >> 32)
            )
            var ready: Readiness = []
            let isOver = event.events & UInt32(EKIDEN_HUP | EKIDEN_ERR) != 0
            if isOver || event.events & UInt32(EKIDEN_IN) != 0 { ready.insert(.readable) }
            if event.events & UInt32(EKIDEN_OUT | EKIDEN_ERR) != 0 { ready.insert(.writable) }
            loop.happened(ready, to: handle, hangUp: isOver)
        }
    }

    // MARK: Descriptors

    /// Puts a non-blocking descriptor behind a handle: readiness is reported from now on, and
    /// `close(handle)` closes it.
    package func attach(descriptor: Int32, to handle: Handle) {
        while descriptors.count <= Int(handle.index) { descriptors.append(-1) }
        precondition(descriptors[Int(handle.index)] < 0, "handle already has a descriptor")
        descriptors[Int(handle.index)] = descriptor
        let data = UInt64(UInt32(bitPattern: handle.index)) | UInt64(handle.generation) << 32
        let result = ekiden_epoll_add(epoll, descriptor, data)
        precondition(result == 0, "epoll_ctl: \(SystemError(code: -result).text)")
    }

    package func descriptor(of handle: Handle) -> Int32 {
        Int(handle.index) < descriptors.count ? descriptors[Int(handle.index)] : -1
    }

    package func close(_ handle: Handle) {
        let descriptor = descriptor(of: handle)
        guard descriptor >= 0 else { return }
        descriptors[Int(handle.index)] = -1
        // Closing the only descriptor of a file takes it out of epoll as well.
        Glibc.close(descriptor)
    }

    // MARK: Streams

    package func connect(_ handle: Handle, to peer: Endpoint, from source: HostAddress?) -> Int {
        let family = peer.address.isV4 ? AF_INET : AF_INET6
        let type =
            Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
            | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(family, type, 0)
        if descriptor < 0 { return -Int(errno) }
        SocketOptions.setForStream(descriptor)
        if let source {
            let result = SocketAddressBytes(Endpoint(source, 0)).with {
                Glibc.bind(descriptor, $0, $1)
            }
            if result < 0 {
                let code = errno
                Glibc.close(descriptor)
                return -Int(code)
            }
        }
        let result = SocketAddressBytes(peer).with { Glibc.connect(descriptor, $0, $1) }
        if result < 0, errno != EINPROGRESS {
            let code = errno
            Glibc.close(descriptor)
            return -Int(code)
        }
        attach(descriptor: descriptor, to: handle)
        return 0
    }

    package func connectResult(_ handle: Handle) -> Int {
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        let result = getsockopt(descriptor(of: handle), SOL_SOCKET, SO_ERROR, &code, &length)
        return result < 0 ? -Int(errno) : -Int(code)
    }

    package func listen(_ handle: Handle, on endpoint: Endpoint, backlog: Int) -> Int {
        let family = endpoint.address.isV4 ? AF_INET : AF_INET6
        let type =
            Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
            | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(family, type, 0)
        if descriptor < 0 { return -Int(errno) }
        SocketOptions.set(descriptor, SOL_SOCKET, SO_REUSEADDR, 1)
        // Each family has its own listener, so that [::]:25 does not also take 0.0.0.0:25.
        if family == AF_INET6 { SocketOptions.set(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
        var result = SocketAddressBytes(endpoint).with { Glibc.bind(descriptor, $0, $1) }
        if result == 0 { result = Glibc.listen(descriptor, Int32(backlog)) }
        if result < 0 {
            let code = errno
            Glibc.close(descriptor)
            return -Int(code)
        }
        attach(descriptor: descriptor, to: handle)
        return 0
    }

    package func accept(_ handle: Handle) -> Result<AcceptedSocket, SystemError> {
        var storage = sockaddr_storage()
        var length = UInt32(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) {
            ekiden_accept(descriptor(of: handle), $0, &length)
        }
        if result < 0 { return .failure(SystemError(code: -result)) }
        SocketOptions.setForStream(result)
        let peer = SocketAddressBytes.endpoint(storage) ?? Endpoint(.v4(0), 0)
        let local = Self.localEndpoint(of: result) ?? Endpoint(.v4(0), 0)
        return .success(AcceptedSocket(number: result, peer: peer, local: local))
    }

    package func adopt(_ socket: AcceptedSocket, as handle: Handle) {
        attach(descriptor: socket.number, to: handle)
    }

    package func discard(_ socket: AcceptedSocket) { Glibc.close(socket.number) }

    package func localEndpoint(_ handle: Handle) -> Endpoint? {
        Self.localEndpoint(of: descriptor(of: handle))
    }

    private static func localEndpoint(of descriptor: Int32) -> Endpoint? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                getsockname(descriptor, $0, &length)
            }
        }
        return result == 0 ? SocketAddressBytes.endpoint(storage) : nil
    }

    package func receive(_ handle: Handle, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        let n = recv(descriptor(of: handle), buffer.baseAddress, buffer.count, 0)
        return n < 0 ? -Int(errno) : n
    }

    package func send(_ handle: Handle, _ parts: [UnsafeRawBufferPointer]) -> Int {
        let flags = Int32(MSG_NOSIGNAL)
        if parts.count == 1 {
            let n = Glibc.send(descriptor(of: handle), parts[0].baseAddress, parts[0].count, flags)
            return n < 0 ? -Int(errno) : n
        }
        return withUnsafeTemporaryAllocation(of: iovec.self, capacity: parts.count) { vectors in
            for (i, part) in parts.enumerated() {
                vectors[i] = iovec(
                    iov_base: UnsafeMutableRawPointer(mutating: part.baseAddress),
                    iov_len: part.count
                )
            }
            var message = msghdr()
            message.msg_iov = vectors.baseAddress
            message.msg_iovlen = parts.count
            let n = sendmsg(descriptor(of: handle), &message, flags)
            return n < 0 ? -Int(errno) : n
        }
    }

    package func shutdownSending(_ handle: Handle) {
        _ = Glibc.shutdown(descriptor(of: handle), Int32(SHUT_WR))
    }
}

/// The system's clocks.
package struct LinuxClock: Clock {
    package init() {}
    package func now() -> Instant { Self.monotonic() }
    package func wallNow() -> WallTime { Self.wall() }

    static func monotonic() -> Instant {
        var t = timespec()
        clock_gettime(CLOCK_MONOTONIC, &t)
        return Instant(nanoseconds: Int64(t.tv_sec) * 1_000_000_000 + Int64(t.tv_nsec))
    }

    static func wall() -> WallTime {
        var t = timespec()
        clock_gettime(CLOCK_REALTIME, &t)
        return WallTime(nanoseconds: Int64(t.tv_sec) * 1_000_000_000 + Int64(t.tv_nsec))
    }
}

/// The kernel's random numbers.
package struct LinuxRandom: RandomSource {
    package init() {}
    package func next() -> UInt64 {
        var generator = SystemRandomNumberGenerator()
        return generator.next()
    }
}

/// Random numbers without a system call each: for jitter, shuffles and the like. What has to be
/// hard to guess (ids of questions to name servers) takes `LinuxRandom`.
///
/// xoshiro256** (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2018),
/// begun with 256 bits of the kernel's.
package final class QuickRandom: RandomSource {
    private struct State {
        var a: UInt64
        var b: UInt64
        var c: UInt64
        var d: UInt64
    }

    private let state: Mutex<State>

    package init() {
        let seed = LinuxRandom()
        // The one state that must not be is all zeros.
        state = Mutex(State(a: seed.next() | 1, b: seed.next(), c: seed.next(), d: seed.next()))
    }

    package func next() -> UInt64 {
        state.withLock { s in
            let scaled = s.b &* 5
            let result = (scaled << 7 | scaled >> 57) &* 9
            let shifted = s.b << 17
            s.c ^= s.a
            s.d ^= s.b
            s.b ^= s.c
            s.a ^= s.d
            s.c ^= shifted
            s.d = s.d << 45 | s.d >> 19
            return result
        }
    }
}
