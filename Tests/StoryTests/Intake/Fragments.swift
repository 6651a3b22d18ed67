// How the bytes of a session are cut into packets means nothing (RFC 2920, TCP).

import Foundation
import Testing

private let body = "Hello.\r\n..\r\n.\r\n\r\n. \r\nlast\r\n"

private func session(_ subject: String) -> (message: [UInt8], bytes: [UInt8]) {
    let message = letter(subject: subject, body: body)
    var bytes = Array(
        "EHLO client.test\r\nMAIL FROM:<alice@origin.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n"
            .utf8
    )
    bytes += stuffed(message) + Array(".\r\nNOOP\r\nQUIT\r\n".utf8)
    return (message, bytes)
}

@Test func `a session in pieces of any size is the same session`() async throws {
    try await story { stage in
        let mx = try stage.host()
        var sent: [[UInt8]] = []
        for size in [1, 2, 3, 5, 16, 1000] {
            let (message, bytes) = session("pieces of \(size)")
            let client = try Client(stage.place)
            try client.expect("220")
            try client.send(bytes, inPiecesOf: size)
            for expected in ["250", "250 2.1.0", "250 2.1.5", "354", "250 2.0.0", "250", "221"] {
                try client.expect(expected, after: "pieces of \(size)")
            }
            #expect(try client.rest().isEmpty)
            sent.append(message)
        }
        let mail = try mx.mail(sent.count)
        for message in sent {
            #expect(mail.contains { $0.withoutReceived == message })
        }
    }
}

@Test func `a pipelined group is answered in order, refusals included`() async throws {
    try await story { stage in
        let mx = try stage.host()
        let client = try stage.client()
        let message = letter()
        try client.send(
            "RSET\r\nMAIL FROM:<a@origin.test>\r\nRCPT TO:<bad@>\r\nRCPT TO:<bob@example.test>\r\n"
                + "RCPT TO:<x@example.test> Y\r\nDATA\r\n"
        )
        for expected in ["250 2.0.0", "250 2.1.0", "501", "250 2.1.5", "555", "354"] {
            try client.expect(expected)
        }
        // The end of data and the next transaction in one packet.
        try client.send(
            stuffed(message)
                + Array(
                    ".\r\nMAIL FROM:<a@origin.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n".utf8
                )
        )
        for expected in ["250 2.0.0", "250 2.1.0", "250 2.1.5", "354"] {
            try client.expect(expected)
        }
        try client.send(stuffed(message) + Array(".\r\nQUIT\r\n".utf8))
        try client.expect("250 2.0.0")
        try client.expect("221")
        #expect(try mx.mail(2).allSatisfy { $0.withoutReceived == message })
    }
}

@Test func `a DATA that is refused with a message behind it ends the session`() async throws {
    try await story { stage in
        let mx = try stage.host()
        let client = try stage.client()
        // RFC 2920 §3.1: the client must wait. If it does not, its message may never be commands.
        try client.send(
            "MAIL FROM:<a@origin.test>\r\nRCPT TO:<bad@>\r\nDATA\r\n"
                + "RSET\r\nMAIL FROM:<evil@origin.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nx\r\n.\r\n"
        )
        try client.expect("250")
        try client.expect("501")
        let rest = try client.rest()
        #expect(rest.hasPrefix("5"), "\(rest)")
        #expect(rest.split(separator: "\r\n").count == 1, "\(rest)")
        #expect(stage.log("accepted").isEmpty && mx.received.isEmpty)
    }
}

@Test func `a client that ends its side early still gets every reply`() async throws {
    try await story { stage in
        let mx = try stage.host()
        let (message, bytes) = session("half closed")
        let client = try Client(stage.place)
        try client.expect("220")
        try client.send(bytes)
        client.endSending()
        let rest = try client.rest().split(separator: "\r\n").filter {
            $0.dropFirst(3).first == " "
        }
        #expect(
            rest.map { String($0.prefix(3)) } == ["250", "250", "250", "354", "250", "250", "221"]
        )
        #expect(try mx.mail()[0].withoutReceived == message)
    }
}
