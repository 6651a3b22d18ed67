import EkidenMail
import EkidenRuntime
import Glibc
import Synchronization

/// Writes events to a descriptor (stderr) as text or JSON lines.
///
/// Emitting never blocks: events wait in memory for a thread that formats and writes them. When
/// the reader of the log is slower than the relay, events beyond a bound are dropped and counted,
/// and the count is logged as soon as there is room: mail goes before its log.
package final class LogWriter: EventSink {
    package enum Format: Sendable {
        case text
        case json
    }

    private struct State {
        var events: [(Event, WallTime)] = []
        var dropped = 0
        var isWriting = false
        /// To be taken up by the writing thread: whoever reloads does not wait for a disk.
        var historySettings: HistorySettings?
    }

    private static let eventsMax = 65_536

    private let state = Mutex(State())
    private let descriptor: Int32
    private let format: Atomic<Bool>
    private let threshold: Atomic<Int>
    /// The writing thread's alone.
    private let history: Mutex<History?>
    private let keepsHistory: Atomic<Bool>
    private let writer = WorkQueue(name: "log", threads: 1)

    package init(
        descriptor: Int32 = 2,
        format: Format = .text,
        level: EventLevel = .info,
        history settings: HistorySettings? = nil
    ) {
        history = Mutex(settings.map { History($0) })
        keepsHistory = Atomic((settings?.keep ?? .zero) > .zero)
        self.descriptor = descriptor
        self.format = Atomic(format == .json)
        threshold = Atomic(Self.rank(level))
        // One that is not kept any more is removed.
        if let settings, settings.keep <= .zero { setHistory(settings) }
    }

    /// Takes other settings from now on.
    package func reconfigure(format: Format, level: EventLevel, history settings: HistorySettings) {
        setHistory(settings)
        keepsHistory.store(settings.keep > .zero, ordering: .relaxed)
        self.format.store(format == .json, ordering: .relaxed)
        threshold.store(Self.rank(level), ordering: .relaxed)
    }

    private func setHistory(_ settings: HistorySettings) {
        let mustStart = state.withLock { state in
            state.historySettings = settings
            defer { state.isWriting = true }
            return !state.isWriting
        }
        if mustStart { writer.submit { self.drain() } }
    }

    package func emit(_ event: Event, at time: WallTime) {
        guard isLogged(event) || keepsHistory.load(ordering: .relaxed) && event.belongsToHistory
        else {
            return
        }
        let mustStart = state.withLock { state in
            guard state.events.count < Self.eventsMax else {
                state.dropped += 1
                return false
            }
            state.events.append((event, time))
            defer { state.isWriting = true }
            return !state.isWriting
        }
        if mustStart { writer.submit { self.drain() } }
    }

    /// Writes what was emitted and ends.
    package func close() { writer.close() }

    private func drain() {
        while true {
            let (events, dropped, settings) = state.withLock { state in
                let taken = (state.events, state.dropped, state.historySettings)
                state.events = []
                state.dropped = 0
                state.historySettings = nil
                if taken.0.isEmpty, taken.1 == 0, taken.2 == nil { state.isWriting = false }
                return taken
            }
            if let settings { history.withLock { $0?.reconfigure(settings) } }
            if events.isEmpty, dropped == 0 {
                if settings == nil { return }
                continue
            }
            var out = BytesBuilder(capacity: 256 * (events.count + 1))
            let isJSON = format.load(ordering: .relaxed)
            var kept = BytesBuilder(capacity: 256)
            let keeps = keepsHistory.load(ordering: .relaxed)
            for (event, time) in events {
                if keeps, event.belongsToHistory { event.writeJSON(at: time, to: &kept) }
                guard isLogged(event) else { continue }
                event.write(asJSON: isJSON, at: time, to: &out)
            }
            let word = keep(kept.finish())
            word?.write(asJSON: isJSON, at: LinuxClock.wall(), to: &out)
            if dropped > 0 {
                let lost = Event.notice(
                    .init(
                        .warning,
                        "log",
                        "\(dropped) events were not logged: the reader of the log is too slow"
                    )
                )
                lost.write(asJSON: isJSON, at: LinuxClock.wall(), to: &out)
            }
            write(out.finish())
            // Lines come in bursts; a short pause makes one write of many.
            if events.count > 8 { usleep(1000) }
        }
    }

    private func isLogged(_ event: Event) -> Bool {
        Self.rank(event.level) >= threshold.load(ordering: .relaxed)
    }

    private func keep(_ lines: Bytes) -> Event? {
        if lines.isEmpty { return nil }
        return history.withLock { history in
            guard var open = history.take() else { return nil }
            let word = open.append(lines, at: LinuxClock.wall())
            history = consume open
            return word
        }
    }

    private func write(_ bytes: Bytes) {
        var offset = 0
        while offset < bytes.count {
            let rest = bytes.pointer[offset...]
            let n = UnsafeRawBufferPointer(rebasing: rest).withMemoryRebound(to: UInt8.self) {
                Glibc.write(descriptor, $0.baseAddress, $0.count)
            }
            if n < 0, errno == EINTR { continue }
            // Nowhere left to say it: the log itself can't be written.
            if n <= 0 { return }
            offset += n
        }
    }

    private static func rank(_ level: EventLevel) -> Int {
        EventLevel.allCases.firstIndex(of: level) ?? 0
    }
}

extension Event {
    fileprivate func write(asJSON isJSON: Bool, at time: WallTime, to out: inout BytesBuilder) {
        if isJSON { writeJSON(at: time, to: &out) } else { writeText(at: time, to: &out) }
    }
}
