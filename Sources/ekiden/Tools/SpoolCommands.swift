// `ekiden spool verify|export`: a spool that nobody runs, read without changing anything.

import EkidenLinux
import EkidenMail
import EkidenRuntime
import EkidenSpool
import Glibc

let spoolCommand = Command(
    name: "spool",
    summary: "Verify or export a spool, without a daemon and without changing it",
    subcommands: [spoolVerifyCommand, spoolExportCommand]
)

private let spoolVerifyCommand = Command(
    name: "spool verify",
    summary: "Read everything in a spool and say what is damaged",
    arguments: "DIR",
    arity: 1...1,
    details: """
        Changes nothing. Damage is printed, a line each, and makes the exit status 1. What a start
        puts right by itself (a torn tail after a crash) is printed too and is no damage.
        """,
    examples: [Example("ekiden spool verify /var/spool/ekiden", "After trouble with a disk")],
    run: { (invocation, console) throws(CommandProblem) in
        let report = try onSpool(invocation.arguments[0]) { (disk) throws(CommandProblem) in
            do throws(SpoolOpenFailure) {
                return try await SpoolVerifier.verify(disk: disk)
            } catch {
                throw CommandProblem(.negative, error.text, hint: notASpool)
            }
        }
        for damage in report.damages { console.print("damage: \(printable(damage))") }
        for repair in report.repairs { console.print("a start repairs: \(printable(repair))") }
        console.print(
            "\(plural(report.messages, "message")) (\(report.heldMessages) held) in "
                + "\(plural(report.segments, "segment")): "
                + (report.isSound ? "sound" : plural(report.damages.count, "damage"))
        )
        return report.isSound ? .success : .negative
    }
)

private let spoolExportCommand = Command(
    name: "spool export",
    summary: "Write every queued message as a file",
    arguments: "DIR",
    arity: 1...1,
    details: """
        For each message ID.eml (its bytes) and ID.envelope (sender, recipients and their states).
        Changes nothing in the spool. The exit status is 5 when some messages are damaged.
        """,
    options: [Option("to", value: "DIR", "Where to write; made if missing (must be given)")],
    examples: [
        Example("ekiden spool export /var/spool/ekiden --to /tmp/mail", "All that is queued")
    ],
    run: { (invocation, console) throws(CommandProblem) in
        guard let target = invocation.value("to") else {
            throw .usage("ekiden spool export needs --to DIR")
        }
        if mkdir(target, 0o700) != 0, errno != EEXIST {
            throw CommandProblem(.negative, "can't make \(target): \(systemWords())")
        }
        let sums = try onSpool(invocation.arguments[0]) { (disk) throws(CommandProblem) in
            try await exportAll(disk, to: target)
        }
        for problem in sums.problems { console.error("ekiden: \(printable(problem))") }
        console.print("\(plural(sums.written, "message")) written to \(target)")
        return sums.problems.isEmpty ? .success : sums.written > 0 ? .partial : .negative
    }
)

private let notASpool = "is this a spool directory? It holds a directory named log"

private struct ExportSums: Sendable {
    var written = 0
    /// A sentence for each message that has no content.
    var problems: [String] = []
}

private func exportAll(
    _ disk: PosixDisk,
    to target: String
) async throws(CommandProblem)
    -> ExportSums
{
    let exporter: SpoolExporter
    do throws(SpoolOpenFailure) {
        exporter = try await SpoolExporter.open(disk: disk)
    } catch {
        throw CommandProblem(.negative, error.text, hint: notASpool)
    }
    var sums = ExportSums()
    while let message = await exporter.next() {
        try writeFile("\(target)/\(message.envelopeName)", Array(message.envelopeText.utf8))
        guard let content = message.content else {
            sums.problems.append("\(message.id.text): \(message.problem ?? "damaged")")
            continue
        }
        var bytes = content.header.array
        do throws(ContentUnavailable) {
            try await append(content.body, to: &bytes)
        } catch {
            sums.problems.append("\(message.id.text): \(error.text)")
            continue
        }
        try writeFile("\(target)/\(message.contentName)", bytes)
        sums.written += 1
    }
    return sums
}

private func append(
    _ body: Content.Body,
    to bytes: inout [UInt8]
) async throws(ContentUnavailable) {
    switch body {
    case .memory(let part): bytes += part.array
    case .stored(let reader, let byteCount):
        var offset = 0
        while offset < byteCount {
            let part = try await reader.read(at: offset, count: min(1 << 20, byteCount - offset))
            if part.isEmpty { throw ContentUnavailable("its body is cut short", isDamage: true) }
            bytes += part.array
            offset += part.count
        }
    }
}

/// Opens the directory as a disk for as long as `work` takes.
private func onSpool<Value: Sendable>(
    _ directory: String,
    _ work: @escaping @Sendable (PosixDisk) async throws(CommandProblem) -> Value
) throws(CommandProblem) -> Value {
    guard access(directory, R_OK | X_OK) == 0 else {
        throw CommandProblem(
            errno == ENOENT ? .notFound : .negative,
            "can't read \(directory): \(systemWords())"
        )
    }
    let disk = PosixDisk(root: directory)
    defer { disk.close() }
    return try onLoop { () async throws(CommandProblem) in try await work(disk) }
}
