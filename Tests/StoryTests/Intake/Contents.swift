// What a listener asks of the content of messages: headers of bounded size, NULs, 8-bit headers.

import Foundation
import Testing

/// Sends a message by DATA; the reply to its end.
private func data(_ client: Client, _ message: String, mail: String = "") throws -> Reply {
    try client.say("MAIL FROM:<a@origin.test>\(mail)", expecting: "250")
    try client.say("RCPT TO:<bob@example.test>", expecting: "250")
    try client.say("DATA", expecting: "354")
    try client.send(message + "\r\n.\r\n")
    return try client.reply()
}

@Test func `headers beyond a limit are refused by its name, and the next message is taken`()
    async throws
{
    let settings = [
        "listener.max_header_size": "16KiB", "listener.max_header_fields": "50",
        "listener.max_header_field_size": "2KiB",
    ]
    try await story(settings) { stage in
        let mx = try stage.host()
        let client = try stage.client()
        let fold = " " + String(repeating: "x", count: 70) + "\r\n"
        for (header, rule) in [
            (String(repeating: "X: y\r\n", count: 51), "header-fields"),
            ("X: y\r\n" + String(repeating: fold, count: 30), "header-field-size"),
            (
                String(repeating: "X: y\r\n" + String(repeating: fold, count: 20), count: 12),
                "header-size"
            ),
        ] {
            let reply = try data(client, header + "\r\nbody")
            #expect(reply.codes == "552 5.3.4", "\(rule): \(reply)")
            try stage.logged("rejected") { $0["rule"] == rule }
        }
        let fits = String(repeating: "X: y\r\n", count: 49) + "Y: y\r\n"
        #expect(try data(client, fits + "\r\nbody").code == 250)
        try mx.mail(1)
    }
}

@Test func `NULs pass unless the listener says otherwise`() async throws {
    try await story { stage in
        let mx = try stage.host()
        #expect(try data(try stage.client(), "Subject: x\r\n\r\na\0b\r\n.\0c").code == 250)
        let content = try mx.mail(1)[0].withoutReceived
        #expect(content.suffix(9) == Array("a\0b\r\n\0c\r\n".utf8)[...], "\(content)")
    }
}

@Test func `NULs are left out, or the message refused, by DATA and BDAT`() async throws {
    for (use, codes) in [("strip", "250 2.0.0"), ("refuse", "550 5.6.0")] {
        try await story(["listener.nul": use]) { stage in
            let mx = try stage.host()
            let client = try stage.client()
            let message = "Subject: x\r\n\r\na\0b\r\nc"
            #expect(try data(client, message).codes == codes)
            try client.say("MAIL FROM:<a@origin.test>", expecting: "250")
            try client.say("RCPT TO:<bob@example.test>", expecting: "250")
            let chunk = message + "\r\n"
            try client.send("BDAT \(chunk.utf8.count) LAST\r\n" + chunk)
            #expect(try client.reply().codes == codes)
            if use == "refuse" {
                return try eventually("both are in the log") {
                    stage.log("rejected") { $0["rule"] == "nul" }.count == 2
                }
            }
            for mail in try mx.mail(2) {
                #expect(mail.withoutReceived.suffix(9) == Array("\r\nab\r\nc\r\n".utf8).suffix(9))
            }
            try stage.noticed("left 1 NULs out")
        }
    }
}

@Test func `8-bit headers pass, or need SMTPUTF8`() async throws {
    for (use, code) in [("accept", "250 2.0.0"), ("refuse", "550 5.6.0")] {
        try await story(["listener.eight_bit_headers": use]) { stage in
            let mx = try stage.host(extensions: Peer.usualExtensions + ["SMTPUTF8"])
            let client = try stage.client()
            let message = "Subject: \u{fc}ber\r\n\r\nk\u{f6}rper"
            #expect(try data(client, message, mail: " BODY=8BITMIME").codes == code)
            // A message that is all header.
            #expect(try data(client, "Subject: \u{fc}ber", mail: " BODY=8BITMIME").codes == code)
            #expect(try data(client, message, mail: " BODY=8BITMIME SMTPUTF8").code == 250)
            let plain = "Subject: uber\r\n\r\nk\u{f6}rper"
            #expect(try data(client, plain, mail: " BODY=8BITMIME").code == 250)
            try mx.mail(use == "accept" ? 4 : 2)
            if use == "refuse" { try stage.logged("rejected") { $0["rule"] == "eight-bit-header" } }
        }
    }
}
