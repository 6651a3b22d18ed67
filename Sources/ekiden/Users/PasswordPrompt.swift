// Asks for a password: twice, on the terminal and without echo, or from standard input when a
// program gives it.

import EkidenCrypto
import Glibc

enum PasswordPrompt {
    /// The bytes of a password, as they were typed. Errors: no terminal, the two differ.
    static func read(fromInput: Bool) throws(CommandProblem) -> [UInt8] {
        if fromInput { return line(from: STDIN_FILENO) }
        let terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)
        guard terminal >= 0 else {
            throw CommandProblem(
                .negative,
                "there is no terminal to ask for the password on",
                hint: "--password-stdin reads it from standard input"
            )
        }
        defer { close(terminal) }
        let first = try ask("New password: ", terminal)
        let second = try ask("The same again: ", terminal)
        guard first == second else {
            throw CommandProblem(.negative, "the two are not the same; nothing was changed")
        }
        return first
    }

    private static func ask(_ prompt: String, _ terminal: Int32) throws(CommandProblem) -> [UInt8] {
        var before = termios()
        guard tcgetattr(terminal, &before) == 0 else {
            throw CommandProblem(.negative, "can't ask on this terminal: \(systemWords())")
        }
        // A signal in between must not leave the terminal mute.
        var signals = sigset_t()
        var blocked = sigset_t()
        sigemptyset(&signals)
        for signal in [SIGINT, SIGTERM, SIGTSTP, SIGHUP] { sigaddset(&signals, signal) }
        sigprocmask(SIG_BLOCK, &signals, &blocked)
        var silent = before
        silent.c_lflag &= ~tcflag_t(ECHO)
        tcsetattr(terminal, TCSAFLUSH, &silent)
        put(prompt, terminal)
        let answer = line(from: terminal)
        put("\n", terminal)
        tcsetattr(terminal, TCSAFLUSH, &before)
        sigprocmask(SIG_SETMASK, &blocked, nil)
        return answer
    }

    private static func put(_ text: String, _ descriptor: Int32) {
        let bytes = Array(text.utf8)
        _ = write(descriptor, bytes, bytes.count)
    }

    /// What comes before the first line end, byte for byte: what follows belongs to somebody else.
    private static func line(from descriptor: Int32) -> [UInt8] {
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while bytes.count <= PreparedPassword.byteCountMax {
            let count = Glibc.read(descriptor, &byte, 1)
            if count < 0, errno == EINTR { continue }
            if count != 1 || byte == 0x0a { break }
            bytes.append(byte)
        }
        if bytes.last == 0x0d { bytes.removeLast() }
        return bytes
    }
}
