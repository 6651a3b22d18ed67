// Space comes back: what is delivered leaves the disk, under load and after trouble.

import Foundation
import Testing

private func bytes(below path: String) throws -> Int {
    try FileManager.default.subpathsOfDirectory(atPath: path).reduce(0) { sum, name in
        var status = stat()
        guard lstat(path + "/" + name, &status) == 0 else { return sum }
        return sum + Int(status.st_blocks) * 512
    }
}

@Test func `mail that went through leaves no more than a few segments`() async throws {
    try await story { stage in
        let mx = try stage.host()
        // One stays for the whole time, so that segments can't just fall off the end.
        stage.mail(for: "late.test", to: 11)
        stage.name("mx11.test", ["A": [stage.address(11)]])
        let late = letter(subject: "late")
        try stage.submit(to: "late@late.test", message: late)
        let body = String(repeating: String(repeating: "x", count: 78) + "\r\n", count: 1200)
        let place = stage.place
        try together(4) { thread in
            let client = try Client(place)
            try client.hello()
            for _ in 0..<100 {
                let reply = try client.hand(
                    from: "a@origin.test",
                    to: ["bob@example.test"],
                    letter(body: body)
                )
                if reply.code != 250 { throw StoryFailure("\(reply)") }
            }
        }
        try mx.mail(400, within: 60)
        // 38 MB went through segments of 4 MiB; docs/SPOOL.md allows twice what lives and four segments,
        // and some are kept ready.
        try eventually("the space is given back", within: 20) {
            try bytes(below: stage.spool) <= 8 << 22
        }
        try stage.killRelay()
        let second = try stage.peer(11)
        try stage.start()
        #expect(try second.mail(1)[0].withoutReceived == late)
    }
}

@Test func `the file of a large message goes when the message goes`() async throws {
    try await story { stage in
        let mx = try stage.host()
        let before = try bytes(below: stage.spool)
        let body = String(repeating: String(repeating: "x", count: 78) + "\r\n", count: 150_000)
        for _ in 0..<3 { try stage.submit(to: "bob@example.test", message: letter(body: body)) }
        try mx.mail(3)
        try eventually("their files are gone") {
            try bytes(below: stage.spool) < before + (8 << 20)
        }
    }
}
