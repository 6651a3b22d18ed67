import EkidenMail
import Testing

@testable import ekiden

private let plan = BenchPlan(
    target: Endpoint(.loopback4, 1),
    sessions: 2,
    messages: 3,
    messageBytes: 4096,
    recipients: 2,
    sender: "s@example.org",
    recipient: "r@example.org",
    pipelines: true,
    keepsConnections: true
)

@Suite struct BenchTests {
    @Test func aMessageHasItsSizeAndItsMark() throws {
        let texts = BenchTexts(plan, date: WallTime(seconds: 0))
        var header = texts.header
        texts.stamp(&header, run: 0xabc, sequence: 77, time: 123_456_789)
        let mark = try #require(BenchMark.find(in: header + texts.body))
        #expect(mark == (0xabc, 77, 123_456_789))
        // Everything but the final dot.
        #expect(header.count + texts.body.count - 3 == 4096)
        #expect(texts.body.suffix(5) == [0x0d, 0x0a, 0x2e, 0x0d, 0x0a])
        #expect(
            !String(decoding: header, as: UTF8.self).contains("0000000000000000.0000000000000000")
        )
        #expect(
            String(decoding: texts.envelope, as: UTF8.self)
                == "MAIL FROM:<s@example.org>\r\nRCPT TO:<r0@example.org>\r\n"
                + "RCPT TO:<r1@example.org>\r\nDATA\r\n"
        )
        #expect(BenchMark.find(in: Array("X-Ekiden-Bench: zz".utf8)) == nil)
    }

    @Test func percentilesAreExact() throws {
        var times = Latencies()
        #expect(times.summary() == nil)
        for milliseconds in (1...100).reversed() {
            times.add(nanoseconds: Int64(milliseconds) * 1_000_000)
        }
        let summary = try #require(times.summary())
        #expect(summary == Latencies.Summary(p50: 50, p90: 90, p99: 99, max: 100))
    }

    @Test func aRunThroughItsOwnSinkCountsEveryMessage() throws {
        var plan = plan
        let sink = try BenchSink(listeningOn: Endpoint(.loopback4, 0), run: 5, messages: 40)
        plan.target = sink.endpoint
        plan.messages = 40
        try sink.start()
        let load = BenchLoad(plan, run: 5, date: WallTime(seconds: 0))
        let start = monotonicNanoseconds()
        while !load.isDone, monotonicNanoseconds() - start < 10_000_000_000 {
            load.turn(milliseconds: 10)
        }
        sink.stop()
        let result = BenchResult(plan: plan, load: load, sink: sink, start: start, cpuSeconds: 0)
        #expect(result.isClean)
        #expect(result.accepted == 40)
        #expect(result.delivery?.delivered == 80)
        #expect(result.json.hasPrefix("{\"messages\":40,\"sessions\":2,"))
        #expect(result.text.contains("accepted"))
    }
}
