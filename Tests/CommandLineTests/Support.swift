// Kept apart from `import Testing`, which has an `ExitStatus` of its own.

@testable import ekiden

typealias Status = ExitStatus

/// Runs a command line that asks nothing of the outside.
func run(_ words: String...) -> (status: Status, output: String, errors: String) {
    let console = Console(captured: true)
    let status = runCommandLine(words, console)
    return (status, console.text, console.errorText)
}
