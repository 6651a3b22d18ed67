// The log's lines, letter by letter: what docs/LOG.md promises is what is printed here. A change
// that breaks one of these breaks somebody's script.

import EkidenMail
import Glibc
import Testing

private let at = WallTime(nanoseconds: 1_795_226_878_123_456_789)
private let id = QueueID(number: 0x019d_3f4e_5a6b_0001)
private let sender = Address("alice@example.org").map { ReversePath.address($0) } ?? .null
private let recipient = Address(localPart: "bob", domain: Domain("example.net"))
private let other = Address(localPart: "carol", domain: Domain("example.net"))
private let client = ClientFacts(
    endpoint: Endpoint(.v4(0xc000_0207), 40_122),
    helo: "client.example.org",
    inboundProtocol: .esmtp,
    listener: "relay"
)
private let host = PeerHost(name: "mx.example.net", endpoint: Endpoint(.v4(0xc633_6419), 25))
private let site = SiteID("mx:mx.example.net")

struct LogExample: Sendable, CustomTestStringConvertible {
    let name: String
    let event: Event
    let text: String
    let json: String
    var testDescription: String { name }
}

private func attempt(
    _ status: Event.Attempt.Status,
    _ reason: Reason,
    _ words: String,
    isConverted: Bool = false,
    next: WallTime? = nil
) -> Event {
    .attempt(
        .init(
            id: id,
            sender: sender,
            recipient: recipient,
            status: status,
            attempt: 1,
            host: host,
            site: site,
            queueTime: .microseconds(1500),
            connectTime: .milliseconds(12),
            transferTime: .microseconds(30_250),
            isConverted: isConverted,
            reason: reason,
            words: words,
            next: next
        )
    )
}

private let examples: [LogExample] = [
    LogExample(
        name: "accepted",
        event: .accepted(
            .init(
                id: id,
                sender: sender,
                recipients: [recipient],
                byteCount: 4711,
                client: client,
                messageID: "<m1@example.org>",
                took: .microseconds(2345)
            )
        ),
        text: """
            2026-11-21T02:07:58.123Z info accepted id=0379Z9SD6P001 from=<alice@example.org> \
            to=<bob@example.net> size=4711 client=192.0.2.7:40122 helo=client.example.org with=ESMTP \
            listener=relay message-id=<m1@example.org> took=0.002345
            """,
        json: """
            {"time":"2026-11-21T02:07:58.123Z","level":"info","event":"accepted",\
            "id":"0379Z9SD6P001","from":"<alice@example.org>","to":"<bob@example.net>","size":4711,\
            "client":"192.0.2.7:40122","helo":"client.example.org","with":"ESMTP",\
            "listener":"relay","message-id":"<m1@example.org>","took":0.002345}
            """
    ),
    LogExample(
        name: "accepted, several recipients",
        event: .accepted(
            .init(
                id: id,
                sender: .null,
                recipients: [recipient, other],
                byteCount: 10,
                client: client
            )
        ),
        text: """
            2026-11-21T02:07:58.123Z info accepted id=0379Z9SD6P001 from=<> \
            to=<bob@example.net>,<carol@example.net> size=10 client=192.0.2.7:40122 \
            helo=client.example.org with=ESMTP listener=relay took=0.000000
            """,
        json: """
            {"time":"2026-11-21T02:07:58.123Z","level":"info","event":"accepted",\
            "id":"0379Z9SD6P001","from":"<>","to":["<bob@example.net>","<carol@example.net>"],\
            "size":10,"client":"192.0.2.7:40122","helo":"client.example.org","with":"ESMTP",\
            "listener":"relay","took":0.000000}
            """
    ),
    LogExample(
        name: "accepted, a report",
        event: .accepted(
            .init(
                id: id,
                sender: .null,
                recipients: [other],
                byteCount: 2164,
                client: ClientFacts(endpoint: Endpoint(.v4(0), 0), inboundProtocol: .local),
                about: QueueID(number: 0x019d_3f4e_5a6b_0000)
            )
        ),
        text: """
            2026-11-21T02:07:58.123Z info accepted id=0379Z9SD6P001 from=<> \
            to=<carol@example.net> size=2164 with=local about=0379Z9SD6P000
            """,
        json: """
            {"time":"2026-11-21T02:07:58.123Z","level":"info","event":"accepted",\
            "id":"0379Z9SD6P001","from":"<>","to":"<carol@example.net>","size":2164,\
            "with":"local","about":"0379Z9SD6P000"}
            """
    ),
    LogExample(
        name: "delivered",
        event: attempt(.delivered, .delivered, "250 2.0.0 ok"),
        text: """
            2026-11-21T02:07:58.123Z info delivered id=0379Z9SD6P001 from=<alice@example.org> \
            to=<bob@example.net> attempt=1 host=mx.example.net[198.51.100.25]:25 \
            site=mx:mx.example.net tls=none delay=0.001500/0.012000/0.030250 reply="250 2.0.0 ok"
            """,
        json: """
            {"time":"2026-11-21T02:07:58.123Z","level":"info","event":"delivered",\
            "id":"0379Z9SD6P001","from":"<alice@example.org>","to":"<bob@example.net>","attempt":1,\
            "host":"mx.example.net[198.51.100.25]:25","site":"mx:mx.example.net","tls":"none",\
            "delay":"0.001500/0.012000/0.030250","reply":"250 2.0.0 ok"}
            """
    ),
    LogExample(
        name: "delivered, converted",
        event: attempt(.delivered, .delivered, "250 2.0.0 ok", isConverted: true),
        text: """
            2026-11-21T02:07:58.123Z info delivered id=0379Z9SD6P001 from=<alice@example.org> \
            to=<bob@example.net> attempt=1 host=mx.example.net[198.51.100.25]:25 \
            site=mx:mx.example.net tls=none converted=7bit delay=0.001500/0.012000/0.030250 \
            reply="250 2.0.0 ok"
            """,
        json: """
            {"time":"2026-11-21T02:07:58.123Z","level":"info","event":"delivered",\
            "id":"0379Z9SD6P001","from":"<alice@example.org>","to":"<bob@example.net>","attempt":1,\
            "host":"mx.example.net[198.51.100.25]:25","site":"mx:mx.example.net","tls":"none",\
            "converted":"7bit","delay":"0.001500/0.012000/0.030250","reply":"250 2.0.0 ok"}
            """
    ),
    LogExample(
        name: "deferred",
        event: attempt(
            .deferred,
            .peerDeferred,
            "451 4.7.1 \"greylisted\"",
            next: WallTime(seconds: 1_795_227_178)
        ),
        text: """
            2026-11-21T02:07:58.123Z info deferred id=0379Z9SD6P001 from=<alice@example.org> \
            to=<bob@example.net> attempt=1 host=mx.example.net[198.51.100.25]:25 \
            site=mx:mx.example.net tls=none delay=0.001500/0.012000/0.030250 because=peer-deferred \
            reply="451 4.7.1 \\"greylisted\\"" next=2026-11-21T02:12:58.000Z
            """,
        json: """
            {"time":"2026-11-21T02:07:58.123Z","level":"info","event":"deferred",\
            "id":"0379Z9SD6P001","from":"<alice@example.org>","to":"<bob@example.net>","attempt":1,\
            "host":"mx.example.net[198.51.100.25]:25","site":"mx:mx.example.net","tls":"none",\
            "delay":"0.001500/0.012000/0.030250","because":"peer-deferred",\
            "reply":"451 4.7.1 \\"greylisted\\"","next":"2026-11-21T02:12:58.000Z"}
            """
    ),
    LogExample(
        name: "bounced",
        event: attempt(.bounced, .peerRejected, "550 5.1.1 no such user"),
        text: """
            2026-11-21T02:07:58.123Z warning bounced id=0379Z9SD6P001 from=<alice@example.org> \
            to=<bob@example.net> attempt=1 host=mx.example.net[198.51.100.25]:25 \
            site=mx:mx.example.net tls=none delay=0.001500/0.012000/0.030250 because=peer-rejected \
            reply="550 5.1.1 no such user"
            """,
        json: """
            {"time":"2026-11-21T02:07:58.123Z","level":"warning","event":"bounced",\
            "id":"0379Z9SD6P001","from":"<alice@example.org>","to":"<bob@example.net>","attempt":1,\
            "host":"mx.example.net[198.51.100.25]:25","site":"mx:mx.example.net","tls":"none",\
            "delay":"0.001500/0.012000/0.030250","because":"peer-rejected",\
            "reply":"550 5.1.1 no such user"}
            """
    ),
    LogExample(
        name: "expired",
        event: .attempt(
            .init(
                id: id,
                sender: sender,
                recipient: recipient,
                status: .expired,
                attempt: 30,
                host: nil,
                site: nil,
                queueTime: .seconds(432_000),
                connectTime: .zero,
                transferTime: .zero,
                reason: .expired,
                words: "4.4.7 it could not be delivered within its lifetime",
                next: nil
            )
        ),
        text: """
            2026-11-21T02:07:58.123Z warning expired id=0379Z9SD6P001 from=<alice@example.org> \
            to=<bob@example.net> attempt=30 tls=none delay=432000.000000/0.000000/0.000000 \
            because=expired reply="4.4.7 it could not be delivered within its lifetime"
            """,
        json: """
            {"time":"2026-11-21T02:07:58.123Z","level":"warning","event":"expired",\
            "id":"0379Z9SD6P001","from":"<alice@example.org>","to":"<bob@example.net>",\
            "attempt":30,"tls":"none","delay":"432000.000000/0.000000/0.000000",\
            "because":"expired","reply":"4.4.7 it could not be delivered within its lifetime"}
            """
    ),
    LogExample(
        name: "rejected",
        event: .rejected(
            .init(
                client: client,
                sender: sender,
                recipient: "dave@example.com",
                rule: "relay-denied",
                reply: Reply(550, EnhancedStatus(5, 7, 1), "relaying denied")
            )
        ),
        text: """
            2026-11-21T02:07:58.123Z info rejected client=192.0.2.7:40122 helo=client.example.org \
            listener=relay from=<alice@example.org> to=<dave@example.com> rule=relay-denied \
            reply="550 5.7.1 relaying denied"
            """,
        json: """
            {"time":"2026-11-21T02:07:58.123Z","level":"info","event":"rejected",\
            "client":"192.0.2.7:40122","helo":"client.example.org","listener":"relay",\
            "from":"<alice@example.org>","to":"<dave@example.com>","rule":"relay-denied",\
            "reply":"550 5.7.1 relaying denied"}
            """
    ),
    LogExample(
        name: "login",
        event: .login(
            .init(client: client, mechanism: "PLAIN", user: "anna", failure: "login-failed")
        ),
        text: """
            2026-11-21T02:07:58.123Z info login user=anna result=failed rule=login-failed \
            mechanism=PLAIN client=192.0.2.7:40122 helo=client.example.org with=ESMTP listener=relay
            """,
        json: """
            {"time":"2026-11-21T02:07:58.123Z","level":"info","event":"login","user":"anna",\
            "result":"failed","rule":"login-failed","mechanism":"PLAIN",\
            "client":"192.0.2.7:40122","helo":"client.example.org","with":"ESMTP",\
            "listener":"relay"}
            """
    ),
    LogExample(
        name: "moved",
        event: .moved(
            .init(id: id, recipient: recipient, state: "held", reason: .operatorHold, uid: 1000)
        ),
        text: """
            2026-11-21T02:07:58.123Z info moved id=0379Z9SD6P001 to=<bob@example.net> state=held \
            because=operator-hold uid=1000
            """,
        json: """
            {"time":"2026-11-21T02:07:58.123Z","level":"info","event":"moved",\
            "id":"0379Z9SD6P001","to":"<bob@example.net>","state":"held",\
            "because":"operator-hold","uid":1000}
            """
    ),
    LogExample(
        name: "site",
        event: .site(
            .init(
                site: site,
                state: "backing-off",
                reason: .connectionRefused,
                words: "connection refused",
                until: WallTime(seconds: 1_795_227_178)
            )
        ),
        text: """
            2026-11-21T02:07:58.123Z warning site site=mx:mx.example.net state=backing-off \
            because=connection-refused reply="connection refused" until=2026-11-21T02:12:58.000Z
            """,
        json: """
            {"time":"2026-11-21T02:07:58.123Z","level":"warning","event":"site",\
            "site":"mx:mx.example.net","state":"backing-off","because":"connection-refused",\
            "reply":"connection refused","until":"2026-11-21T02:12:58.000Z"}
            """
    ),
    LogExample(
        name: "notice",
        event: .notice(.init(.error, "spool", "the disk is full; mail is refused until it is not")),
        text: """
            2026-11-21T02:07:58.123Z error notice part=spool \
            text="the disk is full; mail is refused until it is not"
            """,
        json: """
            {"time":"2026-11-21T02:07:58.123Z","level":"error","event":"notice","part":"spool",\
            "text":"the disk is full; mail is refused until it is not"}
            """
    ),
]

@Suite struct EventTextTests {
    @Test(arguments: examples)
    func aLineIsAsDocumented(example: LogExample) {
        var text = BytesBuilder()
        example.event.writeText(at: at, to: &text)
        #expect(text.finish().text == example.text + "\n")
        var json = BytesBuilder()
        example.event.writeJSON(at: at, to: &json)
        #expect(json.finish().text == example.json + "\n")
    }

    @Test func theManualShowsTheseVeryLines() throws {
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let file = try #require(fopen("/\(root)/docs/LOG.md", "r"))
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        let count = fread(&bytes, 1, bytes.count, file)
        let manual = String(decoding: bytes[..<count], as: UTF8.self)
        for example in examples {
            #expect(manual.contains("\n" + example.text + "\n"), "text of \(example.name)")
            #expect(manual.contains("\n" + example.json + "\n"), "JSON of \(example.name)")
            for field in example.event.fields {
                #expect(manual.contains("| `\(field.name)` |"), "field \(field.name)")
            }
        }
        for reason in Reason.allCases {
            #expect(
                manual.contains("| `\(reason.rawValue)` | \(reason.sentence) |"),
                "reason \(reason.rawValue)"
            )
        }
    }

    @Test func whateverAPeerSaysALineStaysALine() throws {
        let hostile = "550 a\r\nb\u{0}c\u{7f}\"d\\e=f \u{e9}"
        var text = BytesBuilder()
        attempt(.bounced, .peerRejected, hostile).writeText(at: at, to: &text)
        let line = text.finish().array
        #expect(line.filter { $0 < 0x20 || $0 == 0x7f } == [0x0a])
        #expect(line.last == 0x0a)
        let expected = #"reply="550 a\u000d\u000ab\u0000c\u007f\"d\\e=f \#u{e9}""#
        #expect(String(decoding: line, as: UTF8.self).contains(expected))
    }
}
