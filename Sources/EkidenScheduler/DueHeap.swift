import EkidenMail

/// When each waiting group is due: a binary heap, earliest first, that knows each group's place so
/// that any of them can leave it in O(log n). Groups due at the same nanosecond come out in the
/// order they went in.
struct DueHeap {
    private struct Entry {
        var due: Int64
        var group: UInt32
        var serial: UInt32

        static func < (a: Entry, b: Entry) -> Bool {
            // Serials wrap after 2³² waits; their distance still tells the order.
            a.due != b.due ? a.due < b.due : Int32(truncatingIfNeeded: a.serial &- b.serial) < 0
        }
    }
    private var entries: [Entry] = []
    /// By group: where its entry is; `none` when it is not in the heap.
    private var position: [UInt32] = []
    private var serial: UInt32 = 0

    var count: Int { entries.count }
    var first: (due: Instant, group: UInt32)? {
        entries.first.map { (Instant(nanoseconds: $0.due), $0.group) }
    }

    mutating func reserve(_ n: Int) {
        entries.reserveCapacity(n)
        position.reserveCapacity(n)
    }

    func contains(_ group: UInt32) -> Bool {
        Int(group) < position.count && position[Int(group)] != none
    }

    /// The group must not be in the heap.
    mutating func insert(_ group: UInt32, due: Instant) {
        while position.count <= Int(group) { position.append(none) }
        serial &+= 1
        let entry = Entry(due: due.nanoseconds, group: group, serial: serial)
        entries.append(entry)
        siftUp(entry, from: entries.count - 1)
    }

    mutating func remove(_ group: UInt32) {
        guard contains(group) else { return }
        let hole = Int(position[Int(group)])
        position[Int(group)] = none
        let last = entries.removeLast()
        if hole == entries.count { return }
        if hole > 0, last < entries[(hole - 1) / 2] {
            siftUp(last, from: hole)
        } else {
            siftDown(last, from: hole)
        }
    }

    private mutating func put(_ entry: Entry, at index: Int) {
        entries[index] = entry
        position[Int(entry.group)] = UInt32(index)
    }

    private mutating func siftUp(_ entry: Entry, from start: Int) {
        var child = start
        while child > 0 {
            let parent = (child - 1) / 2
            if !(entry < entries[parent]) { break }
            put(entries[parent], at: child)
            child = parent
        }
        put(entry, at: child)
    }

    private mutating func siftDown(_ entry: Entry, from start: Int) {
        var parent = start
        while true {
            var child = 2 * parent + 1
            if child >= entries.count { break }
            if child + 1 < entries.count, entries[child + 1] < entries[child] { child += 1 }
            if !(entries[child] < entry) { break }
            put(entries[child], at: parent)
            parent = child
        }
        put(entry, at: parent)
    }
}

/// What a next hop or a site waits for: the end of a back-off or suspension, an overdue answer.
/// Lazy: an alarm that no longer fits the state it was set for does nothing when it comes up.
struct AlarmHeap {
    enum Subject {
        case hop(UInt32)
        case site(UInt32)
        case stream(Int)
    }
    struct Entry {
        let at: Instant
        let serial: UInt64
        let subject: Subject

        static func < (a: Entry, b: Entry) -> Bool { (a.at, a.serial) < (b.at, b.serial) }
    }
    private var entries: [Entry] = []
    private var serial: UInt64 = 0

    var first: Instant? { entries.first?.at }

    mutating func insert(_ subject: Subject, at: Instant) {
        serial += 1
        entries.append(Entry(at: at, serial: serial, subject: subject))
        var child = entries.count - 1
        while child > 0, entries[child] < entries[(child - 1) / 2] {
            entries.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    /// The earliest alarm, if its time has come.
    mutating func popDue(_ now: Instant) -> Subject? {
        guard let first = entries.first, first.at <= now else { return nil }
        let last = entries.removeLast()
        if !entries.isEmpty {
            entries[0] = last
            var parent = 0
            while true {
                var child = 2 * parent + 1
                if child >= entries.count { break }
                if child + 1 < entries.count, entries[child + 1] < entries[child] { child += 1 }
                if !(entries[child] < entries[parent]) { break }
                entries.swapAt(child, parent)
                parent = child
            }
        }
        return first.subject
    }
}
