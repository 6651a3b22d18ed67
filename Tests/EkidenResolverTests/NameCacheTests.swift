import EkidenMail
import EkidenResolver
import EkidenRuntime
import Testing

private let mxOfA = NameQuestion(name: "a.test", type: RecordType.mx)

private struct Setting {
    let world: TestWorld
    let names = ScriptedNames()
    let cache: NameCache
    let policy = LifetimePolicy(
        ttlSeconds: 10...1000,
        negativeTTLSecondsMax: 100,
        failureTTL: .seconds(3)
    )

    init(loops: Int = 1) {
        world = TestWorld(loops: loops)
        cache = NameCache(transport: names, capacity: 8)
        names.set("a.test", RecordType.mx, .records([.exchange(preference: 1, name: "m.test")]))
    }

    func spawn(on index: Int = 0, within time: Duration = .seconds(60)) -> Box<Finding> {
        let box = Box<Finding>()
        let loop = world.loops[index]
        let (cache, policy) = (cache, policy)
        loop.spawn {
            let promise = cache.begin(mxOfA, policy: policy, timeout: .seconds(20), on: loop)
            box.set(await cache.settle(promise, on: loop, until: loop.now() + time))
        }
        return box
    }

    func ask() -> Lookup? {
        let box = spawn()
        world.settle()
        return box.value?.lookup
    }
}

private let found = Lookup.records([.exchange(preference: 1, name: "m.test")])

@Suite struct NameCacheTests {
    @Test func `an answer is asked for once and again when its time is over`() {
        let setting = Setting()
        #expect(setting.ask() == found)
        setting.world.pass(.seconds(299))
        #expect(setting.ask() == found)
        #expect(setting.names.asked.count == 1)
        setting.world.pass(.seconds(2))
        #expect(setting.ask() == found)
        #expect(setting.names.asked.count == 2)
        let statistics = setting.cache.statistics
        #expect(statistics.hits == 1)
        #expect(statistics.asked == 2)
        #expect(statistics.entries == 1)
        #expect(statistics.underWay == 0)
    }

    @Test func `failures and absences are remembered for their own times`() {
        let table: [(ScriptedNames.Answer, Duration)] = [
            (.code(2), .seconds(3)), (.silence, .seconds(3)),
            (.negative(exists: false, ttl: 50), .seconds(50)),
            (.negative(exists: true, ttl: 5000), .seconds(100)),
            (.records([.exchange(preference: 1, name: "m.test")], ttl: 0), .seconds(10)),
        ]
        for (answer, lifetime) in table {
            let setting = Setting()
            setting.names.set("a.test", RecordType.mx, answer)
            let first = setting.ask()
            setting.world.pass(lifetime - .seconds(1))
            #expect(setting.ask() == first)
            #expect(setting.names.asked.count == 1)
            setting.world.pass(.seconds(1))
            #expect(setting.ask() == first)
            #expect(setting.names.asked.count == 2)
        }
    }

    @Test func `many askers on all loops share one question`() {
        let setting = Setting(loops: 3)
        let boxes = (0..<30).map { setting.spawn(on: $0 % 3) }
        setting.world.settle()
        #expect(boxes.allSatisfy { $0.value?.lookup == found })
        #expect(setting.names.asked == [mxOfA])
        #expect(setting.cache.statistics.joined == 29)
    }

    @Test func `an asker in a hurry leaves, and the question goes on for the others`() {
        let setting = Setting(loops: 2)
        let hasty = setting.spawn(on: 0, within: .milliseconds(5))
        let patient = setting.spawn(on: 1)
        setting.world.settle()
        guard case .failed(let failure)? = hasty.value?.lookup else {
            Issue.record("an answer before its time")
            return
        }
        #expect(failure.reason == .nameServerTimeout)
        #expect(patient.value?.lookup == found)
        #expect(setting.names.asked.count == 1)
        #expect(setting.ask() == found)
        #expect(setting.names.asked.count == 1)
    }

    @Test func `a flush forgets, and answers of before are not kept after it`() {
        let setting = Setting()
        #expect(setting.ask() == found)
        setting.cache.flush()
        #expect(setting.cache.statistics.entries == 0)
        // Flushed while the question is under way: its asker is answered, nothing is kept.
        let cache = setting.cache
        let early = setting.spawn()
        let loop = setting.world.loop
        loop.spawn {
            await loop.sleep(for: .milliseconds(5))
            cache.flush()
        }
        setting.world.settle()
        #expect(early.value?.lookup == found)
        #expect(setting.cache.statistics.entries == 0)
        #expect(setting.ask() == found)
        #expect(setting.names.asked.count == 3)
    }

    @Test func `a stop ends the waiting at once, and all waiting to come`() {
        let setting = Setting(loops: 2)
        setting.names.set("a.test", RecordType.mx, .silence)
        let waiting = [setting.spawn(on: 0), setting.spawn(on: 1)]
        let cache = setting.cache
        let (loop, began) = (setting.world.loop, setting.world.time)
        let ended = Box<Instant>()
        loop.spawn {
            await loop.sleep(for: .milliseconds(100))
            cache.stop(at: loop.now())
            await loop.sleep(for: .milliseconds(1))
            ended.set(loop.now())
        }
        setting.world.settle()
        #expect(ended.value == began + .milliseconds(101))
        for box in waiting + [setting.spawn()] {
            setting.world.settle()
            guard case .failed(let failure)? = box.value?.lookup else {
                Issue.record("no failure")
                continue
            }
            #expect(failure.reason == .stopping)
        }
    }

    @Test func `aliases that lead on are asked for within the one question`() {
        let setting = Setting()
        var packet = PacketWriter(asking: mxOfA)
        packet.add("a.test", .alias("b.test"), ttl: 20)
        setting.names.set("a.test", RecordType.mx, .packet(packet.bytes))
        setting.names.set(
            "b.test",
            RecordType.mx,
            .records([.exchange(preference: 1, name: "m.test")])
        )
        #expect(setting.ask() == found)
        #expect(setting.names.asked.map(\.name) == ["a.test", "b.test"])
        setting.world.pass(.seconds(19))
        #expect(setting.ask() == found)
        #expect(setting.names.asked.count == 2)
    }
}
