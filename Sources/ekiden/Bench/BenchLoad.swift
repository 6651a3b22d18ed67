// The sending end of a benchmark: all sessions on one loop, on the calling thread.

import EkidenMail
import Glibc

final class BenchLoad {
    private let plan: BenchPlan
    private let texts: BenchTexts
    private let run: UInt64
    private let poller = Poller()
    private var sessions: [Int32: BenchSession] = [:]
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 64)
    private var begun = 0
    private(set) var accepted = 0
    private(set) var failed = 0
    /// Monotonic nanoseconds of the last 250.
    private(set) var lastAccepted: Int64 = 0
    private(set) var times = Latencies()
    /// How messages failed, in the order first seen, at most ten kinds.
    private(set) var problems: [(words: String, count: Int)] = []

    init(_ plan: BenchPlan, run: UInt64, date: WallTime) {
        self.plan = plan
        self.run = run
        texts = BenchTexts(plan, date: date)
    }

    deinit {
        for session in sessions.values { session.socket.close() }
        buffer.deallocate()
    }

    var isDone: Bool { accepted + failed >= plan.messages }

    /// One wait and the work it brings.
    func turn(milliseconds: Int32) {
        while sessions.count < plan.sessions, begun < plan.messages {
            // Sessions that have not reached their first message will take one each.
            if plan.messages - begun <= sessions.values.count(where: { !$0.hasMessage }) { break }
            guard open() else { break }
        }
        poller.wait(milliseconds: milliseconds) { descriptor, interest in
            guard let session = sessions[descriptor] else { return }
            take(session.ready(interest, buffer), from: session)
        }
    }

    private func open() -> Bool {
        guard let socket = Socket.connect(to: plan.target) else {
            begun += 1
            fail("can't connect: \(systemWords())")
            return false
        }
        sessions[socket.descriptor] = BenchSession(
            socket,
            plan: plan,
            texts: texts,
            run: run,
            poller: poller,
            nextSequence: { [unowned self] in
                guard begun < plan.messages else { return nil }
                begun += 1
                return begun - 1
            }
        )
        return true
    }

    private func take(_ outcome: BenchSession.Outcome, from session: BenchSession) {
        switch outcome {
        case .goesOn: return
        case .accepted(let nanoseconds):
            accepted += 1
            lastAccepted = monotonicNanoseconds()
            times.add(nanoseconds: nanoseconds)
        case .failed(let words):
            // A connection that never got to a message costs one, so that trying ends.
            if !session.hasMessage, begun < plan.messages {
                begun += 1
                fail(words)
            } else if session.hasMessage {
                fail(words)
            }
            close(session)
        case .ended: close(session)
        }
    }

    private func fail(_ words: String) {
        failed += 1
        if let index = problems.firstIndex(where: { $0.words == words }) {
            problems[index].count += 1
        } else if problems.count < 10 {
            problems.append((words, 1))
        }
    }

    private func close(_ session: BenchSession) {
        sessions[session.socket.descriptor] = nil
        poller.remove(session.socket)
        session.socket.close()
    }
}
