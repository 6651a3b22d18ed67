import EkidenMail
import EkidenRuntime
import Glibc

/// The loops of this process, each driven by a thread of its own.
package final class LinuxLoops: Sendable {
    package let loops: [Loop]
    private let backends: [LinuxBackend]
    private let threads: [Thread]

    /// Starts `count` loops. Errors: out of descriptors.
    package init(count: Int) throws(SystemError) {
        precondition(count > 0)
        var backends: [LinuxBackend] = []
        var loops: [Loop] = []
        for i in 0..<count {
            let backend = try LinuxBackend()
            backends.append(backend)
            loops.append(Loop(index: i, backend: backend))
        }
        self.backends = backends
        self.loops = loops
        threads = zip(loops, backends).map { loop, backend in
            Thread("loop-\(loop.index)") { backend.run(loop) }
        }
    }

    /// Ends the loops after their present turn and waits for their threads. What still runs on
    /// them is never resumed: end it first.
    package func stop() {
        for backend in backends { backend.stop() }
        for thread in threads { thread.join() }
    }
}

/// Signals, taken by a thread of their own so that nothing has to be safe inside a handler.
package struct SignalWatch {
    /// Blocks the signals in the calling thread and those it starts later: call before any thread
    /// is started, then `start`.
    package static func block(_ signals: [Int32]) {
        var set = signalSet(signals)
        pthread_sigmask(SIG_BLOCK, &set, nil)
        // A peer that closes early is an EPIPE for the writer, not the end of the process.
        signal(SIGPIPE, SIG_IGN)
    }

    /// Calls `handler` on the watching thread for each of `signals` that arrives.
    package static func start(_ signals: [Int32], _ handler: @escaping @Sendable (Int32) -> Void) {
        _ = Thread("signals") {
            var set = signalSet(signals)
            while true {
                var number: Int32 = 0
                if sigwait(&set, &number) == 0 { handler(number) }
            }
        }
    }

    private static func signalSet(_ signals: [Int32]) -> sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        return set
    }
}

/// Configuration files, read whole and at once: they are small and read at start and reload only.
package struct LinuxFiles: Files {
    package init() {}

    package func read(_ path: String, maxBytes: Int) async throws(FileProblem) -> [UInt8] {
        try readNow(path, maxBytes: maxBytes)
    }

    package func stamp(_ path: String) async throws(FileProblem) -> FileStamp {
        try stampNow(path)
    }

    package func stampNow(_ path: String) throws(FileProblem) -> FileStamp {
        var status = Glibc.stat()
        guard stat(path, &status) == 0 else {
            throw FileProblem(path: path, text: SystemError(code: errno).text)
        }
        return FileStamp(
            modified: WallTime(
                nanoseconds: Int64(status.st_mtim.tv_sec) * 1_000_000_000
                    + Int64(status.st_mtim.tv_nsec)
            ),
            byteCount: Int(status.st_size),
            inode: UInt64(status.st_ino),
            mode: UInt16(status.st_mode & 0o7777)
        )
    }

    package func readNow(_ path: String, maxBytes: Int) throws(FileProblem) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw FileProblem(path: path, text: SystemError(code: errno).text)
        }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let n = Glibc.read(descriptor, &chunk, chunk.count)
            if n < 0 {
                if errno == EINTR { continue }
                throw FileProblem(path: path, text: SystemError(code: errno).text)
            }
            if n == 0 { return bytes }
            bytes += chunk[..<n]
            if bytes.count > maxBytes {
                throw FileProblem(path: path, text: "larger than \(maxBytes) bytes")
            }
        }
    }
}
