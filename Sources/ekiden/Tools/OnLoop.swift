// Runs one asynchronous piece of work from a command that is otherwise straight-line: a loop of
// its own, ended when the work is done.

import EkidenLinux
import EkidenMail
import EkidenRuntime
import Synchronization

/// Waits for `work` to end on a loop made for it.
func onLoop<Value: Sendable>(
    _ work: @escaping @Sendable () async throws(CommandProblem) -> Value
) throws(CommandProblem) -> Value {
    let loops: LinuxLoops
    do throws(SystemError) {
        loops = try LinuxLoops(count: 1)
    } catch {
        throw CommandProblem(.negative, "can't start an event loop: \(error.text)")
    }
    defer { loops.stop() }
    let outcome = Outcome<Value>()
    loops.loops[0].spawn {
        do throws(CommandProblem) {
            outcome.set(.success(try await work()))
        } catch {
            outcome.set(.failure(error))
        }
    }
    return try outcome.wait().get()
}

private final class Outcome<Value: Sendable>: Sendable {
    private let value = Mutex<Result<Value, CommandProblem>?>(nil)
    private let bell = Semaphore()

    func set(_ result: Result<Value, CommandProblem>) {
        value.withLock { $0 = result }
        bell.signal()
    }

    func wait() -> Result<Value, CommandProblem> {
        while true {
            bell.wait()
            if let result = value.withLock({ $0 }) { return result }
        }
    }
}
