// Who a client is by the certificate it showed. Policy, as data: the listener's list is asked once
// for each TLS session; whoever it knows may relay, and may log in by EXTERNAL.

import EkidenMail

/// A certificate that stands for a user, told by its fingerprint or by a name in it.
package struct CertificateUser: Sendable, Equatable {
    /// The user's.
    package var name: String
    /// SHA-256 over the DER form, lower-case hexadecimal digits. It needs nobody to vouch for it.
    package var fingerprint: String?
    /// A name in a certificate that a configured authority vouches for, in lower case; a first label
    /// of `*` stands for any one label.
    package var subject: String?

    package init(name: String, fingerprint: String? = nil, subject: String? = nil) {
        self.name = name
        self.fingerprint = fingerprint
        self.subject = subject
    }

    package func fits(_ certificate: PeerCertificate) -> Bool {
        if let fingerprint, fingerprint != certificate.fingerprint { return false }
        guard let subject else { return fingerprint != nil }
        return certificate.isTrusted
            && Self.names(of: certificate).contains { Self.fits($0.asciiLowercased, subject) }
    }

    /// RFC 6125 §6.4.4: the common name counts only where there are no others.
    private static func names(of certificate: PeerCertificate) -> [String] {
        if !certificate.names.isEmpty { return certificate.names }
        return certificate.commonName.isEmpty ? [] : [certificate.commonName]
    }

    /// A certificate's own wildcard is no name: it would stand for many.
    private static func fits(_ name: String, _ pattern: String) -> Bool {
        guard pattern.hasPrefix("*.") else { return name == pattern }
        guard !name.contains("@"), let dot = name.firstIndex(of: "."), dot != name.startIndex,
            !name.hasPrefix("*")
        else { return false }
        return name[dot...] == pattern.dropFirst()
    }
}
