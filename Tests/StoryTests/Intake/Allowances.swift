// Clients that may relay for a while: granted, listed, revoked and run out.

import Foundation
import Testing

@Test func `a client that is allowed relays until its time is over`() async throws {
    try await story(["listener.relay_for": "[\"10.0.0.0/8\"]"]) { stage in
        let mx = try stage.host()
        let here = stage.address(9)
        let socket = ["--socket", stage.spool + "/control.socket"]
        func allow(_ words: String...) throws -> (status: Int32, text: String) {
            try Child.run(Stage.binary, ["allow"] + words + socket)
        }
        func ask(from client: String) throws -> String {
            let client = try stage.client(from: client)
            try client.say("MAIL FROM:<a@origin.test>", expecting: "250")
            return try client.say("RCPT TO:<bob@example.test>").codes
        }
        #expect(try ask(from: here) == "550 5.7.1")
        #expect(try allow("--list").text.contains("nobody has an allowance"))

        // A session that is open already may from now on.
        let open = try stage.client(from: here)
        #expect(try allow(here, "--for", "30m").text.contains("\(here) may relay for 1800 s"))
        #expect(
            try open.hand(from: "a@origin.test", to: ["bob@example.test"], letter()).code == 250
        )
        try mx.mail(1)
        #expect(try ask(from: stage.address(8)) == "550 5.7.1")
        try stage.noticed("may relay for 1800 s (uid ")

        #expect(try allow("\(stage.address(64))/28", "--for", "10m").status == 0)
        #expect(try ask(from: stage.address(65)) == "250 2.1.5")
        let list = try allow("--list").text
        #expect(
            list.contains(here) && (list.contains("29m") || list.contains("30m"))
                && list.contains("/28")
        )
        let rows = try allow("--list", "--json").text.split(separator: "\n")
        #expect(rows.count == 2 && rows.allSatisfy { $0.hasPrefix(#"{"kind":"allowance""#) })
        #expect(try Child.run(Stage.binary, ["status"] + socket).text.contains("2 clients"))

        let brief = stage.address(100)
        #expect(try allow(brief, "--for", "1s").status == 0)
        try eventually("its time runs out") { try ask(from: brief) == "550 5.7.1" }
        // A reload leaves it alone; to be revoked, or a restart, ends it.
        try stage.reload()
        #expect(try ask(from: here) == "250 2.1.5")
        #expect(try allow("--revoke", here).status == 0)
        #expect(try ask(from: here) == "550 5.7.1")
        let gone = try allow("--revoke", here)
        #expect(gone.status != 0 && gone.text.contains("has no allowance"))
        #expect(try allow(here, "--for", "1h").status == 0)
        try stage.restart()
        #expect(try ask(from: here) == "550 5.7.1")
        let wide = try allow("10.0.0.0/8", "--for", "1m")
        #expect(wide.status != 0 && wide.text.contains("too wide"))
    }
}

@Test func `where a login is required an allowance does not stand for it`() async throws {
    try await story(starts: false) { stage in
        let users = stage.directory + "/users"
        let made = try Child.run(
            "/bin/sh",
            ["-c", "echo secret | \(Stage.binary) user add anna --users \(users) --password-stdin"]
        )
        #expect(made.status == 0, "\(made.text)")
        stage.settings["auth.users"] = users
        stage.settings["listener.auth"] = "required"
        stage.settings["listener.auth_without_tls_for"] = "[\"127.0.0.0/8\"]"
        stage.settings["listener.relay_for"] = "[\"10.0.0.0/8\"]"
        try stage.start()
        let allowed = try Child.run(
            Stage.binary,
            ["allow", stage.address(9), "--for", "5m", "--socket", stage.spool + "/control.socket"]
        )
        #expect(allowed.status == 0, "\(allowed.text)")
        let client = try stage.client(from: stage.address(9))
        try client.say("MAIL FROM:<a@origin.test>", expecting: "530 5.7.0")
    }
}
