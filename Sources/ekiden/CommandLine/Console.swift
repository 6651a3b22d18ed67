// Standard output and error. Output is gathered and written in large pieces; a reader that went
// away (`ekiden queue | head`) ends the program quietly.

import Glibc

final class Console {
    private var buffer: [UInt8] = []
    /// For tests: nothing is written, everything is kept.
    private let isCaptured: Bool
    private(set) var errorText = ""

    init(captured: Bool = false) { isCaptured = captured }

    /// What was printed so far; only when captured.
    var text: String { String(decoding: buffer, as: UTF8.self) }

    var isTerminal: Bool { !isCaptured && isatty(STDOUT_FILENO) == 1 }
    var errorIsTerminal: Bool { !isCaptured && isatty(STDERR_FILENO) == 1 }

    /// Columns of the terminal; nil when the output is not one and so needs no cutting.
    var width: Int? {
        guard isTerminal else { return nil }
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else {
            return 80
        }
        return Int(size.ws_col)
    }

    func print(_ text: String = "", terminator: String = "\n") {
        buffer.append(contentsOf: text.utf8)
        buffer.append(contentsOf: terminator.utf8)
        if buffer.count > 65_536 { flush() }
    }

    func write(_ bytes: UnsafeRawBufferPointer) {
        buffer.append(contentsOf: bytes)
        if buffer.count > 65_536 { flush() }
    }

    func error(_ text: String) {
        if isCaptured {
            errorText += text + "\n"
            return
        }
        flush()
        put(Array((text + "\n").utf8), STDERR_FILENO)
    }

    /// Overwrites one line on a terminal's standard error; for running counts.
    func progress(_ text: String) {
        guard errorIsTerminal else { return }
        put(Array("\r\u{1b}[K\(text)".utf8), STDERR_FILENO)
    }

    func flush() {
        guard !isCaptured, !buffer.isEmpty else { return }
        put(buffer, STDOUT_FILENO)
        buffer.removeAll(keepingCapacity: true)
    }

    private func put(_ bytes: [UInt8], _ descriptor: Int32) {
        var offset = 0
        while offset < bytes.count {
            let written = bytes[offset...].withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress, $0.count)
            }
            if written > 0 {
                offset += written
            } else if errno != EINTR {
                // The reader has seen enough, or there is none; either way there is no one to tell.
                if descriptor == STDOUT_FILENO { exit(ExitStatus.success.code) }
                return
            }
        }
    }
}
