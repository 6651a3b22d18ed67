import EkidenMail
import EkidenRuntime
import EkidenSimulator
import Testing

@testable import EkidenSpool

@Suite struct DiskTroubleTests {
    @Test func `A failed sync refuses at once, keeps marks waiting, and heals by itself`() throws {
        let test = TestWorld()
        let recorded = Shared(false)
        let id = try test.world.run {
            let spool = try await test.open()
            let id = try await deliverOneOfTwo(spool, then: test.disk)
            let refused = spool.nextID()
            await #expect(throws: SpoolRefusal.self) { try await spool.accept(message(refused)) }
            #expect(throws: SpoolRefusal.self) { try spool.admit(byteCount: 10) }
            #expect(!spool.statistics.isHealthy)
            test.world.loops[0].spawn { @Sendable in
                _ = await spool.record(MarkGroup(id: id, marks: [mark(1, .pending, attempts: 3)]))
                recorded.change { $0 = true }
            }
            await test.world.loops[0].sleep(for: .seconds(5))
            #expect(!recorded.value, "nothing is sent whose outcome can't be recorded")
            test.disk.broken = [:]
            await test.world.loops[0].sleep(for: .seconds(5))
            #expect(recorded.value)
            #expect(spool.statistics.isHealthy)
            try spool.admit(byteCount: 10)
            try await spool.accept(message(spool.nextID()))
            #expect(spool.messageCount == 2)
            return id
        }
        #expect(test.events.notices.contains { $0.contains("can't be recorded") })
        #expect(test.events.notices.contains { $0.contains("well again") })
        test.world.halt()
        for seed in 0..<20 as Range<UInt64> {
            let image = test.disk.image.afterPowerLoss(SimRandom(seed: seed))
            let second = TestWorld(image: image)
            try second.world.run {
                let (spool, report) = try await second.openWithReport()
                #expect(report.damagedPlaces == 0)
                #expect(spool.messageCount == 2, "the refused one stays refused")
                #expect(spool.message(id)?.recipients.map(\.state) == [.delivered, .pending])
                #expect(spool.message(id)?.recipients[1].attempts == 3)
            }
        }
    }

    /// Whatever fails while a segment is made: a file nobody knows would stay until the next start.
    @Test func `No file of the log is forgotten when making a segment fails`() throws {
        for failing in 1...14 {
            let test = TestWorld()
            try test.world.run {
                let spool = try await test.open()
                let supply = spool.log.supply
                await supply.settle()
                test.disk.failures[test.disk.operationCount + failing] = .inputOutput
                let taken = try await supply.take(usingReserve: false)
                await supply.settle()
                supply.refill()
                await supply.settle()
                let known = spool.log.segments.count + supply.fileCount + 1
                let files = test.disk.image.files.filter { file in
                    file.path.hasPrefix("log/") && !file.path.hasSuffix("footer")
                }
                #expect(files.count == known, "\(failing): \(files), taken \(taken.number)")
                #expect(supply.next != nil)
            }
        }
    }

    @Test func `A stop on a bad disk names the deliveries whose outcome it did not keep`() throws {
        let test = TestWorld()
        let id = try test.world.run {
            let spool = try await test.open()
            let id = try await deliverOneOfTwo(spool, then: test.disk)
            await test.world.loops[0].sleep(for: .seconds(1))
            await spool.close()
            return id
        }
        let told = test.events.notices.filter { $0.contains("may be made twice") }
        #expect(told.count == 1 && told.allSatisfy { $0.contains("1 delivery") }, "\(told)")
        let second = TestWorld(image: test.disk.image.afterPowerLoss(SimRandom(seed: 1), .nothing))
        try second.world.run {
            let spool = try await second.open()
            #expect(spool.message(id)?.recipients.map(\.state) == [.pending, .pending])
            await spool.close()
        }
    }

    @Test func `Every single failing operation is survived`() throws {
        for n in 40..<140 {
            let test = TestWorld(seed: UInt64(n)) { $0.segmentBytes = 16_384 }
            test.disk.failures[n] = n % 3 == 0 ? .noSpace : .inputOutput
            let accepted = Shared<[QueueID]>([])
            let gone = Shared<[QueueID]>([])
            do {
                try test.world.run {
                    let spool = try await test.open()
                    for _ in 0..<25 {
                        let id = spool.nextID()
                        do throws(SpoolRefusal) {
                            try await spool.accept(
                                message(id, body: [UInt8](repeating: 65, count: 1500))
                            )
                        } catch {
                            await test.world.loops[0].sleep(for: .seconds(1))
                            continue
                        }
                        accepted.change { $0.append(id) }
                        if accepted.value.count % 2 == 0 {
                            _ = await spool.record(MarkGroup(id: id, marks: [mark(0, .delivered)]))
                            gone.change { $0.append(id) }
                        }
                    }
                    await test.world.loops[0].sleep(for: .seconds(10))
                    #expect(spool.statistics.isHealthy, "at \(n)")
                    await spool.close()
                }
            } catch is SpoolOpenFailure { #expect(accepted.value.isEmpty) }
            let image = test.disk.image.afterPowerLoss(SimRandom(seed: UInt64(n)))
            let second = TestWorld(image: image) { $0.segmentBytes = 16_384 }
            try second.world.run {
                let spool = try await second.open()
                let kept = accepted.value.filter { !gone.value.contains($0) }
                #expect(spool.messages(after: nil, limit: 100).map(\.id) == kept, "at \(n)")
            }
            test.world.discard()
            second.world.discard()
        }
    }

    @Test func `A full disk refuses mail and drains`() throws {
        let test = TestWorld { $0.segmentBytes = 32_768 }
        try test.world.run {
            let spool = try await test.open()
            await spool.log.supply.settle()
            test.disk.capacityBytes = 6 * 32_768
            var ids: [QueueID] = []
            var refusal: SpoolRefusal?
            while refusal == nil, ids.count < 500 {
                let id = spool.nextID()
                do throws(SpoolRefusal) {
                    try spool.admit(byteCount: 2000)
                    try await spool.accept(message(id, body: [UInt8](repeating: 66, count: 2000)))
                    ids.append(id)
                } catch { refusal = error }
            }
            #expect(refusal?.kind == .full)
            #expect(ids.count > 20)
            await test.world.loops[0].sleep(for: .seconds(3))
            #expect(throws: SpoolRefusal.self) { try spool.admit(byteCount: 2000) }
            // Marks, operators and bounces still work.
            try await spool.hold(ids[0], uid: 0)
            try await spool.release(ids[0], uid: 0)
            for (number, id) in ids.enumerated() {
                let bounce = message(spool.nextID(), to: ["a@example.org"], from: nil)
                let group = MarkGroup(
                    id: id,
                    marks: [mark(0, number % 5 == 0 ? .failed : .delivered)],
                    caused: number % 5 == 0 ? [bounce] : []
                )
                #expect(await spool.record(group) == .recorded)
            }
            for queued in spool.messages(after: nil, limit: .max) {
                _ = await spool.record(MarkGroup(id: queued.id, marks: [mark(0, .delivered)]))
            }
            #expect(spool.messageCount == 0)
            await test.world.loops[0].sleep(for: .seconds(5))
            try spool.admit(byteCount: 2000)
            try await spool.accept(message(spool.nextID()))
            await spool.close()
        }
    }

    @Test func `A large body that is refused leaves neither file nor descriptor behind`() throws {
        let test = TestWorld { $0.largeMessageBytes = 10_000 }
        let body = Bytes([UInt8](repeating: 67, count: 300_000))
        try test.world.run {
            let spool = try await test.open()
            await spool.log.supply.settle()
            let openBefore = test.disk.openCount
            // Its own sync fails.
            test.disk.broken[.syncDirectory] = .inputOutput
            var intake = spool.makeBody(for: spool.nextID())
            try await intake.append(body)
            await #expect(throws: SpoolRefusal.self) { _ = try await intake.finish() }
            #expect(test.disk.openCount == openBefore)
            #expect(test.disk.largeFiles.isEmpty)
            test.disk.broken = [:]
            // It is whole, and the sync of its record fails: the record may be there after a crash,
            // so the file stays until a preamble has cut the record off.
            for kind in [DiskFailure.Kind.inputOutput, .noSpace] {
                let id = spool.nextID()
                intake = spool.makeBody(for: id)
                try await intake.append(body)
                let whole = try await message(id).with(intake)
                test.disk.broken[.sync] = kind
                test.disk.broken[.write] = kind
                await #expect(throws: SpoolRefusal.self) { try await spool.accept(whole) }
                // Refused before anything is written.
                await #expect(throws: SpoolRefusal.self) { try await spool.accept(whole) }
                #expect(test.disk.largeFiles.count == 1)
                test.disk.broken = [:]
                await test.world.loops[0].sleep(for: .seconds(10))
                #expect(test.disk.largeFiles.isEmpty)
            }
            await spool.close()
            #expect(test.disk.openCount == 0)
        }
    }

    @Test func `A directory that can't be synced costs the log none of its files`() throws {
        let test = TestWorld { $0.segmentBytes = 16_384 }
        try test.world.run {
            let spool = try await test.open()
            await spool.log.supply.settle()
            for round in 0..<20 {
                test.disk.broken[round % 3 == 0 ? .rename : .syncDirectory] = .inputOutput
                for _ in 0..<12 {
                    let id = spool.nextID()
                    do throws(SpoolRefusal) {
                        try await spool.accept(
                            message(id, body: [UInt8](repeating: 65, count: 1500))
                        )
                    } catch { continue }
                    await test.world.loops[0].sleep(for: .milliseconds(300))
                    test.world.loops[0].spawn { @Sendable in
                        _ = await spool.record(MarkGroup(id: id, marks: [mark(0, .delivered)]))
                    }
                }
                test.disk.broken = [:]
                await test.world.loops[0].sleep(for: .seconds(10))
            }
            #expect(spool.statistics.isHealthy)
            try spool.admit(byteCount: 10)
            let onDisk = test.disk.image.files.filter {
                $0.path.hasPrefix("log/") && !$0.path.hasSuffix(".footer")
            }
            #expect(
                onDisk.count * 16_384 == spool.statistics.logBytes,
                "all that is there is known: \(onDisk.map(\.path))"
            )
            #expect(onDisk.count <= 6)
            await spool.close()
        }
    }

    @Test func `The guards answer before anything is written`() throws {
        let test = TestWorld {
            $0.messagesMax = 2
            $0.queuedBytesMax = 5000
            $0.freeInodesMin = 10
        }
        try test.world.run {
            let spool = try await test.open()
            #expect(throws: SpoolRefusal.self) { try spool.admit(byteCount: 5001) }
            try spool.admit(byteCount: 4000)
            try await spool.accept(message(spool.nextID()))
            try await spool.accept(message(spool.nextID()))
            #expect(throws: SpoolRefusal.self) { try spool.admit(byteCount: 10) }
            let id = try #require(spool.messages(after: nil, limit: 1).first?.id)
            _ = await spool.record(MarkGroup(id: id, marks: [mark(0, .delivered)]))
            try spool.admit(byteCount: 10)
            test.disk.freeInodes = 5
            await test.world.loops[0].sleep(for: .seconds(2))
            #expect(throws: SpoolRefusal.self) { try spool.admit(byteCount: 10) }
            // The operator hears of it, once, and reads it in the status.
            #expect(spool.statistics.refusal?.contains("inodes") == true)
            #expect(test.events.notices.filter { $0.contains("5 inodes are free") }.count == 1)
            test.disk.freeInodes = 1000
            await test.world.loops[0].sleep(for: .seconds(2))
            #expect(spool.statistics.refusal == nil)
            #expect(test.events.notices.last == "there is room for new mail again")
            await spool.close()
            #expect(throws: SpoolRefusal.self) { try spool.admit(byteCount: 10) }
            #expect(
                await spool.record(MarkGroup(id: id, marks: [mark(0, .delivered)])) == .abandoned
            )
        }
    }
}

extension SimDisk {
    fileprivate var largeFiles: [String] {
        image.files.map(\.path).filter { $0.hasPrefix("large/") }
    }
}

/// A message with a delivery marked, which the kernel has and the disk has not: its sync fails.
private func deliverOneOfTwo(_ spool: Spool, then disk: SimDisk) async throws -> QueueID {
    await spool.log.supply.settle()
    let id = spool.nextID()
    try await spool.accept(message(id, to: ["b@example.net", "c@example.net"]))
    _ = await spool.record(MarkGroup(id: id, marks: [mark(0, .delivered)]))
    disk.broken[.sync] = .inputOutput
    return id
}
