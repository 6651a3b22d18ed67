// The TLS of all listeners: one acceptor for each set of settings, kept over a reload that leaves
// them as they are, and looked at for new certificates while the relay runs.

import EkidenRuntime
import Synchronization

final class TLSShelf: Sendable {
    private struct Entry {
        let settings: TLSServerSettings
        let acceptor: any TLSAcceptor
    }

    private let provider: any TLSProvider
    private let entries = Mutex<[Entry]>([])

    init(_ provider: any TLSProvider) { self.provider = provider }

    /// Errors: a certificate can't be used; the sentence names the file.
    func acceptor(_ settings: TLSServerSettings) throws(TLSFailure) -> any TLSAcceptor {
        let known = entries.withLock { entries in
            entries.first { $0.settings == settings }?.acceptor
        }
        if let known { return known }
        let acceptor = try provider.acceptor(settings)
        entries.withLock { $0.append(Entry(settings: settings, acceptor: acceptor)) }
        return acceptor
    }

    /// Forgets what no listener has any more; sessions under way keep theirs.
    func keep(only settings: [TLSServerSettings]) {
        entries.withLock { $0.removeAll { !settings.contains($0.settings) } }
    }

    var isEmpty: Bool { entries.withLock { $0.isEmpty } }

    func renewKeys() {
        for acceptor in entries.withLock({ $0.map(\.acceptor) }) { acceptor.renewKeys() }
    }

    /// Takes up new certificates; what came of those that changed.
    func refresh() -> [Result<String, TLSFailure>] {
        entries.withLock { $0.map(\.acceptor) }.compactMap { $0.refresh() }
    }
}
