// The order of system calls, as strace sees it: no 250 to an end of data leaves before a sync that
// covers the message has returned, and where a name is new, before its directory was synced too.

import Foundation
import Testing

/// A system call with the lines of the trace where it began and ended.
private struct Call {
    let name: String
    let text: String
    let began: Int
    let ended: Int
    var succeeded: Bool { !text.contains(" = -1 ") && !text.contains(" = ? ") }
}

private func parse(_ trace: String) -> [Call] {
    var calls: [Call] = []
    var open: [Substring: (Int, Substring)] = [:]
    for (number, line) in trace.split(separator: "\n").enumerated() {
        let parts = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
        guard parts.count == 2 else { continue }
        let (thread, rest) = (parts[0], parts[1].drop { $0 == " " })
        if rest.hasSuffix("<unfinished ...>") {
            open[thread] = (number, rest.dropLast("<unfinished ...>".count))
        } else if rest.hasPrefix("<... ") {
            guard let (began, head) = open.removeValue(forKey: thread) else { continue }
            let tail = rest.range(of: "resumed>").map { rest[$0.upperBound...] } ?? ""
            let text = String(head) + String(tail)
            calls.append(Call(name: name(text), text: text, began: began, ended: number))
        } else {
            let text = String(rest)
            calls.append(Call(name: name(text), text: text, began: number, ended: number))
        }
    }
    return calls.sorted { $0.began < $1.began }
}

private func name(_ text: String) -> String { String(text.prefix { $0 != "(" }) }

/// The path of the descriptor that is the call's first argument.
private func path(_ call: Call) -> String {
    guard let open = call.text.firstIndex(of: "<"), let close = call.text.firstIndex(of: ">"),
        open < close
    else { return "" }
    return String(call.text[call.text.index(after: open)..<close])
}

private let traced =
    "trace=write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,fdatasync,fsync,rename,renameat2,openat"

private func canTrace() -> Bool {
    guard let strace = Child.find("strace") else { return false }
    return (try? Child.run(strace, ["-f", "true"]))?.status == 0
}

@Test(.enabled(if: canTrace(), "strace is not installed or not allowed"))
func `every 250 to an end of data follows the sync that covers the message`() async throws {
    try await story { stage in
        let mx = try stage.host()
        let trace = stage.directory + "/trace"
        let relay = try #require(stage.relay)
        let tracer = try Child(
            "strace",
            "strace",
            ["-f", "-y", "-s", "2000000", "-e", traced, "-o", trace, "-p", String(relay.pid)],
            output: stage.directory + "/strace.log"
        )
        defer { tracer.end() }
        try eventually("strace is attached") { tracer.text.contains("attached") }
        let place = stage.place
        let tokens = (0..<40).map { "token\(1000 + $0)" }
        try together(8) { thread in
            let client = try Client(place)
            try client.hello()
            for token in tokens[(thread * 5)..<(thread * 5 + 5)] {
                let isLarge = token == tokens[7]
                let body =
                    String(repeating: "x\r\n", count: isLarge ? 100_000 : 10) + token + "\r\n"
                let reply = try client.hand(
                    from: "\(token)@origin.test",
                    to: ["bob@example.test"],
                    letter(subject: token, body: body)
                )
                if reply.codes != "250 2.0.0" { throw StoryFailure("\(reply)") }
            }
        }
        try mx.mail(40, within: 60)
        tracer.send(SIGINT)
        try tracer.waitForEnd()
        try check(parse(String(decoding: readAll(trace), as: UTF8.self)), tokens, stage)
    }
}

private func check(_ calls: [Call], _ tokens: [String], _ stage: Stage) throws {
    // The history of messages is no promise, and never synced (docs/HISTORY.md).
    let writes = calls.filter {
        $0.name.contains("write") && path($0).hasPrefix(stage.spool)
            && !path($0).hasPrefix(stage.spool + "/history/")
    }
    let syncs = calls.filter { ($0.name == "fdatasync" || $0.name == "fsync") && $0.succeeded }
    let sends = calls.filter { $0.name.hasPrefix("send") || $0.name.hasPrefix("write") }
    for token in tokens {
        let accepted = stage.log("accepted") { $0["from"].contains(token) }
        let id = try #require(accepted.first)["id"]
        let reply = try #require(
            sends.first { $0.text.contains("250 2.0.0 \(id)") },
            "no 250 for \(token) in the trace"
        )
        // The first writes that hold it; later ones may move or read it.
        let holding = writes.filter { $0.text.contains(token) && $0.began < reply.began }
        try #require(!holding.isEmpty, "\(token) was not written before its 250")
        for write in holding {
            let covered = syncs.contains {
                path($0) == path(write) && $0.began > write.ended && $0.ended <= reply.began
            }
            #expect(covered, "\(token): no sync of \(path(write)) between its write and its 250")
            // A file of its own has a new name: its directory is synced as well.
            if path(write) != stage.spool, !path(write).contains("/log/") {
                let folder = (path(write) as NSString).deletingLastPathComponent
                let named = syncs.contains { path($0) == folder && $0.ended <= reply.began }
                #expect(named, "\(token): \(folder) was not synced before the 250")
            }
        }
    }
}
