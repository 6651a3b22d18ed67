import EkidenMail
import EkidenRuntime
import EkidenSimulator
import Testing

@testable import EkidenSpool

@Suite struct RecoveryTests {
    @Test func `Each condition of a place has the verdict of the first row that matches`() {
        var decided = Set<Int>()
        for standing in PlaceCondition.Standing.allCases {
            for head in PlaceCondition.Head.allCases {
                for extents in PlaceCondition.Extents.allCases {
                    for following in PlaceCondition.Following.allCases {
                        let condition = PlaceCondition(
                            standing: standing,
                            head: head,
                            extents: extents,
                            following: following
                        )
                        let row = RecoveryTable.places.firstIndex { $0.matches(condition) }
                        decided.insert(row ?? -1)
                        let verdict = RecoveryTable.verdict(condition)
                        // Said again, in other words than the table's.
                        if standing == .beyondCut {
                            #expect(verdict == .end)
                        } else if head == .intact, extents == .intact {
                            #expect(verdict == .apply)
                        } else if head == .intact {
                            #expect(verdict == (standing == .vouched ? .hold : .cut))
                        } else if head == .newerVersion, following == .nothing {
                            #expect(verdict == .refuse)
                        } else if standing == .vouched {
                            #expect(verdict == .skip)
                        } else {
                            #expect(verdict == (following == .frame ? .cut : .end))
                        }
                    }
                }
            }
        }
        #expect(decided == Set(RecoveryTable.places.indices), "a row that decides nothing")
    }

    @Test func `Segments and large files too`() {
        var rows = Set<Int>()
        for footer in SegmentCondition.FooterState.allCases {
            for hasFrames in [false, true] {
                for isNamed in [false, true] {
                    let c = SegmentCondition(footer: footer, hasFrames: hasFrames, isNamed: isNamed)
                    rows.insert(RecoveryTable.segments.firstIndex { $0.matches(c) } ?? -1)
                    let expected: SegmentVerdict =
                        footer == .intact
                        ? .readFooter
                        : hasFrames ? .scan : isNamed || footer == .damaged ? .lost : .spare
                    #expect(RecoveryTable.verdict(c) == expected)
                }
            }
        }
        #expect(rows == Set(RecoveryTable.segments.indices))
        rows = []
        for file in LargeCondition.File.allCases {
            for isNamed in [false, true] {
                for damaged in [false, true] {
                    let c = LargeCondition(file: file, isNamed: isNamed, logIsDamaged: damaged)
                    rows.insert(RecoveryTable.largeFiles.firstIndex { $0.matches(c) } ?? -1)
                    let expected: LargeVerdict =
                        isNamed
                        ? (file == .whole ? .keep : .hold)
                        : file == .missing ? .nothing : damaged ? .leave : .remove
                    #expect(RecoveryTable.verdict(c) == expected)
                }
            }
        }
        #expect(rows == Set(RecoveryTable.largeFiles.indices))
    }

    /// Three messages, each synced by itself, and then the process dies.
    static func threeMessages(
        _ change: (inout SpoolSettings) -> Void = { _ in }
    ) throws -> (test: TestWorld, ids: [QueueID], places: [(place: LogPlace, frameBytes: UInt32)]) {
        let test = TestWorld(change)
        let (ids, places) = try test.world.run {
            let spool = try await test.open()
            var ids: [QueueID] = []
            for number in 0..<3 {
                let id = spool.nextID()
                ids.append(id)
                let body = [UInt8](repeating: UInt8(65 + number), count: 1000)
                try await spool.accept(message(id, body: body))
            }
            let places = ids.compactMap { id in
                spool.log.index.location(id).map { (place: $0.place, frameBytes: $0.frameBytes) }
            }
            return (ids, places)
        }
        test.world.halt()
        return (test, ids, places)
    }

    @Test func `Damage under a synced body holds the message and keeps a copy`() throws {
        let (test, ids, places) = try Self.threeMessages()
        let path = SegmentName.segment(places[1].place.segment)
        test.disk.image.flip(path, at: places[1].place.offset + Int(places[1].frameBytes) - 100)
        let second = TestWorld(on: test)
        try second.world.run {
            let (spool, report) = try await second.openWithReport()
            #expect(report.damagedPlaces == 1)
            #expect(report.damagedMessages == 1)
            #expect(spool.message(ids[1])?.hold?.reason == .damaged)
            #expect(spool.message(ids[0])?.hold == nil)
            #expect(spool.messageCount == 3)
            await #expect(throws: ContentUnavailable.self) { try await spool.content(of: ids[1]) }
            await spool.close()
        }
        #expect(second.disk.image.files.contains { $0.path.hasPrefix("damaged/") })
        let third = TestWorld(on: second)
        try third.world.run {
            let spool = try await third.open()
            #expect(spool.message(ids[1])?.hold?.reason == .damaged, "the hold is durable")
            await spool.close()
        }
    }

    @Test func `Damage to a synced head skips to the next frame and says so`() throws {
        let (test, ids, places) = try Self.threeMessages()
        let path = SegmentName.segment(places[1].place.segment)
        test.disk.image.flip(path, at: places[1].place.offset + 70)
        let second = TestWorld(on: test)
        try second.world.run {
            let (spool, report) = try await second.openWithReport()
            #expect(report.damagedPlaces == 1)
            #expect(spool.messages(after: nil, limit: 9).map(\.id) == [ids[0], ids[2]])
            #expect(report.sentences.contains { $0.contains("had been synced") })
            await spool.close()
        }
    }

    @Test func `A torn tail is cut, and cut the same way the next time`() throws {
        let (test, ids, places) = try Self.threeMessages()
        let path = SegmentName.segment(places[2].place.segment)
        test.disk.image.flip(path, at: places[2].place.offset + Int(places[2].frameBytes) - 100)
        let second = TestWorld(on: test)
        let found = try second.world.run {
            let (spool, report) = try await second.openWithReport()
            #expect(report.tornTails == 1)
            #expect(report.damagedPlaces == 0)
            return spool.messages(after: nil, limit: 9)
        }
        #expect(found.map(\.id) == [ids[0], ids[1]])
        second.world.halt()
        let third = TestWorld(on: second)
        try third.world.run {
            let (spool, report) = try await third.openWithReport()
            #expect(report.sentences.isEmpty)
            #expect(spool.messages(after: nil, limit: 9) == found)
            await spool.close()
        }
    }

    @Test func `A lost footer is made anew, a damaged one too`() throws {
        let (test, ids, _) = try Self.threeMessages()
        var image = test.disk.image
        for damage in 0..<3 {
            let next = TestWorld(seed: UInt64(damage), image: image)
            try next.world.run {
                let (spool, report) = try await next.openWithReport()
                #expect(report.segmentsScanned == 1)
                #expect(spool.messages(after: nil, limit: 9).map(\.id) == ids)
                await spool.close()
            }
            image = next.disk.image
            let footer = try #require(
                image.files.first { $0.path.hasSuffix(".footer") && $0.byteCount > 400 }
            )
            if damage == 0 { image.remove(footer.path) } else { image.flip(footer.path, at: 200) }
        }
    }

    @Test func `A missing or short large file puts its message on hold`() throws {
        for isShort in [false, true] {
            let (test, ids, _) = try Self.threeMessages { $0.largeMessageBytes = 500 }
            let path = LargeName.path(ids[1].number)
            if isShort {
                test.disk.image.put(path, [1, 2, 3])
            } else {
                test.disk.image.remove(path)
            }
            test.disk.image.put("large/ZZZZ", [1])
            let second = TestWorld(on: test)
            try second.world.run {
                let (spool, report) = try await second.openWithReport()
                #expect(report.damagedMessages == 1)
                #expect(report.orphansRemoved == 1)
                #expect(spool.message(ids[1])?.hold?.reason == .damaged)
                #expect(spool.messageCount == 3)
                await spool.close()
            }
        }
    }

    @Test func `A large file whose record can't be read outlives the next starts`() throws {
        let (test, ids, places) = try Self.threeMessages { $0.largeMessageBytes = 500 }
        let path = SegmentName.segment(places[1].place.segment)
        test.disk.image.flip(path, at: places[1].place.offset + 70)
        var last = test
        for start in 1...3 {
            let next = TestWorld(on: last) { $0.largeMessageBytes = 500 }
            try next.world.run {
                let (spool, report) = try await next.openWithReport()
                #expect(spool.message(ids[1]) == nil)
                #expect(spool.messageCount == 2)
                #expect(report.orphansRemoved == 0)
                #expect(report.sentences.isEmpty == (start > 1))
                for id in [ids[0], ids[2]] {
                    _ = await spool.record(MarkGroup(id: id, marks: [mark(0, .pending)]))
                }
                await spool.close()
            }
            let files = next.disk.image.files.map(\.path)
            #expect(files.contains("damaged/\(ids[1].text)"), "after start \(start)")
            last = next
        }
    }

    @Test func `A newer format is refused, not repaired`() throws {
        let (test, _, places) = try Self.threeMessages()
        let path = SegmentName.segment(places[0].place.segment)
        var bytes = try #require(test.disk.image.bytes(of: path))
        bytes = [UInt8](repeating: 0, count: bytes.count)
        bytes.replaceSubrange(0..<5, with: [0x45, 0x4b, 0x44, 0x4e, 9])
        test.disk.image.put(path, bytes)
        let before = test.disk.image.files.map(\.path)
        let second = TestWorld(on: test)
        try second.world.run {
            await #expect(throws: SpoolOpenFailure.self) { _ = try await second.open() }
            return
        }
        #expect(second.disk.image.files.map(\.path) == before)
    }

    @Test func `Verify changes nothing and finds what is wrong; export brings all out`() throws {
        let (test, ids, places) = try Self.threeMessages()
        let image = test.disk.image
        let path = SegmentName.segment(places[1].place.segment)
        let before = image.files.map { "\($0.path) \($0.byteCount)" }
        for isDamaged in [false, true] {
            if isDamaged {
                image.flip(path, at: places[1].place.offset + Int(places[1].frameBytes) - 100)
            }
            let world = SimWorld(seed: 3)
            let disk = SimDisk(world: world, image: image)
            try world.run {
                let report = try await SpoolVerifier.verify(disk: disk)
                #expect(report.isSound == !isDamaged)
                #expect(report.messages == 3)
                let exporter = try await SpoolExporter.open(disk: disk)
                var found: [ExportedMessage] = []
                while let next = await exporter.next() { found.append(next) }
                #expect(found.map(\.id) == ids)
                #expect(found.map { $0.content != nil } == [true, !isDamaged, true])
                #expect(found[0].envelopeText.contains("to: <b@example.net> pending attempts=0"))
                let content = try #require(found[2].content)
                #expect(try await bodyBytes(content) == [UInt8](repeating: 67, count: 1000))
            }
            #expect(disk.counts[.write] == nil)
            #expect(image.files.map { "\($0.path) \($0.byteCount)" } == before)
        }
    }
}

@Suite struct UnreadableFooterTests {
    @Test func `A footer that can't be read does not keep the relay from starting`() throws {
        let first = TestWorld()
        let ids = try first.world.run {
            let spool = try await first.open()
            var ids: [QueueID] = []
            for _ in 0..<40 {
                let id = spool.nextID()
                try await spool.accept(message(id, body: [UInt8](repeating: 0x61, count: 5000)))
                ids.append(id)
            }
            await spool.close()
            return ids
        }
        let footers = first.disk.image.files.filter { $0.path.hasSuffix(".footer") }
        #expect(footers.count > 1)
        let second = TestWorld(on: first)
        // The reads of a start: the first ones are those of footers.
        second.disk.faults.inputOutputOneIn[.read] = nil
        var failing: [Int: DiskFailure.Kind] = [:]
        var operation = 0
        second.disk.noted = { line in
            operation += 1
            if line.hasPrefix("open"), line.contains(".footer"), failing.isEmpty {
                // Size, then read.
                failing[operation + 2] = .inputOutput
                second.disk.failures = failing
            }
        }
        try second.world.run {
            let spool = try await second.open()
            #expect(spool.messageCount == ids.count)
            #expect(second.disk.failureCounts[.read] == 1)
            await spool.close()
        }
    }
}
