// TLS on the way in, with a real client: STARTTLS (RFC 3207), TLS from the first byte (RFC 8314), and
// what must not come of it.

import Foundation
import Testing

@Test func `mail comes over STARTTLS and over TLS from the first byte`() async throws {
    try await story(starts: false) { stage in
        try stage.secure()
        let peer = try stage.host()
        try stage.start()
        let said = try stage.python(
            """
            message = "Subject: over TLS\\r\\n\\r\\n" + ("x" * 70 + "\\r\\n") * 20000
            with Named(2525) as c:
                c.ehlo()
                print("before", "starttls" in c.esmtp_features)
                print(c.starttls(context=context)[0])
                c.ehlo()
                print("after", "starttls" in c.esmtp_features, c.sock.version())
                c.sendmail("a@origin.test", ["b@example.test"], message)
            with Named(2587) as c:
                c.ehlo()
                print(c.mail("a@origin.test"))
                c.starttls(context=context)
                c.ehlo()
                c.sendmail("a@origin.test", ["b@example.test"], message)
            raw = socket.create_connection((at, 2465))
            with smtplib.SMTP(local_hostname="client.test") as c:
                c.sock = context.wrap_socket(raw, server_hostname="mail.relay.test")
                print(c.getreply()[0])
                c.sendmail("a@origin.test", ["b@example.test"], message)
            """
        )
        #expect(said.contains("before True\n220\nafter False TLSv1.3\n"), "\(said)")
        #expect(said.contains("530, b'5.7.0"), "\(said)")
        #expect(said.hasSuffix("220\n"), "\(said)")
        for mail in try peer.mail(3) {
            #expect(mail.text.contains("with ESMTPS (TLSv1.3 TLS_"), "\(mail.text.prefix(300))")
            #expect(mail.text.hasSuffix(String(repeating: "x", count: 70) + "\r\n"))
        }
        #expect(stage.log("accepted") { $0["tls"].hasPrefix("TLSv1.3 ") }.count == 3)
    }
}

@Test func `what is sent in the clear behind STARTTLS is never obeyed`() async throws {
    try await story(starts: false) { stage in
        try stage.secure()
        try stage.start()
        let said = try stage.python(
            """
            s = socket.create_connection((at, 2525))
            s.settimeout(20)
            s.recv(500)
            s.sendall(b"EHLO client.test\\r\\n")
            s.recv(500)
            s.sendall(b"STARTTLS\\r\\nMAIL FROM:<evil@origin.test>\\r\\n")
            text = b""
            while True:
                more = s.recv(500)
                if not more: break
                text += more
            print(text)
            # The command comes a moment later: then it is what TLS makes of it.
            s = socket.create_connection((at, 2525))
            s.settimeout(20)
            s.recv(500)
            s.sendall(b"EHLO client.test\\r\\n")
            s.recv(500)
            s.sendall(b"STARTTLS\\r\\n")
            print(s.recv(500)[:3])
            s.sendall(b"MAIL FROM:<evil@origin.test>\\r\\n")
            text = b""
            while True:
                more = s.recv(500)
                if not more: break
                text += more
            print(b"250" in text)
            """
        )
        #expect(said.contains("503 5.5.1 STARTTLS ends its group"), "\(said)")
        #expect(said.contains("b'220'\nFalse\n"), "\(said)")
        #expect(!stage.log("rejected") { $0["rule"] == "tls-handshake" }.isEmpty)
    }
}

@Test func `a renewed certificate is taken up, a broken one is not`() async throws {
    try await story(starts: false) { stage in
        try stage.secure()
        try stage.start()
        let look = """
            with Named(2525) as c:
                c.ehlo()
                loose = ssl.create_default_context()
                loose.check_hostname, loose.verify_mode = False, ssl.CERT_NONE
                c.starttls(context=loose)
                import hashlib
                print(hashlib.sha256(c.sock.getpeercert(True)).hexdigest())
            """
        let first = try stage.python(look)
        try stage.makeCertificate("other", for: "new.relay.test")
        let files = FileManager.default
        try files.removeItem(atPath: stage.directory + "/mail.pem")
        try files.copyItem(
            atPath: stage.directory + "/other.pem",
            toPath: stage.directory + "/mail.pem"
        )
        _ = try stage.noticed("is not the key of", within: 40)
        #expect(try stage.python(look) == first)
        // A reload that can't have it leaves all as it was.
        try stage.reload()
        _ = try stage.noticed("configuration reloaded")
        try files.removeItem(atPath: stage.directory + "/mail.key")
        try files.copyItem(
            atPath: stage.directory + "/other.key",
            toPath: stage.directory + "/mail.key"
        )
        _ = try stage.noticed("new certificates are in use: new.relay.test", within: 40)
        #expect(try stage.python(look) != first)
    }
}

@Test func `a certificate that can't be used is named before the start`() async throws {
    try await story(starts: false) { stage in
        try stage.secure()
        try FileManager.default.removeItem(atPath: stage.directory + "/mail.key")
        let child = try stage.launch()
        #expect(try child.waitForEnd() != 0)
        let text = stage.logText + child.text
        #expect(text.contains("mail.key: No such file"), "\(text)")
        let check = try stage.ekiden("config", "check", stage.configurationPath)
        #expect(check.status == 1 && check.text.contains("mail.key"), "\(check.text)")
    }
}
