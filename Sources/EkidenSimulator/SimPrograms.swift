// The operator's programs in the simulated world: an answer after a while, as the world has it. Each
// process of the relay has its own; what runs ends with it.

import EkidenMail
import EkidenRuntime

/// `@unchecked Sendable`: used on the world's one thread alone.
package final class SimPrograms: Programs, @unchecked Sendable {
    /// What a run brings, and after which time.
    package typealias Run = (after: Duration, result: Result<[UInt8], ProgramProblem>)

    private let answer: ([String]) -> Run
    private var isStopped = false

    /// As the real world has it (`LinuxPrograms.usualPatience`).
    private static let patience = Duration.seconds(30)
    private static let look = Duration.milliseconds(20)

    package init(_ answer: @escaping ([String]) -> Run) { self.answer = answer }

    package func stop() { isStopped = true }

    package func output(
        of command: [String],
        on loop: Loop
    ) async throws(ProgramProblem) -> [UInt8] {
        let run = answer(command)
        let end = loop.now() + min(run.after, Self.patience)
        while loop.now() < end {
            if isStopped { throw ProgramProblem("was not waited for: the relay stops") }
            await loop.sleep(for: min(end - loop.now(), Self.look))
        }
        if run.after > Self.patience {
            throw ProgramProblem("did not end within 30 s, and was killed")
        }
        return try run.result.get()
    }
}
