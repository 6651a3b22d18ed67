// Whole small files, for the tools: read and write with the system's words when it fails.

import Glibc

func writeFile(_ path: String, _ bytes: [UInt8]) throws(CommandProblem) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    var failed = descriptor < 0
    var offset = 0
    while !failed, offset < bytes.count {
        let count = bytes[offset...].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        if count > 0 { offset += count } else { failed = errno != EINTR }
    }
    let words = systemWords()
    if descriptor >= 0 { close(descriptor) }
    if failed { throw CommandProblem(.negative, "can't write \(path): \(words)") }
}

/// The bytes of a file of at most `maxBytes`; `-` is standard input.
func readFile(_ path: String, maxBytes: Int = 16 << 20) throws(CommandProblem) -> [UInt8] {
    let descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
        let status: ExitStatus = errno == ENOENT ? .notFound : .negative
        throw CommandProblem(status, "can't read \(path): \(systemWords())")
    }
    defer { if descriptor != STDIN_FILENO { close(descriptor) } }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = read(descriptor, &chunk, chunk.count)
        if count == 0 { return bytes }
        if count < 0 {
            if errno == EINTR { continue }
            throw CommandProblem(.negative, "can't read \(path): \(systemWords())")
        }
        bytes += chunk[..<count]
        if bytes.count > maxBytes {
            throw CommandProblem(.negative, "\(path) is larger than \(sizeText(maxBytes))B")
        }
    }
}
