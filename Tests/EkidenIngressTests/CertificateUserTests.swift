import EkidenMail
import Testing

@testable import EkidenIngress

@Suite struct CertificateUserTests {
    private static let print = String(repeating: "ab", count: 32)

    private func certificate(
        _ names: [String],
        commonName: String = "",
        isTrusted: Bool = true
    ) -> PeerCertificate {
        PeerCertificate(
            fingerprint: Self.print,
            commonName: commonName,
            names: names,
            isTrusted: isTrusted
        )
    }

    @Test func `a fingerprint needs nobody to vouch for it`() {
        let user = CertificateUser(name: "anna", fingerprint: Self.print)
        #expect(user.fits(certificate([], isTrusted: false)))
        let other = CertificateUser(name: "anna", fingerprint: String(repeating: "00", count: 32))
        #expect(!other.fits(certificate([])))
    }

    @Test func `what tells nothing fits nobody`() {
        #expect(!CertificateUser(name: "anna").fits(certificate(["a.example.org"])))
    }

    @Test func `fingerprint and subject must both fit`() {
        let user = CertificateUser(
            name: "anna",
            fingerprint: Self.print,
            subject: "a.example.org"
        )
        #expect(user.fits(certificate(["a.example.org"])))
        #expect(!user.fits(certificate(["b.example.org"])))
        #expect(!user.fits(certificate(["a.example.org"], isTrusted: false)))
    }

    @Test(arguments: [
        ("a.example.org", ["a.example.org"], "", true),
        ("a.example.org", ["A.Example.ORG"], "", true),
        ("a.example.org", ["b.example.org", "a.example.org"], "", true),
        ("a.example.org", ["aa.example.org"], "", false),
        ("*.example.org", ["a.example.org"], "", true),
        ("*.example.org", ["a.b.example.org"], "", false),
        ("*.example.org", ["example.org"], "", false),
        ("*.example.org", [".example.org"], "", false),
        ("*.example.org", ["*.example.org"], "", false),
        ("*.example.org", ["anna@x.example.org"], "", false),
        ("anna@example.org", ["anna@example.org"], "", true),
        // RFC 6125 §6.4.4
        ("a.example.org", [], "a.example.org", true),
        ("a.example.org", ["b.example.org"], "a.example.org", false),
        ("a.example.org", [], "", false),
    ])
    func `a subject fits the names that are vouched for`(
        subject: String,
        names: [String],
        commonName: String,
        fits: Bool
    ) {
        let user = CertificateUser(name: "anna", subject: subject)
        #expect(user.fits(certificate(names, commonName: commonName)) == fits)
        let untrusted = certificate(names, commonName: commonName, isTrusted: false)
        #expect(!user.fits(untrusted))
    }
}
