// The server side of TLS by OpenSSL: one `SSL_CTX` for each certificate, the set of them that a
// listener shows, chosen by the name a client asks for (SNI, RFC 6066 §3), and the sentence that
// OpenSSL's queue of errors makes.

import COpenSSL
import EkidenMail
import EkidenRuntime
import Glibc

extension TLSFailure {
    /// `what`, and OpenSSL's own words for why; its queue of errors is empty afterwards.
    static func openSSL(_ what: String) -> TLSFailure {
        var last: String?
        while case let code = ERR_get_error(), code != 0 {
            if let words = ERR_reason_error_string(code) { last = last ?? String(cString: words) }
        }
        return TLSFailure(last.map { what + ": " + $0 } ?? what)
    }
}

/// One certificate with its key, ready to be shown.
///
/// `@unchecked Sendable`: the `SSL_CTX` is set up in `init` and never changed after it, which is
/// when OpenSSL lets threads share one.
final class OpenSSLContext: @unchecked Sendable {
    let context: OpaquePointer
    /// DNS names of the certificate.
    let names: [String]
    let end: WallTime?

    /// Errors: the sentence names the file.
    init(_ identity: TLSIdentity, _ settings: TLSServerSettings) throws(TLSFailure) {
        ERR_clear_error()
        guard let context = SSL_CTX_new(TLS_server_method()) else {
            throw .openSSL("no TLS context")
        }
        self.context = context
        // From here on `deinit` does not run on a throw: all properties must be set first.
        do throws(TLSFailure) {
            guard ekiden_server_context_init(context) == 1 else { throw .openSSL("TLS settings") }
            ekiden_context_never_ask(context)
            try Self.load(identity, into: context)
            try Self.ask(settings, of: context)
        } catch {
            SSL_CTX_free(context)
            throw error
        }
        let certificate = SSL_CTX_get0_certificate(context)
        names = Self.names(of: certificate)
        end = Self.end(of: certificate)
    }

    deinit { SSL_CTX_free(context) }

    static func load(
        _ identity: TLSIdentity,
        into context: OpaquePointer
    ) throws(TLSFailure) {
        // OpenSSL says "no such file" in a way that names neither file nor cause.
        for path in [identity.certificate, identity.key] where access(path, R_OK) != 0 {
            throw TLSFailure("can't read \(path): \(SystemError(code: errno).text)")
        }
        guard SSL_CTX_use_certificate_chain_file(context, identity.certificate) == 1 else {
            throw .openSSL("no certificate in \(identity.certificate)")
        }
        guard SSL_CTX_use_PrivateKey_file(context, identity.key, SSL_FILETYPE_PEM) == 1 else {
            if ekiden_is_key_mismatch() == 1 {
                throw .openSSL("\(identity.key) is not the key of \(identity.certificate)")
            }
            throw .openSSL("no key without a passphrase in \(identity.key)")
        }
        guard SSL_CTX_check_private_key(context) == 1 else {
            throw .openSSL("\(identity.key) is not the key of \(identity.certificate)")
        }
    }

    private static func ask(
        _ settings: TLSServerSettings,
        of context: OpaquePointer
    ) throws(TLSFailure) {
        switch settings.clientCertificate {
        case .none: return
        case .optional: ekiden_context_ask_peer(context)
        case .required: ekiden_context_require_peer(context)
        }
        guard let path = settings.clientAuthorities else { return }
        guard SSL_CTX_load_verify_locations(context, path, nil) == 1 else {
            throw .openSSL("no certificates of authorities in \(path)")
        }
        // Their names are sent along, so that clients can choose.
        if let list = SSL_load_client_CA_file(path) { SSL_CTX_set_client_CA_list(context, list) }
    }

    static func end(of certificate: OpaquePointer?) -> WallTime? {
        let seconds = certificate.map { ekiden_not_after($0) } ?? -1
        return seconds >= 0 ? WallTime(seconds: seconds) : nil
    }

    static func names(of certificate: OpaquePointer?) -> [String] {
        guard let certificate else { return [] }
        var room = [CChar](repeating: 0, count: 16_384)
        let count = ekiden_alternative_names(certificate, &room, room.count)
        let text = String(decoding: room[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return text.split(separator: "\n").map { String($0) }
    }

    func matches(_ name: UnsafePointer<CChar>) -> Bool {
        guard let certificate = SSL_CTX_get0_certificate(context) else { return false }
        return X509_check_host(certificate, name, strlen(name), 0, nil) == 1
    }
}

/// The certificates of a listener. Sessions keep the set they began with.
final class OpenSSLContextSet: Sendable {
    /// The first is for clients that ask for no name, or for one nobody has.
    let contexts: [OpenSSLContext]

    init(_ settings: TLSServerSettings) throws(TLSFailure) {
        var contexts: [OpenSSLContext] = []
        for identity in settings.identities {
            contexts.append(try OpenSSLContext(identity, settings))
        }
        guard let first = contexts.first else { throw TLSFailure("no certificate is configured") }
        self.contexts = contexts
        if contexts.count > 1 {
            // Unretained: each session keeps the set, and so the argument, alive.
            ekiden_context_on_name(
                first.context,
                { ssl, _, set in
                    if let ssl, let set { OpenSSLContextSet.choose(ssl, set) }
                    return Int32(SSL_TLSEXT_ERR_OK)
                },
                Unmanaged.passUnretained(self).toOpaque()
            )
        }
    }

    private static func choose(_ ssl: OpaquePointer, _ set: UnsafeMutableRawPointer) {
        guard let name = ekiden_ssl_name_asked_for(ssl) else { return }
        let set = Unmanaged<OpenSSLContextSet>.fromOpaque(set).takeUnretainedValue()
        if let context = set.contexts.first(where: { $0.matches(name) }) {
            SSL_set_SSL_CTX(ssl, context.context)
        }
    }

    /// What they are for and when the first of them ends, for the log.
    var summary: String {
        let names = contexts.flatMap(\.names)
        let end = contexts.compactMap(\.end).min()
        return (names.isEmpty ? "no names" : names.prefix(5).joined(separator: ", "))
            + (end.map { ", until \($0.timestamp)" } ?? "")
    }
}
