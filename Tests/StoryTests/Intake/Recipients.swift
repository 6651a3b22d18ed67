// Who may send to whom, and to how many at once.

import Foundation
import Testing

@Test func `a hundred and more recipients get one message in transactions of at most a hundred`()
    async throws
{
    try await story { stage in
        let mx = try stage.host()
        let recipients = (0..<250).map { "r\($0)@example.test" }
        let client = try stage.client()
        let message = letter()
        #expect(
            try client.hand(from: "a@origin.test", to: recipients, message).codes == "250 2.0.0"
        )
        let all = try eventually("all recipients are served") {
            let mail = mx.accepted
            return mail.flatMap(\.recipients).count >= 250 ? mail : nil
        }
        #expect(all.flatMap(\.recipients).sorted() == recipients.sorted())
        #expect(all.allSatisfy { $0.recipients.count <= 100 && $0.withoutReceived == message })
        #expect(all.count == 3)
    }
}

@Test func `recipients beyond the limit are put off and the others served`() async throws {
    try await story(["listener.max_recipients": "100"]) { stage in
        let mx = try stage.host()
        let client = try stage.client()
        try client.say("MAIL FROM:<a@origin.test>", expecting: "250")
        for number in 0..<100 {
            try client.say("RCPT TO:<r\(number)@example.test>", expecting: "250")
        }
        try client.say("RCPT TO:<r100@example.test>", expecting: "452 4.5.3")
        try client.say("DATA", expecting: "354")
        try client.send(letter() + Array(".\r\n".utf8))
        try client.expect("250 2.0.0")
        #expect(try mx.mail()[0].recipients.count == 100)
    }
}

@Test func `the same recipient twice gets the message once`() async throws {
    try await story { stage in
        let mx = try stage.host()
        try stage.submit(to: "bob@example.test", "bob@example.test", "bob@EXAMPLE.test")
        #expect(try mx.mail()[0].recipients.count == 1)
    }
}

@Test func `recipients of one message in two domains are served by their own hosts`() async throws {
    try await story { stage in
        let one = try stage.host(for: "one.test", 10)
        let two = try stage.host(for: "two.test", 11)
        let message = letter()
        try stage.submit(to: "a@one.test", "b@two.test", "c@one.test", message: message)
        #expect(try one.mail()[0].recipients == ["a@one.test", "c@one.test"])
        #expect(try two.mail()[0].recipients == ["b@two.test"])
        #expect(two.accepted[0].withoutReceived == message)
    }
}

@Test func `bare postmaster goes to the configured mailbox, and is put off while there is none`()
    async throws
{
    try await story { stage in
        let mx = try stage.host(for: "admin.test")
        try stage.submit(to: "Postmaster")
        #expect(try mx.mail()[0].recipients == ["postmaster@admin.test"])
    }
    try await story(["listener.relay_for": "[\"127.0.0.1/32\"]"]) { stage in
        // RFC 5321 §4.5.1: from anybody.
        let mx = try stage.host(for: "admin.test")
        let client = try stage.client(from: stage.address(99))
        #expect(try client.hand(from: "a@far.test", to: ["postmaster"], letter()).code == 250)
        #expect(try mx.mail()[0].recipients == ["postmaster@admin.test"])
    }
}

@Test func `without a postmaster setting mail to postmaster is put off`() async throws {
    try await story(starts: false) { stage in
        try stage.writeConfiguration(
            stage.configuration.replacing("postmaster = \"postmaster@admin.test\"", with: "")
        )
        try stage.start()
        let client = try stage.client()
        try client.say("MAIL FROM:<a@origin.test>", expecting: "250")
        try client.say("RCPT TO:<postmaster>", expecting: "451 4.3.5")
    }
}

@Test func `a client outside relay_for is denied and told why`() async throws {
    try await story(["listener.relay_for": "[\"127.0.0.1/32\"]"]) { stage in
        let mx = try stage.host()
        let far = try stage.client(from: stage.address(99))
        try far.say("MAIL FROM:<a@origin.test>", expecting: "250")
        let reply = try far.say("RCPT TO:<bob@example.test>", expecting: "550 5.7.1")
        #expect(reply.text.contains(stage.address(99)), "\(reply)")
        // Tricks of old (RFC 5321 §3.6.1 and what lenient servers made of it).
        for trick in [
            "<bob%example.test@relay.test>", "<@relay.test:bob@example.test>",
            "<\"bob@example.test\"@relay.test>", "<example.test!bob@relay.test>",
            "<bob@[\(stage.address(10))]>",
        ] {
            try far.say("RCPT TO:\(trick)", expecting: "550 5.7.1")
        }
        try far.say("DATA", expecting: "554 5.5.1")
        try stage.logged("rejected") { $0["rule"] == "relay-denied" }
        try stage.submit(to: "bob@example.test")
        try mx.mail(1)
    }
}

@Test func `a message that has gone round too often is refused as a loop`() async throws {
    try await story(["listener.max_received": "10"]) { stage in
        let client = try stage.client()
        let field = "Received: from a.test by b.test; Sat, 21 Nov 2026 02:07:58 +0000\r\n"
        let round = Array(String(repeating: field, count: 10).utf8) + letter()
        let reply = try client.hand(from: "a@origin.test", to: ["bob@example.test"], round)
        #expect(reply.code / 100 == 5 && reply.status == "5.4.6", "\(reply)")
    }
}
