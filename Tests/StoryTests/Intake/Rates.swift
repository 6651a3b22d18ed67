// Limits in a time: who sends too much too fast is told which limit it was and when to come again,
// and nobody else notices.

import Foundation
import Testing

private func rate(
    _ name: String,
    _ of: String,
    _ per: String,
    _ limit: String,
    _ more: String = ""
)
    -> String
{
    """
    [[rate]]
    name = "\(name)"
    of = "\(of)"
    per = "\(per)"
    limit = "\(limit)"
    \(more)

    """
}

@Test func `messages are limited per client, and each client has its own limit`() async throws {
    try await story(more: rate("clients", "messages", "client", "3/h")) { stage in
        let mx = try stage.host()
        let client = try stage.client()
        for _ in 0..<3 {
            let reply = try client.hand(
                from: "a@origin.test",
                to: ["bob@example.test"],
                letter()
            )
            #expect(reply.code == 250)
        }
        let refusal = try client.say("MAIL FROM:<a@origin.test>")
        #expect(refusal.codes == "451 4.7.1")
        #expect(
            refusal.text.contains("limit clients is 3/h; come again in 20 minutes"),
            "\(refusal)"
        )
        // The session goes on, and another one is no way round.
        try client.say("NOOP", expecting: "250")
        try stage.client().say("MAIL FROM:<a@origin.test>", expecting: "451 4.7.1")
        let other = try stage.client(from: stage.address(98))
        try other.say("MAIL FROM:<a@origin.test>", expecting: "250")
        try mx.mail(3)
        try eventually("both refusals are in the log") {
            stage.log("rejected") { $0["rule"] == "rate-clients" }.count == 2
        }
        // A reload with another limit beside it forgets nothing.
        stage.more += rate("other", "connections", "client", "1000/s")
        try stage.reload()
        try stage.client().say("MAIL FROM:<a@origin.test>", expecting: "451 4.7.1")
    }
}

@Test func `connections are limited per network, but for those excepted`() async throws {
    let limit = rate("nets", "connections", "network", "2/h", "except_for = [\"127.0.0.1\"]")
    try await story(more: limit) { stage in
        for _ in 0..<5 { _ = try stage.client() }
        _ = try stage.client(from: stage.address(97))
        _ = try stage.client(from: stage.address(98))
        let third = try Client(stage.place, from: stage.address(99))
        let refusal = try third.reply()
        #expect(refusal.codes == "421 4.7.0" && refusal.text.contains("limit nets is 2/h"))
        #expect(try third.rest().isEmpty)
        try stage.logged("rejected") { $0["rule"] == "rate-nets" }
    }
}

@Test func `recipients are limited per sender, and come back with time`() async throws {
    try await story(more: rate("rcpt", "recipients", "sender", "2/s")) { stage in
        let mx = try stage.host()
        let client = try stage.client()
        try client.send(
            "MAIL FROM:<a@origin.test>\r\n"
                + (0..<9).map { "RCPT TO:<r\($0)@example.test>\r\n" }.joined()
        )
        try client.expect("250")
        let codes = try (0..<9).map { _ in try client.reply().codes }
        #expect(codes.prefix(2) == ["250 2.1.5", "250 2.1.5"])
        #expect(codes.filter { $0 == "450 4.7.1" }.count >= 6, "\(codes)")
        // Another sender is not concerned, and a second later neither is this one.
        let second = try stage.client()
        try second.say("MAIL FROM:<b@origin.test>", expecting: "250")
        try second.say("RCPT TO:<x@example.test>", expecting: "250")
        Thread.sleep(forTimeInterval: 1)
        try client.say("RCPT TO:<late@example.test>", expecting: "250")
        try client.say("DATA", expecting: "354")
        try client.send("Subject: x\r\n\r\nx\r\n.\r\n")
        try client.expect("250")
        try mx.mail(1)
    }
}

@Test func `a network has its share of connections`() async throws {
    try await story(["listener.max_connections_per_network": "3"]) { stage in
        let held = try (0..<3).map { try stage.client(from: stage.address(90 + $0)) }
        let fourth = try Client(stage.place, from: stage.address(99))
        let refusal = try fourth.reply()
        #expect(refusal.codes == "421 4.7.0" && refusal.text.contains("/24"), "\(refusal)")
        try stage.logged("rejected") { $0["rule"] == "max-connections-per-network" }
        // The default source is of another network.
        _ = try stage.client()
        try held[0].say("QUIT", expecting: "221")
        try eventually("the place is free again") {
            let client = try Client(stage.place, from: stage.address(99))
            return try client.reply().code == 220
        }
    }
}
