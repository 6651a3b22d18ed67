// TLS towards the next hop: a second relay with a certificate is the mail host, and hands on to a
// peer in the clear, which sees how the mail came.

import Foundation
import Testing

/// A relay at `address(10)` with TLS, whose mail all goes to the peer at `address(20)`.
private final class SecondRelay {
    let peer: Peer
    private let child: Child

    /// - Parameter listener: further settings of its listener, in TOML.
    init(_ stage: Stage, listener: String = "", more: String = "") throws {
        try stage.makeCertificate("second", for: "mx10.test")
        stage.mail(for: "example.test", to: 10)
        stage.name("mx10.test", ["A": [stage.address(10)]])
        peer = try stage.peer(20)
        let directory = stage.directory
        let text = """
            [relay]
            hostname = "mx10.test"
            [log]
            format = "json"
            [spool]
            directory = "\(directory)/second"
            min_free_space = "0B"
            min_free_inodes = 0
            [delivery]
            tls = "none"
            [[certificate]]
            name = "second"
            chain = "\(directory)/second.pem"
            key = "\(directory)/second.key"
            [[listener]]
            name = "in"
            listen = ["\(stage.address(10)):\(Stage.mailPort)"]
            relay_for = ["127.0.0.0/8"]
            \(listener)
            [[route]]
            name = "on"
            domains = ["*"]
            hosts = ["\(stage.address(20)):\(Stage.mailPort)"]
            \(more)
            """
        let path = directory + "/second.toml"
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        let child = try Child(
            "second relay",
            Stage.binary,
            ["serve", "--config", path],
            output: directory + "/second.log"
        )
        self.child = child
        try eventually("the second relay starts", within: 30) {
            if let status = child.exitStatus {
                throw StoryFailure("the second relay ended with \(status): \(child.text)")
            }
            return child.text.contains("listening on")
        }
    }

    var text: String { child.text }

    func end() { child.end() }
}

private func policy(_ text: String) -> String {
    "\n[[tls_policy]]\nname = \"one\"\ndomains = [\"example.test\"]\n" + text
}

@Test func `mail goes under TLS where the host has it, and the log says how far to trust it`()
    async throws
{
    try await story { stage in
        let second = try SecondRelay(stage)
        defer { second.end() }
        let plain = try stage.host(for: "plain.test", 30)
        let client = try stage.client()
        for recipient in ["bob@example.test", "bob@plain.test"] {
            _ = try client.hand(from: "a@origin.test", to: [recipient], letter())
        }
        let mail = try second.peer.mail(1)
        #expect(mail[0].text.contains("with ESMTPS"))
        try plain.mail(1)
        let secured = try stage.logged("delivered") { $0["to"] == "<bob@example.test>" }
        #expect(secured["tls"].hasPrefix("TLSv1.3 "))
        #expect(secured["verify"] == "self-signed certificate")
        #expect(secured["cert"].hasPrefix("sha256:"))
        #expect(try stage.logged("delivered") { $0["to"] == "<bob@plain.test>" }["tls"] == "none")
    }
}

@Test func `where TLS is required a host without it gets nothing`() async throws {
    try await story { stage in
        stage.more += policy("level = \"encrypt\"")
        let plain = try stage.host()
        try stage.restart()
        try stage.submit(to: "bob@example.test", message: letter())
        let line = try stage.logged("deferred")
        #expect(line["because"] == "tls-unavailable" && line["reply"].contains("no STARTTLS"))
        #expect(plain.lines.allSatisfy { !$0.hasPrefix("MAIL") })
        // The policy is data: changed, mail that waits goes by it.
        stage.more = ""
        try stage.reload()
        try plain.mail(1)
    }
}

@Test func `a certificate must be vouched for and have the right name, where policy says so`()
    async throws
{
    try await story { stage in
        let second = try SecondRelay(stage)
        defer { second.end() }
        stage.settings["delivery.tls_authorities"] = stage.directory + "/second.pem"
        // The domain's own name is not in it.
        stage.more = policy("level = \"verify\"")
        try stage.restart()
        try stage.submit(to: "bob@example.test", message: letter())
        let refused = try stage.logged("deferred")
        #expect(refused["because"] == "tls-unverified", "\(refused)")
        #expect(refused["reply"].lowercased().contains("host"), "\(refused)")
        #expect(refused["tls"].hasPrefix("TLSv1.3"))
        #expect(second.peer.received.isEmpty)
        stage.more = policy("level = \"verify\"\nnames = [\"other.test\", \"mx10.test\"]")
        try stage.reload()
        try second.peer.mail(1)
        let line = try stage.logged("delivered")
        #expect(line["verify"] == "ok")
        #expect(line["site"].hasSuffix("+tls=verify,other.test,mx10.test"))
    }
}

@Test func `a fingerprint stands for itself`() async throws {
    try await story { stage in
        let second = try SecondRelay(stage)
        defer { second.end() }
        let right = try stage.fingerprint(of: "second")
        let wrong = String(repeating: "00", count: 32)
        stage.more = policy("level = \"fingerprint\"\nfingerprints = [\"\(wrong)\"]")
        try stage.restart()
        try stage.submit(to: "bob@example.test", message: letter())
        let refused = try stage.logged("deferred")
        #expect(refused["because"] == "tls-unverified")
        // What an administrator would copy into the policy.
        let digits = right.lowercased().filter { $0 != ":" }
        #expect(refused["reply"].contains(digits))
        stage.more = policy("level = \"fingerprint\"\nfingerprints = [\"\(right)\"]")
        try stage.reload()
        try second.peer.mail(1)
    }
}

@Test func `a broken handshake costs one connection an hour, and mail goes in the clear`()
    async throws
{
    try await story { stage in
        let extensions = Peer.usualExtensions + ["STARTTLS"]
        let broken = try stage.host(extensions: extensions) { command in
            command.line == "STARTTLS" ? .sayAndHangUp("220 2.0.0 go on") : nil
        }
        try stage.submit(to: "bob@example.test", message: letter())
        try broken.mail(1)
        #expect(broken.sessions == 2)
        #expect(try stage.logged("notice") { $0["part"] == "tls" }["text"].contains("in the clear"))
        #expect(try stage.logged("delivered")["tls"] == "none")
        try eventually("the connection ends") { broken.lines.last == "QUIT" }
        try stage.submit(to: "bob@example.test", message: letter())
        try broken.mail(2)
        #expect(broken.sessions == 3)
        #expect(broken.lines.filter { $0 == "STARTTLS" }.count == 1)
        // Where TLS is required nothing goes in the clear, remembered or not.
        stage.more = policy("level = \"encrypt\"")
        try stage.reload()
        try stage.submit(to: "bob@example.test", message: letter())
        #expect(try stage.logged("deferred")["because"] == "tls-failed")
        #expect(broken.accepted.count == 2)
    }
}

@Test func `a host that refuses STARTTLS is talked to as it is`() async throws {
    try await story { stage in
        let busy = try stage.host(extensions: Peer.usualExtensions + ["STARTTLS"]) { command in
            command.line == "STARTTLS" ? .say("454 4.7.0 not now") : nil
        }
        try stage.submit(to: "bob@example.test", message: letter())
        try busy.mail(1)
        #expect(busy.sessions == 1)
    }
}

/// What a man in the middle sends behind the answer to STARTTLS would count as said under TLS.
@Test func `words behind the answer to STARTTLS end the connection`() async throws {
    try await story { stage in
        stage.more = policy("level = \"encrypt\"")
        let liar = try stage.host(extensions: Peer.usualExtensions + ["STARTTLS"]) { command in
            command.line == "STARTTLS"
                ? .raw(Array("220 2.0.0 go on\r\n250-x\r\n250 SIZE 1\r\n".utf8)) : nil
        }
        try stage.restart()
        try stage.submit(to: "bob@example.test", message: letter())
        let line = try stage.logged("deferred")
        #expect(line["because"] == "tls-failed" && line["reply"].contains("sent more behind"))
        #expect(liar.received.isEmpty)
    }
}

@Test func `a client certificate is shown to a host that requires one`() async throws {
    try await story { stage in
        try stage.makeCertificate("own", for: "relay.test")
        let second = try SecondRelay(
            stage,
            listener: """
                tls = "required"
                client_certificate = "required"
                client_authorities = "\(stage.directory)/own.pem"
                """
        )
        defer { second.end() }
        stage.settings["delivery.client_certificate"] = "own"
        stage.more = """

            [[certificate]]
            name = "own"
            chain = "\(stage.directory)/own.pem"
            key = "\(stage.directory)/own.key"
            """
        try stage.restart()
        try stage.submit(to: "bob@example.test", message: letter())
        try second.peer.mail(1)
        #expect(second.text.contains("\"verify\":\"ok\""))
    }
}

@Test func `REQUIRETLS goes by a route to a verified host, and nowhere else`() async throws {
    try await story(starts: false) { stage in
        try stage.secure()
        let second = try SecondRelay(stage)
        defer { second.end() }
        stage.settings["delivery.tls_authorities"] = stage.directory + "/second.pem"
        stage.more += """

            [[route]]
            name = "safe"
            domains = ["safe.test"]
            hosts = ["mx10.test:\(Stage.mailPort)"]
            """
        let home = try stage.host(for: "origin.test", 40)
        try stage.start()
        let program = """
            s = Named(2587)
            s.starttls(context=context)
            s.ehlo("client.test")
            for to in ("bob@safe.test", "bob@example.test"):
                s.mail("ann@origin.test", ["REQUIRETLS"])
                s.rcpt(to)
                s.data("Subject: x\\r\\n\\r\\ntext\\r\\n")
            s.quit()
            """
        _ = try stage.python(program)
        // By MX: who the host is can't be known.
        let bounced = try stage.logged("bounced") { $0["to"] == "<bob@example.test>" }
        #expect(bounced["reply"].hasPrefix("5.7.30"), "\(bounced)")
        let delivered = try stage.logged("delivered") { $0["to"] == "<bob@safe.test>" }
        #expect(delivered["verify"] == "ok")
        // The second relay has no TLS any further, and says so to the sender: it knew the demand.
        try eventually("the second relay bounces it") { second.text.contains("5.7.30") }
        #expect(second.peer.accepted.allSatisfy { $0.sender.isEmpty })
        _ = home
    }
}

/// A smarthost that takes mail from "relay" alone, and a route to it.
private func withSmarthost(
    scheme: String,
    _ body: @Sendable @escaping (Stage, SecondRelay) throws -> Void
) async throws {
    try await story { stage in
        let add = try Child.run(
            "/bin/sh",
            [
                "-c",
                "echo sesame | \(Stage.binary) user add relay --password-stdin --scheme \(scheme)"
                    + " --users \(stage.directory)/users",
            ]
        )
        try #require(add.status == 0, "\(add.text)")
        let second = try SecondRelay(
            stage,
            listener: "tls = \"required\"\nauth = \"required\"",
            more: "[auth]\nusers = \"\(stage.directory)/users\""
        )
        defer { second.end() }
        try stage.setSecret("sesame")
        stage.settings["delivery.tls_authorities"] = stage.directory + "/second.pem"
        stage.more = """

            [[login]]
            name = "smarthost"
            user = "relay"
            password_file = "\(stage.directory)/secret"
            [[route]]
            name = "smarthost"
            domains = ["*"]
            hosts = ["mx10.test:\(Stage.mailPort)"]
            login = "smarthost"
            """
        try stage.restart()
        try body(stage, second)
    }
}

extension Stage {
    fileprivate func setSecret(_ text: String) throws {
        let path = directory + "/secret"
        try (text + "\n").write(toFile: path, atomically: true, encoding: .utf8)
        chmod(path, 0o600)
    }
}

@Test(arguments: ["scram", "scrypt"])
func `mail goes through a smarthost that wants a login`(scheme: String) async throws {
    try await withSmarthost(scheme: scheme) { stage, second in
        try stage.submit(to: "bob@any.test", message: letter())
        #expect(try second.peer.mail(1)[0].text.contains("with ESMTPSA"))
        #expect(try stage.logged("delivered")["verify"] == "ok")
        // Where users have no keys for SCRAM it is not offered.
        let used = scheme == "scram" ? "SCRAM-SHA-256-PLUS" : "PLAIN"
        #expect(second.text.contains("\"mechanism\":\"\(used)\""), "\(second.text)")
        #expect(!stage.logText.contains("sesame"))
    }
}

@Test func `a refused login stops the route, not the mail, and a new password mends it`()
    async throws
{
    try await withSmarthost(scheme: "scram") { stage, second in
        try stage.setSecret("tahini")
        try stage.submit(to: "first@any.test", message: letter())
        let line = try stage.logged("deferred") { $0["because"] == "login-failed" }
        #expect(line["reply"].hasPrefix("535 5.7.8"), "\(line)")
        try stage.logged("site") { $0["state"] == "backing-off" }
        // From then on one probe at a time asks, and not each message.
        func failures() -> Int {
            second.text.components(separatedBy: "\"result\":\"failed\"").count - 1
        }
        let before = failures()
        for number in 0..<10 {
            try stage.submit(to: "r\(number)@any.test", message: letter())
        }
        sleep(3)
        #expect(failures() - before <= 5, "\(failures() - before)")
        let alerts = stage.log("notice") { $0["text"].contains("is stopped") }
        #expect(alerts.count == 1 && alerts[0]["text"].contains("535 5.7.8"))
        // Not counted, however often it was asked.
        let first = stage.log("deferred") { $0["to"] == "<first@any.test>" }
        #expect(Set(first.map { $0["attempt"] }) == ["1"])
        try stage.setSecret("sesame")
        try second.peer.mail(11, within: 40)
        #expect(!stage.logText.contains("tahini") && !stage.logText.contains("sesame"))
    }
}

@Test func `a secret that others can read is not used`() async throws {
    try await withSmarthost(scheme: "scram") { stage, second in
        chmod(stage.directory + "/secret", 0o644)
        try stage.submit(to: "bob@any.test", message: letter())
        let line = try stage.logged("deferred")
        #expect(line["because"] == "login-unavailable" && line["reply"].contains("chmod 640"))
        #expect(second.peer.received.isEmpty)
    }
}
