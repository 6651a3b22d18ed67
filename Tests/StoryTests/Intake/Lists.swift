// Clients, senders and recipients that lists keep out or let in, and names that can't be true.

import Foundation
import Testing

@Test func `a denied client is greeted with 554 and heard until it quits`() async throws {
    try await story(starts: false) { stage in
        stage.settings["listener.xclient_from"] = "[\"\(stage.address(7))\"]"
        stage.more = """
            [[list]]
            name = "blocked"
            action = "deny"
            of = "clients"
            entries = ["\(stage.address(96))/28", "192.0.2.0/24"]
            [[list]]
            name = "friends"
            action = "allow"
            of = "clients"
            entries = ["\(stage.address(98))"]
            """
        _ = try stage.host()
        try stage.start()
        let denied = try Client(stage.place, from: stage.address(97))
        let greeting = try denied.expect("554 5.7.1", after: "connecting")
        #expect(greeting.text.contains(stage.address(97)))
        try denied.say("EHLO x.test", expecting: "503")
        try denied.say("MAIL FROM:<a@origin.test>", expecting: "503")
        try denied.say("quit", expecting: "221")
        #expect(try denied.rest().isEmpty)
        try stage.logged("rejected") {
            $0["rule"] == "denied-client" && $0["entry"] == "blocked: \(stage.address(96))/28"
        }
        let chatty = try Client(stage.place, from: stage.address(97))
        try chatty.send(String(repeating: "NOOP\r\n", count: 50))
        #expect(try chatty.rest().split(separator: "\r\n").count == 11)
        try stage.client(from: stage.address(98)).say("QUIT", expecting: "221")
        try stage.client(from: stage.address(5)).say("QUIT", expecting: "221")
        // Who speaks for a denied client is answered as it would be.
        let proxy = try stage.client(from: stage.address(7))
        try proxy.say("XCLIENT ADDR=192.0.2.9", expecting: "554 5.7.1")
        try proxy.say("QUIT", expecting: "221")
    }
}

@Test func `denied senders and recipients are refused, from a file that may change`() async throws {
    try await story(starts: false) { stage in
        let path = stage.directory + "/blocked"
        func write(_ text: String) throws {
            try text.write(toFile: path, atomically: true, encoding: .utf8)
        }
        try write("spam@x.test\n.y.test\n")
        stage.more = """
            [[list]]
            name = "blocked"
            action = "deny"
            of = "senders"
            file = "\(path)"
            [[list]]
            name = "good"
            action = "allow"
            of = "senders"
            entries = ["good@a.y.test"]
            [[list]]
            name = "gone"
            action = "deny"
            of = "recipients"
            entries = ["old@example.test"]
            listeners = ["relay"]
            """
        _ = try stage.host()
        try stage.start()
        let client = try stage.client()
        for (sender, expected) in [
            ("spam@x.test", "550 5.7.1"), ("ham@x.test", "250"), ("any@a.y.test", "550 5.7.1"),
            ("good@a.y.test", "250"), ("", "250"),
        ] {
            try client.say("MAIL FROM:<\(sender)>", expecting: expected)
            if expected == "250" {
                try client.say("RCPT TO:<old@example.test>", expecting: "550 5.7.1")
                try client.say("RCPT TO:<bob@example.test>", expecting: "250")
                try client.say("RSET", expecting: "250")
            }
        }
        try stage.logged("rejected") {
            $0["rule"] == "denied-sender" && $0["entry"] == "blocked: .y.test"
                && $0["from"] == "<any@a.y.test>"
        }
        try stage.logged("rejected") {
            $0["rule"] == "denied-recipient" && $0["entry"] == "gone: old@example.test"
        }
        try write("ham@x.test\n")
        try stage.noticed("blocked read: 1 entries")
        try client.say("MAIL FROM:<ham@x.test>", expecting: "550 5.7.1")
        try client.say("MAIL FROM:<spam@x.test>", expecting: "250")
        // A reload takes lists away as well.
        stage.more = ""
        try stage.reload()
        try stage.client().say("MAIL FROM:<ham@x.test>", expecting: "250")
    }
}

@Test func `a reload that names a list that can't be read changes nothing`() async throws {
    try await story { stage in
        _ = try stage.host()
        stage.more = """
            [[list]]
            name = "blocked"
            action = "deny"
            of = "senders"
            file = "\(stage.directory)/nothing"
            """
        stage.settings["listener.max_recipients"] = "100"
        try stage.reload()
        try stage.noticed("not reloaded")
        let client = try Client(stage.place)
        try client.expect("220")
        #expect(try client.say("EHLO x.test").text.contains("RCPTMAX=1000"))
    }
}

@Test func `names that can't be true are refused where they are checked`() async throws {
    try await story([
        "listener.helo_check": "strict", "listener.relay_for": "[\"10.0.0.0/8\"]",
        "listener.relay_domains": "[\"example.test\"]",
    ]) { stage in
        _ = try stage.host()
        let client = try Client(stage.place, from: "127.0.0.1")
        try client.expect("220")
        for (name, expected) in [
            ("friend", "550 5.7.1"), ("[192.0.2.1]", "550 5.7.1"), ("[127.0.0.1]", "250"),
            ("x", "550 5.7.1"),
        ] { try client.say("EHLO \(name)", expecting: expected) }
        // Refused, it is as if it had said nothing.
        try client.say("MAIL FROM:<a@origin.test>", expecting: "503 5.5.1")
        try client.say("HELO client.test", expecting: "250")
        try client.say("MAIL FROM:<a@origin.test>", expecting: "250")
        try client.say("RCPT TO:<bob@example.test>", expecting: "250")
        try stage.logged("rejected") {
            $0["rule"] == "helo-no-full-name" && $0["helo"] == "friend"
        }
    }
}
