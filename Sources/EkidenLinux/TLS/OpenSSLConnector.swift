// TLS towards next hops in the real world: one `SSL_CTX` with the authorities that vouch for hosts
// and the certificate that is shown to those that ask. Looked at for changes as a listener's is.

import COpenSSL
import EkidenMail
import EkidenRuntime
import Glibc
import Synchronization

/// The client side's `SSL_CTX`.
///
/// `@unchecked Sendable`: the `SSL_CTX` is set up in `init` and never changed after it, which is
/// when OpenSSL lets threads share one.
final class OpenSSLClientContext: @unchecked Sendable {
    let context: OpaquePointer

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
    private struct State {
        var context: OpenSSLClientContext
        var stamps: [FileStamp?]
    }

    private let settings: TLSClientSettings
    private let state: Mutex<State>

    init(_ settings: TLSClientSettings) throws(TLSFailure) {
        self.settings = settings
        // Before the files are read: what changes meanwhile is seen at the next look.
        let stamps = Self.stamps(settings)
        state = Mutex(State(context: try OpenSSLClientContext(settings), stamps: stamps))
    }

    func makeEngine(to name: String, expecting names: [String], at now: WallTime) -> any TLSEngine {
        let context = state.withLock { $0.context }
        guard let engine = OpenSSLEngine(towards: name, expecting: names, at: now, by: context)
        else { preconditionFailure("out of memory") }
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
            let context = try OpenSSLClientContext(settings)
            state.withLock { $0.context = context }
            return .success("for mail going out")
        } catch {
            return .failure(error)
        }
    }

    /// Reads the system's authorities again, too, which have no one file to be looked at.
    func renewKeys() {
        guard let context = try? OpenSSLClientContext(settings) else { return }
        state.withLock { $0.context = context }
    }

    private static func stamps(_ settings: TLSClientSettings) -> [FileStamp?] {
        let own = settings.identity.map { [$0.certificate, $0.key] } ?? []
        return (own + [settings.authorities].compactMap { $0 }).map {
            try? LinuxFiles().stampNow($0)
        }
    }
}
