// One TLS session by OpenSSL between two memory buffers: what came from the peer is put into one,
// what is to go to it is taken out of the other. It never touches a socket and never waits.

import COpenSSL
import EkidenMail
import EkidenRuntime

final class OpenSSLEngine: TLSEngine {
    /// What the session is made of, kept for as long as it uses it.
    private let material: any Sendable
    private let ssl: OpaquePointer
    private var input: OpaquePointer
    private var output: OpaquePointer
    /// Bytes that went through a buffer since it was new: its memory grows with what it held once.
    private var inputHeld = 0

    /// A buffer that held more is replaced when it is empty, so that a connection that was busy
    /// once does not stay large.
    private static let heldMax = 16_384

    /// The server's side. nil: out of memory.
    init?(serving contexts: OpenSSLContextSet) {
        guard let first = contexts.contexts.first, let ssl = SSL_new(first.context),
            let input = ekiden_buffer_new(), let output = ekiden_buffer_new()
        else { return nil }
        material = contexts
        self.ssl = ssl
        self.input = input
        self.output = output
        SSL_set_bio(ssl, input, output)
        SSL_set_accept_state(ssl)
    }

    /// The client's side, as `TLSConnector.makeEngine` says. nil: out of memory.
    init?(
        towards name: String,
        expecting names: [String],
        at now: WallTime,
        by context: OpenSSLClientContext
    ) {
        guard let ssl = SSL_new(context.context),
            let input = ekiden_buffer_new(), let output = ekiden_buffer_new()
        else { return nil }
        material = context
        self.ssl = ssl
        self.input = input
        self.output = output
        SSL_set_bio(ssl, input, output)
        SSL_set_connect_state(ssl)
        ekiden_ssl_ask_for(ssl, name)
        // A name that is not looked for would be no check at all.
        for name in names where ekiden_ssl_expect(ssl, name) != 1 { return nil }
        ekiden_ssl_verify_at(ssl, now.nanoseconds / 1_000_000_000)
    }

    deinit { SSL_free(ssl) }

    func take(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return }
        inputHeld += bytes.count
        let taken = BIO_write(input, base, Int32(bytes.count))
        precondition(Int(taken) == bytes.count, "out of memory")
    }

    func shakeHands() throws(TLSFailure) -> Bool {
        ERR_clear_error()
        let result = SSL_do_handshake(ssl)
        if result == 1 { return true }
        if SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ { return false }
        throw .openSSL("handshake")
    }

    func read(into room: UnsafeMutableRawBufferPointer) throws(TLSFailure) -> TLSRead {
        ERR_clear_error()
        let count = SSL_read(ssl, room.baseAddress, Int32(clamping: room.count))
        if count > 0 { return .bytes(Int(count)) }
        switch SSL_get_error(ssl, count) {
        case SSL_ERROR_WANT_READ:
            if inputHeld > Self.heldMax, BIO_ctrl_pending(input) == 0 { renewInput() }
            return .starved
        case SSL_ERROR_ZERO_RETURN: return .closed
        default: throw .openSSL("TLS")
        }
    }

    private func renewInput() {
        guard let fresh = ekiden_buffer_new() else { return }
        SSL_set0_rbio(ssl, fresh)
        input = fresh
        inputHeld = 0
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws(TLSFailure) {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return }
        ERR_clear_error()
        let count = SSL_write(ssl, base, Int32(bytes.count))
        if Int(count) != bytes.count { throw .openSSL("TLS") }
    }

    func close() {
        ERR_clear_error()
        _ = SSL_shutdown(ssl)
    }

    func drain() -> Bytes {
        let count = Int(BIO_ctrl_pending(output))
        if count == 0 { return Bytes() }
        var bytes = BytesBuilder(capacity: count)
        let room = bytes.tail(count)
        let moved = BIO_read(output, room.baseAddress, Int32(count))
        bytes.advance(max(Int(moved), 0))
        if count > Self.heldMax, let fresh = ekiden_buffer_new() {
            SSL_set0_wbio(ssl, fresh)
            output = fresh
        }
        return bytes.finish()
    }

    var hasPending: Bool { SSL_pending(ssl) > 0 || BIO_ctrl_pending(input) > 0 }

    // MARK: Facts

    var facts: TLSFacts {
        TLSFacts(
            version: String(cString: SSL_get_version(ssl)),
            cipher: String(cString: ekiden_ssl_cipher(ssl)),
            serverName: ekiden_ssl_name_asked_for(ssl).map { String(cString: $0).asciiLowercased },
            isResumed: SSL_session_reused(ssl) == 1,
            peer: peerCertificate,
            exporterBinding: exporterBinding,
            endPointBinding: endPointBinding
        )
    }

    /// RFC 9266 §2. Of TLS 1.3 alone: in TLS 1.2 it is unique only with an extension, and the RFC's
    /// empty context is not the same as none.
    private var exporterBinding: Bytes {
        guard ekiden_ssl_is_tls13(ssl) == 1 else { return Bytes() }
        let label = "EXPORTER-Channel-Binding"
        var bytes = [UInt8](repeating: 0, count: 32)
        let result = SSL_export_keying_material(
            ssl,
            &bytes,
            bytes.count,
            label,
            label.utf8.count,
            nil,
            0,
            0
        )
        return result == 1 ? Bytes(bytes) : Bytes()
    }

    private var endPointBinding: Bytes {
        guard let certificate = SSL_get_certificate(ssl) else { return Bytes() }
        var bytes = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        let count = ekiden_end_point_binding(certificate, &bytes)
        return Bytes(Array(bytes.prefix(Int(count))))
    }

    private var peerCertificate: PeerCertificate? {
        guard let certificate = SSL_get1_peer_certificate(ssl) else { return nil }
        defer { X509_free(certificate) }
        var digest = [UInt8](repeating: 0, count: 32)
        let count = ekiden_fingerprint(certificate, &digest)
        var name = [CChar](repeating: 0, count: 256)
        let nameBytes = ekiden_common_name(certificate, &name, name.count)
        let verdict = SSL_get_verify_result(ssl)
        let isTrusted = verdict == Int(X509_V_OK)
        return PeerCertificate(
            fingerprint: digest.prefix(Int(count)).map { byte in
                let digits = String(byte, radix: 16)
                return digits.count == 1 ? "0" + digits : digits
            }.joined(),
            commonName: String(
                decoding: name.prefix(nameBytes).map { UInt8(bitPattern: $0) },
                as: UTF8.self
            ),
            names: OpenSSLContext.names(of: certificate),
            isTrusted: isTrusted,
            problem: isTrusted ? "" : String(cString: X509_verify_cert_error_string(verdict))
        )
    }
}
