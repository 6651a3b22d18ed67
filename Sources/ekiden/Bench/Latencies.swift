// Durations of single messages, all of them kept, so that percentiles are exact.

struct Latencies {
    private var microseconds: [UInt32] = []

    var count: Int { microseconds.count }

    mutating func add(nanoseconds: Int64) {
        microseconds.append(UInt32(clamping: nanoseconds / 1000))
    }

    struct Summary: Equatable {
        /// Milliseconds.
        var p50 = 0.0
        var p90 = 0.0
        var p99 = 0.0
        var max = 0.0
    }

    /// nil when there is nothing to sum up.
    func summary() -> Summary? {
        guard !microseconds.isEmpty else { return nil }
        let sorted = microseconds.sorted()
        // Nearest rank: the smallest value that at least that share of all does not exceed.
        func rank(_ share: Double) -> Double {
            let index = Int((share * Double(sorted.count)).rounded(.up)) - 1
            return Double(sorted[Swift.max(0, Swift.min(index, sorted.count - 1))]) / 1000
        }
        return Summary(p50: rank(0.5), p90: rank(0.9), p99: rank(0.99), max: rank(1))
    }
}
