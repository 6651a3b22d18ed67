// A stage whose relay has TLS, and clients in Python that speak it.

import Foundation
import Testing

extension Stage {
    /// A certificate of this stage's own, and listeners with it; the ports are free at this address.
    func secure() throws {
        try makeCertificate("mail", for: "mail.relay.test")
        more += """

            [[certificate]]
            name = "mail"
            chain = "\(directory)/mail.pem"
            key = "\(directory)/mail.key"
            [[listener]]
            name = "submission"
            role = "submission"
            listen = ["\(address(1)):2587"]
            relay_for = ["127.0.0.0/8"]
            [[listener]]
            name = "submissions"
            role = "submissions"
            listen = ["\(address(1)):2465"]
            relay_for = ["127.0.0.0/8"]
            """
    }

    func makeCertificate(_ name: String, for host: String, days: Int = 30) throws {
        let made = try Child.run(
            "openssl",
            [
                "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-days", String(days), "-subj", "/CN=\(host)",
                "-addext",
                "subjectAltName=DNS:\(host)", "-keyout", "\(directory)/\(name).key", "-out",
                "\(directory)/\(name).pem",
            ]
        )
        #expect(made.status == 0, "\(made.text)")
    }

    /// SHA-256 of a certificate of the stage's, in hexadecimal digits with colons.
    func fingerprint(of name: String) throws -> String {
        let shown = try Child.run(
            "openssl",
            ["x509", "-noout", "-fingerprint", "-sha256", "-in", "\(directory)/\(name).pem"]
        )
        let parts = shown.text.split(separator: "=")
        return String(try #require(parts.last)).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// What a program for Python with `smtplib`, `ssl`, `socket`, the address as `at` and a context
    /// that trusts the stage's certificate as `context` prints.
    func python(_ program: String) throws -> String {
        let start = """
            import smtplib, ssl, socket
            at = "\(address(1))"
            context = ssl.create_default_context(cafile="\(directory)/mail.pem")
            class Named(smtplib.SMTP):
                def __init__(self, port):
                    super().__init__(at, port, "client.test")
                    self._host = "mail.relay.test"

            """
        let result = try Child.run("python3", ["-c", start + program])
        #expect(result.status == 0, "\(result.text)")
        return result.text
    }
}
