// TLS towards next hops in the real world: one `SSL_CTX` with the authorities that vouch for hosts
// and the certificate that is shown to those that ask. Looked at for changes as a listener's is.

import COpenSSL
import EkidenMail
import EkidenRuntime
import Glibc

/// The client side's `SSL_CTX`.
///
/// `@unchecked Sendable`: the `SSL_CTX` is set up in `init` and never changed after it, which is
/// when OpenSSL lets threads share one.
final class OpenSSLClientContext: @unchecked Sendable {
    let context: OpaquePointer
    /// Of the certificate that is shown, if there is one.
    let names: [String]
    let end: WallTime?

    /// Errors: the sentence names the file.
    init(_ settings: TLSClientSettings) throws(TLSFailure) {
        ERR_clear_error()
        guard let context = SSL_CTX_new(TLS_client_method()) else {
            throw .openSSL("no TLS context")
        }
        // Set last: a throw with it set would run `deinit`, too.
        do throws(TLSFailure) {
            guard ekiden_client_context_init(context) == 1 else { throw .openSSL("TLS settings") }
            ekiden_context_never_ask(context)
            if let identity = settings.identity {
                try OpenSSLContext.load(identity, into: context)
            }
            try Self.trust(settings.authorities, context)
        } catch {
            SSL_CTX_free(context)
            throw error
        }
        let certificate = settings.identity == nil ? nil : SSL_CTX_get0_certificate(context)
        names = OpenSSLContext.names(of: certificate)
        end = OpenSSLContext.end(of: certificate)
        self.context = context
    }

    deinit { SSL_CTX_free(context) }

    private static func trust(
        _ authorities: String?,
        _ context: OpaquePointer
    ) throws(TLSFailure) {
        guard let authorities else {
            // A machine without any still has opportunistic TLS.
            _ = SSL_CTX_set_default_verify_paths(context)
            return
        }
        guard access(authorities, R_OK) == 0 else {
            throw TLSFailure("can't read \(authorities): \(SystemError(code: errno).text)")
        }
        guard SSL_CTX_load_verify_locations(context, authorities, nil) == 1 else {
            throw .openSSL("no certificates of authorities in \(authorities)")
        }
    }
}

final class OpenSSLConnector: TLSConnector {
    private let identity: TLSIdentity?
    private let context: MadeFromFiles<OpenSSLClientContext>

    init(_ settings: TLSClientSettings) throws(TLSFailure) {
        identity = settings.identity
        let own = settings.identity.map { [$0.certificate, $0.key] } ?? []
        context = try MadeFromFiles(own + [settings.authorities].compactMap { $0 }) {
            () throws(TLSFailure) -> OpenSSLClientContext in try OpenSSLClientContext(settings)
        }
    }

    func makeEngine(to name: String, expecting names: [String], at now: WallTime) -> any TLSEngine {
        guard
            let engine = OpenSSLEngine(towards: name, expecting: names, at: now, by: context.made)
        else { preconditionFailure("out of memory") }
        return engine
    }

    func refresh() -> Result<String, TLSFailure>? {
        context.refresh()?.map { _ in "for mail going out" }
    }

    /// Reads the system's authorities again, too, which have no one file to be looked at.
    func renewKeys() { context.renew() }

    var standings: [TLSStanding] {
        let (made, trouble) = (context.made, context.trouble?.text)
        guard let identity else { return [] }
        return [
            TLSStanding(
                file: identity.certificate,
                names: made.names,
                end: made.end,
                trouble: trouble
            )
        ]
    }
}
