// The command line's end of the control socket: one connection, one request, lines until the end.
// Plain blocking calls: there is nothing else to do meanwhile.

import EkidenConfiguration
import EkidenControl
import EkidenMail
import Glibc

/// Which socket to try, and how we came to think of it.
struct ControlSocketPath: Equatable {
    var path: String
    var origin: String

    static let standardConfiguration = "/etc/ekiden/ekiden.toml"

    /// `--socket`, then `EKIDEN_SOCKET`, then the configuration (`--config`, or the standard one
    /// if it is there), then the development spool.
    static func find(_ invocation: Invocation) throws(CommandProblem) -> ControlSocketPath {
        if let path = invocation.value("socket") {
            return ControlSocketPath(path: path, origin: "--socket")
        }
        if let path = getenv("EKIDEN_SOCKET").map({ String(cString: $0) }), !path.isEmpty {
            return ControlSocketPath(path: path, origin: "EKIDEN_SOCKET")
        }
        let named = invocation.value("config")
        if let file = named ?? standardFile() {
            let bytes = try readFile(file)
            let inspection = Configuration.inspect(text: bytes, file: file, hostname: hostName())
            if let problem = inspection.errors.first {
                throw CommandProblem(
                    .negative,
                    problem.text,
                    hint: "--socket PATH does without the configuration"
                )
            }
            return ControlSocketPath(path: inspection.configuration.controlSocketPath, origin: file)
        }
        return ControlSocketPath(
            path: "spool/control.socket",
            origin: "the standard place of a run in this directory"
        )
    }

    private static func standardFile() -> String? {
        access(standardConfiguration, R_OK) == 0 ? standardConfiguration : nil
    }
}

/// This machine's name as the system has it.
func hostName() -> String {
    var buffer = [CChar](repeating: 0, count: 256)
    guard gethostname(&buffer, buffer.count - 1) == 0 else { return "localhost" }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

struct ControlClient {
    static let options = [
        Option("socket", value: "PATH", "Control socket of the daemon"),
        Option("config", "c", value: "FILE", "Configuration that names the control socket"),
    ]

    let socket: ControlSocketPath

    init(_ invocation: Invocation) throws(CommandProblem) {
        socket = try ControlSocketPath.find(invocation)
    }

    /// Asks, and hands over each row's bytes (without line end) and kind until the answer's end.
    func ask(
        _ request: ControlRequest,
        _ row: (String, UnsafeRawBufferPointer) throws(CommandProblem) -> Void
    ) throws(CommandProblem) -> ControlEnd {
        let descriptor = try connect()
        defer { close(descriptor) }
        try send(request.line, descriptor)
        var input = LineInput(descriptor: descriptor)
        var end: ControlEnd?
        while end == nil {
            let more = try input.next { (line) throws(CommandProblem) in
                end = try take(line, row)
            }
            if !more {
                throw CommandProblem(
                    .unreachable,
                    "the daemon hung up before its answer was complete",
                    hint: "its log says why; ask again when it runs"
                )
            }
        }
        return end ?? ControlEnd()
    }

    private func take(
        _ line: UnsafeRawBufferPointer,
        _ row: (String, UnsafeRawBufferPointer) throws(CommandProblem) -> Void
    ) throws(CommandProblem) -> ControlEnd? {
        let kind = ControlLine.kind(of: line) ?? ""
        switch kind {
        case ControlEnd.kind: return try decode(ControlEnd.self, line)
        case ControlProblem.kind: throw commandProblem(try decode(ControlProblem.self, line))
        default:
            try row(kind, line)
            return nil
        }
    }

    private func connect() throws(CommandProblem) -> Int32 {
        let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let path = Array(socket.path.utf8)
        let fits = withUnsafeMutableBytes(of: &address.sun_path) { room in
            if path.count < room.count { room.copyBytes(from: path) }
            return path.count < room.count
        }
        guard fits else {
            throw CommandProblem(
                .usage,
                "the socket path \(socket.path) is too long for the system"
            )
        }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        if result != 0 {
            let code = errno
            close(descriptor)
            throw unreachable(code)
        }
        return descriptor
    }

    private func unreachable(_ code: Int32) -> CommandProblem {
        let hint =
            switch code {
            case ENOENT:
                "nothing is there: is ekiden running, and is this its socket? "
                    + "(ekiden serve, or --socket PATH)"
            case ECONNREFUSED:
                "the socket is there but nobody listens: the daemon has ended; start it again"
            case EACCES, EPERM:
                "only root, the daemon's user and members of control.group may use it"
            default: "is ekiden running?"
            }
        return CommandProblem(
            .unreachable,
            "can't reach the daemon at \(socket.path) (from \(socket.origin)): "
                + systemWords(code),
            hint: hint
        )
    }

    private func send(_ bytes: Bytes, _ descriptor: Int32) throws(CommandProblem) {
        let bytes = bytes.array
        var offset = 0
        while offset < bytes.count {
            let count = bytes[offset...].withUnsafeBytes {
                write(descriptor, $0.baseAddress, $0.count)
            }
            if count > 0 {
                offset += count
            } else if errno != EINTR {
                throw unreachable(errno)
            }
        }
    }
}

func decode<Row: ControlRow>(
    _ type: Row.Type,
    _ line: UnsafeRawBufferPointer
) throws(CommandProblem) -> Row {
    do throws(JSONProblem) {
        return try Row(JSONReader.object(line))
    } catch {
        throw CommandProblem(
            .negative,
            "the daemon's answer can't be understood: \(error.text)",
            hint: "are daemon and command line of the same version?"
        )
    }
}

func commandProblem(_ problem: ControlProblem) -> CommandProblem {
    CommandProblem(
        problem.code == .notFound ? .notFound : .negative,
        problem.text,
        hint: problem.hint
    )
}

/// Lines from a descriptor, read in large pieces.
private struct LineInput {
    let descriptor: Int32
    private var buffer: [UInt8] = []
    private var start = 0

    init(descriptor: Int32) { self.descriptor = descriptor }

    /// Hands the next line over; false at the end.
    mutating func next(
        _ body: (UnsafeRawBufferPointer) throws(CommandProblem) -> Void
    ) throws(CommandProblem) -> Bool {
        var searched = start
        while true {
            if let end = buffer[searched...].firstIndex(of: 0x0a) {
                let range = start..<end
                start = end + 1
                var problem: CommandProblem?
                buffer.withUnsafeBytes { bytes in
                    do throws(CommandProblem) {
                        try body(UnsafeRawBufferPointer(rebasing: bytes[range]))
                    } catch {
                        problem = error
                    }
                }
                if let problem { throw problem }
                return true
            }
            searched = buffer.count - start
            buffer.removeSubrange(..<start)
            start = 0
            guard fill() else { return false }
        }
    }

    private mutating func fill() -> Bool {
        let before = buffer.count
        buffer.append(contentsOf: repeatElement(0, count: 262_144))
        while true {
            let count = buffer.withUnsafeMutableBytes {
                read(descriptor, $0.baseAddress.map { $0 + before }, 262_144)
            }
            if count < 0, errno == EINTR { continue }
            buffer.removeLast(262_144 - max(count, 0))
            return count > 0
        }
    }
}
