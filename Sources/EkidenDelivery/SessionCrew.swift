import EkidenMail
import EkidenRuntime
import Synchronization

/// The open connections of all delivery sessions, so that a stop can end them: those whose final
/// dot is out are left to hear the reply, the others are cut off at once.
package final class SessionCrew: Sendable {
    private struct Roll {
        /// Per loop: open connections, and whether the peer may have the message by now.
        var open: [[Handle: Bool]]
        var isStopping = false
    }

    private let loops: [Loop]
    private let roll: Mutex<Roll>

    package init(loops: [Loop]) {
        self.loops = loops
        roll = Mutex(Roll(open: Array(repeating: [:], count: loops.count)))
    }

    package var isStopping: Bool { roll.withLock { $0.isStopping } }

    /// A connection that is being made, or was; ended at once when the relay stops already.
    func join(_ handle: Handle, on loop: Loop) {
        let isLate = roll.withLock { roll in
            roll.open[loop.index][handle] = false
            return roll.isStopping
        }
        if isLate { loop.cancel(handle) }
    }

    func leave(_ handle: Handle, on loop: Loop) {
        roll.withLock { $0.open[loop.index][handle] = nil }
    }

    /// The final dot is about to go out; false when the relay stops and it must not.
    func mayEnd(_ handle: Handle, on loop: Loop) -> Bool {
        roll.withLock { roll in
            if roll.isStopping { return false }
            roll.open[loop.index][handle] = true
            return true
        }
    }

    /// The reply to the final dot came, or never will.
    func hasEnded(_ handle: Handle, on loop: Loop) {
        roll.withLock { roll in
            if roll.open[loop.index][handle] != nil { roll.open[loop.index][handle] = false }
        }
    }

    /// Nothing new is sent from now on; connections without a dot under way end.
    package func stopSending() {
        roll.withLock { $0.isStopping = true }
        cancel { !$0 }
    }

    /// The time for stopping is over: every connection ends.
    package func stopWaiting() { cancel { _ in true } }

    private func cancel(_ which: @escaping @Sendable (_ mayHaveMessage: Bool) -> Bool) {
        for loop in loops {
            loop.call {
                let handles = self.roll.withLock { roll in
                    roll.open[loop.index].filter { which($0.value) }.map(\.key).sorted()
                }
                for handle in handles { loop.cancel(handle) }
            }
        }
    }
}
