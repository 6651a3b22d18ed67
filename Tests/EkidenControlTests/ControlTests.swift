import EkidenCrypto
import EkidenMail
import Testing

@testable import EkidenControl

let now = WallTime(nanoseconds: 1_795_226_878_123_000_000)

func row(_ number: UInt64 = 1) -> QueueRow {
    QueueRow(
        id: QueueID(number: number),
        arrived: WallTime(seconds: 1_795_220_000),
        byteCount: 4711,
        sender: "a@b.example",
        recipients: ["c@d.example", "\"x \\\"y\"@z.example"],
        pendingCount: 2,
        doneCount: 1,
        state: .waiting,
        reason: .connectionRefused,
        words: "connection refused \u{1}\n\t\u{e9} \u{1f600}",
        site: "mx:mx.example",
        since: now,
        next: WallTime(seconds: 1_795_227_000),
        now: now
    )
}

func line<Row: ControlRow>(_ row: Row) -> [UInt8] {
    var writer = JSONWriter()
    row.writeLine(&writer)
    return writer.finish().array
}

func reread<Row: ControlRow>(_ row: Row) throws -> Row {
    let bytes = line(row)
    #expect(bytes.last == 0x0a)
    #expect(!bytes.dropLast().contains(0x0a))
    return try bytes.withUnsafeBytes { bytes in
        #expect(ControlLine.kind(of: bytes) == Row.kind)
        #expect(try ControlLine(bytes).kind == Row.kind)
        return try Row(JSONReader.object(bytes))
    }
}

@Suite struct RowTests {
    @Test func aRowOnTheWireIsWhatEkidenQueueJSONPrints() {
        #expect(
            String(decoding: line(row()), as: UTF8.self) == """
                {"kind":"message","id":"0000000000001","arrived":"2026-11-21T00:13:20.000Z",\
                "age_seconds":6878.123,"size":4711,"from":"a@b.example",\
                "to":["c@d.example","\\"x \\\\\\"y\\"@z.example"],"pending":2,"done":1,\
                "state":"waiting","reason":"connection-refused",\
                "because":"the host refused the connection",\
                "words":"connection refused \\u0001\\u000a\\u0009\u{e9} \u{1f600}",\
                "site":"mx:mx.example","since":"2026-11-21T02:07:58.123Z",\
                "next":"2026-11-21T02:10:00.000Z","next_in_seconds":121.877}

                """
        )
    }

    @Test func everyRowComesBackAsItWas() throws {
        #expect(try reread(row()) == row())
        let bare = QueueRow(
            id: QueueID(number: .max),
            arrived: now,
            byteCount: 0,
            sender: "",
            recipients: [],
            pendingCount: 0,
            state: .held,
            reason: .operatorHold,
            now: now
        )
        #expect(try reread(bare) == bare)
        let site = SiteRow(
            site: "route:smart",
            state: "backing-off",
            window: 5,
            connections: 2,
            ready: 1,
            waiting: 2,
            inFlight: 3,
            held: 4,
            oldest: WallTime(seconds: 1),
            reason: .peerDeferred,
            words: "451 later",
            next: WallTime(seconds: 2),
            now: WallTime(seconds: 3)
        )
        #expect(try reread(site) == site)
        let plainSite = SiteRow(site: "s", state: "open", now: now)
        #expect(try reread(plainSite) == plainSite)
        let cause = CauseRow(
            reason: .replyTimedOut,
            place: "mx.example",
            words: "w",
            messages: 37,
            recipients: 40,
            oldest: WallTime(seconds: 0),
            next: WallTime(seconds: 9),
            now: WallTime(seconds: 8)
        )
        #expect(try reread(cause) == cause)
        let problem = ControlProblem(.inFlight, "busy", hint: "wait")
        #expect(try reread(problem) == problem)
        let outcome = OutcomeRow(id: QueueID(number: 5), problem: problem)
        #expect(try reread(outcome) == outcome)
        let end = ControlEnd(count: 3, failed: 1, isCutShort: true, text: "done")
        #expect(try reread(end) == end)
        #expect(
            try reread(HeaderText(text: "A: b\r\n c\r\n")) == HeaderText(text: "A: b\r\n c\r\n")
        )
    }

    @Test func aMessagesStoryComesBackAsItWas() throws {
        let envelope = Envelope(
            sender: .null,
            recipients: [],
            client: ClientFacts(endpoint: Endpoint(.loopback6, 25), helo: "h"),
            arrived: WallTime(seconds: 1_795_226_800)
        )
        let hold = Hold(reason: .operatorHold, uid: 1000, since: now)
        for hold in [hold, nil] {
            let detail = MessageDetail(
                id: QueueID(number: 7),
                envelope: envelope,
                byteCount: 9,
                hold: hold,
                now: now
            )
            #expect(try reread(detail) == detail)
        }
        for state in RecipientState.allCases {
            let recipient = RecipientRow(
                address: "a@b",
                state: state,
                place: state == .pending ? .inFlight : nil,
                attempts: 3,
                reason: .peerDeferred,
                host: "mx[1]:25",
                words: "450 x",
                since: now,
                next: now,
                now: now
            )
            #expect(try reread(recipient) == recipient)
            let mark = RecipientMark(
                recipient: 0,
                state: state,
                attempts: 2,
                at: now,
                reason: .delivered,
                host: "h",
                words: "250 ok"
            )
            #expect(
                try reread(AttemptRow(address: "a@b", mark: mark))
                    == AttemptRow(address: "a@b", mark: mark)
            )
        }
    }

    @Test func aStatusComesBackAsItWas() throws {
        var status = StatusReport(
            version: "1",
            hostname: "h",
            pid: 7,
            started: WallTime(seconds: 1_795_226_801),
            loops: 2,
            now: now
        )
        #expect(try reread(status) == status)
        status.configurationFile = "/etc/x"
        status.lastReload = "ok"
        status.lastReloadAt = now
        status.restartNeededFor = ["listen"]
        status.listeners = [.init(name: "relay", endpoint: "[::]:25", connections: 3)]
        status.queue.messages = 5
        status.queue.oldestAgeSeconds = 1.5
        status.spool.acceptsMail = false
        status.spool.expiryPaused = true
        status.spool.freeInodesMin = 1000
        status.resolver.servers = ["192.0.2.53"]
        status.rates.delivered = 1234.5
        status.allowances = 3
        status.failures = [
            FailureCount(.greylisted, deferred: 7), FailureCount(.unknownUser, bounced: 3),
        ]
        status.isStopping = true
        status.sessionsMax = 700
        status.certificates = [
            CertificateRow(
                file: "/a.pem",
                names: ["a.example", "b.example"],
                end: now,
                trouble: "no key"
            ),
            CertificateRow(file: "/b.pem", names: [], end: nil, trouble: nil),
        ]
        var limits = ConnectionLimits(
            name: "relay",
            connections: 3,
            limit: 1000,
            perClient: 250,
            perNetwork: nil
        )
        limits.clients = [LimitUse(who: "192.0.2.1", used: 3)]
        status.connections = [limits]
        limits.perNetwork = 7
        limits.networks = [LimitUse(who: "192.0.2.0/24", used: 3)]
        limits.session.errorsBeforeTarpit = 3
        limits.session.messageBytes = 7
        limits.session.commandSeconds = 300
        limits.session.receivedFields = 100
        status.connections.append(limits)
        var rate = RateRow(
            name: "clients",
            of: "messages",
            per: "client",
            rate: "60/m",
            burst: 60,
            counted: 2,
            refused: 9
        )
        rate.first = [LimitUse(who: "alice \"x\"", used: 60)]
        status.limits = [rate]
        status.logins = LoginLimits()
        status.logins?.lockedClients = 4
        status.logins?.lockoutSeconds = 900
        #expect(try reread(status) == status)
    }

    @Test func anAllowanceComesBackAsItWas() throws {
        let row = AllowanceRow(client: "2001:db8::/64", secondsLeft: 59.5, until: now)
        #expect(try reread(row) == row)
    }

    @Test func rawChunksCarryAnyBytes() throws {
        for count in [0, 1, 2, 3, 4, 255, 256, RawChunk.byteCount] {
            let chunk = RawChunk(bytes: (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) })
            #expect(try reread(chunk) == chunk)
        }
        #expect(Base64.encode(Array("Man".utf8)) == "TWFu")
        #expect(Base64.encode(Array("Ma".utf8)) == "TWE=")
        #expect(Base64.encode(Array("M".utf8)) == "TQ==")
        for bad in ["TQ=", "T===", "TQ==TQ==", "T\u{e9}Q=", "T Q=", "=QQQ"] {
            #expect(Base64.decode(bad) == nil)
        }
    }

    @Test func timestampsAreReadBack() {
        for time in [
            WallTime(seconds: 0), now, WallTime(seconds: 951_782_400), WallTime(seconds: -1),
        ] {
            #expect(WallTime(timestamp: time.timestamp) == time)
        }
        for day in stride(from: Int64(-200_000), to: 80_000, by: 97) {
            let time = WallTime(seconds: day * 86_400 / 2 + 7)
            #expect(WallTime(timestamp: time.timestamp) == time)
        }
        for bad in [
            "", "2026-11-21T02:07:58", "2026-13-21T02:07:58Z", "2026-11-21 02:07:58Z",
            "2026-11-21T02:07:58.Z0", "9999-11-21T02:07:58Z", "2026-11-21T24:07:58Z",
        ] {
            #expect(WallTime(timestamp: bad) == nil)
        }
    }
}

@Suite struct RequestTests {
    static let requests: [ControlRequest] = {
        var query = QueueQuery(grouping: .site)
        query.ids = [QueueID(number: 1), QueueID(number: 2)]
        query.from = ""
        query.fromDomain = "a.example"
        query.to = "x@y"
        query.toDomain = "b.example"
        query.state = .inFlight
        query.reason = .mailLoop
        query.site = "s"
        query.olderThanSeconds = 60
        query.limit = 10
        query.after = QueueID(number: 3)
        var requests: [ControlRequest] = [
            .status, .queue(QueueQuery()), .queue(query), .show(QueueID(number: 9)),
            .raw(QueueID(number: 9)), .reload, .confirmClock, .suspend(site: "s", seconds: nil),
            .suspend(site: "s", seconds: 60), .resume(site: "s"), .allowances,
            .allow(NetworkPrefix(of: .v4(0xc000_0207), length: 32), seconds: 1800),
            .revoke(NetworkPrefix(of: .loopback6, length: 64)),
        ]
        for action in QueueAction.allCases {
            for selection in [
                .ids([QueueID(number: 4)]), .from(""), .from("a@b"), .toDomain("d"), .site("s"),
                .all,
            ] as [Selection] {
                requests.append(.act(action, selection))
            }
        }
        return requests
    }()

    @Test(arguments: requests)
    func aRequestComesBackAsItWas(request: ControlRequest) throws {
        let line = request.line.array
        #expect(line.last == 0x0a)
        #expect(try line.withUnsafeBytes { try ControlRequest(line: $0) } == request)
    }

    @Test(arguments: [
        "", "{}", "[]", "{\"version\":1}", "{\"version\":2,\"request\":\"status\"}",
        "{\"version\":1,\"request\":\"destroy\"}",
        "{\"version\":1,\"request\":\"show\",\"id\":\"x\"}",
        "{\"version\":1,\"request\":\"delete\"}",
        "{\"version\":1,\"request\":\"delete\",\"ids\":[]}",
        "{\"version\":1,\"request\":\"delete\",\"all\":false}",
        "{\"version\":1,\"request\":\"delete\",\"all\":true,\"from\":\"a@b\"}",
        "{\"version\":1,\"request\":\"queue\",\"by\":\"colour\"}",
        "{\"version\":1,\"request\":\"queue\",\"limit\":0}",
        "{\"version\":1,\"request\":\"queue\",\"ids\":[1]}",
        "{\"version\":1,\"request\":\"status\"} x", "{\"version\":1,\"request\":\"status\"",
    ])
    func whatIsNoRequestIsRefused(line: String) {
        #expect(throws: ControlProblem.self) {
            try Array(line.utf8).withUnsafeBytes { try ControlRequest(line: $0) }
        }
    }
}
