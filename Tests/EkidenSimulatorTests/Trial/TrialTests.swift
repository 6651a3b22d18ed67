import EkidenControl
import EkidenMail
import EkidenRuntime
import EkidenSpool
import Testing

@testable import EkidenSimulator

@Suite struct TrialTests {
    /// Small worlds: what is tested here is the world, not the relay.
    private static var diet: Diet {
        var diet = Diet()
        diet.lettersMax = 12
        return diet
    }

    @Test(arguments: [1, 3] as [UInt64])
    func `the same seed is the same world, line by line`(seed: UInt64) {
        var first: [String] = []
        let one = Trial.run(seed, diet: Self.diet) { first.append($0) }
        var differs: (Int, String)?
        var line = 0
        let two = Trial.run(seed, diet: Self.diet) { text in
            if differs == nil, line >= first.count || first[line] != text { differs = (line, text) }
            line += 1
        }
        #expect(differs == nil, "line \(differs?.0 ?? 0): \(differs?.1 ?? "")")
        #expect(one.hash == two.hash && one.lineCount == two.lineCount)
        #expect(one.isGood, "\(one.violations)")
        #expect(one.lineCount > 50)
    }

    @Test func `another seed is another world`() {
        let hashes = (1...3).map { Trial.run($0, diet: Self.diet).hash }
        #expect(Set(hashes).count == hashes.count)
    }

    /// A seed counts only if so much happens in its world.
    @Test func `every plan has messages, domains, crashes and faults enough`() {
        var long = 0
        for seed in UInt64(1)...500 {
            let plan = TrialPlan(seed: seed)
            #expect(plan.letters.count >= 100 && plan.domains.count >= 3)
            let names = plan.faults.map(\.fault.name)
            #expect(names.contains("kill") || names.contains("power-loss"), "seed \(seed)")
            #expect(Set(names).count >= 3, "seed \(seed): \(Set(names))")
            #expect((1...4).contains(plan.loops))
            if plan.isLong { long += 1 }
        }
        // One in fifty.
        #expect((3...25).contains(long))
    }

    @Test func `clients come in all ways, and as their world has it`() {
        var seen: Set<String> = []
        var entrances: Set<ClientWay.Entrance> = []
        for seed in UInt64(1)...100 {
            let plan = TrialPlan(seed: seed)
            for way in plan.clients.map(\.way) {
                #expect(way.isSecure || plan.security != .required)
                #expect(way.login != .none || plan.logins != .required)
                #expect(way.login == .none || plan.logins != .none)
                seen.insert("\(way.protocolWord) \(way.login) \(way.usesChunks)")
                entrances.insert(way.entrance)
            }
        }
        #expect(seen.count == 16)
        #expect(entrances.count == ClientWay.Entrance.allCases.count)
    }

    @Test func `a diet leaves out what it names, and nothing else changes`() {
        let whole = TrialPlan(seed: 7)
        var diet = Diet()
        diet.without = ["kill"]
        diet.lettersMax = 10
        let lean = TrialPlan(seed: 7, diet: diet)
        #expect(!lean.faults.contains { $0.fault.name == "kill" })
        let kept = whole.faults.filter { $0.fault.name != "kill" }.map(\.after)
        #expect(lean.faults.map(\.after) == kept)
        #expect(lean.letters.map(\.key) == Array(whole.letters.map(\.key).prefix(10)))
        #expect(lean.letters.first?.body == whole.letters.first?.body)
    }
}

@Suite struct OracleTests {
    private func town() throws -> Town { try Town(TrialPlan(seed: 3)) }

    private func letter(_ town: Town) throws -> Letter {
        try #require(
            town.plan.letters.first { letter in
                letter.sender != nil && letter.body.count > 200 && letter.wishes.isPlain
                    && !letter.isBulk
                    && !letter.recipients.contains(where: town.plan.routes.isParked)
                    && !letter.recipients.contains {
                        $0.hasSuffix("@" + (town.plan.smarthost?.domain ?? "none"))
                    }
                    && letter.recipients.contains { $0.hasPrefix("ok") }
            }
        )
    }

    private func message(_ letter: Letter, _ id: String, of town: Town) -> [UInt8] {
        let word = town.ledger.protocolWords[letter.key] ?? "nothing"
        let literal = town.ledger.clientLiterals[letter.key] ?? "nowhere"
        let visible = String(decoding: letter.header, as: UTF8.self)
            .split(separator: "\r\n").filter { !$0.contains("secret.test") }
        let header =
            "Received: from a (\(literal)) by b\r\n\twith \(word) id \(id);\r\n\tSat\r\n"
            + visible.map { $0 + "\r\n" }.joined() + "\r\n"
        return Array(header.utf8) + letter.body
    }

    private func taken(_ town: Town) -> HostTransaction {
        HostTransaction(host: "mx0.test", takenAt: town.world.instant, boot: 1)
    }

    @Test func `what came once and whole is good`() throws {
        let town = try town()
        let letter = try letter(town)
        town.ledger.acknowledge("A1", letter, letter.recipients, at: town.world.instant)
        town.arrived(
            message(letter, "A1", of: town),
            from: letter.sender ?? "",
            to: letter.recipients,
            taken(town)
        )
        town.judge()
        #expect(town.ledger.violations.isEmpty, "\(town.ledger.violations)")
    }

    @Test func `mail that did not come as its client does is found`() throws {
        let town = try town()
        let letter = try letter(town)
        let bytes = message(letter, "A1", of: town)
        town.ledger.protocolWords[letter.key] = "ESMTPSB"
        town.ledger.acknowledge("A1", letter, letter.recipients, at: town.world.instant)
        town.arrived(bytes, from: letter.sender ?? "", to: letter.recipients, taken(town))
        #expect(town.ledger.violations.contains { $0.contains("did not come with ESMTPSB") })
    }

    @Test func `mail by another route's name, or that nobody let go, is found`() throws {
        let seed = try #require(
            (1...50).first { TrialPlan(seed: $0).routes.hasStream }
        )
        let town = try Town(TrialPlan(seed: seed))
        let letter = try #require(town.plan.letters.first { $0.isBulk })
        let transaction = { (helo: String) in
            HostTransaction(host: "mx0.test", takenAt: town.world.instant, boot: 1, helo: helo)
        }
        town.checkRoutes(letter, "A1", ["ok0.k1@x.test"], transaction("bulk.test"))
        #expect(town.ledger.violations == [])
        town.checkRoutes(letter, "A1", ["ok0.k1@x.test"], transaction("relay.test"))
        #expect(town.ledger.violations.count == 1)
        let parked = try Town(
            TrialPlan(
                seed: try #require(
                    (1...50).first { TrialPlan(seed: $0).routes.parkedDomain != nil }
                )
            )
        )
        let own = try #require(parked.plan.letters.first { !$0.isBulk })
        let recipient = "ok1.k1@\(parked.plan.routes.parkedDomain ?? "")"
        parked.ledger.releaseAsked = ["A2"]
        parked.checkRoutes(own, "A2", [recipient], transaction("relay.test"))
        #expect(parked.ledger.violations == [])
        parked.checkRoutes(own, "A1", [recipient], transaction("relay.test"))
        #expect(parked.ledger.violations.count == 1)
    }

    @Test func `mail in the clear is found where policy asks for TLS`() throws {
        let seed = try #require(
            (1...50).first { TrialPlan(seed: $0).domains.contains { $0.needsTLS } }
        )
        let town = try Town(TrialPlan(seed: seed))
        let letter = try #require(
            town.plan.letters.first { letter in
                letter.wishes.isPlain && letter.recipients.contains { town.plan.mustBeSecure($0) }
            }
        )
        let bytes = message(letter, "A1", of: town)
        town.ledger.acknowledge("A1", letter, letter.recipients, at: town.world.instant)
        town.arrived(bytes, from: letter.sender ?? "", to: letter.recipients, taken(town))
        #expect(town.ledger.violations.contains { $0.contains("in the clear") })
    }

    @Test func `mail at another domain's host is found, at its own it is good`() throws {
        for isOwn in [true, false] {
            let town = try town()
            town.publishNames()
            let letter = try letter(town)
            let recipient = try #require(letter.recipients.first { $0.hasPrefix("ok") })
            let own = town.plan.domains.first { recipient.hasSuffix("@" + $0.name) }?.hosts ?? []
            let host = try #require((0..<town.plan.hostCount).first { own.contains($0) == isOwn })
            let transaction = HostTransaction(
                host: "mx\(host).test",
                takenAt: town.world.instant,
                boot: 1,
                isSecure: true
            )
            town.arrived(
                message(letter, "A1", of: town),
                from: letter.sender ?? "",
                to: [recipient],
                transaction
            )
            let isFound = town.ledger.violations.contains { $0.contains("which is not its host") }
            #expect(isFound != isOwn, "\(town.ledger.violations)")
        }
    }

    @Test func `a site that gets more than its rate is found`() {
        let site = PacedSite(domains: ["d0.test"], connectionsMax: 1, perMinute: 6, burst: 2)
        var arrivals = PacedArrivals()
        let start = Instant(nanoseconds: 0)
        for second in 0..<600 where second.isMultiple(of: 10) {
            let isTooMany = arrivals.isTooMany(
                with: 1,
                at: start + .seconds(second),
                perMinute: site.perMinute,
                burst: site.burst
            )
            #expect(!isTooMany)
        }
        let found = (0..<60).contains { second in
            arrivals.isTooMany(
                with: 1,
                at: start + .seconds(600 + second),
                perMinute: site.perMinute,
                burst: site.burst
            )
        }
        #expect(found)
    }

    @Test func `a stream that gets more than its rate is found, one that was held up is not`() {
        var arrivals = StreamArrivals()
        let start = Instant(nanoseconds: 0)
        arrivals.started(1, at: start)
        func isTooMany(at second: Int, boot: Int = 1) -> Bool {
            arrivals.isTooMany(with: boot, at: start + .seconds(second), perMinute: 2, burst: 1)
        }
        // All that came in ten minutes, at once.
        for _ in 0..<20 { #expect(!isTooMany(at: 600)) }
        #expect((0..<30).contains { _ in isTooMany(at: 600) })
        // A start has its burst, and no more.
        arrivals.started(2, at: start + .seconds(600))
        for _ in 0..<3 { #expect(!isTooMany(at: 601, boot: 2)) }
        #expect((0..<6).contains { _ in isTooMany(at: 602, boot: 2) })
        #expect(isTooMany(at: 603, boot: 3))
    }

    @Test func `what is nowhere is found`() throws {
        let town = try town()
        let letter = try letter(town)
        town.ledger.acknowledge("A1", letter, letter.recipients, at: town.world.instant)
        town.judge()
        #expect(town.ledger.violations.count == letter.recipients.count)
    }

    @Test func `a second delivery that nothing excuses is found`() throws {
        let town = try town()
        let letter = try letter(town)
        let recipient = try #require(letter.recipients.first)
        town.ledger.acknowledge("A1", letter, [recipient], at: town.world.instant)
        for _ in 0..<2 {
            let transaction = taken(town)
            transaction.settledAt = town.world.instant
            town.arrived(
                message(letter, "A1", of: town),
                from: letter.sender ?? "",
                to: [recipient],
                transaction
            )
        }
        town.judge()
        #expect(town.ledger.violations.contains { $0.contains("delivered 2 times") })
    }

    @Test func `a lost reply excuses one more delivery, not two`() throws {
        for (copies, isGood) in [(2, true), (3, false)] {
            let town = try town()
            let letter = try letter(town)
            let recipient = try #require(letter.recipients.first)
            town.ledger.acknowledge("A1", letter, [recipient], at: town.world.instant)
            for copy in 0..<copies {
                let transaction = taken(town)
                if copy > 0 { transaction.settledAt = town.world.instant }
                town.arrived(
                    message(letter, "A1", of: town),
                    from: letter.sender ?? "",
                    to: [recipient],
                    transaction
                )
            }
            town.judge()
            #expect(town.ledger.violations.isEmpty == isGood, "\(town.ledger.violations)")
        }
    }

    @Test func `a changed byte, a lost field and a kept Bcc are found`() throws {
        let changes: [(inout [UInt8], Letter) -> Void] = [
            { message, _ in message[message.count - 3] ^= 1 },
            { message, _ in message.removeLast() },
            { message, _ in message.insert(0x2e, at: message.count - 100) },
            { message, _ in
                let text = String(decoding: message, as: UTF8.self)
                message = Array(text.replacing("Subject:", with: "X-Subject-Was:").utf8)
            },
            { message, _ in
                message.insert(contentsOf: Array("Bcc: <hidden@secret.test>,\r\n".utf8), at: 0)
            },
        ]
        for change in changes {
            let town = try town()
            let letter = try letter(town)
            var bytes = message(letter, "A1", of: town)
            change(&bytes, letter)
            town.arrived(bytes, from: letter.sender ?? "", to: letter.recipients, taken(town))
            #expect(!town.ledger.violations.isEmpty)
        }
    }

    @Test func `mail after its removal, and while it is held, is found`() throws {
        for isHeld in [false, true] {
            let town = try town()
            let letter = try letter(town)
            let recipient = try #require(letter.recipients.first)
            if isHeld {
                town.ledger.heldSince["A1"] = Instant(nanoseconds: 0)
            } else {
                town.ledger.removed[Place(id: "A1", recipient: recipient)] = town.world.instant
            }
            town.arrived(
                message(letter, "A1", of: town),
                from: letter.sender ?? "",
                to: [recipient],
                taken(town)
            )
            #expect(town.ledger.violations.count == 1)
        }
    }

    @Test func `what an image lost, or kept too long, is found`() throws {
        let town = try town()
        let letter = try letter(town)
        town.ledger.acknowledge("A1", letter, letter.recipients, at: town.world.instant)
        town.checkImage(SimDiskImage(), lostSince: nil)
        #expect(town.ledger.violations.count == letter.recipients.count)
        #expect(town.ledger.violations.allSatisfy { $0.contains("nowhere after the crash") })
    }

    @Test func `a message of an image that can't be read is found`() throws {
        for isRotten in [false, true] {
            let town = try town()
            let image = try imageOfLargeMessage()
            let path = "large/" + QueueID(number: 7).text
            if isRotten { image.flip(path, at: 9000) }
            town.checkImage(image, lostSince: nil)
            #expect(town.ledger.violations.isEmpty != isRotten, "\(town.ledger.violations)")
        }
    }

    /// A disk that has one message, its body in a file of its own.
    private func imageOfLargeMessage() throws -> SimDiskImage {
        let world = SimWorld(seed: 1)
        let disk = SimDisk(world: world)
        var settings = SpoolSettings()
        settings.segmentBytes = 65_536
        settings.freeBytesMin = 0
        let fixed = settings
        try world.run {
            let spool = try await Spool.open(
                disk: disk,
                owner: world.loops[0],
                settings: fixed,
                events: Recovery.Deaf()
            ).spool
            let envelope = Envelope(
                sender: .null,
                recipients: [try #require(Address("b@example.net"))],
                client: ClientFacts(endpoint: Endpoint(.v4(0x7f00_0001), 4321), helo: "client"),
                arrived: SimWorld.firstWallTime
            )
            let body = Bytes([UInt8](repeating: 0x61, count: 100_000))
            try await spool.accept(
                NewMessage(
                    id: QueueID(number: 7),
                    envelope: envelope,
                    content: Content(
                        header: Bytes("Subject: large\r\n\r\n"),
                        body: .memory(body),
                        facts: MessageFacts()
                    )
                )
            )
            await spool.close()
        }
        return disk.die(.kill)
    }

    @Test func `an index that knows more or less than the log is found`() throws {
        let message = QueuedMessage(
            id: QueueID(number: 7),
            sender: .null,
            recipients: [],
            byteCount: 1,
            arrived: SimWorld.firstWallTime
        )
        for (index, isGood) in [([], true), ([message], false)] {
            let town = try town()
            town.checkIndex(index, SimDiskImage(), "now")
            #expect(town.ledger.violations.isEmpty == isGood)
        }
    }

    @Test func `a site that has ready mail and no connection for minutes is found`() throws {
        func row(_ site: String, ready: Int, connections: Int, _ state: String = "open") -> SiteRow
        {
            SiteRow(
                site: site,
                state: state,
                connections: connections,
                ready: ready,
                now: SimWorld.firstWallTime
            )
        }
        let cases: [(rows: [SiteRow], isPaused: Bool, isGood: Bool)] = [
            ([row("a", ready: 1, connections: 0)], false, false),
            ([row("a", ready: 1, connections: 0)], true, true),
            ([row("a", ready: 1, connections: 1)], false, true),
            ([row("a", ready: 0, connections: 0)], false, true),
            ([row("a", ready: 1, connections: 0, "backing-off")], false, true),
        ]
        for (rows, isPaused, isGood) in cases {
            let town = try town()
            for _ in 0..<5 {
                town.judge(rows, isPaused: isPaused)
                town.world.run(for: .seconds(120))
            }
            #expect(town.ledger.violations.isEmpty == isGood, "\(town.ledger.violations)")
        }
        let town = try town()
        town.judge([row("a", ready: 0, connections: town.plan.poolMax + 1)], isPaused: false)
        #expect(town.ledger.violations.count == 1)
    }

    /// All connections in use, a site waits for its turn; hours later it should have had it.
    @Test func `a site that never gets its turn is found`() throws {
        let town = try town()
        let now = SimWorld.firstWallTime
        let rows = [
            SiteRow(site: "a", state: "open", ready: 1, now: now),
            SiteRow(site: "b", state: "open", connections: town.plan.poolMax, ready: 9, now: now),
        ]
        town.judge(rows, isPaused: false)
        town.world.run(for: .seconds(2 * 3600))
        town.judge(rows, isPaused: false)
        #expect(town.ledger.violations.isEmpty)
        town.world.run(for: .seconds(2 * 3600))
        town.judge(rows, isPaused: false)
        #expect(town.ledger.violations.count == 1)
    }
}
