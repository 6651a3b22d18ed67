// What a simulated loop asks of its world: clocks, whose turn it is, and the simulated network.

import EkidenMail
import EkidenRuntime
import Glibc

/// `@unchecked Sendable`: like its `SimWorld`, it is used on the world's one thread alone.
package final class SimLoopBackend: LoopBackend, @unchecked Sendable {
    private let world: SimWorld
    /// Among all loops the world ever made.
    let number: Int
    /// Where connections of this loop come from when they don't say.
    private let address: HostAddress
    /// By handle index.
    private var sockets: [Int32: SimSocket] = [:]
    private var listeners: [Int32: SimListener] = [:]

    init(world: SimWorld, number: Int, address: HostAddress) {
        self.world = world
        self.number = number
        self.address = address
    }

    package var isCurrent: Bool {
        world.checkThread()
        return world.currentLoop == number
    }
    package func now() -> Instant { world.instant }
    package func wallNow() -> WallTime { world.wall }
    /// The world looks at every loop before it lets time pass.
    package func wake() { world.checkThread() }

    private func home(_ handle: Handle) -> SimHome? {
        for loop in world.loops where loop.backend === self { return SimHome(loop, handle) }
        return nil
    }

    package func connect(_ handle: Handle, to peer: Endpoint, from source: HostAddress?) -> Int {
        guard let home = home(handle) else { return -Int(ENETDOWN) }
        let result = world.network.connect(from: source ?? address, to: peer, home)
        switch result {
        case .success(let socket):
            sockets[handle.index] = socket
            return 0
        case .failure(let error):
            return -Int(error.code)
        }
    }

    /// There are no such sockets in the world.
    package func connectUnix(_ handle: Handle, path: String) -> Int { -Int(ECONNREFUSED) }

    package func connectResult(_ handle: Handle) -> Int {
        guard let socket = sockets[handle.index] else { return -Int(EBADF) }
        return -Int(socket.takeError())
    }

    package func listen(_ handle: Handle, on endpoint: Endpoint, backlog: Int) -> Int {
        guard let home = home(handle) else { return -Int(ENETDOWN) }
        guard let listener = world.network.listen(on: endpoint, backlog: backlog, home) else {
            return -Int(EADDRINUSE)
        }
        listeners[handle.index] = listener
        return 0
    }

    package func accept(_ handle: Handle) -> Result<AcceptedSocket, SystemError> {
        guard let socket = listeners[handle.index]?.take() else {
            return .failure(SystemError(code: EAGAIN))
        }
        return .success(
            AcceptedSocket(number: socket.number, peer: socket.peer, local: socket.local)
        )
    }

    package func adopt(_ accepted: AcceptedSocket, as handle: Handle) {
        guard let socket = world.network.socket(accepted.number), let home = home(handle) else {
            return
        }
        sockets[handle.index] = socket
        socket.settle(home)
    }

    package func discard(_ accepted: AcceptedSocket) {
        world.network.socket(accepted.number)?.close()
    }

    package func localEndpoint(_ handle: Handle) -> Endpoint? {
        sockets[handle.index]?.local ?? listeners[handle.index]?.endpoint
    }

    package func receive(_ handle: Handle, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        sockets[handle.index]?.receive(into: buffer) ?? -Int(EBADF)
    }

    package func send(_ handle: Handle, _ parts: [UnsafeRawBufferPointer]) -> Int {
        sockets[handle.index]?.send(parts) ?? -Int(EBADF)
    }

    package func shutdownSending(_ handle: Handle) { sockets[handle.index]?.finishSending() }

    package func close(_ handle: Handle) {
        if let listener = listeners.removeValue(forKey: handle.index) {
            world.network.close(listener)
        }
        sockets.removeValue(forKey: handle.index)?.close()
    }

    /// The process or machine behind this loop is gone. Its kernel closes what it had open, or
    /// with the power gone says nothing to anybody.
    func die(silently: Bool) {
        for index in listeners.keys.sorted() {
            if let listener = listeners[index] { world.network.close(listener) }
        }
        for index in sockets.keys.sorted() {
            if silently { sockets[index]?.vanish() } else { sockets[index]?.close() }
        }
        listeners = [:]
        sockets = [:]
    }
}

/// Random bits from a seed (SplitMix64; Steele, Lea, Flood 2014).
///
/// `@unchecked Sendable`: drawn from on the world's one thread.
package final class SimRandom: RandomSource, @unchecked Sendable {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }

    /// A source of its own, so that what one part draws does not shift what others get.
    package func branch() -> SimRandom { SimRandom(seed: next()) }

    /// True once in `n` times.
    package func once(in n: UInt64) -> Bool { below(n) == 0 }

    package func pick<Value>(_ values: [Value]) -> Value {
        values[Int(below(UInt64(values.count)))]
    }

    package func int(in range: ClosedRange<Int>) -> Int {
        range.lowerBound + Int(below(UInt64(range.count)))
    }

    package func duration(in range: ClosedRange<Duration>) -> Duration {
        let span = (range.upperBound - range.lowerBound).wholeNanoseconds
        return range.lowerBound + .nanoseconds(Int64(below(UInt64(span) + 1)))
    }
}
