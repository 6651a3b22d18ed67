// Feeding a body receiver with arrays, as tests and fuzzers have them.

import EkidenSMTP

extension BodyReceiver {
    /// Feeds one piece; how many bytes it took, and what it handed on.
    package mutating func take(_ piece: [UInt8]) -> (count: Int, run: [UInt8]) {
        piece.withUnsafeBytes { input in
            var run = MessageRun()
            let count = receive(input, into: &run)
            return (count, Array(run.pointer))
        }
    }

    /// Ends a counted message; what it handed on.
    package mutating func finish() -> [UInt8] {
        var run = MessageRun()
        end(into: &run)
        return Array(run.pointer)
    }
}
