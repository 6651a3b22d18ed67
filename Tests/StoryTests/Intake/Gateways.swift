// A gateway in front of other hosts: anybody may send to its domains, nobody through it to others,
// and who isn't there is refused at once.

import Foundation
import Testing

@Test func `anybody may send to relay domains, and only there`() async throws {
    try await story([
        "listener.relay_domains": "[\"example.test\", \".below.test\"]",
        "listener.relay_for": "[\"10.0.0.0/8\"]",
    ]) { stage in
        let mx = try stage.host()
        stage.mail(for: "a.below.test", to: 10)
        let client = try stage.client()
        try client.say("MAIL FROM:<a@origin.test>", expecting: "250")
        for (recipient, expected) in [
            ("bob@example.test", "250 2.1.5"), ("bob@a.below.test", "250 2.1.5"),
            ("bob@below.test", "550 5.7.1"), ("bob@elsewhere.test", "550 5.7.1"),
            ("bob%elsewhere.test@example.test", "550 5.7.1"),
            ("postmaster@example.test", "250 2.1.5"),
        ] { try client.say("RCPT TO:<\(recipient)>", expecting: expected) }
        let denied = try client.say("RCPT TO:<bob@below.test>")
        #expect(denied.text.hasSuffix(" (relay-denied)"), "\(denied)")
        try client.say("DATA", expecting: "354")
        try client.send(letter() + Array(".\r\n".utf8))
        try client.expect("250 2.0.0")
        try eventually("all of them are delivered") {
            Set(mx.accepted.flatMap(\.recipients))
                == ["bob@example.test", "bob@a.below.test", "postmaster@example.test"]
        }
        try stage.logged("rejected") { $0["rule"] == "routed-recipient" }
        try stage.logged("rejected") { $0["rule"] == "relay-denied" }
    }
}

@Test func `a recipient that is not on the list is refused, and the list may change`() async throws
{
    try await story(starts: false) { stage in
        let path = stage.directory + "/recipients"
        func write(_ text: String) throws {
            try text.write(toFile: path, atomically: true, encoding: .utf8)
        }
        stage.settings["listener.relay_domains"] = "[\"example.test\", \"empty.test\"]"
        stage.settings["listener.recipients"] = path
        stage.settings["listener.relay_for"] = "[\"10.0.0.0/8\"]"
        func ask(_ recipient: String) throws -> String {
            let client = try stage.client()
            try client.say("MAIL FROM:<a@origin.test>", expecting: "250")
            return try client.say("RCPT TO:<\(recipient)>").codes
        }
        try write("# people\nbob@example.test\n")
        _ = try stage.host()
        try stage.start()
        #expect(try ask("Bob@Example.test") == "250 2.1.5")
        #expect(try ask("eve@example.test") == "550 5.1.1")
        #expect(try ask("postmaster@example.test") == "250 2.1.5")
        try stage.logged("rejected") {
            $0["rule"] == "unknown-recipient" && $0["to"] == "<eve@example.test>"
        }
        try stage.noticed("names nobody at empty.test")

        try write("eve@example.test\n@empty.test\n")
        try eventually("the new list counts") { try ask("eve@example.test") == "250 2.1.5" }
        #expect(try ask("bob@example.test") == "550 5.1.1")
        #expect(try ask("anybody@empty.test") == "250 2.1.5")

        try write("eve@example.test\nbob\n")
        try stage.noticed("not taken, its list stays as it was: line 2")
        #expect(try ask("eve@example.test") == "250 2.1.5")
        try FileManager.default.removeItem(atPath: path)
        try stage.noticed("No such file")
        #expect(try ask("eve@example.test") == "250 2.1.5")
    }
}

@Test func `a list that can't be read or understood stops the start, with its lines`() async throws
{
    try await story(starts: false) { stage in
        let path = stage.directory + "/recipients"
        stage.settings["listener.relay_domains"] = "[\"example.test\"]"
        stage.settings["listener.recipients"] = path
        try stage.writeConfiguration()
        let check = try stage.ekiden("config", "check", stage.configurationPath)
        #expect(check.status == 1 && check.text.contains("recipients of listener \"relay\""))
        let first = try stage.launch()
        #expect(try first.waitForEnd() == 1)
        try "bob@example.test\nnobody\n".write(toFile: path, atomically: true, encoding: .utf8)
        let second = try stage.launch()
        #expect(try second.waitForEnd() == 1)
        #expect(stage.logText.contains("recipients of listener \"relay\""))
        #expect(stage.logText.contains("No such file"))
        #expect(stage.logText.contains("line 2: \"nobody\" is no address"))
    }
}
