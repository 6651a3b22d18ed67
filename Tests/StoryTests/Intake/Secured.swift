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
        let status = try stage.ekiden("status", "--config", stage.configurationPath).text
        #expect(status.contains("TLS        mail.relay.test, until "), "\(status)")
        #expect(status.contains("NEW FILES ARE NOT USED: ") && status.contains("is not the key of"))
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

@Test func `a certificate that ends soon is told of at the start`() async throws {
    try await story(starts: false) { stage in
        try stage.secure()
        try stage.makeCertificate("mail", for: "mail.relay.test", days: 3)
        try stage.start()
        let text = try stage.noticed("put a new one there")
        #expect(text["text"].contains("\(stage.directory)/mail.pem ends 20"))
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

@Test func `the name asked for chooses the certificate, sessions are resumed, old TLS is refused`()
    async throws
{
    try await story(starts: false) { stage in
        try stage.secure()
        try stage.makeCertificate("two", for: "two.relay.test")
        stage.more += """

            [[certificate]]
            name = "two"
            chain = "\(stage.directory)/two.pem"
            key = "\(stage.directory)/two.key"
            """
        try stage.start()
        let said = try stage.python(
            """
            import hashlib, warnings
            warnings.simplefilter("ignore")
            def loose(newest=None):
                c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
                if newest: c.maximum_version = newest
                return c
            def look(name, context, session=None):
                raw = socket.create_connection((at, 2465))
                s = context.wrap_socket(raw, server_hostname=name, session=session)
                s.recv(200)
                seen = hashlib.sha256(s.getpeercert(True)).hexdigest()
                return seen, s
            seen = [look(n, loose())[0] for n in
                ("mail.relay.test", "two.relay.test", "nobody.relay.test", None)]
            print(seen[0] != seen[1], seen[2] == seen[0], seen[3] == seen[0])
            twelve = loose(ssl.TLSVersion.TLSv1_2)
            first = look("mail.relay.test", twelve)[1]
            second = look("mail.relay.test", twelve, first.session)[1]
            print(first.session_reused, second.session_reused, second.version())
            old = loose(ssl.TLSVersion.TLSv1_1)
            old.minimum_version = ssl.TLSVersion.TLSv1
            old.set_ciphers("ALL:@SECLEVEL=0")
            try:
                look("mail.relay.test", old)
                print("old TLS was taken")
            except (ssl.SSLError, OSError):
                print("refused")
            """
        )
        #expect(said == "True True True\nFalse True TLSv1.2\nrefused\n", "\(said)")
    }
}

@Test func `a session outlives the certificate it began with`() async throws {
    try await story(starts: false) { stage in
        try stage.secure()
        try stage.makeCertificate("other", for: "mail.relay.test")
        try stage.start()
        let said = try stage.python(
            """
            import hashlib, shutil, time
            loose = ssl.create_default_context()
            loose.check_hostname, loose.verify_mode = False, ssl.CERT_NONE
            def fresh():
                c = smtplib.SMTP_SSL(at, 2465, "client.test", context=loose)
                return c, hashlib.sha256(c.sock.getpeercert(True)).hexdigest()
            held, old = fresh()
            for end in ("key", "pem"):
                shutil.copy("\(stage.directory)/other." + end, "\(stage.directory)/mail." + end)
            for n in range(60):
                time.sleep(0.5)
                new = fresh()[1]
                if new != old: break
            print(new != old, held.noop()[0])
            held.sendmail("a@origin.test", ["bob@example.test"], "Subject: x\\r\\n\\r\\n")
            """
        )
        #expect(said == "True 250\n", "\(said)")
    }
}

@Test func `where a client's certificate is required nobody comes in without it`() async throws {
    try await story(starts: false) { stage in
        try stage.makeCertificate("mail", for: "mail.relay.test")
        try stage.makeCertificate("app", for: "app.test")
        stage.more += """

            [[certificate]]
            name = "mail"
            chain = "\(stage.directory)/mail.pem"
            key = "\(stage.directory)/mail.key"
            [[listener]]
            name = "apps"
            role = "submissions"
            listen = ["\(stage.address(1)):2465"]
            relay_for = ["127.0.0.0/8"]
            client_certificate = "required"
            client_authorities = "\(stage.directory)/app.pem"
            """
        try stage.start()
        let said = try stage.python(
            """
            context.check_hostname = False
            def hello(certificate):
                if certificate:
                    path = "\(stage.directory)/" + certificate
                    context.load_cert_chain(path + ".pem", path + ".key")
                try:
                    with smtplib.SMTP_SSL(at, 2465, "client.test", context=context) as c:
                        return c.ehlo()[0]
                except (ssl.SSLError, OSError, smtplib.SMTPException):
                    return "refused"
            # The last one is not vouched for.
            print(hello(None), hello("app"), hello("mail"))
            """
        )
        #expect(said == "refused 250 refused\n", "\(said)")
        #expect(stage.log("rejected") { $0["rule"] == "tls-handshake" }.count >= 2)
    }
}

@Test func `a balancer's header and the client's handshake may come in one piece`() async throws {
    try await story(["listener.proxy_from": "[\"127.0.0.0/8\"]"], starts: false) { stage in
        try stage.makeCertificate("mail", for: "mail.relay.test")
        stage.more += """

            [[certificate]]
            name = "mail"
            chain = "\(stage.directory)/mail.pem"
            key = "\(stage.directory)/mail.key"
            [[listener]]
            name = "submissions"
            role = "submissions"
            listen = ["\(stage.address(1)):2465"]
            relay_for = ["10.0.0.0/8"]
            proxy_from = ["127.0.0.0/8"]
            """
        let mx = try stage.host()
        try stage.start()
        let said = try stage.python(
            """
            raw = socket.create_connection((at, 2465))
            coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(coming, going, server_hostname="mail.relay.test")
            def step(what):
                while True:
                    try:
                        result = what()
                        raw.sendall(going.read())
                        return result
                    except ssl.SSLWantReadError:
                        raw.sendall(header.pop() + going.read() if header else going.read())
                        coming.write(raw.recv(10000))
            header = [b"PROXY TCP4 10.1.2.3 198.51.100.2 4711 465\\r\\n"]
            step(tls.do_handshake)
            def say(line):
                if line: step(lambda: tls.write(line.encode() + b"\\r\\n"))
                return step(lambda: tls.read(2000)).decode().split()[0][:3]
            lines = ["", "EHLO c", "MAIL FROM:<a@origin.test>", "RCPT TO:<bob@example.test>", "DATA",
                "Subject: x\\r\\n\\r\\n."]
            print([say(line) for line in lines])
            """
        )
        #expect(said == "['220', '250', '250', '250', '354', '250']\n", "\(said)")
        #expect(try mx.mail(1)[0].text.contains("[10.1.2.3]"))
    }
}

@Test func `a relay that stops in the middle of a handshake says nothing in the clear`()
    async throws
{
    try await story(starts: false) { stage in
        try stage.secure()
        try stage.start()
        let client = try stage.client()
        try client.say("STARTTLS", expecting: "220 2.0.0")
        let waiting = try stage.client()
        try stage.stopRelay()
        #expect(try client.rest().isEmpty)
        // Who is between commands is told.
        #expect(try waiting.rest().hasPrefix("421 "))
    }
}
