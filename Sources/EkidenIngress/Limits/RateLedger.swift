// All buckets of all rate limits. A value that is asked before a connection, a message or a
// recipient is taken, and says who has had enough and when to come again. `RateDesk` shares one
// between the loops. It is bounded whatever clients do, and no decision hangs on the order of a hash
// table: buckets stand in a row, and a hand goes round it.

import EkidenMail

package struct RateLimit: Sendable, Equatable {
    /// What is counted.
    package enum Event: String, Sendable, CaseIterable {
        /// Before the greeting.
        case connections
        /// At MAIL.
        case messages
        /// At RCPT, those that policy took.
        case recipients
    }

    /// Who has a bucket of their own.
    package enum Counter: String, Sendable, CaseIterable {
        /// An address.
        case client
        /// The addresses that share a prefix.
        case network
        /// Whoever is logged in by that name.
        case user
        /// A reverse-path; the null one is not counted, for it is everybody's.
        case sender
    }

    /// In the log (`rate-NAME`), in replies and in `ekiden status`.
    package var name: String
    package var of: Event
    package var per: Counter
    package var rate: Rate
    /// Bits of an address that make a network.
    package var prefixV4 = 24
    package var prefixV6 = 64
    /// Clients that are not counted.
    package var exceptFor: [NetworkPrefix] = []

    package init(_ name: String, of event: Event, per counter: Counter, _ rate: Rate) {
        self.name = name
        of = event
        per = counter
        self.rate = rate
    }
}

/// Who does what is counted.
package struct RateSubject: Sendable, Equatable {
    package var client: HostAddress
    package var user: String?
    package var sender: ReversePath?

    package init(client: HostAddress, user: String? = nil, sender: ReversePath? = nil) {
        self.client = client
        self.user = user
        self.sender = sender
    }
}

package struct RateLedger: Sendable {
    /// Whose bucket it is.
    enum Key: Hashable, Sendable {
        case address(HostAddress)
        case network(NetworkPrefix)
        /// In lower case.
        case name(String)

        var text: String {
            switch self {
            case .address(let address): address.text
            case .network(let network): network.text
            case .name(let name): name
            }
        }
    }

    /// Buckets of one limit that are not full. Beyond it, of the next `candidates` the hand points
    /// at, the one that is full again first is forgotten: at worst somebody who was close to having
    /// enough is let in early, and nobody is kept out.
    package static let bucketsMax = 50_000
    fileprivate static let candidates = 8
    /// Full buckets are swept up as others come.
    fileprivate static let sweepsPerBucket = 2

    fileprivate struct Row: Sendable {
        let key: Key
        var bucket: TokenBucket
    }

    fileprivate struct Table: Sendable {
        var limit: RateLimit
        var rows: [Row] = []
        var index: [Key: Int] = [:]
        var hand = 0
        var refused = 0
    }

    private var tables: [Table] = []
    private let bucketsMax: Int

    package init(bucketsMax: Int = RateLedger.bucketsMax) { self.bucketsMax = bucketsMax }

    /// From now on these are the limits. Buckets of those that stay, by name, stay.
    package mutating func adopt(_ limits: [RateLimit]) {
        tables = limits.map { limit in
            guard var table = tables.first(where: { $0.limit.name == limit.name }),
                table.limit.of == limit.of, table.limit.per == limit.per
            else { return Table(limit: limit) }
            table.limit = limit
            return table
        }
    }

    /// Over a limit.
    package struct Excess: Sendable, Equatable {
        package let limit: RateLimit
        /// Whom it is about.
        package let who: String
        /// When there is a token again.
        package let wait: Duration
    }

    /// Counts one event against all limits it falls under, or none of them: who is over one of them
    /// spends nothing, so that asking again and again makes nothing worse.
    /// - Returns: the limit one has to wait for longest, or nil when there is none.
    package mutating func take(
        _ event: RateLimit.Event,
        by subject: RateSubject,
        under limits: [RateLimit],
        at now: Instant
    ) -> Excess? {
        var due: [(table: Int, key: Key, rate: Rate)] = []
        var excess: (table: Int, Excess)?
        for limit in limits where limit.of == event {
            guard let key = Self.key(of: subject, under: limit),
                let table = tables.firstIndex(where: { $0.limit.name == limit.name })
            else { continue }
            due.append((table, key, limit.rate))
            let bucket = tables[table].bucket(of: key)
            guard let wait = bucket?.wait(limit.rate, at: now) else { continue }
            if let excess, excess.1.wait >= wait { continue }
            excess = (table, Excess(limit: limit, who: key.text, wait: wait))
        }
        if let (table, excess) = excess {
            tables[table].refused += 1
            return excess
        }
        for (table, key, rate) in due {
            tables[table].spend(key, rate, now, bucketsMax)
        }
        return nil
    }

    private static func key(of subject: RateSubject, under limit: RateLimit) -> Key? {
        if limit.exceptFor.contains(where: { $0.contains(subject.client) }) { return nil }
        switch limit.per {
        case .client: return .address(subject.client.customer)
        case .network:
            let length = subject.client.isV4 ? limit.prefixV4 : limit.prefixV6
            return .network(NetworkPrefix(of: subject.client, length: length))
        case .user: return subject.user.map { .name($0.asciiLowercased) }
        case .sender:
            guard case .address(let address) = subject.sender else { return nil }
            // Quotes that change nothing make no other sender.
            return .name(MailboxTable.key(address))
        }
    }

    /// How a limit stands, for people.
    package struct Standing: Sendable, Equatable {
        package struct Place: Sendable, Equatable {
            package let who: String
            /// Of the burst.
            package let spent: Int
        }
        package let limit: RateLimit
        /// Buckets that are not full.
        package let counted: Int
        /// Events refused since the limit came to be.
        package let refused: Int
        /// Those nearest to the limit, the nearest first.
        package let first: [Place]
    }

    /// Buckets kept, of all limits.
    var bucketCount: Int { tables.reduce(0) { $0 + $1.rows.count } }

    /// All limits, in the order of the configuration.
    package func standings(at now: Instant, places: Int) -> [Standing] {
        tables.map { $0.standing(at: now, places) }
    }
}

extension RateLedger.Table {
    fileprivate func bucket(of key: RateLedger.Key) -> TokenBucket? {
        index[key].map { rows[$0].bucket }
    }

    fileprivate mutating func spend(
        _ key: RateLedger.Key,
        _ rate: Rate,
        _ now: Instant,
        _ bucketsMax: Int
    ) {
        if let place = index[key] { return rows[place].bucket.take(rate, at: now) }
        for _ in 0..<RateLedger.sweepsPerBucket { sweep(now) }
        if rows.count >= bucketsMax { forgetOne() }
        var bucket = TokenBucket(at: now)
        bucket.take(rate, at: now)
        index[key] = rows.count
        rows.append(RateLedger.Row(key: key, bucket: bucket))
    }

    /// Looks at the bucket under the hand and removes it if it is full.
    private mutating func sweep(_ now: Instant) {
        guard !rows.isEmpty else { return }
        if hand >= rows.count { hand = 0 }
        if rows[hand].bucket.isFull(at: now) { remove(hand) } else { hand += 1 }
    }

    private mutating func forgetOne() {
        var fullest = hand % rows.count
        for step in 1..<RateLedger.candidates {
            let place = (hand + step) % rows.count
            if rows[place].bucket.fullAt < rows[fullest].bucket.fullAt { fullest = place }
        }
        hand = (hand + RateLedger.candidates) % rows.count
        remove(fullest)
    }

    private mutating func remove(_ place: Int) {
        index[rows[place].key] = nil
        let last = rows.removeLast()
        guard place < rows.count else { return }
        rows[place] = last
        index[last.key] = place
    }

    fileprivate func standing(at now: Instant, _ places: Int) -> RateLedger.Standing {
        // Insertion into a short list: the row may have tens of thousands.
        var first: [RateLedger.Row] = []
        var counted = 0
        for row in rows where !row.bucket.isFull(at: now) {
            counted += 1
            let at = first.firstIndex {
                // The texts, which take time to make, for ties alone.
                $0.bucket.fullAt == row.bucket.fullAt
                    ? row.key.text < $0.key.text : $0.bucket.fullAt < row.bucket.fullAt
            }
            guard let at = at ?? (first.count < places ? first.count : nil) else { continue }
            first.insert(row, at: at)
            if first.count > places { first.removeLast() }
        }
        return RateLedger.Standing(
            limit: limit,
            counted: counted,
            refused: refused,
            first: first.map {
                .init(who: $0.key.text, spent: $0.bucket.spent(limit.rate, at: now))
            }
        )
    }
}
