// A listener's TLS in the real world: makes sessions with the certificates as they are on disk, and
// takes up new ones without a restart. A broken new file changes nothing but the log.

import EkidenMail
import EkidenRuntime

final class OpenSSLAcceptor: TLSAcceptor {
    private let settings: TLSServerSettings
    private let contexts: MadeFromFiles<OpenSSLContextSet>

    init(_ settings: TLSServerSettings) throws(TLSFailure) {
        self.settings = settings
        let paths = settings.identities.flatMap { [$0.certificate, $0.key] }
        contexts = try MadeFromFiles(paths + [settings.clientAuthorities].compactMap { $0 }) {
            () throws(TLSFailure) -> OpenSSLContextSet in try OpenSSLContextSet(settings)
        }
    }

    func makeEngine() -> any TLSEngine {
        guard let engine = OpenSSLEngine(serving: contexts.made) else {
            preconditionFailure("out of memory")
        }
        return engine
    }

    func refresh() -> Result<String, TLSFailure>? { contexts.refresh()?.map(\.summary) }

    // OpenSSL makes the keys with each context.
    func renewKeys() { contexts.renew() }

    var standings: [TLSStanding] {
        let trouble = contexts.trouble?.text
        return zip(settings.identities, contexts.made.contexts).map { identity, made in
            TLSStanding(
                file: identity.certificate,
                names: made.names,
                end: made.end,
                trouble: trouble
            )
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
