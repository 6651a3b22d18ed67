// A host with addresses of both families is not waited for in vain at one of them: when the first does
// not answer soon, the other is asked beside it, and who answers first has the mail (RFC 8305 §5).

import EkidenMail
import EkidenRuntime

/// One connection being made, by a task of its own.
private final class Runner {
    var handle: Handle?
    var connection: Connection?
    var failure: IOFailure?
    /// Nobody waits for it any more.
    var isCalledOff = false

    var isOver: Bool { connection != nil || failure != nil }
}

/// What came of connecting to a host.
struct Reached: ~Copyable {
    let connection: Connection
    /// The other candidate has it.
    let isRival: Bool
    /// Why the one that was asked first has not, if it was heard of.
    let earlier: IOFailure?
}

struct FamilyRace {
    /// RFC 8305 §5: the recommended Connection Attempt Delay.
    static let headStart = Duration.milliseconds(250)

    let loop: Loop
    let crew: SessionCrew
    let deadline: Instant

    /// Connects to one of two destinations; the first has its head start. From a task of the loop.
    /// - Parameter rival: asked once the first has not answered in that time, and says where to.
    /// - Errors: the first's. If the rival failed, too, `rivalFailed` was told.
    func run(
        _ first: Destination,
        rival: () -> Destination?,
        rivalFailed: (IOFailure) -> Void
    ) async throws(IOFailure) -> Reached {
        let finish = loop.makeHandle()
        defer { loop.releaseHandle(finish) }
        let one = start(first, tells: finish)
        loop.setDeadline(finish, min(loop.now() + Self.headStart, deadline))
        _ = await loop.wait(finish, for: .signalled)
        loop.clear(.signalled, of: finish)
        loop.setDeadline(finish, .distantFuture)
        var other: LoopBound<Runner>?
        // The first may be over for good by now; then the plan says who is next.
        if !one.value.isOver, loop.now() < deadline, let second = rival() {
            other = start(second, tells: finish)
        }
        while true {
            if let connection = one.value.connection.take() {
                if let other { callOff(other.value) }
                return Reached(connection: connection, isRival: false, earlier: nil)
            }
            if let connection = other?.value.connection.take() {
                callOff(one.value)
                return Reached(connection: connection, isRival: true, earlier: one.value.failure)
            }
            if let failure = one.value.failure, other?.value.isOver ?? true {
                if let second = other?.value.failure { rivalFailed(second) }
                throw failure
            }
            _ = await loop.wait(finish, for: .signalled)
            loop.clear(.signalled, of: finish)
        }
    }

    private func start(_ destination: Destination, tells finish: Handle) -> LoopBound<Runner> {
        let bound = LoopBound(Runner(), on: loop)
        loop.spawn {
            let runner = bound.value
            do throws(IOFailure) {
                let connection = try await Connection.connect(
                    to: destination,
                    on: loop,
                    until: deadline,
                    opened: { handle in
                        runner.handle = handle
                        crew.join(handle, on: loop)
                        if runner.isCalledOff { loop.cancel(handle) }
                    }
                )
                if runner.isCalledOff {
                    crew.leave(connection.handle, on: loop)
                    _ = consume connection
                } else {
                    runner.connection = consume connection
                }
            } catch {
                if let handle = runner.handle { crew.leave(handle, on: loop) }
                runner.failure = error
            }
            loop.signal(finish)
        }
        return bound
    }

    /// Ends what is under way, also a connection that was made in this very turn.
    private func callOff(_ runner: Runner) {
        runner.isCalledOff = true
        if let connection = runner.connection.take() {
            crew.leave(connection.handle, on: loop)
            _ = consume connection
        } else if let handle = runner.handle, !runner.isOver {
            loop.cancel(handle)
        }
    }
}
