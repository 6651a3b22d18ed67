// What is made of files and made anew when they change, as a listener's certificates are and what is
// shown to next hops: broken new files change nothing, but that it is said.

import EkidenMail
import EkidenRuntime
import Synchronization

/// A value made of files, the newest one that could be made.
final class MadeFromFiles<Made: Sendable>: Sendable {
    private struct State {
        var made: Made
        /// As the files were when they were last read, well or not.
        var stamps: [FileStamp?]
        /// Why what the files are now can't be used.
        var trouble: TLSFailure?
    }

    private let paths: [String]
    private let make: @Sendable () throws(TLSFailure) -> Made
    private let state: Mutex<State>

    /// Errors: those of `make`.
    init(
        _ paths: [String],
        _ make: @escaping @Sendable () throws(TLSFailure) -> Made
    ) throws(TLSFailure) {
        self.paths = paths
        self.make = make
        // Before the files are read: what changes meanwhile is seen at the next look.
        let stamps = Self.stamps(paths)
        state = Mutex(State(made: try make(), stamps: stamps))
    }

    var made: Made { state.withLock { $0.made } }
    var trouble: TLSFailure? { state.withLock { $0.trouble } }

    /// Makes it anew if a file has changed since it was last read, or could not be used then; nil when
    /// there is nothing new to say.
    func refresh() -> Result<Made, TLSFailure>? {
        let stamps = Self.stamps(paths)
        let (isNew, known) = state.withLock { state in
            defer { state.stamps = stamps }
            return (state.stamps != stamps, state.trouble)
        }
        // What a directory or a mode forbade may be allowed by now, with the file as it was.
        guard isNew || known != nil else { return nil }
        do throws(TLSFailure) {
            let made = try make()
            state.withLock { state in
                state.made = made
                state.trouble = nil
            }
            return .success(made)
        } catch {
            state.withLock { $0.trouble = error }
            return error == known ? nil : .failure(error)
        }
    }

    /// Makes it anew of the same files, if it can be; what has changed is for `refresh`, which says
    /// what it found.
    func renew() {
        let (stamps, trouble) = state.withLock { ($0.stamps, $0.trouble) }
        guard trouble == nil, Self.stamps(paths) == stamps, let made = try? make() else { return }
        state.withLock { $0.made = made }
    }

    private static func stamps(_ paths: [String]) -> [FileStamp?] {
        paths.map { try? LinuxFiles().stampNow($0) }
    }
}
