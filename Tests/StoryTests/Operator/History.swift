// `ekiden trace` against a relay and without one.

import Foundation
import Testing

@Test func `what became of a message is known after it has left, with or without the relay`()
    async throws
{
    try await story { stage in
        let mx = try stage.host { command in
            switch (command.step, command.count) {
            case (.rcpt, 1): .say("451 4.7.1 greylisted")
            case (.dot, 1): .say("552 5.2.2 no room")
            default: nil
            }
        }
        let back = try stage.host(for: "origin.test", 11)
        let id = try stage.submit(to: "bob@example.test")
        try back.mail(1)
        let told = try eventually("the history has the bounce") { () -> String? in
            let text = try stage.ask("trace", "bob@example.test")
            return text.contains("bounced") ? text : nil
        }
        for words in [
            id, "accepted   for <bob@example.test> from 127.", "listener relay",
            "deferred   <bob@example.test> at mx10.test[\(stage.address(10))]:2526, sending RCPT TO: "
                + "451 4.7.1 greylisted; next at 20",
            "after the final dot: 552 5.2.2 no room",
        ] {
            #expect(told.contains(words), "\(words) in \(told)")
        }
        #expect(!told.contains("waits for"))
        #expect(mx.received.count == 1)
        // Both the message and the report about it.
        let all = try stage.ask("trace", id)
        #expect(all.contains("about \(id)"), "\(all)")
        try stage.killRelay()
        #expect(try stage.ask("trace", id, "--json").split(separator: "\n").count >= 4)
        let none = try stage.ask("trace", "nobody@nowhere.test", ending: 4)
        #expect(none.contains("the history knows nothing of nobody@nowhere.test"), "\(none)")
    }
}

@Test func `a history that is not to be kept any more is removed by the reload`() async throws {
    try await story { stage in
        let mx = try stage.host()
        try stage.submit(to: "bob@example.test")
        try mx.mail(1)
        let folder = stage.spool + "/history"
        let files = { (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] }
        try eventually("there is a history") { !files().isEmpty }
        stage.settings["history.keep"] = "0s"
        try stage.reload()
        try eventually("it is removed") { files().isEmpty }
    }
}

@Test func `without a history there is none, and the answer says so`() async throws {
    try await story(["history.keep": "0s"]) { stage in
        let mx = try stage.host()
        let id = try stage.submit(to: "bob@example.test")
        try mx.mail(1)
        let answer = try stage.ask("trace", id, ending: 4)
        #expect(answer.contains("there is no history in \(stage.spool)/history"), "\(answer)")
        #expect(!FileManager.default.fileExists(atPath: stage.spool + "/history"))
    }
}
