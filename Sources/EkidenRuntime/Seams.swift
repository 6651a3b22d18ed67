// The seams: what may differ from one run to the next comes in through one of these, and nothing
// else does (docs/ARCHITECTURE.md). Each has a real implementation in EkidenLinux and a seeded one
// in the simulated world. If a call can return something different for the same seed, it belongs
// here; if it can't, it needs no seam.

import EkidenMail

/// Both clocks. Monotonic time never steps; wall time may step in either direction at any moment.
package protocol Clock: Sendable {
    func now() -> Instant
    func wallNow() -> WallTime
}

/// Random bits. Not for keys; for ids, ports, jitter, shuffles.
package protocol RandomSource: Sendable {
    func next() -> UInt64
}

extension RandomSource {
    /// Uniform in `0..<bound`; `bound` must be positive. Unbiased (Lemire's rejection).
    package func below(_ bound: UInt64) -> UInt64 {
        precondition(bound > 0)
        var product = next().multipliedFullWidth(by: bound)
        if product.low < bound {
            let threshold = (0 &- bound) % bound
            while product.low < threshold { product = next().multipliedFullWidth(by: bound) }
        }
        return product.high
    }

    /// Uniform in `0 ..< 1`.
    package func fraction() -> Double { Double(next() >> 11) * 0x1p-53 }
}

/// Reading files of the configuration. Failure modes: missing, unreadable, a directory, larger
/// than the bound.
package protocol Files: Sendable {
    func read(_ path: String, maxBytes: Int) async throws(FileProblem) -> [UInt8]
    /// What tells one state of the file from another.
    func stamp(_ path: String) async throws(FileProblem) -> FileStamp
}

/// A file that was written or replaced has another one.
package struct FileStamp: Sendable, Equatable {
    package var modified: WallTime
    package var byteCount: Int
    package var inode: UInt64
    /// Permission bits.
    package var mode: UInt16

    package init(modified: WallTime, byteCount: Int, inode: UInt64, mode: UInt16) {
        self.modified = modified
        self.byteCount = byteCount
        self.inode = inode
        self.mode = mode
    }

    /// Written to a moment ago, and perhaps still: to be looked at again before it is believed.
    package func isFresh(at now: WallTime) -> Bool {
        let age = now - modified
        return age >= .zero && age < .seconds(1)
    }

    /// What is wrong with the mode of a file that keeps a secret: others may do something, or its
    /// group more than read it. nil: nothing.
    package var looseness: String? {
        if mode & 0o037 == 0 { return nil }
        return "mode \(String(mode & 0o777, radix: 8)), which lets others in; chmod 640 or stricter"
    }

    /// What is wrong with the mode of a program that is to be run: nobody may, or others may change
    /// what it does. nil: nothing.
    package var unfitness: String? {
        if mode & 0o111 == 0 { return "it is not executable; chmod 750" }
        if mode & 0o022 == 0 { return nil }
        return
            "it has mode \(String(mode & 0o777, radix: 8)), which lets others change it; chmod 755 "
            + "or stricter"
    }

    /// Of a file that is not there.
    package static let absent = FileStamp(
        modified: WallTime(nanoseconds: 0),
        byteCount: 0,
        inode: 0,
        mode: 0
    )
}

package struct FileProblem: Error, Equatable {
    package let path: String
    /// The system's words: "No such file or directory".
    package let text: String
    package init(path: String, text: String) {
        self.path = path
        self.text = text
    }
}

/// Programs of the operator's, run to their end. Failure modes: can't be started, ends otherwise than
/// with status 0, takes too long, says too much; the relay stops.
package protocol Programs: Sendable {
    /// What it says on its standard output. Comes back on the loop it was called on.
    /// - Parameter command: the program's absolute path and its arguments; no shell reads them.
    func output(
        of command: [String],
        on loop: Loop
    ) async throws(ProgramProblem) -> [UInt8]

    /// Ends those that run, and starts no more.
    func stop()
}

/// Why a program was of no use.
package struct ProgramProblem: Error, Sendable, Equatable {
    /// What follows its name in a sentence: "ended with status 3". Nothing of its standard output.
    package let text: String
    package init(_ text: String) { self.text = text }
}

/// A world without programs.
package struct NoPrograms: Programs {
    package init() {}
    package func output(
        of command: [String],
        on loop: Loop
    ) async throws(ProgramProblem) -> [UInt8] {
        throw ProgramProblem("can't be run: there are no programs in this world")
    }
    package func stop() {}
}

/// Slow pure work, off the loops: hashes of passwords. What it computes is the same wherever it
/// runs; when it is done may differ. No failure modes: what is submitted is run.
package protocol Workers: Sendable {
    /// Runs `work` soon, on a thread that may be kept busy; begun in the order submitted.
    func submit(_ work: @escaping @Sendable () -> Void)
}

extension Workers {
    /// Runs `work` and comes back with its result to the loop it was called on.
    package func run<Value: Sendable>(
        on loop: Loop,
        _ work: @escaping @Sendable () -> Value
    ) async -> Value {
        await withUnsafeContinuation { continuation in
            submit {
                let value = work()
                loop.call { continuation.resume(returning: value) }
            }
        }
    }
}

/// A question for a name server: a name (ASCII, no trailing dot) and a record type number.
package struct NameQuestion: Sendable, Hashable {
    package let name: String
    /// RFC 1035 §3.2.2: A 1, NS 2, CNAME 5, SOA 6, PTR 12, MX 15, TXT 16; RFC 3596: AAAA 28.
    package let type: UInt16

    package init(name: String, type: UInt16) {
        self.name = name
        self.type = type
    }
}

package enum NameTransportFailure: Error, Equatable, Sendable {
    /// No configured server answered in time.
    case timedOut
    /// Could not even ask (no server configured, no socket); the text says why.
    case unavailable(String)
    /// The name can't be put into a question (a label over 63 bytes, over 255 in all, empty label).
    case unaskable
}

/// Question → raw answer packet (a whole DNS message, TCP length prefix removed). It tries the
/// configured servers, matches id and question, and goes to TCP on truncation; it does not judge
/// the answer: NXDOMAIN and SERVFAIL come back as packets.
package protocol NameTransport: Sendable {
    func ask(
        _ question: NameQuestion,
        on loop: Loop,
        until deadline: Instant
    ) async throws(NameTransportFailure) -> [UInt8]
}
