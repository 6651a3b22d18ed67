// The name the DNS has for a client: noted where it leads back, required where a listener says so.

import Foundation
import Testing

extension Stage {
    /// Names a host of the stage's network, there and back.
    fileprivate func pointer(_ number: Int, to target: String, leadsBack: Bool = true) {
        let parts = address(number).split(separator: ".").reversed().joined(separator: ".")
        name(parts + ".in-addr.arpa", ["PTR": [target]])
        if leadsBack { name(target, ["A": [address(number)]]) }
    }
}

@Test func `a confirmed name stands in the log and in Received, another one nowhere`() async throws
{
    try await story([
        "listener.reverse_dns": "note", "listener.relay_for": "[\"127.0.0.0/8\"]",
    ]) { stage in
        let mx = try stage.host()
        stage.pointer(20, to: "mail.client.test")
        stage.pointer(21, to: "liar.client.test", leadsBack: false)
        for (number, name) in [(20, "mail.client.test "), (21, "")] {
            let client = try stage.client(from: stage.address(number))
            let reply = try client.hand(
                from: "a@origin.test",
                to: ["bob@example.test"],
                letter(subject: "of \(number)")
            )
            #expect(reply.code == 250)
            let mail = try eventually("the message is delivered") {
                mx.accepted.first(where: { $0.text.contains("of \(number)") })
            }
            let text = mail.text
            let received = "Received: from client.test (\(name)[\(stage.address(number))])"
            #expect(text.hasPrefix(received), "\(text.prefix(120))")
        }
        #expect(stage.log("accepted").map { $0["rdns"] } == ["mail.client.test", ""])
        // Once for a connection, and within a minute not even that.
        let asked = stage.questions.filter { $0.hasPrefix("PTR ") }
        #expect(asked.count == 2, "\(asked)")
    }
}

@Test func `where a name is required, mail from hosts without one is refused`() async throws {
    try await story([
        "listener.reverse_dns": "require", "listener.relay_for": "[\"10.0.0.0/8\"]",
        "listener.relay_domains": "[\"example.test\"]",
    ]) { stage in
        _ = try stage.host()
        stage.pointer(20, to: "mail.client.test")
        stage.pointer(21, to: "liar.client.test", leadsBack: false)
        let broken = stage.address(22).split(separator: ".").reversed().joined(separator: ".")
        stage.name(broken + ".in-addr.arpa", ["rcode": "SERVFAIL"])
        for (number, expected) in [
            (20, "250 2.1.0"), (21, "550 5.7.25"), (22, "450 4.7.25"), (23, "550 5.7.25"),
        ] {
            let client = try stage.client(from: stage.address(number))
            try client.say("MAIL FROM:<a@origin.test>", expecting: expected)
        }
        try stage.logged("rejected") {
            $0["rule"] == "no-reverse-name" && $0["from"] == "<a@origin.test>"
                && $0["reply"].contains("liar.client.test does not lead back")
        }
        try stage.logged("rejected") { $0["rule"] == "reverse-name-unknown" }
    }
}
