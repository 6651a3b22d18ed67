// Clients that ask too much, too long or too often meet a limit with a reply, and nobody else
// notices.

import Foundation
import Synchronization
import Testing

@Test func `a client that only makes errors or only chats is sent away`() async throws {
    try await story(["listener.max_errors": "3", "listener.max_commands": "10"]) { stage in
        let wrong = try stage.client()
        try wrong.say("FOO", expecting: "500")
        try wrong.say("BAR", expecting: "500")
        try wrong.say("BAZ", expecting: "421 4.7.0 3 errors are enough")
        #expect(try wrong.rest().isEmpty)
        try stage.logged("rejected") { $0["rule"] == "too-many-errors" }
        let chatty = try stage.client()
        for _ in 0..<9 { try chatty.say("NOOP", expecting: "250") }
        try chatty.say("NOOP", expecting: "421 4.7.0 10 commands without a message")
        #expect(try chatty.rest().isEmpty)
        try stage.logged("rejected") { $0["rule"] == "too-many-commands" }
        // Messages make up for commands.
        let mx = try stage.host()
        let busy = try stage.client()
        for _ in 0..<5 {
            #expect(
                try busy.hand(from: "a@origin.test", to: ["bob@example.test"], letter()).code == 250
            )
        }
        try mx.mail(5)
    }
}

@Test func `every limit is in the status, and in the reply of who reaches it`() async throws {
    let settings = [
        "listener.max_recipients": "100", "listener.max_connections": "7",
        "listener.max_connections_per_client": "7", "spool.max_messages": "1",
        "spool.min_free_inodes": "17", "listener.max_header_fields": "123",
        "listener.command_timeout": "90s",
    ]
    try await story(settings) { stage in
        // A host that is not there, so that the message stays.
        stage.mail(for: "x.test", to: 10)
        stage.name("mx10.test", ["A": [stage.address(10)]])
        let status = try stage.ekiden("status", "--config", stage.configurationPath).text
        for words in [
            "takes 1 message and", "17 inodes stay free", " of 7 connections", "7 per client",
            "20 errors, 100 commands, 90s for each", "100 recipients", "123 fields", "100 Received",
        ] { #expect(status.contains(words), "\(words): \(status)") }
        let client = try stage.client()
        try client.say("MAIL FROM:<a@origin.test>", expecting: "250")
        for number in 0..<100 { try client.say("RCPT TO:<r\(number)@x.test>", expecting: "250") }
        try client.say(
            "RCPT TO:<late@x.test>",
            expecting: "452 4.5.3 a message has at most 100 recipients"
        )
        try client.say("DATA", expecting: "354")
        try client.send("Subject: x\r\n\r\nx\r\n.\r\n")
        try client.expect("250")
        try client.say(
            "MAIL FROM:<a@origin.test>",
            expecting: "452 4.3.1 the queue is full (messages: it takes 1)"
        )
        let others = try (0..<6).map { _ in try stage.client() }
        let eighth = try Client(stage.place)
        #expect(try eighth.reply().text.contains("7 connections it serves at once"))
        #expect(others.count == 6)
    }
}

@Test func `one address has its share of connections and others theirs`() async throws {
    try await story(["listener.max_connections_per_client": "5"]) { stage in
        let held = try (0..<5).map { _ in try stage.client() }
        let sixth = try Client(stage.place)
        try sixth.expect("421 4.7.0", after: "the sixth connection")
        #expect(try sixth.rest().isEmpty)
        _ = try stage.client(from: stage.address(98))
        try held[0].say("QUIT", expecting: "221")
        try eventually("the place is free again") {
            let client = try Client(stage.place)
            return try client.reply().code == 220
        }
    }
}

@Test func `where descriptors are few one address leaves some to others`() async throws {
    let settings = [
        "listener.max_connections_per_client": "1000", "limits.open_files": "96",
        "limits.loops": "1",
    ]
    try await story(settings) { stage in
        let held = try (0..<60).map { _ in try Client(stage.place) }
        let codes = try held.map { try $0.reply(within: 20).code }
        let served = codes.count { $0 == 220 }
        #expect(served > 5 && codes.count { $0 == 421 } == 60 - served, "\(codes)")
        for _ in 0..<3 { _ = try stage.client(from: stage.address(98)) }
    }
}

@Test func `two hundred clients at once are all served`() async throws {
    try await story { stage in
        let mx = try stage.host()
        let place = stage.place
        try together(200) { number in
            let client = try Client(place)
            try client.hello()
            let reply = try client.hand(
                from: "a@origin.test",
                to: ["r\(number)@example.test"],
                letter()
            )
            if reply.codes != "250 2.0.0" { throw StoryFailure("\(reply)") }
        }
        let recipients = Set(try mx.mail(200, within: 40).flatMap(\.recipients))
        #expect(recipients.count == 200)
    }
}

@Test func `a flood above the limit is told so and the relay stays well`() async throws {
    let settings = [
        "listener.max_connections": "20", "listener.max_connections_per_client": "20",
    ]
    try await story(settings) { stage in
        let mx = try stage.host()
        let place = stage.place
        let codes = Mutex<[Int: Int]>([:])
        let arrived = Mutex(0)
        try together(200) { _ in
            let client = try Client(place)
            let code = try client.reply(within: 30).code
            codes.withLock { $0[code, default: 0] += 1 }
            arrived.withLock { $0 += 1 }
            // Those inside stay until everybody has asked.
            try eventually("all have asked", within: 40) { arrived.withLock { $0 } == 200 }
        }
        #expect(codes.withLock { $0 } == [220: 20, 421: 180])
        try eventually("the flood is over") {
            let client = try Client(stage.place)
            return try client.reply().code == 220
        }
        try stage.submit(to: "bob@example.test")
        try mx.mail(1)
    }
}

@Test func `slow clients are told that time is up, at every step`() async throws {
    let settings = [
        "listener.command_timeout": "2s", "listener.data_block_timeout": "2s",
        "listener.message_timeout": "5s",
    ]
    try await story(settings) { stage in
        let mx = try stage.host()
        let place = stage.place
        try together(4) { number in
            let client = try Client(place)
            try client.expect("220")
            if number == 0 {
                let end = try client.reply(within: 20)
                if end.codes != "421 4.4.2" { throw StoryFailure("before EHLO: \(end)") }
                return
            }
            try client.say("EHLO client.test", expecting: "250")
            try client.say("MAIL FROM:<a@origin.test>", expecting: "250")
            try client.say("RCPT TO:<b@example.test>", expecting: "250")
            try client.say("DATA", expecting: "354")
            switch number {
            case 1: break
            case 2: try client.send("Subject: unfinished\r\n\r\nhal")
            default:
                // Never silent for long, and never done.
                while !client.socket.isReadable(within: 0.2) {
                    if !client.socket.send(Array("x\r\n".utf8)) { break }
                }
            }
            let end = try client.reply(within: 20)
            if end.code != 421 { throw StoryFailure("client \(number): \(end)") }
        }
        #expect(stage.log("accepted").isEmpty)
        try stage.submit(to: "bob@example.test")
        try mx.mail(1)
    }
}

@Test func `a client that never reads can't hold the relay`() async throws {
    try await story(["listener.command_timeout": "5s", "listener.max_commands": "10000"]) { stage in
        let mx = try stage.host()
        let deaf = try stage.client()
        let chatter = Array(String(repeating: "HELP\r\n", count: 2000).utf8)
        var sent = 0
        // Until the relay reads no more or closes; it does not keep replies without end.
        while sent < 40, deaf.socket.send(chatter) { sent += 1 }
        try stage.submit(to: "bob@example.test")
        try mx.mail(1)
        #expect(stage.relay?.isRunning == true)
    }
}
