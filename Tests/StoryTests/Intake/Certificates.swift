// Clients that are known by their certificate: EXTERNAL (RFC 4422 appendix A), and relaying without
// another word.

import Testing

extension Stage {
    /// Listeners that ask for a certificate, from networks that may not relay; printer-3 is known by
    /// the fingerprint of its own.
    fileprivate func knowPrinter() throws {
        try makeCertificate("mail", for: "mail.relay.test")
        try makeCertificate("printer", for: "printer-3.test")
        try makeCertificate("stranger", for: "printer-3.test")
        more += """

            [[certificate]]
            name = "mail"
            chain = "\(directory)/mail.pem"
            key = "\(directory)/mail.key"
            [[certificate_user]]
            name = "printer-3"
            fingerprint = "\(try fingerprint(of: "printer"))"
            [[certificate_user]]
            name = "anna"
            subject = "printer-3.test"
            [[listener]]
            name = "submission"
            role = "submission"
            listen = ["\(address(1)):2587"]
            relay_for = []
            client_certificate = "optional"
            client_authorities = "\(directory)/mail.pem"
            """
    }

    fileprivate func said(_ certificate: String, _ program: String) throws -> String {
        try python(
            """
            context.load_cert_chain("\(directory)/\(certificate).pem",
                "\(directory)/\(certificate).key")
            with Named(2587) as c:
                c.ehlo()
                c.starttls(context=context)
                c.ehlo()
            """ + "\n"
                + program.split(separator: "\n").map { "    " + $0 + "\n" }.joined()
        )
    }
}

@Test func `a certificate is nobody's where its user may not log in`() async throws {
    try await story(starts: false) { stage in
        try stage.knowPrinter()
        stage.more += "\nusers = [\"somebody\"]\n"
        try stage.start()
        let said = try stage.said(
            "printer",
            """
            print(c.mail("a@origin.test")[0], c.rcpt("b@example.test")[0])
            print("EXTERNAL" in c.esmtp_features.get("auth", ""))
            """
        )
        #expect(said.hasSuffix("False\n") && !said.contains("250 250"), "\(said)")
    }
}

@Test func `whom a certificate names may log in with nothing else, or just send`() async throws {
    try await story(starts: false) { stage in
        try stage.knowPrinter()
        let peer = try stage.host()
        try stage.start()
        let loggedIn = try stage.said(
            "printer",
            """
            print("EXTERNAL" in c.esmtp_features["auth"].split())
            print(c.docmd("AUTH", "EXTERNAL =")[0])
            c.sendmail("a@origin.test", ["b@example.test"], "Subject: logged in\\r\\n\\r\\n")
            """
        )
        #expect(loggedIn == "True\n235\n", "\(loggedIn)")
        let silent = try stage.said(
            "printer",
            """
            print(c.sendmail("a@origin.test", ["b@example.test"], "Subject: known\\r\\n\\r\\n"))
            """
        )
        #expect(silent == "{}\n", "\(silent)")
        let mails = try peer.mail(2)
        #expect(mails.contains { $0.text.contains("with ESMTPSA (TLSv1.3") })
        #expect(mails.contains { $0.text.contains("with ESMTPS (TLSv1.3") })
        #expect(stage.log("accepted") { $0["login"] == "printer-3" }.count == 2)
        #expect(stage.log("login") { $0["mechanism"] == "EXTERNAL" }.count == 1)
    }
}

@Test func `a certificate nobody vouches for is nobody's by its name`() async throws {
    try await story(starts: false) { stage in
        try stage.knowPrinter()
        try stage.start()
        let said = try stage.said(
            "stranger",
            """
            print(c.has_extn("auth") and "EXTERNAL" in c.esmtp_features["auth"].split())
            print(c.docmd("AUTH", "EXTERNAL =")[0])
            print(c.mail("a@origin.test")[0])
            """
        )
        #expect(said == "False\n504\n530\n", "\(said)")
    }
}

@Test func `a certificate that nothing tells, or that nobody asks for, is an error of the file`()
    async throws
{
    try await story(starts: false) { stage in
        stage.more += """

            [[certificate_user]]
            name = "anna"
            """
        try stage.writeConfiguration()
        let check = try stage.ekiden("config", "check", stage.configurationPath)
        #expect(check.status == 1)
        #expect(check.text.contains("set fingerprint or subject"), "\(check.text)")
        #expect(check.text.contains("no listener asks for client certificates"), "\(check.text)")
    }
}
