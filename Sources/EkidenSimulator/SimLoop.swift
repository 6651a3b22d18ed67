// What a simulated loop asks of its world: clocks and whose turn it is. The network is not
// simulated yet: socket calls say ENOSYS.

import EkidenMail
import EkidenRuntime
import Glibc

/// `@unchecked Sendable`: like its `SimWorld`, it is used on the world's one thread alone.
package final class SimLoopBackend: LoopBackend, @unchecked Sendable {
    private let world: SimWorld
    private let index: Int

    init(world: SimWorld, index: Int) {
        self.world = world
        self.index = index
    }

    package var isCurrent: Bool { world.currentLoop == index }
    package func now() -> Instant { world.instant }
    package func wallNow() -> WallTime { world.wall }
    /// The world looks at every loop before it lets time pass.
    package func wake() {}

    package func connect(_ handle: Handle, to: Endpoint, from: HostAddress?) -> Int { -Int(ENOSYS) }
    package func connectResult(_ handle: Handle) -> Int { -Int(ENOSYS) }
    package func listen(_ handle: Handle, on endpoint: Endpoint, backlog: Int) -> Int {
        -Int(ENOSYS)
    }
    package func accept(_ handle: Handle) -> Result<AcceptedSocket, SystemError> {
        .failure(SystemError(code: ENOSYS))
    }
    package func adopt(_ socket: AcceptedSocket, as handle: Handle) {}
    package func discard(_ socket: AcceptedSocket) {}
    package func localEndpoint(_ handle: Handle) -> Endpoint? { nil }
    package func receive(_ handle: Handle, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        -Int(ENOSYS)
    }
    package func send(_ handle: Handle, _ parts: [UnsafeRawBufferPointer]) -> Int { -Int(ENOSYS) }
    package func shutdownSending(_ handle: Handle) {}
    package func close(_ handle: Handle) {}
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
}
