// The one binary. Everything it can do is a row of the command tree in Commands.swift.

import Glibc

@main
struct Ekiden {
    static func main() {
        // A reader that went away is an answer to a write, not a reason to die in the middle.
        signal(SIGPIPE, SIG_IGN)
        let console = Console()
        let status = runCommandLine(Array(CommandLine.arguments.dropFirst()), console)
        console.flush()
        exit(status.code)
    }
}
