// What a benchmark found, as text for people and as JSON for programs, from the same numbers.

import EkidenMail

struct BenchResult {
    var plan: BenchPlan
    var accepted: Int
    var failed: Int
    var problems: [(words: String, count: Int)]
    var acceptSeconds: Double
    var toReply: Latencies.Summary?
    /// nil without a sink.
    var delivery: Delivery?
    /// Processor time of the benchmark itself.
    var cpuSeconds: Double

    struct Delivery {
        /// Recipients.
        var delivered: Int
        var missing: Int
        var repeated: Int
        var seconds: Double
        var times: Latencies.Summary?
    }

    var isClean: Bool {
        failed == 0 && accepted == plan.messages
            && (delivery.map { $0.missing == 0 && $0.repeated == 0 } ?? true)
    }

    var acceptedPerSecond: Double { acceptSeconds > 0 ? Double(accepted) / acceptSeconds : 0 }

    var cpuMicrosecondsPerMessage: Double { accepted > 0 ? cpuSeconds * 1e6 / Double(accepted) : 0 }

    var text: String {
        var text =
            "\(plan.messages) messages of \(plan.messageBytes) bytes, "
            + "\(plural(plan.sessions, "session")), "
            + (plan.pipelines ? "pipelined, " : "not pipelined, ")
            + (plan.keepsConnections ? "connections kept\n" : "a connection for each message\n")
        text += row("accepted", accepted, acceptSeconds)
        if let delivery {
            text += row("delivered", delivery.delivered, delivery.seconds)
        }
        text += "\n" + row("dot to 250", toReply)
        if let delivery { text += row("dot to delivered", delivery.times) }
        text +=
            "\nthe benchmark itself used \(fixed(cpuMicrosecondsPerMessage, 1)) µs of CPU a message\n"
        if failed > 0 { text += "FAILED \(failed)\n" }
        for problem in problems { text += "  \(problem.count) × \(problem.words)\n" }
        if let delivery, delivery.missing > 0 { text += "NOT DELIVERED \(delivery.missing)\n" }
        if let delivery, delivery.repeated > 0 { text += "DELIVERED AGAIN \(delivery.repeated)\n" }
        return text
    }

    private func row(_ name: String, _ count: Int, _ seconds: Double) -> String {
        let rate = seconds > 0 ? Double(count) / seconds : 0
        return "\(padded(name))\(count) in \(fixed(seconds, 2)) s, \(fixed(rate, 0))/s\n"
    }

    private func row(_ name: String, _ summary: Latencies.Summary?) -> String {
        guard let summary else { return "\(padded(name))none\n" }
        return "\(padded(name))p50 \(fixed(summary.p50, 2)) ms, p90 \(fixed(summary.p90, 2)) ms, "
            + "p99 \(fixed(summary.p99, 2)) ms, max \(fixed(summary.max, 2)) ms\n"
    }

    private func padded(_ name: String) -> String {
        name + String(repeating: " ", count: max(1, 18 - name.count))
    }

    var json: String {
        var fields = [
            "\"messages\":\(plan.messages)", "\"sessions\":\(plan.sessions)",
            "\"message_bytes\":\(plan.messageBytes)", "\"recipients\":\(plan.recipients)",
            "\"pipelining\":\(plan.pipelines)", "\"kept_connections\":\(plan.keepsConnections)",
            "\"accepted\":\(accepted)", "\"failed\":\(failed)",
            "\"accept_seconds\":\(fixed(acceptSeconds, 6))",
            "\"accepted_per_second\":\(fixed(acceptedPerSecond, 1))",
            "\"dot_to_reply_ms\":\(json(toReply))",
        ]
        if let delivery {
            let rate = delivery.seconds > 0 ? Double(delivery.delivered) / delivery.seconds : 0
            fields += [
                "\"delivered\":\(delivery.delivered)", "\"missing\":\(delivery.missing)",
                "\"repeated\":\(delivery.repeated)",
                "\"deliver_seconds\":\(fixed(delivery.seconds, 6))",
                "\"delivered_per_second\":\(fixed(rate, 1))",
                "\"dot_to_delivered_ms\":\(json(delivery.times))",
            ]
        }
        fields.append("\"bench_cpu_us_per_message\":\(fixed(cpuMicrosecondsPerMessage, 2))")
        let problems = problems.map { "{\"words\":\(quotedJSON($0.words)),\"count\":\($0.count)}" }
        fields.append("\"problems\":[\(problems.joined(separator: ","))]")
        return "{" + fields.joined(separator: ",") + "}\n"
    }

    private func json(_ summary: Latencies.Summary?) -> String {
        guard let summary else { return "null" }
        return "{\"p50\":\(fixed(summary.p50, 3)),\"p90\":\(fixed(summary.p90, 3)),"
            + "\"p99\":\(fixed(summary.p99, 3)),\"max\":\(fixed(summary.max, 3))}"
    }
}

extension BenchResult {
    init(plan: BenchPlan, load: BenchLoad, sink: BenchSink?, start: Int64, cpuSeconds: Double) {
        self.init(
            plan: plan,
            accepted: load.accepted,
            failed: load.failed,
            problems: load.problems,
            acceptSeconds: Double(max(load.lastAccepted - start, 0)) / 1e9,
            toReply: load.times.summary(),
            delivery: sink.map { sink in
                // What was not accepted need not arrive; which messages those are only the
                // totals tell, as a refusal and a loss would look the same in `arrivals`.
                let extra = sink.arrivals.reduce(0) { $0 + max(0, Int($1) - plan.recipients) }
                let arrived = sink.arrivals.reduce(0) { $0 + min(Int($1), plan.recipients) }
                return Delivery(
                    delivered: arrived,
                    missing: max(0, load.accepted * plan.recipients - arrived),
                    repeated: extra,
                    seconds: Double(max(sink.last - start, 0)) / 1e9,
                    times: sink.times.summary()
                )
            },
            cpuSeconds: cpuSeconds
        )
    }
}
