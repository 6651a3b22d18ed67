import EkidenSimulator
import Glibc

/// Runs worlds in this process.
struct Runner {
    private let arguments: Arguments

    init(_ arguments: Arguments) { self.arguments = arguments }

    /// One world, for people. Returns the exit status.
    func runOne(_ seed: UInt64) -> Int32 {
        let printed: ((String) -> Void)? = arguments.isTraced ? { print($0) } : nil
        let verdict = Trial.run(seed, hours: arguments.hours, printed: printed)
        if !verdict.isGood, !arguments.isTraced {
            print("the last of the trace:")
            for line in verdict.tail { print("  " + line) }
        }
        for name in verdict.counts.keys.sorted() {
            print("  \(name): \(verdict.counts[name] ?? 0)")
        }
        for violation in verdict.violations { print("BROKEN: \(violation)") }
        print(
            "seed \(seed): \(verdict.isGood ? "good" : "bad"), \(verdict.accepted) messages accepted, "
                + "\(Int(verdict.virtualSeconds)) virtual seconds, \(verdict.lineCount) lines, trace "
                + String(verdict.hash, radix: 16)
        )
        return verdict.isGood ? 0 : 1
    }

    /// Every `stride`-th world of a range; a line for each, for `Crew` to read.
    func work(_ seeds: ClosedRange<UInt64>, _ stride: UInt64) {
        var seed = seeds.lowerBound
        while seed <= seeds.upperBound {
            let verdict = Trial.run(seed, hours: arguments.hours)
            var counts = verdict.counts.keys.sorted().map { "\($0)=\(verdict.counts[$0] ?? 0)" }
            if verdict.isFull { counts.append("full-world=1") }
            print(
                "world \(seed) \(Int(verdict.virtualSeconds)) \(verdict.accepted) "
                    + "\(verdict.isGood ? "good" : "bad") \(String(verdict.hash, radix: 16)) "
                    + counts.joined(separator: ",")
            )
            for violation in verdict.violations { print("broken \(seed) \(violation)") }
            fflush(nil)
            seed += stride
        }
    }

    func shrink(_ seed: UInt64) {
        let verdict = Trial.run(seed, hours: arguments.hours)
        guard !verdict.isGood else { return print("seed \(seed) is good") }
        for violation in verdict.violations { print("BROKEN: \(violation)") }
        let diet = Trial.shrink(seed, hours: arguments.hours) { print($0) }
        let small = Trial.run(seed, hours: arguments.hours, diet: diet) { print($0) }
        for violation in small.violations { print("BROKEN: \(violation)") }
        print("the smallest world found: \(diet)")
    }
}
