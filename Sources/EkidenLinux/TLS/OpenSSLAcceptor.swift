// A listener's TLS in the real world: makes sessions with the certificates as they are on disk, and
// takes up new ones without a restart. A broken new file changes nothing but the log.

import EkidenMail
import EkidenRuntime
import Glibc
import Synchronization

final class OpenSSLAcceptor: TLSAcceptor {
    private struct State {
        var contexts: OpenSSLContextSet
        /// As the files were when they were last read, well or not.
        var stamps: [FileStamp?]
    }

    private let settings: TLSServerSettings
    private let state: Mutex<State>

    init(_ settings: TLSServerSettings) throws(TLSFailure) {
        self.settings = settings
        // Before the files are read: what changes meanwhile is seen at the next look.
        let stamps = Self.stamps(settings)
        state = Mutex(State(contexts: try OpenSSLContextSet(settings), stamps: stamps))
    }

    func makeEngine() -> any TLSEngine {
        let contexts = state.withLock { $0.contexts }
        guard let engine = OpenSSLEngine(serving: contexts) else {
            preconditionFailure("out of memory")
        }
        return engine
    }

    func refresh() -> Result<String, TLSFailure>? {
        let stamps = Self.stamps(settings)
        let isNew = state.withLock { state in
            defer { state.stamps = stamps }
            return state.stamps != stamps
        }
        guard isNew else { return nil }
        do throws(TLSFailure) {
            let contexts = try OpenSSLContextSet(settings)
            state.withLock { $0.contexts = contexts }
            return .success(contexts.summary)
        } catch {
            return .failure(error)
        }
    }

    // OpenSSL makes the keys with each context.
    func renewKeys() {
        let stamps = Self.stamps(settings)
        // What has changed is for `refresh`, which says what it found.
        guard stamps == state.withLock({ $0.stamps }),
            let contexts = try? OpenSSLContextSet(settings)
        else { return }
        state.withLock { $0.contexts = contexts }
    }

    private static func stamps(_ settings: TLSServerSettings) -> [FileStamp?] {
        let paths = settings.identities.flatMap { [$0.certificate, $0.key] }
        return (paths + [settings.clientAuthorities].compactMap { $0 }).map {
            try? LinuxFiles().stampNow($0)
        }
    }
}

/// TLS by OpenSSL.
package struct OpenSSLProvider: TLSProvider {
    package init() {}

    package func connector(_ settings: TLSClientSettings) throws(TLSFailure) -> any TLSConnector {
        try OpenSSLConnector(settings)
    }

    package func acceptor(_ settings: TLSServerSettings) throws(TLSFailure) -> any TLSAcceptor {
        try OpenSSLAcceptor(settings)
    }
}
