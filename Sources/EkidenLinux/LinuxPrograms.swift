// Programs of the operator's: posix_spawn without a shell, with nothing of ours but two pipes, on
// threads of their own. Each is heard to its end, within a time and a size, and always reaped.

import CEkiden
import EkidenMail
import EkidenRuntime
import Glibc

package final class LinuxPrograms: Programs {
    private let queue: WorkQueue
    /// Readable once the relay stops.
    private let stopped: Int32
    private let patience: Duration

    /// How long a program may take.
    package static let usualPatience = Duration.seconds(30)
    /// Of its standard output, in bytes.
    package static let outputBytesMax = 65_536

    /// Errors: out of descriptors.
    package init(patience: Duration = usualPatience) throws(SystemError) {
        stopped = ekiden_eventfd()
        guard stopped >= 0 else { throw SystemError(code: errno) }
        self.patience = patience
        // So that those that hang do not keep other logins from their tokens; the threads sleep.
        queue = WorkQueue(name: "programs", threads: 8)
    }

    package func stop() {
        var one: UInt64 = 1
        _ = write(stopped, &one, 8)
    }

    /// Stops, and waits for the threads. Nothing may be asked for any more.
    package func close() {
        stop()
        queue.close()
        Glibc.close(stopped)
    }

    package func output(
        of command: [String],
        on loop: Loop
    ) async throws(ProgramProblem) -> [UInt8] {
        let (patience, stop) = (patience, stopped)
        let result = await queue.run(on: loop) { () -> Result<[UInt8], ProgramProblem> in
            do throws(ProgramProblem) {
                return .success(try ChildProgram.run(command, patience: patience, stop: stop))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}

/// One run of a program.
private struct ChildProgram {
    private let id: pid_t
    /// Our ends of its standard output and error; -1: at their ends.
    private var pipes: (output: Int32, error: Int32)
    private var output: [UInt8] = []
    private var words: [UInt8] = []
    private var status: Int32?

    private static let wordsBytesMax = 500
    /// Between two looks whether it has ended.
    private static let lookMilliseconds: Int32 = 20

    static func run(
        _ command: [String],
        patience: Duration,
        stop: Int32
    ) throws(ProgramProblem) -> [UInt8] {
        var stopped = pollfd(fd: stop, events: Int16(POLLIN), revents: 0)
        if poll(&stopped, 1, 0) > 0 { throw ending }
        var child = try ChildProgram(command)
        defer { child.end() }
        let deadline = LinuxClock.monotonic() + patience
        while child.status == nil {
            if !child.listen(stop) { throw ending }
            if child.output.count > LinuxPrograms.outputBytesMax { throw tooMuch }
            if LinuxClock.monotonic() >= deadline {
                let limit = patience.components.seconds
                throw ProgramProblem("did not end within \(limit) s, and was killed")
            }
            child.look()
        }
        // What is still in the pipes; a descendant of its own that keeps them open is not waited for.
        _ = child.listen(stop, waits: false)
        if child.output.count > LinuxPrograms.outputBytesMax { throw tooMuch }
        guard let status = child.status, status == 0 else {
            throw ProgramProblem(Self.ending(child.status ?? -1) + child.said)
        }
        return child.output
    }

    private static let ending = ProgramProblem("was not waited for: the relay stops")
    private static let tooMuch = ProgramProblem(
        "says more than \(LinuxPrograms.outputBytesMax) bytes"
    )

    private static func ending(_ status: Int32) -> String {
        // As wait(2) encodes it: the low seven bits are a signal's number.
        let signal = status & 0x7f
        return signal == 0
            ? "ended with status \((status >> 8) & 0xff)" : "was ended by signal \(signal)"
    }

    /// Its words on standard error, as far as they can be shown.
    private var said: String {
        var whole = words
        if whole.count >= Self.wordsBytesMax {
            // The last one may be the beginning of a token.
            while let last = whole.last, last > 0x20 { whole.removeLast() }
        }
        let words = ProgramWords.shown(whole, hiding: output)
        return words.isEmpty ? "" : ": " + words
    }

    private init(_ command: [String]) throws(ProgramProblem) {
        var arguments = command.map { strdup($0) } + [nil]
        var variables = Self.environment.map { strdup($0) } + [nil]
        defer { for text in arguments + variables { free(text) } }
        var (id, output, error): (Int32, Int32, Int32) = (0, -1, -1)
        let code = -ekiden_spawn(&arguments, &variables, &id, &output, &error)
        if code != 0 { throw ProgramProblem("can't be run: \(SystemError(code: code).text)") }
        self.id = id
        pipes = (output, error)
    }

    /// What it is told of ours: where programs are, and the home of the relay's user.
    private static var environment: [String] {
        let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin"
        let home = getenv("HOME").map { ["HOME=" + String(cString: $0)] } ?? []
        return ["PATH=" + path] + home
    }

    /// Hears what it says, for a moment. False: the relay stops.
    private mutating func listen(_ stop: Int32, waits: Bool = true) -> Bool {
        var polled = [
            pollfd(fd: stop, events: Int16(POLLIN), revents: 0),
            pollfd(fd: pipes.output, events: Int16(POLLIN), revents: 0),
            pollfd(fd: pipes.error, events: Int16(POLLIN), revents: 0),
        ]
        _ = poll(&polled, nfds_t(polled.count), waits ? Self.lookMilliseconds : 0)
        if polled[0].revents != 0 { return false }
        if polled[1].revents != 0 {
            Self.drain(&pipes.output, &output, atMost: LinuxPrograms.outputBytesMax + 1)
        }
        if polled[2].revents != 0 {
            Self.drain(&pipes.error, &words, atMost: Self.wordsBytesMax)
        }
        return true
    }

    /// Reads what there is; of more than `limit` bytes only the first are kept.
    private static func drain(_ pipe: inout Int32, _ bytes: inout [UInt8], atMost limit: Int) {
        var chunk = [UInt8](repeating: 0, count: 4096)
        // A few at a time, for who never ends would keep us from looking at the clock.
        for _ in 0..<64 {
            let n = read(pipe, &chunk, chunk.count)
            if n < 0, errno == EINTR { continue }
            if n < 0 { return }
            if n == 0 {
                close(pipe)
                pipe = -1
                return
            }
            bytes += chunk[..<min(n, limit - bytes.count)]
        }
    }

    private mutating func look() {
        var status: Int32 = 0
        var ended = siginfo_t()
        let peek = Int32(WEXITED | WNOHANG | WNOWAIT)
        guard waitid(P_PID, id_t(id), &ended, peek) == 0, ended.si_signo != 0 else { return }
        // What it has started and left behind, while its number is nobody else's.
        kill(-id, SIGKILL)
        if waitpid(id, &status, WNOHANG) == id { self.status = status }
    }

    /// Nothing of it is left.
    private mutating func end() {
        for pipe in [pipes.output, pipes.error] where pipe >= 0 { close(pipe) }
        pipes = (-1, -1)
        guard status == nil else { return }
        kill(-id, SIGKILL)
        var ignored: Int32 = 0
        while waitpid(id, &ignored, 0) < 0, errno == EINTR {}
        status = ignored
    }
}

/// What a program says on standard error, for a log that must hold no secret.
enum ProgramWords {
    /// A word as long as that may be a token.
    static let suspectBytes = 20

    /// One line of printable ASCII, without what may be a token.
    /// - Parameter output: the program's standard output, no word of which is shown.
    static func shown(_ bytes: [UInt8], hiding output: [UInt8]) -> String {
        let secrets = Set(
            output.split { $0 <= 0x20 }.flatMap { [$0] + pieces(of: $0) }.filter { $0.count >= 8 }
        )
        let shown = bytes.split { $0 <= 0x20 }.map { word in
            let hides = isSuspect(word) || secrets.contains { contains(word, $0) }
            return hides
                ? "[...]"
                : String(
                    decoding: word.map { $0 < 0x7f ? $0 : UInt8(ascii: "?") },
                    as: UTF8.self
                )
        }
        return shown.joined(separator: " ")
    }

    private static func isSuspect(_ word: ArraySlice<UInt8>) -> Bool {
        // Between the marks of JSON and of a query, too: {"access_token":"ya29.a0…"}.
        let pieces = pieces(of: word)
        return pieces.contains { $0.count >= suspectBytes && !isPath($0) } || namesSecret(pieces)
    }

    private static func pieces(of word: ArraySlice<UInt8>) -> [ArraySlice<UInt8>] {
        word.split { "\"'<>(){}[],;:&?=".utf8.contains($0) }
    }

    /// A name with slashes and no long part is no token.
    private static func isPath(_ piece: ArraySlice<UInt8>) -> Bool {
        piece.contains(UInt8(ascii: "/"))
            && piece.split(separator: UInt8(ascii: "/")).allSatisfy { $0.count < suspectBytes }
    }

    /// `client_secret=hunter2`: what comes behind such a name.
    private static func namesSecret(_ pieces: [ArraySlice<UInt8>]) -> Bool {
        pieces.dropLast().contains { piece in
            if piece.contains(UInt8(ascii: "/")) { return false }
            let name = String(decoding: piece, as: UTF8.self).asciiLowercased
            return ["secret", "token", "password", "passwd", "key"].contains { name.hasSuffix($0) }
        }
    }

    private static func contains(_ word: ArraySlice<UInt8>, _ part: ArraySlice<UInt8>) -> Bool {
        guard word.count >= part.count else { return false }
        return (word.startIndex...(word.endIndex - part.count)).contains {
            word[$0..<$0 + part.count] == part
        }
    }
}
