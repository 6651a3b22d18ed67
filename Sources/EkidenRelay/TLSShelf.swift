// The TLS of all listeners and towards next hops: one acceptor or connector for each set of settings,
// kept over a reload that leaves them as they are, and looked at for new certificates while the relay
// runs.

import EkidenRuntime
import Synchronization

final class TLSShelf: Sendable {
    private struct Entry {
        let settings: TLSServerSettings
        let acceptor: any TLSAcceptor
    }

    private struct OutboundEntry {
        let settings: TLSClientSettings
        let connector: any TLSConnector
    }

    private let provider: any TLSProvider
    private let entries = Mutex<[Entry]>([])
    private let outbound = Mutex<[OutboundEntry]>([])

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

    /// The same towards next hops.
    func connector(_ settings: TLSClientSettings) throws(TLSFailure) -> any TLSConnector {
        let known = outbound.withLock { entries in
            entries.first { $0.settings == settings }?.connector
        }
        if let known { return known }
        let connector = try provider.connector(settings)
        outbound.withLock { $0.append(OutboundEntry(settings: settings, connector: connector)) }
        return connector
    }

    /// Forgets what no listener and no route has any more; sessions under way keep theirs.
    func keep(only settings: [TLSServerSettings], and client: [TLSClientSettings]) {
        entries.withLock { $0.removeAll { !settings.contains($0.settings) } }
        outbound.withLock { $0.removeAll { !client.contains($0.settings) } }
    }

    /// Of all certificates in use.
    var standings: [TLSStanding] {
        var standings: [TLSStanding] = []
        for standing in material.flatMap(\.standings) where !standings.contains(standing) {
            standings.append(standing)
        }
        return standings
    }

    var isEmpty: Bool { material.isEmpty }

    private var material: [any TLSMaterial] {
        entries.withLock { $0.map(\.acceptor) } + outbound.withLock { $0.map(\.connector) }
    }

    func renewKeys() {
        for entry in material { entry.renewKeys() }
    }

    /// Takes up new certificates; what came of those that changed.
    func refresh() -> [Result<String, TLSFailure>] {
        material.compactMap { $0.refresh() }
    }
}
