// Answers kept until they expire, in a table of bounded size. Pure: the moment comes in as a value,
// and the order of eviction depends on nothing but the order of calls.

import EkidenMail
import EkidenRuntime

/// What a question led to, and how long that may be believed.
package struct Finding: Sendable, Equatable {
    package let lookup: Lookup
    package let validUntil: Instant

    package init(_ lookup: Lookup, validUntil: Instant) {
        self.lookup = lookup
        self.validUntil = validUntil
    }
}

/// A second-chance ("clock") cache: when full, a hand goes round, passes over entries used since
/// it last came by, and evicts the first that was not, or that has expired.
package struct CacheTable: Sendable {
    private struct Entry {
        var question: NameQuestion
        var finding: Finding
        var wasUsed: Bool
    }

    package let capacity: Int
    private var entries: [Entry] = []
    private var places: [NameQuestion: Int] = [:]
    private var hand = 0
    /// Entries pushed out by others before they expired.
    package private(set) var evictions: UInt64 = 0

    package init(capacity: Int) {
        precondition(capacity > 0)
        self.capacity = capacity
    }

    package var count: Int { entries.count }

    /// nil when unknown or expired.
    package mutating func find(_ question: NameQuestion, at now: Instant) -> Finding? {
        guard let place = places[question], now < entries[place].finding.validUntil else {
            return nil
        }
        entries[place].wasUsed = true
        return entries[place].finding
    }

    package mutating func insert(_ finding: Finding, for question: NameQuestion, at now: Instant) {
        let entry = Entry(question: question, finding: finding, wasUsed: false)
        if let place = places[question] {
            entries[place] = entry
        } else if entries.count < capacity {
            places[question] = entries.count
            entries.append(entry)
        } else {
            let place = placeToReuse(at: now)
            places[entries[place].question] = nil
            places[question] = place
            entries[place] = entry
        }
    }

    package mutating func removeAll() {
        entries = []
        places = [:]
        hand = 0
    }

    private mutating func placeToReuse(at now: Instant) -> Int {
        while true {
            let place = hand
            hand = (hand + 1) % entries.count
            let isExpired = entries[place].finding.validUntil <= now
            if isExpired || !entries[place].wasUsed {
                if !isExpired { evictions += 1 }
                return place
            }
            entries[place].wasUsed = false
        }
    }
}

/// How long findings hold: the answer's TTL within the operator's bounds.
package struct LifetimePolicy: Sendable, Equatable {
    package let ttlSeconds: ClosedRange<UInt32>
    package let negativeTTLSecondsMax: UInt32
    package let failureTTL: Duration

    package init(
        ttlSeconds: ClosedRange<UInt32>,
        negativeTTLSecondsMax: UInt32,
        failureTTL: Duration
    ) {
        self.ttlSeconds = ttlSeconds
        self.negativeTTLSecondsMax = negativeTTLSecondsMax
        self.failureTTL = failureTTL
    }

    /// `stated` is what the answer said, nil when it said nothing (a negative answer without SOA,
    /// which RFC 2308 §5 wants forgotten: it is kept for the least time).
    package func lifetime(of lookup: Lookup, stated: UInt32?) -> Duration {
        let least = ttlSeconds.lowerBound
        switch lookup {
        case .records:
            return .seconds(min(max(stated ?? least, least), ttlSeconds.upperBound))
        case .noData, .noName, .unaskable:
            let most = max(least, min(negativeTTLSecondsMax, ttlSeconds.upperBound))
            return .seconds(min(max(stated ?? least, least), most))
        case .failed:
            return failureTTL
        }
    }
}
