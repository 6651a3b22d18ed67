import EkidenMail
import EkidenResolver
import EkidenRuntime
import TestKit
import Testing

private func at(_ seconds: Int64) -> Instant { Instant(nanoseconds: seconds * 1_000_000_000) }

private func question(_ number: Int) -> NameQuestion {
    NameQuestion(name: "n\(number).test", type: RecordType.mx)
}

@Suite struct CacheTableTests {
    @Test func `findings hold until they expire, by name and type`() {
        var table = CacheTable(capacity: 4)
        let finding = Finding(.noData, validUntil: at(10))
        table.insert(finding, for: question(1), at: at(0))
        #expect(table.find(question(1), at: at(9)) == finding)
        #expect(table.find(question(1), at: at(10)) == nil)
        #expect(table.find(NameQuestion(name: "n1.test", type: RecordType.a), at: at(0)) == nil)
        let later = Finding(.noName, validUntil: at(30))
        table.insert(later, for: question(1), at: at(10))
        #expect(table.find(question(1), at: at(20)) == later)
        #expect(table.count == 1)
    }

    @Test func `a full table keeps what is used and drops what is not`() {
        var table = CacheTable(capacity: 3)
        let finding = Finding(.noData, validUntil: at(1000))
        for i in 0..<3 { table.insert(finding, for: question(i), at: at(0)) }
        _ = table.find(question(0), at: at(1))
        _ = table.find(question(2), at: at(1))
        table.insert(finding, for: question(3), at: at(2))
        #expect(table.count == 3)
        #expect(table.evictions == 1)
        #expect(table.find(question(1), at: at(2)) == nil)
        for i in [0, 2, 3] { #expect(table.find(question(i), at: at(2)) != nil) }
    }

    @Test func `the expired go first, and do not count as evictions`() {
        var table = CacheTable(capacity: 2)
        table.insert(Finding(.noData, validUntil: at(5)), for: question(0), at: at(0))
        table.insert(Finding(.noData, validUntil: at(500)), for: question(1), at: at(0))
        _ = table.find(question(0), at: at(1))
        _ = table.find(question(1), at: at(1))
        table.insert(Finding(.noData, validUntil: at(500)), for: question(2), at: at(6))
        #expect(table.evictions == 0)
        #expect(table.find(question(1), at: at(6)) != nil)
        #expect(table.find(question(2), at: at(6)) != nil)
    }

    @Test func `any order of calls keeps the bound and finds what was put in last`() {
        var random = TestRandom(seed: 5)
        var table = CacheTable(capacity: 16)
        for i in 0..<5_000 {
            let number = random.below(64)
            let now = at(Int64(i))
            let finding = Finding(.noData, validUntil: at(Int64(i + 1 + random.below(50))))
            if random.below(2) == 0 {
                table.insert(finding, for: question(number), at: now)
                #expect(table.find(question(number), at: now) == finding)
            } else {
                _ = table.find(question(number), at: now)
            }
            #expect(table.count <= 16)
            if random.below(1000) == 0 { table.removeAll() }
        }
    }
}

@Suite struct LifetimePolicyTests {
    @Test func `times to live are kept within bounds`() {
        let policy = LifetimePolicy(
            ttlSeconds: 10...1000,
            negativeTTLSecondsMax: 100,
            failureTTL: .seconds(3)
        )
        let records = Lookup.records([.alias("a")])
        let failed = Lookup.failed(LookupFailure(.nameServerTimeout, ""))
        let table: [(Lookup, UInt32?, Duration)] = [
            (records, 0, .seconds(10)), (records, 50, .seconds(50)),
            (records, .max, .seconds(1000)), (records, nil, .seconds(10)),
            (.noData, 50, .seconds(50)), (.noName, 5000, .seconds(100)),
            (.noName, nil, .seconds(10)), (.noData, 0, .seconds(10)),
            (failed, nil, .seconds(3)), (failed, 999, .seconds(3)),
        ]
        for (lookup, stated, expected) in table {
            #expect(policy.lifetime(of: lookup, stated: stated) == expected)
        }
    }
}
