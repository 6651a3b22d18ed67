// Which messages share their turns, and which stream has them.

import EkidenConfiguration
import EkidenMail
import Testing

@testable import EkidenRelay

@Suite struct StreamsTests {
    private func message(
        _ sender: String?,
        login: String? = nil,
        listener: String = "in"
    ) -> QueuedMessage {
        QueuedMessage(
            id: QueueID(number: 1),
            sender: sender.flatMap { Address($0) }.map { .address($0) } ?? .null,
            recipients: [],
            byteCount: 1,
            arrived: WallTime(seconds: 0),
            origin: Origin(listener: listener, login: login)
        )
    }

    @Test(arguments: [
        ("news", "news"), ("news+anna=example.org", "news"), ("news-17-anna=example.org", "news"),
        ("anna+tag", "anna"), ("a-b", "a-b"), ("+x", "+x"), ("=x", "=x"), ("-a=b", "-a=b"),
        ("prvs=0123abcdef=anna+x", "anna"), ("SRS0=hash=tt=example.org=anna", "SRS0"),
    ])
    func `what changes from message to message is no other sender`(local: String, kept: String) {
        #expect(String(Substring(Streams.mailbox(of: local))) == kept)
    }

    @Test func `a login is one sender, whatever it says it is`() {
        let share = { Streams.share(of: $0) }
        #expect(share(message("a@x.example")) == share(message("a+1=b@X.example")))
        #expect(share(message("a@x.example")) != share(message("b@x.example")))
        #expect(share(message("a@x.example")) != share(message("a@y.example")))
        #expect(
            share(message("a@x.example", login: "shop"))
                == share(message("b@y.example", login: "shop"))
        )
        #expect(share(message(nil)) == share(message(nil, listener: "local")))
        #expect(share(message(nil)) != share(message(nil, login: "shop")))
    }

    @Test func `the first stream that fits has the message`() throws {
        let configuration = try Configuration.load(
            text: Array(
                """
                [[listener]]
                name = "in"
                listen = ["127.0.0.1:2525"]
                [[stream]]
                name = "first"
                senders = ["reset@shop.example", "<>"]
                priority = "high"
                [[stream]]
                name = "second"
                senders = ["shop.example"]
                logins = ["shop"]
                listeners = ["in"]
                rate = "10/m"
                """.utf8
            ),
            file: "t",
            hostname: "mail.example.org"
        )
        let streams = Streams(configuration.streams)
        let reset = streams.standing(of: message("reset@shop.example", login: "shop"))
        #expect(reset.isUrgent && reset.stream == nil)
        #expect(streams.standing(of: message(nil)).isUrgent)
        #expect(streams.standing(of: message("reset+17=x@shop.example")).isUrgent)
        let second = streams.standing(of: message("other@shop.example", login: "shop"))
        #expect(!second.isUrgent && second.stream == "second")
        #expect(streams.standing(of: message("other@shop.example")).stream == nil)
        #expect(
            streams.standing(of: message("other@shop.example", login: "shop", listener: "x")).stream
                == nil
        )
        let rate = try #require(configuration.streamRates["second"])
        #expect(rate.interval == .seconds(6) && rate.burst == 1)
    }
}
