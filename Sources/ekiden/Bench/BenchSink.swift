// The counting end of a benchmark: a sink on a thread of its own that knows our messages by their
// mark and notes how long each was on its way.

import EkidenMail
import Glibc
import Synchronization

/// `@unchecked Sendable`: `server`, `times` and `arrivals` (and `endpoint`,
/// which never changes after `init`) belong to the sink's thread from
/// `start` until `stop` has joined it, and to the caller before and after; the rest is atomic.
final class BenchSink: @unchecked Sendable {
    private let delivered = Atomic<Int>(0)
    private let lastArrival = Atomic<Int64>(0)
    private let isStopping = Atomic<Bool>(false)
    private var server: SinkServer?
    private var thread = pthread_t()
    private(set) var times = Latencies()
    /// Recipients delivered of each message.
    private(set) var arrivals: [UInt16]
    /// Where it listens; the port it got when any was asked for.
    private(set) var endpoint: Endpoint

    init(listeningOn wanted: Endpoint, run: UInt64, messages: Int) throws(CommandProblem) {
        arrivals = Array(repeating: 0, count: messages)
        endpoint = wanted
        // The mark stands behind the Received fields that relays put in front.
        let capture = SinkCapture(keepsEnvelope: false, contentBytes: 4096)
        server = try SinkServer(listeningOn: wanted, capture: capture) { [unowned self] in
            note($0, run)
        }
        if let server { endpoint = server.endpoint }
    }

    /// Recipients delivered so far.
    var count: Int { delivered.load(ordering: .relaxed) }
    /// Monotonic nanoseconds of the last delivery.
    var last: Int64 { lastArrival.load(ordering: .relaxed) }

    private func note(_ message: SinkMessage, _ run: UInt64) {
        guard let mark = BenchMark.find(in: message.content), mark.run == run,
            arrivals.indices.contains(mark.sequence)
        else { return }
        let now = monotonicNanoseconds()
        times.add(nanoseconds: now - mark.time)
        arrivals[mark.sequence] += UInt16(clamping: message.recipients.count)
        delivered.add(message.recipients.count, ordering: .relaxed)
        lastArrival.store(now, ordering: .relaxed)
    }

    func start() throws(CommandProblem) {
        let context = Unmanaged.passRetained(self)
        let result = pthread_create(
            &thread,
            nil,
            { context in
                guard let context else { return nil }
                Unmanaged<BenchSink>.fromOpaque(context).takeRetainedValue().work()
                return nil
            },
            context.toOpaque()
        )
        if result != 0 {
            context.release()
            throw CommandProblem(.negative, "can't start a thread: \(systemWords(result))")
        }
    }

    private func work() {
        while !isStopping.load(ordering: .relaxed) { server?.turn(milliseconds: 50) }
    }

    func stop() {
        isStopping.store(true, ordering: .relaxed)
        pthread_join(thread, nil)
        server = nil
    }
}
