// A TLS client in memory and certificates to show it. In a file of its own: with OpenSSL's headers
// imported the compiler takes the constants that `@Test` makes for none.

import COpenSSL
import EkidenRuntime
import Foundation
import Testing

/// Certificates made for one test, gone with it.
final class Certificates {
    let folder: String

    init() throws {
        var template = Array("/tmp/ekiden-tls-XXXXXX".utf8CString)
        folder = try #require(mkdtemp(&template).map { String(cString: $0) })
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    func identity(_ name: String) -> TLSIdentity {
        TLSIdentity(certificate: "\(folder)/\(name).pem", key: "\(folder)/\(name).key")
    }

    /// Signed by itself, for the names.
    @discardableResult
    func make(_ name: String, for names: [String], _ more: [String] = []) throws -> TLSIdentity {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/openssl")
        process.arguments =
            [
                "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-days", "30", "-subj", "/CN=\(names[0])",
                "-addext", "subjectAltName=" + names.map { "DNS:" + $0 }.joined(separator: ","),
                "-keyout", "\(folder)/\(name).key", "-out", "\(folder)/\(name).pem",
            ] + more
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0)
        return identity(name)
    }
}

/// A client in memory.
final class Client {
    enum Version { case tls11, tls12 }

    let context: OpaquePointer
    let ssl: OpaquePointer
    let input: OpaquePointer
    let output: OpaquePointer

    init(
        name: String? = nil,
        as identity: TLSIdentity? = nil,
        resuming first: Client? = nil,
        ciphers: String? = nil,
        groups: String? = nil,
        newest: Version? = nil
    ) throws {
        let context = try #require(SSL_CTX_new(TLS_client_method()))
        self.context = context
        if let identity {
            #expect(SSL_CTX_use_certificate_chain_file(context, identity.certificate) == 1)
            #expect(SSL_CTX_use_PrivateKey_file(context, identity.key, SSL_FILETYPE_PEM) == 1)
        }
        if let ciphers { #expect(SSL_CTX_set_cipher_list(context, ciphers) == 1) }
        let ssl = try #require(SSL_new(context))
        self.ssl = ssl
        // SSL_CTRL_SET_GROUPS_LIST, SSL_CTRL_SET_MIN_PROTO_VERSION and MAX,
        // SSL_set_tlsext_host_name: macros in C.
        if let groups {
            var text = Array(groups.utf8CString)
            #expect(text.withUnsafeMutableBytes { SSL_ctrl(ssl, 92, 0, $0.baseAddress) } == 1)
        }
        if let newest {
            _ = SSL_ctrl(ssl, 123, Int(TLS1_VERSION), nil)
            _ = SSL_ctrl(ssl, 124, Int(newest == .tls11 ? TLS1_1_VERSION : TLS1_2_VERSION), nil)
        }
        if let name {
            var text = Array(name.utf8CString)
            _ = text.withUnsafeMutableBytes { SSL_ctrl(ssl, 55, 0, $0.baseAddress) }
        }
        if let session = first.flatMap({ SSL_get1_session($0.ssl) }) {
            SSL_set_session(ssl, session)
            SSL_SESSION_free(session)
        }
        input = try #require(ekiden_buffer_new())
        output = try #require(ekiden_buffer_new())
        SSL_set_bio(ssl, input, output)
        SSL_set_connect_state(ssl)
    }

    deinit {
        SSL_free(ssl)
        SSL_CTX_free(context)
    }

    /// What it has for the server goes there, and what that answers comes here.
    func exchange(_ engine: any TLSEngine) {
        var room = [UInt8](repeating: 0, count: 100_000)
        while case let n = BIO_read(output, &room, Int32(room.count)), n > 0 {
            room.withUnsafeBytes { engine.take(UnsafeRawBufferPointer(rebasing: $0[..<Int(n)])) }
        }
        let answer = engine.drain()
        if !answer.isEmpty {
            _ = BIO_write(input, answer.pointer.baseAddress, Int32(answer.count))
        }
    }

    /// True when both are done.
    func shakeHands(_ engine: any TLSEngine) throws(TLSFailure) -> Bool {
        var isServerDone = false
        for _ in 0..<10 {
            let isDone = SSL_do_handshake(ssl) == 1
            exchange(engine)
            if !isServerDone { isServerDone = try engine.shakeHands() }
            exchange(engine)
            if isDone, isServerDone { return true }
        }
        return false
    }

    /// SHA-256 of what the server showed.
    var seen: String {
        guard let certificate = SSL_get1_peer_certificate(ssl) else { return "" }
        defer { X509_free(certificate) }
        var digest = [UInt8](repeating: 0, count: 32)
        _ = ekiden_fingerprint(certificate, &digest)
        return digest.map { String($0, radix: 16) }.joined(separator: ":")
    }

    func write(_ bytes: [UInt8]) {
        #expect(SSL_write(ssl, bytes, Int32(bytes.count)) == Int32(bytes.count))
    }

    /// All that can be read now.
    func read() -> [UInt8] {
        var bytes: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 20_000)
        while case let n = SSL_read(ssl, &room, Int32(room.count)), n > 0 {
            bytes += room[..<Int(n)]
        }
        return bytes
    }

    /// What is to go to the server, taken away.
    func sent() -> [UInt8] {
        var room = [UInt8](repeating: 0, count: 20_000)
        let count = BIO_read(output, &room, Int32(room.count))
        return Array(room.prefix(max(Int(count), 0)))
    }

    func startHandshake() { _ = SSL_do_handshake(ssl) }
    func close() { SSL_shutdown(ssl) }
}
