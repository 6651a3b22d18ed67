import EkidenSimulator
import Glibc

/// Divides a range of seeds among child processes, and sums up what they say.
struct Crew {
    private let arguments: Arguments
    /// Seeds a child runs before another takes its place: its memory goes with it.
    private static let batch: UInt64 = 50

    init(_ arguments: Arguments) { self.arguments = arguments }

    private struct Sum {
        var worlds = 0
        var virtualSeconds = 0.0
        var accepted = 0
        var bad: [UInt64] = []
        var counts: [String: Int] = [:]
        /// The trace of each seed, as it was the first time.
        var hashes: [UInt64: Substring] = [:]
    }

    private struct Child {
        let pipe: UnsafeMutablePointer<FILE>
        let seeds: ClosedRange<UInt64>
    }

    /// Returns the exit status.
    func run(_ seeds: ClosedRange<UInt64>) -> Int32 {
        let processes = arguments.processes ?? max(Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))), 1)
        var sum = Sum()
        let began = Self.now()
        var failed = false
        for _ in 0..<(arguments.isTwice ? 2 : 1) {
            if !runBatches(seeds, processes, &sum, began) { failed = true }
        }
        report(sum, began)
        return sum.bad.isEmpty && !failed ? 0 : 1
    }

    /// The seeds of a file, one after the other, each as a range of its own.
    func run(file: String) -> Int32 {
        guard let handle = fopen(file, "r") else {
            print("can't read \(file): \(String(cString: strerror(errno)))")
            return 2
        }
        defer { fclose(handle) }
        var seeds: [UInt64] = []
        var line: UnsafeMutablePointer<CChar>?
        var room = 0
        defer { free(line) }
        while getline(&line, &room, handle) > 0, let text = line {
            let words = String(cString: text).split(whereSeparator: { $0 == " " || $0 == "\n" })
            if let seed = words.first.flatMap({ UInt64($0) }) { seeds.append(seed) }
        }
        var sum = Sum()
        let began = Self.now()
        var failed = false
        for seed in seeds {
            for _ in 0..<(arguments.isTwice ? 2 : 1) {
                if !runBatches(seed...seed, 1, &sum, began, isQuiet: true) { failed = true }
            }
        }
        report(sum, began)
        return sum.bad.isEmpty && !failed ? 0 : 1
    }

    /// False when a child did not end as it should.
    private func runBatches(
        _ seeds: ClosedRange<UInt64>,
        _ processes: Int,
        _ sum: inout Sum,
        _ began: Double,
        isQuiet: Bool = false
    ) -> Bool {
        var next = seeds.lowerBound
        var failed = false
        while next <= seeds.upperBound {
            // So many children side by side, each with every n-th seed of the batch.
            let last = min(next + Self.batch * UInt64(processes) - 1, seeds.upperBound)
            var children: [Child] = []
            for index in 0..<UInt64(processes) where next + index <= last {
                if let child = start(next + index...last, UInt64(processes)) {
                    children.append(child)
                }
            }
            for child in children {
                if !read(child, &sum) {
                    print("BROKEN: a child with every \(processes)th seed of \(child.seeds) died")
                    failed = true
                }
            }
            next = last + 1
            if !isQuiet { progress(sum, began) }
        }
        return !failed
    }

    private func start(_ seeds: ClosedRange<UInt64>, _ stride: UInt64) -> Child? {
        let hours = arguments.hours.map { " --hours \($0)" } ?? ""
        let range = "\(seeds.lowerBound)..\(seeds.upperBound)/\(stride)"
        guard let pipe = popen("/proc/\(getpid())/exe --worker \(range)\(hours)", "r") else {
            return nil
        }
        return Child(pipe: pipe, seeds: seeds)
    }

    /// False when the child ended otherwise than it should.
    private func read(_ child: Child, _ sum: inout Sum) -> Bool {
        var line: UnsafeMutablePointer<CChar>?
        var room = 0
        defer { free(line) }
        while getline(&line, &room, child.pipe) > 0, let text = line {
            take(String(cString: text), &sum)
        }
        return pclose(child.pipe) == 0
    }

    private func take(_ line: String, _ sum: inout Sum) {
        let words = line.split(whereSeparator: { $0 == " " || $0 == "\n" })
        if words.first == "broken", words.count > 2 {
            print("seed \(words[1]): BROKEN: \(words[2...].joined(separator: " "))")
        }
        guard words.first == "world", words.count >= 6, let seed = UInt64(words[1]) else { return }
        sum.worlds += 1
        sum.virtualSeconds += Double(words[2]) ?? 0
        sum.accepted += Int(words[3]) ?? 0
        if words[4] == "bad" { sum.bad.append(seed) }
        if let before = sum.hashes[seed], before != words[5] {
            print("seed \(seed): BROKEN: its trace was \(before), and now is \(words[5])")
            sum.bad.append(seed)
        }
        sum.hashes[seed] = words[5]
        for count in words.count > 6 ? words[6].split(separator: ",") : [] {
            let parts = count.split(separator: "=")
            if parts.count == 2 { sum.counts[String(parts[0]), default: 0] += Int(parts[1]) ?? 0 }
        }
    }

    private static func now() -> Double {
        var t = timespec()
        clock_gettime(CLOCK_MONOTONIC, &t)
        return Double(t.tv_sec) + Double(t.tv_nsec) / 1e9
    }

    private func progress(_ sum: Sum, _ began: Double) {
        let seconds = max(Self.now() - began, 0.001)
        print(
            "\(sum.worlds) worlds, \(sum.bad.count) bad, \(Int(Double(sum.worlds) / seconds * 10)) "
                + "in 10 s, \(Int(sum.virtualSeconds / 3600)) virtual hours"
        )
        fflush(nil)
    }

    private func report(_ sum: Sum, _ began: Double) {
        let seconds = Self.now() - began
        for name in sum.counts.keys.sorted() { print("  \(name): \(sum.counts[name] ?? 0)") }
        if !sum.bad.isEmpty {
            let seeds = sum.bad.sorted().prefix(20).map { "\($0)" }.joined(separator: " ")
            print("bad seeds: \(seeds)\nlook at one with: ekiden-sim --seed \(sum.bad[0]) --trace")
        }
        let full = sum.counts["full-world"] ?? 0
        print(
            "\(sum.worlds) worlds (\(full) with all that makes one count), \(sum.bad.count) bad; "
                + "\(sum.accepted) messages accepted, \(Int(sum.virtualSeconds / 3600)) virtual hours "
                + "in \(Int(seconds)) s"
        )
    }
}
