// How queued groups stand in line: at a site its next hops, in a next hop three lanes, in a lane the
// senders' shares, in a share the groups. Each has its turn, so that nobody's list stands before somebody
// else's letter.

import EkidenMail

/// Which of a next hop's queues a group stands in.
enum Lane: UInt8, CaseIterable {
    /// First attempts of messages whose recipients fit one transaction.
    case express = 0
    /// Retries, and messages with more recipients than that.
    case backlog = 1
    /// Messages of streams that go first.
    case urgent = 2
}

/// One of something for each lane.
struct Lanes<Value> {
    var express: Value
    var backlog: Value
    var urgent: Value

    init(_ value: Value) {
        express = value
        backlog = value
        urgent = value
    }

    subscript(lane: Lane) -> Value {
        _read {
            switch lane {
            case .express: yield express
            case .backlog: yield backlog
            case .urgent: yield urgent
            }
        }
        _modify {
            switch lane {
            case .express: yield &express
            case .backlog: yield &backlog
            case .urgent: yield &urgent
            }
        }
    }
}

/// Urgent ones have four turns of five while others wait: those are slowed, never stopped.
struct UrgentTurns {
    private static let most = 4
    private var inRow = 0

    func isNext(hasUrgent: Bool, hasOthers: Bool) -> Bool {
        hasUrgent && (!hasOthers || inRow < Self.most)
    }

    mutating func took(urgent: Bool) { inRow = urgent ? inRow + 1 : 0 }
}

/// Whose turn it is among lanes that have work.
struct LaneTurns {
    private var next = Lane.express
    private var urgent = UrgentTurns()

    /// - Parameter hasWork: by lane.
    func lane(_ hasWork: Lanes<Bool>) -> Lane? {
        let others = hasWork.express || hasWork.backlog
        if urgent.isNext(hasUrgent: hasWork.urgent, hasOthers: others) { return .urgent }
        if !others { return nil }
        return hasWork[next] ? next : next == .express ? .backlog : .express
    }

    mutating func took(_ lane: Lane) {
        urgent.took(urgent: lane == .urgent)
        if lane != .urgent { next = lane == .express ? .backlog : .express }
    }
}

/// What one sender has in a lane of a next hop.
struct ShareKey: Hashable {
    let hop: UInt32
    let lane: Lane
    let share: UInt32
}

/// The shares of all lanes. One is there while it has groups.
struct Shares {
    struct Record {
        var key: ShareKey
        var groups = Chain()
    }
    private var records = Pool<Record>()
    private var numbers: [ShareKey: UInt32] = [:]
    /// Links of the shares of one lane.
    private var ofLane = Links()

    private static let vacant = Record(key: ShareKey(hop: none, lane: .express, share: 0))

    var count: Int { records.count }

    /// - Parameters:
    ///   - first: before its share's other groups.
    ///   - lane: the chain of the lane's shares.
    ///   - links: those of groups.
    mutating func insert(
        _ group: UInt32,
        of key: ShareKey,
        first: Bool,
        in lane: inout Chain,
        _ links: inout Links
    ) {
        let number: UInt32
        if let known = numbers[key] {
            number = known
        } else {
            number = records.insert(Record(key: key))
            numbers[key] = number
            ofLane.append(number, to: &lane)
        }
        if first {
            links.prepend(group, to: &records[number].groups)
        } else {
            links.append(group, to: &records[number].groups)
        }
    }

    mutating func remove(
        _ group: UInt32,
        of key: ShareKey,
        from lane: inout Chain,
        _ links: inout Links
    ) {
        guard let number = numbers[key] else { preconditionFailure("a queued group has a share") }
        links.remove(group, from: &records[number].groups)
        guard records[number].groups.isEmpty else { return }
        ofLane.remove(number, from: &lane)
        numbers[key] = nil
        records.remove(number, leaving: Self.vacant)
    }

    /// The group whose turn it is; the lane is not empty.
    func first(of lane: Chain) -> UInt32 { records[lane.head].groups.head }

    /// That share had its turn; if it is still there, the next one is first now.
    mutating func pass(_ key: ShareKey, in lane: inout Chain) {
        guard lane.head != none, records[lane.head].key == key else { return }
        ofLane.rotate(&lane)
    }
}
