// Clients that don't wait their turn, speak something else, or err without end.

import Foundation
import Testing

private let clientHello: [UInt8] =
    [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]
    + [UInt8](repeating: 0xab, count: 500)

@Test func `a TLS handshake in the clear is closed at once, and the log says what to use`()
    async throws
{
    try await story { stage in
        let client = try Client(stage.place)
        try client.expect("220")
        // No line end anywhere.
        try client.send(clientHello)
        let rest = try client.rest(within: 5)
        #expect(rest.hasPrefix("421 4.7.0 ") && rest.split(separator: "\r\n").count == 1)
        let line = try stage.logged("rejected") { $0["rule"] == "tls-on-smtp" }
        #expect(line["reply"].contains("submissions port (465)"))
        #expect(stage.logText.utf8.allSatisfy { $0 == 10 || (0x20...0x7e).contains($0) })
    }
}

@Test func `an HTTP request ends a session whenever it comes, whole or not`() async throws {
    try await story { stage in
        let mx = try stage.host()
        let later = try stage.client()
        try later.say("MAIL FROM:<a@origin.test>", expecting: "250")
        try later.send("POST / HTTP/1.1\nx: y\n\nRCPT TO:<bob@example.test>\r\nDATA\r\nx\r\n.\r\n")
        let rest = try later.rest()
        #expect(rest.hasPrefix("421") && rest.split(separator: "\r\n").count == 1, "\(rest)")
        let endless = try Client(stage.place)
        try endless.expect("220")
        try endless.send("GET /" + String(repeating: "a", count: 5000))
        try endless.expect("421 4.7.0")
        #expect(try endless.rest(within: 5).isEmpty)
        try eventually("both are in the log") {
            stage.log("rejected") { $0["rule"] == "http-on-smtp" }.count == 2
        }
        #expect(mx.received.isEmpty)
    }
}

@Test func `who talks before the greeting is turned away, who waits is served`() async throws {
    let settings = ["listener.greet_delay": "1s", "listener.relay_for": "[\"127.0.0.1\"]"]
    try await story(settings) { stage in
        let early = try Client(stage.place, from: stage.address(98))
        try early.send("EHLO client.test\r\nMAIL FROM:<a@origin.test>\r\n")
        let rest = try early.rest()
        #expect(rest.hasPrefix("554 5.5.1 ") && rest.split(separator: "\r\n").count == 1, "\(rest)")
        try stage.logged("rejected") { $0["rule"] == "early-talker" }
        let began = Date()
        let patient = try stage.client(from: stage.address(98))
        #expect(Date().timeIntervalSince(began) > 0.9)
        try patient.say("MAIL FROM:<a@origin.test>", expecting: "250")
        // Of the house: no wait, and what was piled up is answered.
        let ours = try Client(stage.place)
        try ours.send("EHLO client.test\r\nNOOP\r\n")
        for expected in ["220", "250", "250"] { try ours.expect(expected) }
    }
}

@Test func `an early talker may be told of in the log alone`() async throws {
    let settings = [
        "listener.greet_delay": "1s", "listener.early_talker": "log", "listener.relay_for": "[]",
    ]
    try await story(settings) { stage in
        let early = try Client(stage.place)
        let began = Date()
        try early.send("EHLO client.test\r\n")
        try early.expect("220")
        #expect(Date().timeIntervalSince(began) > 0.9)
        try early.expect("250")
        try stage.noticed("early-talker: ")
    }
}

@Test func `a balancer's header is no early talk, but what comes with it is`() async throws {
    let settings = [
        "listener.greet_delay": "1s", "listener.relay_for": "[]",
        "listener.proxy_from": "[\"127.0.0.0/8\"]",
    ]
    try await story(settings) { stage in
        let header = "PROXY TCP4 192.0.2.7 198.51.100.2 4711 25\r\n"
        let patient = try Client(stage.place)
        try patient.send(header)
        try patient.expect("220")
        let early = try Client(stage.place)
        try early.send(header + "EHLO client.test\r\n")
        try early.expect("554 5.5.1")
        try stage.logged("rejected") { $0["client"] == "192.0.2.7:4711" }
    }
}

@Test func `a relay that stops waits for no delayed greeting and no tarpit`() async throws {
    let settings = [
        "listener.greet_delay": "60s", "listener.tarpit_after": "0",
        "listener.tarpit_delay": "30s", "listener.relay_for": "[\"127.0.0.1\"]",
    ]
    try await story(settings) { stage in
        let waiting = try Client(stage.place, from: stage.address(98))
        let erring = try Client(stage.place)
        try erring.hello()
        try erring.send("FOO\r\n")
        try stage.stopRelay(within: 10)
        try waiting.expect("421 4.3.2")
        try erring.expect("421 4.3.2")
    }
}

@Test func `errors cost ever more time, and only who makes them`() async throws {
    let settings = ["listener.tarpit_after": "2", "listener.tarpit_delay": "500ms"]
    try await story(settings) { stage in
        let mx = try stage.host()
        let erring = try stage.client()
        // What is right is answered at once, also in front of an error in one piece with it.
        try erring.send("FOO\r\nFOO\r\nNOOP\r\nFOO\r\nFOO\r\n")
        let began = Date()
        for expected in ["500", "500", "250"] { try erring.expect(expected) }
        #expect(Date().timeIntervalSince(began) < 0.4)
        try stage.submit(to: "bob@example.test")
        try mx.mail(1)
        try erring.expect("500")
        try erring.expect("500")
        let took = Date().timeIntervalSince(began)
        #expect(took > 1.4 && took < 6, "\(took) s")
        // A message makes up for it.
        let message = letter()
        _ = try erring.hand(from: "a@origin.test", to: ["bob@example.test"], message)
        let again = Date()
        try erring.say("FOO", expecting: "500")
        #expect(Date().timeIntervalSince(again) < 0.4)
    }
}
