// A story is one end-to-end test: a relay, the world around it, and what happens. This file runs
// it: on a thread of its own, since its clients block, a few at a time, since the machine is small,
// and with everything it started stopped afterwards and its logs shown when it failed.

import Foundation
import Synchronization
import Testing

/// Why a story did not go as told.
struct StoryFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// Runs a story on a stage of its own.
/// - Parameter settings: further settings of the relay, `"retry.first": "1s"`.
func story(
    _ settings: [String: String] = [:],
    more: String = "",
    starts: Bool = true,
    _ body: @Sendable @escaping (Stage) throws -> Void
) async throws {
    await Gate.shared.enter()
    defer { Gate.shared.leave() }
    try await withTaskExecutorPreference(BlockingThreads.shared) {
        try perform(settings, more, starts, body)
    }
}

private func perform(
    _ settings: [String: String],
    _ more: String,
    _ starts: Bool,
    _ body: (Stage) throws -> Void
) throws {
    let stage = try Stage(settings: settings, more: more)
    defer { stage.clear() }
    do {
        if starts { try stage.start() }
        try body(stage)
    } catch {
        stage.keepsFiles = true
        Issue.record("\(error)\n\(stage.recollection)")
        throw error
    }
    if let complaint = stage.complaint {
        stage.keepsFiles = true
        Issue.record("\(complaint)\n\(stage.recollection)")
    }
}

/// Runs the body on `count` threads and waits for all; the first error is thrown.
func together(_ count: Int, _ body: @Sendable @escaping (Int) throws -> Void) throws {
    let failure = FirstFailure()
    let left = DispatchSemaphore(value: 0)
    for index in 0..<count {
        let thread = Thread {
            do { try body(index) } catch { failure.value.withLock { $0 = $0 ?? error } }
            left.signal()
        }
        thread.stackSize = 1 << 20
        thread.start()
    }
    for _ in 0..<count { left.wait() }
    if let error = failure.value.withLock({ $0 }) { throw error }
}

private final class FirstFailure: Sendable {
    let value = Mutex<(any Error)?>(nil)
}

/// Asks again and again until the answer is there; throws after `seconds`.
@discardableResult
func eventually<Value>(
    _ what: String,
    within seconds: Double = 15,
    _ answer: () throws -> Value?
) throws -> Value {
    let end = Date(timeIntervalSinceNow: seconds)
    while true {
        if let value = try answer() { return value }
        if Date() > end { throw StoryFailure("not within \(seconds) s: \(what)") }
        usleep(10_000)
    }
}

func eventually(
    _ what: String,
    within seconds: Double = 15,
    until condition: () throws -> Bool
) throws {
    try eventually(what, within: seconds) { try condition() ? true : nil }
}

/// How many stories run at a time.
private final class Gate: Sendable {
    static let shared = Gate(
        ProcessInfo.processInfo.environment["EKIDEN_STORIES"].flatMap { Int($0) } ?? 6
    )

    private struct State {
        var free: Int
        var waiting: [CheckedContinuation<Void, Never>] = []
    }
    private let state: Mutex<State>

    init(_ permits: Int) { state = Mutex(State(free: permits)) }

    func enter() async {
        await withCheckedContinuation { continuation in
            let goes = state.withLock { state in
                if state.free > 0 {
                    state.free -= 1
                    return true
                }
                state.waiting.append(continuation)
                return false
            }
            if goes { continuation.resume() }
        }
    }

    func leave() {
        let next = state.withLock { state -> CheckedContinuation<Void, Never>? in
            if state.waiting.isEmpty {
                state.free += 1
                return nil
            }
            return state.waiting.removeFirst()
        }
        next?.resume()
    }
}

/// A thread for each job: stories block, and may not hold the pool of the tests while they do.
private final class BlockingThreads: TaskExecutor {
    static let shared = BlockingThreads()

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let thread = Thread { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
        thread.stackSize = 4 << 20
        thread.start()
    }
}
