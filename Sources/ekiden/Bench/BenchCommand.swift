// `ekiden bench`: N sessions send M messages to an SMTP port while a sink behind it counts what
// comes out. Says how fast mail went in, how fast it came out, and how long single messages took.

import EkidenMail
import Glibc

let benchCommand = Command(
    name: "bench",
    summary: "Measure a relay: send messages, count them as they come out",
    details: """
        Sends to any SMTP port. With --sink it also listens where the relay delivers to, counts
        what arrives, and follows each message by a field in its header (X-Ekiden-Bench).
        The time to 250 counts from the last byte of the final dot; the time to delivery from the
        first byte of the message after DATA. Message sizes include the header.
        The exit status is 0 when every message was accepted and, with --sink, delivered once.
        """,
    options: [
        Option("to", "t", value: "ADDRESS:PORT", "The relay's port (127.0.0.1:2525)"),
        Option("sink", value: "ADDRESS:PORT", "Listen here and count what the relay delivers"),
        Option("sessions", "s", value: "N", "Sessions at the same time (20)"),
        Option("messages", "m", value: "M", "Messages in all (10000)"),
        Option("size", value: "SIZE", "Size of a message (4KiB)"),
        Option("recipients", value: "N", "Recipients of each message (1)"),
        Option("from", value: "ADDRESS", "Sender (bench@bench.localhost)"),
        Option("rcpt", value: "ADDRESS", "Recipient (user@sink.localhost)"),
        Option("no-pipelining", "Wait for each reply before the next command"),
        Option("reconnect", "A new connection for each message"),
        Option("patience", value: "TIME", "Give up after no progress for so long (30s)"),
        Option("json", "Print the result as one JSON object"),
    ],
    examples: [
        Example(
            "ekiden bench --to 127.0.0.1:2525 --sink 127.0.0.1:2526",
            "Through a relay that delivers to port 2526"
        ),
        Example(
            "ekiden bench -s 100 -m 50000 --size 64KiB --json",
            "Only how fast mail is accepted, for a program to read"
        ),
    ],
    run: runBench
)

private func runBench(
    _ invocation: Invocation,
    _ console: Console
) throws(CommandProblem)
    -> ExitStatus
{
    let plan = BenchPlan(
        target: try invocation.endpoint("to", default: "127.0.0.1:2525"),
        sessions: try invocation.integer("sessions", in: 1...20_000, default: 20),
        messages: try invocation.integer("messages", in: 1...100_000_000, default: 10_000),
        messageBytes: try invocation.size("size", default: 4096),
        recipients: try invocation.integer("recipients", in: 1...1000, default: 1),
        sender: invocation.value("from") ?? "bench@bench.localhost",
        recipient: invocation.value("rcpt") ?? "user@sink.localhost",
        pipelines: !invocation.has("no-pipelining"),
        keepsConnections: !invocation.has("reconnect")
    )
    let patience = try invocation.duration("patience") ?? .seconds(30)
    raiseDescriptorLimit()
    let run = UInt64(bitPattern: wallTimeNow().nanoseconds) ^ UInt64(getpid()) << 48
    var sink: BenchSink?
    if invocation.has("sink") {
        let endpoint = try invocation.endpoint("sink", default: "")
        sink = try BenchSink(listeningOn: endpoint, run: run, messages: plan.messages)
    }
    try sink?.start()
    Interrupt.listen()
    let cpuBefore = cpuSeconds()
    let start = monotonicNanoseconds()
    let load = BenchLoad(plan, run: run, date: wallTimeNow())
    drive(load, sink, plan, patience, start, console)
    sink?.stop()
    let result = BenchResult(
        plan: plan,
        load: load,
        sink: sink,
        start: start,
        cpuSeconds: cpuSeconds() - cpuBefore
    )
    console.print(invocation.has("json") ? result.json : result.text, terminator: "")
    return result.isClean ? .success : .negative
}

/// Sends until all is answered, then waits until all has arrived or nothing moves any more.
private func drive(
    _ load: BenchLoad,
    _ sink: BenchSink?,
    _ plan: BenchPlan,
    _ patience: Duration,
    _ start: Int64,
    _ console: Console
) {
    var shownAt = start
    var movedAt = start
    var seen = 0
    while !Interrupt.wasAsked {
        let arrived = sink?.count ?? 0
        if load.isDone, sink == nil || arrived >= load.accepted * plan.recipients { break }
        load.turn(milliseconds: load.isDone ? 5 : 50)
        let now = monotonicNanoseconds()
        let moved = load.accepted + load.failed + arrived
        if moved != seen {
            seen = moved
            movedAt = now
        } else if now - movedAt > patience.wholeNanoseconds {
            break
        }
        if console.errorIsTerminal, now - shownAt > 250_000_000 {
            shownAt = now
            let seconds = Double(now - start) / 1e9
            var line =
                "accepted \(load.accepted)/\(plan.messages)"
                + " (\(fixed(Double(load.accepted) / seconds, 0))/s)"
            if sink != nil {
                line += "  delivered \(arrived) (\(fixed(Double(arrived) / seconds, 0))/s)"
            }
            if load.failed > 0 { line += "  failed \(load.failed)" }
            console.progress(line)
        }
    }
    console.progress("")
}

/// Processor time of this process, all threads.
private func cpuSeconds() -> Double {
    var usage = rusage()
    getrusage(RUSAGE_SELF.rawValue, &usage)
    let seconds = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec
    return Double(seconds) + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
}
