// How the relay notices that files beside its configuration change: one task looks from time to
// time. Used for the users file, the files of lists, and certificates; what is looked at, and what
// becomes of it, is theirs.

import EkidenMail
import EkidenRuntime
import Synchronization

/// A look at something every so often, until `stop`. Lives on one loop.
final class Lookout: Sendable {
    private let loop: Loop
    private let interval: Duration
    /// Wakes the task; nil before there is one.
    private let alarm = Mutex<Handle?>(nil)

    init(on loop: Loop, every interval: Duration) {
        self.loop = loop
        self.interval = interval
    }

    /// Begins, unless it has begun before. From a task of the loop.
    func start(_ look: @escaping @Sendable () async -> Void) {
        let alarm: Handle? = alarm.withLock { alarm in
            if alarm != nil { return nil }
            let handle = loop.makeHandle()
            alarm = handle
            return handle
        }
        guard let alarm else { return }
        loop.spawn {
            while true {
                self.loop.setDeadline(alarm, self.loop.now() + self.interval)
                guard await self.loop.wait(alarm, for: []) == .timedOut else { break }
                await look()
            }
            self.loop.releaseHandle(alarm)
        }
    }

    /// For good. From a task of the loop, once.
    func stop() {
        if let alarm = alarm.withLock({ $0 }) { loop.cancel(alarm) }
    }
}

/// Why a file was not taken: a sentence for a person, without the file's name.
struct FileTrouble: Error { let text: String }

extension RelayWorld {
    /// A file that nobody wrote to meanwhile, and what it was when it was read: half of a file is
    /// another file.
    func readSteady(
        _ path: String,
        maxBytes: Int
    ) async throws(FileTrouble) -> (stamp: FileStamp, bytes: [UInt8]) {
        let stamp: FileStamp
        let bytes: [UInt8]
        let isSteady: Bool
        do throws(FileProblem) {
            stamp = try await files.stamp(path)
            bytes = try await files.read(path, maxBytes: maxBytes)
            isSteady = try await files.stamp(path) == stamp
        } catch {
            throw FileTrouble(text: error.text)
        }
        guard isSteady else {
            throw FileTrouble(text: "it is being written to; replace it by a rename")
        }
        return (stamp, bytes)
    }
}
