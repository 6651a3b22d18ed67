// A bound on how many do something at a time, over all loops; the rest wait in line.

import EkidenMail
import EkidenRuntime
import Synchronization

final class Permits: Sendable {
    private struct Waiter {
        let number: UInt64
        let loop: Loop
        let handle: Handle
    }

    private struct State {
        var free: Int
        var nextNumber: UInt64 = 0
        var line: [Waiter] = []
        /// Given to somebody who has not woken yet.
        var granted: Set<UInt64> = []
    }

    private let state: Mutex<State>

    init(_ count: Int) { state = Mutex(State(free: count)) }

    /// Waits for a permit; false when the deadline comes first. Each true is followed by a `give`.
    func take(on loop: Loop, until deadline: Instant) async -> Bool {
        let isFree = state.withLock { state in
            guard state.free > 0 else { return false }
            state.free -= 1
            return true
        }
        if isFree { return true }
        let handle = loop.makeHandle()
        defer { loop.releaseHandle(handle) }
        loop.setDeadline(handle, deadline)
        let number = state.withLock { state -> UInt64? in
            if state.free > 0 {
                state.free -= 1
                return nil
            }
            state.nextNumber += 1
            state.line.append(Waiter(number: state.nextNumber, loop: loop, handle: handle))
            return state.nextNumber
        }
        guard let number else { return true }
        _ = await loop.wait(handle, for: .signalled)
        return state.withLock { state in
            if state.granted.remove(number) != nil { return true }
            state.line.removeAll { $0.number == number }
            return false
        }
    }

    func give() {
        let next = state.withLock { state -> Waiter? in
            guard !state.line.isEmpty else {
                state.free += 1
                return nil
            }
            let next = state.line.removeFirst()
            state.granted.insert(next.number)
            return next
        }
        if let next { next.loop.signal(next.handle) }
    }
}
