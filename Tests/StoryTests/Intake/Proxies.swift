// Clients behind others: balancers with the PROXY protocol, proxies with XCLIENT. Rules go by the
// address that those name, and only those who are configured are believed.

import Foundation
import Testing

private let here = [
    "listener.proxy_from": "[\"127.0.0.0/8\"]", "listener.relay_for": "[\"10.0.0.0/8\"]",
]

@Test func `behind a balancer the rules go by the client's address`() async throws {
    try await story(here) { stage in
        _ = try stage.host()
        for (address, expected) in [("10.1.2.3", "250 2.1.5"), ("192.0.2.7", "550 5.7.1")] {
            let client = try Client(stage.place)
            try client.send("PROXY TCP4 \(address) 198.51.100.2 4711 25\r\n")
            try client.hello()
            try client.say("MAIL FROM:<a@origin.test>", expecting: "250")
            try client.say("RCPT TO:<bob@example.test>", expecting: expected)
        }
        try stage.logged("rejected") { $0["client"] == "192.0.2.7:4711" }
        // Version 2, in one piece with what the client says.
        let client = try Client(stage.place)
        let header: [UInt8] = [
            13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10, 0x21, 0x11, 0, 12,
            10, 9, 9, 9, 127, 0, 0, 1, 0x12, 0x34, 0, 25,
        ]
        try client.send(
            header + Array("EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.test>\r\n".utf8)
        )
        for expected in ["220", "250", "250", "250 2.1.5"] { try client.expect(expected) }
    }
}

/// Else whoever a balancer can't name would have the rights of the balancer's own address.
@Test func `a client whom the balancer does not name has no network's rights`() async throws {
    let local = here.merging(["listener.relay_for": "[\"127.0.0.0/8\"]"]) { $1 }
    try await story(local) { stage in
        let start: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10]
        for header in [Array("PROXY UNKNOWN\r\n".utf8), start + [0x20, 0, 0, 0]] {
            let client = try Client(stage.place)
            try client.send(header)
            try client.hello()
            try client.say("MAIL FROM:<a@origin.test>", expecting: "250")
            try client.say("RCPT TO:<bob@example.test>", expecting: "550 5.7.1")
        }
    }
}

@Test func `a balancer without its header is dropped without a word`() async throws {
    try await story(here) { stage in
        let client = try Client(stage.place)
        try client.send("EHLO client.test\r\n")
        #expect(try client.rest().isEmpty)
        let silent = try Client(stage.place)
        #expect(try silent.rest(within: 10).isEmpty)
        try stage.noticed("proxy_from")
    }
}

@Test func `each client behind a balancer has its own share of connections`() async throws {
    try await story(here.merging(["listener.max_connections_per_client": "2"]) { $1 }) { stage in
        func connect(_ address: String) throws -> Client {
            let client = try Client(stage.place)
            try client.send("PROXY TCP4 \(address) 198.51.100.2 4711 25\r\n")
            return client
        }
        let held = try (0..<6).map { try connect("192.0.2.\($0 / 2)") }
        for client in held { try client.expect("220") }
        try connect("192.0.2.0").expect("421 4.7.0")
        try connect("192.0.2.9").expect("220")
    }
}

@Test func `XCLIENT is believed from who may say it, and unknown to others`() async throws {
    try await story([
        "listener.xclient_from": "[\"127.0.0.1\"]", "listener.relay_for": "[\"10.0.0.0/8\"]",
    ]) { stage in
        let proxy = try Client(stage.place, from: "127.0.0.1")
        try proxy.hello()
        try proxy.say("XCLIENT ADDR=10.1.2.3 NAME=[UNAVAILABLE]", expecting: "220")
        try proxy.say("EHLO client.test", expecting: "250")
        try proxy.say("MAIL FROM:<a@origin.test>", expecting: "250")
        try proxy.say("RCPT TO:<bob@example.test>", expecting: "250 2.1.5")
        try proxy.say("RSET", expecting: "250")
        try proxy.say("XCLIENT ADDR=[UNAVAILABLE]", expecting: "220")
        try proxy.say("EHLO client.test", expecting: "250")
        try proxy.say("MAIL FROM:<a@origin.test>", expecting: "250")
        try proxy.say("RCPT TO:<bob@example.test>", expecting: "550 5.7.1")
        let stranger = try Client(stage.place, from: stage.address(98))
        try stranger.expect("220")
        #expect(try !stranger.say("EHLO x", expecting: "250").text.contains("XCLIENT"))
        try stranger.say("XCLIENT ADDR=10.1.2.3", expecting: "502 5.5.1")
    }
}
