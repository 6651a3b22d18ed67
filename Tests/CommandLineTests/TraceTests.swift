// `ekiden trace`: what is found, and how it is told.

import EkidenMail
import Testing

@testable import ekiden

@Suite struct TraceTests {
    private static let history = [
        #"{"time":"2026-11-21T02:07:58.123Z","level":"info","event":"accepted","id":"0379Z9SD6P001","from":"<Alice@example.org>","to":["<bob@example.net>","<eve@example.com>"],"size":4096,"client":"192.0.2.5:40001","helo":"app.test","with":"ESMTP","listener":"relay","message-id":"<1@Example.org>","took":0.1}"#,
        #"{"time":"2026-11-21T02:07:59.000Z","level":"info","event":"accepted","id":"0379Z9SD6P002","from":"<other@example.org>","to":"<carol@example.net>","size":10,"client":"192.0.2.5:40001","helo":"h","with":"ESMTP","listener":"relay","took":0.1}"#,
        #"{"time":"2026-11-21T02:08:00.000Z","level":"info","event":"deferred","id":"0379Z9SD6P001","from":"<Alice@example.org>","to":"<bob@example.net>","attempt":1,"host":"mx.example.net[198.51.100.25]:25","tls":"none","delay":"0/0/0","because":"peer-deferred","step":"recipient","reply":"451 4.7.1 greylisted","next":"2026-11-21T02:12:58.000Z"}"#,
        "{\"time\":\"2026-11-21T02:08:01.000Z\",\"level\":\"info\",\"ev",
        #"{"time":"2026-11-21T02:13:00.000Z","level":"info","event":"delivered","id":"0379Z9SD6P001","from":"<Alice@example.org>","to":"<bob@example.net>","attempt":2,"host":"mx.example.net[198.51.100.25]:25","tls":"TLSv1.3 X","delay":"0/0/0","reply":"250 2.0.0 ok \u001b[31m"}"#,
        #"{"time":"2026-11-21T02:14:00.000Z","level":"warning","event":"bounced","id":"0379Z9SD6P001","from":"<Alice@example.org>","to":"<eve@example.com>","attempt":1,"tls":"none","delay":"0/0/0","because":"null-mx","step":"resolve","reply":"5.1.10 no mail there"}"#,
        #"{"time":"2026-11-21T02:14:01.000Z","level":"info","event":"accepted","id":"0379Z9SD6P003","from":"<>","to":"<Alice@example.org>","size":900,"with":"local","about":"0379Z9SD6P001"}"#,
        #"{"time":"2026-11-21T02:15:00.000Z","level":"info","event":"moved","id":"0379Z9SD6P002","state":"held","because":"operator-hold","uid":1000}"#,
    ]

    private func search(_ what: String, limit: Int = 20, since: WallTime? = nil) -> TraceSearch {
        var search = TraceSearch(TraceQuery(what), limit: limit)
        search.since = since
        for line in Self.history { Array(line.utf8).withUnsafeBytes { search.take($0) } }
        return search
    }

    @Test(arguments: [
        ("0379Z9SD6P001", ["0379Z9SD6P001", "0379Z9SD6P003"]),
        ("0379Z9SD6P002", ["0379Z9SD6P002"]),
        ("alice@EXAMPLE.org", ["0379Z9SD6P001", "0379Z9SD6P003"]),
        ("<1@example.org>", ["0379Z9SD6P001"]), ("1@example.org", ["0379Z9SD6P001"]),
        ("example.net", ["0379Z9SD6P001", "0379Z9SD6P002"]),
        ("@example.com", ["0379Z9SD6P001"]), ("eve@example.com", ["0379Z9SD6P001"]),
        ("0379z9sd6p002", ["0379Z9SD6P002"]), ("example.com.", ["0379Z9SD6P001"]),
        ("xample.net", []), ("nobody@example.net", []), ("192.0.2.5", []),
    ])
    func `a message is found by id, Message-ID, address or domain`(what: String, ids: [String]) {
        #expect(search(what).found.map(\.id) == ids)
    }

    @Test
    func
        `its story has every attempt with host, step and words, and nothing that moves a terminal`()
    {
        let text = search("0379Z9SD6P001").found[0].text
        let expected = """
            0379Z9SD6P001  from <Alice@example.org>, 4096 bytes, message-id <1@Example.org>
              2026-11-21 02:07:58  accepted   for <bob@example.net>, <eve@example.com> from 192.0.2.5:40001 (app.test), listener relay
              2026-11-21 02:08:00  deferred   <bob@example.net> at mx.example.net[198.51.100.25]:25, sending RCPT TO: 451 4.7.1 greylisted; next at 2026-11-21 02:12:58
              2026-11-21 02:13:00  delivered  <bob@example.net> at mx.example.net[198.51.100.25]:25, TLSv1.3 X: 250 2.0.0 ok ?[31m
              2026-11-21 02:14:00  bounced    <eve@example.com>, looking up the next hop: 5.1.10 no mail there

            """
        #expect(text == expected)
    }

    @Test func `what still waits, what is held and what has no beginning say so`() {
        let held = search("0379Z9SD6P002").found[0].text
        #expect(held.contains("held       an operator holds it (uid 1000)"))
        #expect(held.contains("waits for <carol@example.net>: ekiden queue show 0379Z9SD6P002"))
        let report = search("0379Z9SD6P003").found[0].text
        #expect(report.contains("made       for <Alice@example.org>, about 0379Z9SD6P001"))
        let since = WallTime(timestamp: "2026-11-21T02:13:00Z") ?? WallTime(nanoseconds: 0)
        #expect(search("example.net", since: since).found.map(\.id).count == 2)
        #expect(
            search("example.net", since: since + .seconds(61)).found.map(\.id) == ["0379Z9SD6P002"]
        )
        // Of one whose first lines are gone already.
        var late = TraceSearch(TraceQuery("bob@example.net"), limit: 20)
        for line in Self.history.dropFirst(4) { Array(line.utf8).withUnsafeBytes { late.take($0) } }
        #expect(late.found[0].text.contains("its beginning is not in the history any more"))
    }

    @Test func `the newest are shown where there are more than the limit`() {
        let one = search("example.net", limit: 1)
        #expect(one.found.map(\.id) == ["0379Z9SD6P002"] && one.dropped == 1)
    }
}
