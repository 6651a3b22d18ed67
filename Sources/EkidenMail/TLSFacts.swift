// What is known of the TLS session a message or a login came over. Filled by the TLS engine of the
// world, read by the protocol (what may be offered), by policy and by the log.

/// A session whose handshake has ended. The names are OpenSSL's, which are what people search for.
package struct TLSFacts: Sendable, Equatable {
    /// `TLSv1.3`, `TLSv1.2`.
    package var version: String
    /// `TLS_AES_256_GCM_SHA384`, `ECDHE-RSA-AES256-GCM-SHA384` …
    package var cipher: String
    /// The name the client asked for (SNI, RFC 6066 §3), in lower case.
    package var serverName: String?
    /// Taken up from an earlier session instead of a full handshake.
    package var isResumed: Bool
    /// The other side's certificate, if it showed one.
    package var peer: PeerCertificate?
    /// Binds a login to this session: `tls-exporter` of RFC 9266, 32 bytes; empty if unknown.
    package var exporterBinding: Bytes
    /// `tls-server-end-point` of RFC 5929 §4: a digest of our own certificate; empty if unknown.
    package var endPointBinding: Bytes

    package init(
        version: String,
        cipher: String,
        serverName: String? = nil,
        isResumed: Bool = false,
        peer: PeerCertificate? = nil,
        exporterBinding: Bytes = Bytes(),
        endPointBinding: Bytes = Bytes()
    ) {
        self.version = version
        self.cipher = cipher
        self.serverName = serverName
        self.isResumed = isResumed
        self.peer = peer
        self.exporterBinding = exporterBinding
        self.endPointBinding = endPointBinding
    }

    /// `TLSv1.3 TLS_AES_256_GCM_SHA384`: for the log.
    package var text: String { version + " " + cipher }

    /// The same, and whether the other side's certificate is vouched for, if it showed one.
    package var verdictText: String {
        guard let peer else { return text }
        return text + (peer.isTrusted ? " verify=ok" : " verify=no")
    }
}

/// A certificate that the other side proved to be its own.
package struct PeerCertificate: Sendable, Equatable {
    /// SHA-256 over the certificate's DER form, in lower-case hexadecimal digits.
    package var fingerprint: String
    /// The subject's common name; empty without one.
    package var commonName: String
    /// DNS names and mail addresses of the subject alternative name (RFC 5280 §4.2.1.6).
    package var names: [String]
    /// A configured authority vouches for it; else `problem` says why not.
    package var isTrusted: Bool
    package var problem: String

    package init(
        fingerprint: String,
        commonName: String = "",
        names: [String] = [],
        isTrusted: Bool,
        problem: String = ""
    ) {
        self.fingerprint = fingerprint
        self.commonName = commonName
        self.names = names
        self.isTrusted = isTrusted
        self.problem = problem
    }
}
