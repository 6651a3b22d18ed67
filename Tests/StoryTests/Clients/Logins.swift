// Real clients that log in, with the password in clear as loopback is trusted for it; the users
// file changes under a running relay; and nobody sends without a login.

import Foundation
import Testing

private func withUsers(_ body: @Sendable @escaping (Stage) throws -> Void) async throws {
    let settings = [
        // Nobody may send for the network alone.
        "listener.relay_for": "[\"192.0.2.1\"]",
        "listener.auth": "required",
        "listener.auth_without_tls_for": "[\"127.0.0.0/8\"]",
    ]
    try await story(settings, starts: false) { stage in
        try add("anna", "open sesame", stage)
        stage.settings["auth.users"] = stage.directory + "/users"
        try stage.start()
        try body(stage)
    }
}

private func add(_ name: String, _ password: String, _ stage: Stage) throws {
    let run = try Child.run(
        "/bin/sh",
        [
            "-c",
            "printf '%s\\n' '\(password)' | \(Stage.binary) user add \(name) --password-stdin"
                + " --users \(stage.directory)/users",
        ]
    )
    try #require(run.status == 0, "\(run.text)")
}

@Test func `smtplib logs in by PLAIN and LOGIN`() async throws {
    try await withUsers { stage in
        let mx = try stage.host()
        for (count, mechanism) in ["PLAIN", "LOGIN"].enumerated() {
            let script = """
                import smtplib
                with smtplib.SMTP("\(stage.place.address)", \(stage.place.port), "c.test") as c:
                    c.ehlo()
                    c.esmtp_features["auth"] = "\(mechanism)"
                    c.login("anna", "open sesame")
                    c.sendmail("alice@origin.test", ["bob@example.test"], "Subject: x\\n\\nhi\\n")
                """
            let run = try Child.run(Child.find("python3") ?? "python3", ["-c", script])
            try #require(run.status == 0, "\(run.text)")
            let mail = try mx.mail(count + 1)[count]
            #expect(mail.text.contains("with ESMTPA id "))
            #expect(!mail.text.contains("sesame") && !mail.text.contains("anna"))
        }
        let logins = stage.log("login")
        #expect(logins.map { $0["mechanism"] } == ["PLAIN", "LOGIN"])
        #expect(logins.allSatisfy { $0["user"] == "anna" && $0["result"] == "ok" })
        #expect(stage.log("accepted").allSatisfy { $0["login"] == "anna" })
        #expect(!stage.logText.contains("sesame"))
    }
}

@Test(arguments: ["PLAIN", "LOGIN", "SCRAM-SHA-256"])
func `curl logs in`(_ mechanism: String) async throws {
    guard let curl = Child.find("curl") else { return }
    // Not every curl is built with SCRAM.
    if mechanism.hasPrefix("SCRAM"),
        try !Child.run(curl, ["--version"]).text.lowercased().contains("gsasl")
    {
        return
    }
    try await withUsers { stage in
        let mx = try stage.host()
        let file = stage.directory + "/message.eml"
        try Data("Subject: x\r\n\r\nhi\r\n".utf8).write(to: URL(filePath: file))
        let run = try Child.run(
            curl,
            [
                "-sS", "--url", "smtp://\(stage.place)/c.test", "--user", "anna:open sesame",
                "--login-options", "AUTH=" + mechanism, "--mail-from", "alice@origin.test",
                "--mail-rcpt", "bob@example.test", "--upload-file", file,
            ]
        )
        try #require(run.status == 0, "\(run.text)")
        #expect(try mx.mail()[0].text.contains("with ESMTPA id "))
    }
}

@Test func `swaks logs in`() async throws {
    guard let swaks = Child.find("swaks") else { return }
    try await withUsers { stage in
        let mx = try stage.host()
        let run = try Child.run(
            swaks,
            [
                "--server", stage.place.address, "--port", String(stage.place.port), "--auth",
                "PLAIN,LOGIN", "--auth-user", "anna", "--auth-password", "open sesame", "--from",
                "alice@origin.test", "--to", "bob@example.test", "--ehlo", "c.test",
            ]
        )
        try #require(run.status == 0, "\(run.text)")
        #expect(try mx.mail()[0].sender == "alice@origin.test")
    }
}

@Test func `without a login nothing is taken, and a wrong one is answered late`() async throws {
    try await withUsers { stage in
        let client = try Client(stage.place)
        _ = try client.reply()
        let hello = try client.say("EHLO c.test")
        #expect(hello.lines.contains("AUTH SCRAM-SHA-256 PLAIN LOGIN"))
        #expect(try client.say("MAIL FROM:<a@origin.test>").codes == "530 5.7.0")
        let began = Date()
        let wrong = Data("\0anna\0wrong".utf8).base64EncodedString()
        #expect(try client.say("AUTH PLAIN " + wrong).codes == "535 5.7.8")
        #expect(Date().timeIntervalSince(began) >= 0.99)
        let line = try stage.logged("login")
        #expect(line["result"] == "failed" && line["rule"] == "login-failed")
    }
}

@Test func `users come and go under a running relay, and a broken file keeps them`() async throws {
    try await withUsers { stage in
        func logIn(_ name: String, _ password: String) throws -> Int {
            let client = try Client(stage.place)
            _ = try client.reply()
            _ = try client.say("EHLO c.test")
            let words = Data("\0\(name)\0\(password)".utf8).base64EncodedString()
            return try client.say("AUTH PLAIN " + words).code
        }
        func taken() -> Int {
            stage.log("notice") { $0["part"] == "users" && $0["text"].contains(" read: ") }.count
        }
        let path = stage.directory + "/users"
        try add("tim", "open", stage)
        try eventually("the file is read again", within: 15) { taken() == 1 }
        #expect(try logIn("tim", "open") == 235)
        let text = try String(contentsOfFile: path, encoding: .utf8)
        try (text + "broken\n").write(toFile: path, atomically: true, encoding: .utf8)
        try eventually("the broken file is told of", within: 15) {
            !stage.log("notice") { $0["text"].contains("not taken") }.isEmpty
        }
        #expect(try logIn("tim", "open") == 235)
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        try eventually("the mended file is read", within: 15) { taken() == 2 }
        let run = try stage.ekiden("user", "remove", "tim", "--users", path)
        try #require(run.status == 0, "\(run.text)")
        try eventually("the file is read again", within: 15) { taken() == 3 }
        #expect(try logIn("tim", "open") == 535)
        #expect(try logIn("anna", "open sesame") == 235)
    }
}

@Test(arguments: ["not readable", "broken", "not there"])
func `a users file that can't be used ends the start, and is named`(how: String) async throws {
    try await story(["listener.relay_for": "[\"192.0.2.1\"]"], starts: false) { stage in
        let path = stage.directory + "/users"
        stage.settings["auth.users"] = path
        let reason: String
        switch how {
        case "broken":
            try "anna:secret\n".write(toFile: path, atomically: true, encoding: .utf8)
            reason = "line 1"
        case "not there":
            reason = "No such file"
        default:
            // Root may read any file, but nobody a directory as one.
            try FileManager.default.createDirectory(
                atPath: path,
                withIntermediateDirectories: false
            )
            reason = "users"
        }
        let child = try stage.launch()
        #expect(try child.waitForEnd() != 0)
        let text = stage.logText + child.text
        #expect(text.contains(path) && text.contains(reason), "\(text)")
        let check = try stage.ekiden("config", "check", stage.configurationPath)
        #expect(check.status == 1 && check.text.contains(path), "\(check.text)")
    }
}

@Test func `a user logs in only where the listener says so`() async throws {
    try await withUsers { stage in
        try add("tim", "open", stage)
        stage.settings["listener.users"] = "[\"Tim\", \"eve\"]"
        try stage.restart()
        func logIn(_ words: String) throws -> String {
            let client = try stage.client()
            return try client.say("AUTH PLAIN " + Data(words.utf8).base64EncodedString()).codes
        }
        #expect(try logIn("\0tim\0open") == "235 2.7.0")
        let began = Date()
        #expect(try logIn("\0anna\0open sesame") == "535 5.7.8")
        // As late as for a wrong password, and later the next time.
        #expect(Date().timeIntervalSince(began) >= 0.99)
        #expect(try logIn("\0anna\0wrong") == "535 5.7.8")
        #expect(Date().timeIntervalSince(began) >= 2.99)
        try stage.logged("login") { $0["user"] == "anna" && $0["rule"] == "login-elsewhere" }
    }
}

@Test func `what a user sends is counted for the user, wherever it comes from`() async throws {
    try await withUsers { stage in
        let mx = try stage.host()
        try add("tim", "open", stage)
        stage.more = """
            [[rate]]
            name = "users"
            of = "messages"
            per = "user"
            limit = "2/h"
            """
        try stage.restart()
        func logIn(_ name: String, _ password: String, from number: Int) throws -> Client {
            let client = try stage.client(from: stage.address(number))
            let words = Data("\0\(name)\0\(password)".utf8).base64EncodedString()
            try client.say("AUTH PLAIN " + words, expecting: "235")
            return client
        }
        for number in [90, 91] {
            let client = try logIn("anna", "open sesame", from: number)
            let reply = try client.hand(from: "a@x.test", to: ["bob@example.test"], letter())
            #expect(reply.code == 250)
        }
        let third = try logIn("anna", "open sesame", from: 92)
        let refusal = try third.say("MAIL FROM:<other@x.test>")
        #expect(refusal.codes == "451 4.7.1" && refusal.text.contains("of this user"), "\(refusal)")
        let tim = try logIn("tim", "open", from: 92)
        try tim.say("MAIL FROM:<a@x.test>", expecting: "250")
        try stage.logged("rejected") { $0["rule"] == "rate-users" && $0["login"] == "anna" }
        try mx.mail(2)
    }
}

@Test func `a user sends from addresses of the user's own, or not at all`() async throws {
    for (mode, outcome) in [("refuse", "553"), ("rewrite", "{}")] {
        try await withUsers { stage in
            let mx = try stage.host()
            try "anna: anna@origin.test, sales@origin.test\n".write(
                toFile: stage.directory + "/senders",
                atomically: true,
                encoding: .utf8
            )
            stage.settings["auth.senders"] = stage.directory + "/senders"
            stage.settings["listener.sender_ownership"] = mode
            try stage.writeConfiguration()
            try stage.reload()
            _ = try stage.noticed("configuration reloaded")
            let script = """
                import smtplib
                with smtplib.SMTP("\(stage.place.address)", \(stage.place.port), "c.test") as c:
                    c.login("anna", "open sesame")
                    c.sendmail("sales@origin.test", ["b@example.test"], "Subject: own\\r\\n\\r\\n")
                    try:
                        print(c.sendmail("boss@origin.test", ["b@example.test"], "Subject: x\\r\\n\\r\\n"))
                    except smtplib.SMTPSenderRefused as refusal:
                        print(refusal.smtp_code, refusal.smtp_error)
                """
            let run = try Child.run("python3", ["-c", script])
            #expect(run.status == 0 && run.text.contains(outcome), "\(run.text)")
            let senders = try mx.mail(mode == "refuse" ? 1 : 2).map(\.sender)
            if mode == "refuse" {
                #expect(senders == ["sales@origin.test"])
                #expect(try stage.logged("rejected")["rule"] == "sender-not-owned")
            } else {
                #expect(senders.sorted() == ["anna@origin.test", "sales@origin.test"])
                _ = try stage.noticed("anna sends from anna@origin.test instead of boss@")
            }
        }
    }
}
