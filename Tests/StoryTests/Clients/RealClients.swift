// Real clients, those that are installed, through the relay to a real MX that the name server
// names: byte for byte, but for what the relay says it changes.

import Foundation
import Testing

private struct RealClient: Sendable, CustomTestStringConvertible {
    let program: String
    /// Arguments; FILE has the message with the client's own line ends.
    let arguments: @Sendable (Place, String) -> [String]
    /// The file has LF line ends, as on disk.
    var takesLF = true
    /// It adds the last line's end itself.
    var endsLastLine = false
    var testDescription: String { program }
}

private let clients: [RealClient] = [
    RealClient(
        program: "swaks",
        arguments: { place, file in
            [
                "--server", place.address, "--port", String(place.port), "--from",
                "alice@origin.test",
                "--to", "bob@example.test", "--ehlo", "client.test", "--data", "@" + file,
            ]
        },
        endsLastLine: true
    ),
    RealClient(
        program: "curl",
        arguments: { place, file in
            [
                "-sS", "--url", "smtp://\(place)/client.test", "--mail-from", "alice@origin.test",
                "--mail-rcpt", "bob@example.test", "--upload-file", file,
            ]
        },
        takesLF: false
    ),
    RealClient(program: "sh") { place, file in
        [
            "-c",
            "msmtp --host=\(place.address) --port=\(place.port) --from=alice@origin.test"
                + " bob@example.test < \(file)",
        ]
    },
    RealClient(
        program: "python3",
        arguments: { place, file in
            [
                "-c",
                """
                import smtplib
                message = open("\(file)", "rb").read()
                with smtplib.SMTP("\(place.address)", \(place.port), "client.test") as client:
                    client.sendmail("alice@origin.test", ["bob@example.test"], message, ["BODY=8BITMIME"])
                """,
            ]
        },
        takesLF: false
    ),
]

private func isInstalled(_ client: RealClient) -> Bool {
    if client.program == "sh" { return Child.find("msmtp") != nil }
    return Child.find(client.program) != nil
}

@Test(arguments: clients.filter { isInstalled($0) })
private func `a message of a real client arrives byte for byte`(_ real: RealClient) async throws {
    try await story { stage in
        let mx = try stage.host()
        let body =
            ".\r\n..\r\n.dot\r\nFrom here\r\n\r\nGr\u{fc}\u{df}e \t \r\n"
            + String(repeating: "y", count: 900) + "\r\n.\r\nend\r\n"
        let message = letter(body: body)
        let file = stage.directory + "/message.eml"
        var bytes = real.takesLF ? message.filter { $0 != 13 } : message
        if real.endsLastLine { bytes.removeLast() }
        try Data(bytes).write(to: URL(filePath: file))
        let run = try Child.run(Child.find(real.program) ?? "", real.arguments(stage.place, file))
        try #require(run.status == 0, "\(run.text)")
        let mail = try mx.mail()[0]
        #expect(mail.sender == "alice@origin.test" && mail.recipients == ["bob@example.test"])
        let arrived = mail.withoutReceived
        #expect(
            arrived == message,
            "\(String(decoding: arrived, as: UTF8.self).debugDescription)"
        )
        let log = try stage.logged("accepted")
        #expect(log["message-id"].hasSuffix("@origin.test>"))
    }
}

@Test(.enabled(if: Child.find("s-nail") != nil, "s-nail is not installed"))
func `a mail written in s-nail arrives`() async throws {
    try await story { stage in
        let mx = try stage.host()
        let command =
            "printf 'one\\n.two\\n\\nthree\\n' | s-nail -:/ -Sv15-compat -Smta=smtp://\(stage.place)"
            + " -Ssmtp-auth=none -Shostname=client.test -Ssmtp-hostname=client.test -Ssendwait"
            + " -r alice@origin.test -s 'from s-nail' -b secret@example.test bob@example.test"
        let run = try Child.run("/bin/sh", ["-c", command])
        try #require(run.status == 0, "\(run.text)")
        let mail = try mx.mail()[0]
        #expect(Set(mail.recipients) == ["bob@example.test", "secret@example.test"])
        #expect(mail.text.contains("Subject: from s-nail\r\n"))
        #expect(
            mail.text.hasSuffix("\r\n\r\none\r\n.two\r\n\r\nthree\r\n"),
            "\(mail.text.debugDescription)"
        )
        #expect(!mail.text.lowercased().contains("secret"))
    }
}

@Test func `the built-in sink stores what the relay delivers`() async throws {
    try await story { stage in
        let store = stage.directory + "/store"
        stage.mail(for: "example.test", to: 10)
        let sink = try stage.sink(10, store: store)
        let message = letter(body: ".\r\nx\r\n..\r\n")
        try stage.submit(to: "bob@example.test", message: message)
        try eventually("the message is stored") {
            FileManager.default.fileExists(atPath: store + "/000001.json")
        }
        let stored = try readAll(store + "/000001.eml")
        #expect(stored.starts(with: Array("Received: from client.test".utf8)))
        #expect(
            String(decoding: stored, as: UTF8.self).hasSuffix(
                String(decoding: message, as: UTF8.self)
            )
        )
        let envelope = String(decoding: try readAll(store + "/000001.json"), as: UTF8.self)
        #expect(envelope.contains("bob@example.test") && envelope.contains("alice@origin.test"))
        #expect(sink.isRunning)
    }
}
