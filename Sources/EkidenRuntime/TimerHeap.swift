import EkidenMail

struct TimerEntry {
    let at: Instant
    let handle: Handle
}

/// A binary heap of deadlines, earliest first. Lazy: a handle whose deadline moved later keeps its
/// old entry, and the loop looks at the handle when the entry comes up.
struct TimerHeap {
    private var entries: [TimerEntry] = []

    var first: TimerEntry? { entries.first }

    mutating func insert(_ entry: TimerEntry) {
        entries.append(entry)
        var child = entries.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            if entries[parent].at <= entry.at { break }
            entries[child] = entries[parent]
            child = parent
        }
        entries[child] = entry
    }

    mutating func removeFirst() {
        guard let last = entries.popLast(), !entries.isEmpty else { return }
        var parent = 0
        while true {
            var child = 2 * parent + 1
            if child >= entries.count { break }
            if child + 1 < entries.count, entries[child + 1].at < entries[child].at { child += 1 }
            if last.at <= entries[child].at { break }
            entries[parent] = entries[child]
            parent = child
        }
        entries[parent] = last
    }
}

/// First in, first out; a power-of-two ring that doubles when full.
struct JobRing {
    private var jobs: [UnownedJob?] = Array(repeating: nil, count: 256)
    private var head = 0
    private var count = 0

    var isEmpty: Bool { count == 0 }

    mutating func push(_ job: UnownedJob) {
        if count == jobs.count { grow() }
        jobs[(head + count) & (jobs.count - 1)] = job
        count += 1
    }

    mutating func pop() -> UnownedJob? {
        if count == 0 { return nil }
        let job = jobs[head]
        jobs[head] = nil
        head = (head + 1) & (jobs.count - 1)
        count -= 1
        return job
    }

    mutating func shuffle(by random: some RandomSource) {
        for i in stride(from: count - 1, to: 0, by: -1) {
            let j = Int(random.below(UInt64(i + 1)))
            jobs.swapAt((head + i) & (jobs.count - 1), (head + j) & (jobs.count - 1))
        }
    }

    private mutating func grow() {
        var grown: [UnownedJob?] = Array(repeating: nil, count: jobs.count * 2)
        for i in 0..<count { grown[i] = jobs[(head + i) & (jobs.count - 1)] }
        jobs = grown
        head = 0
    }
}
