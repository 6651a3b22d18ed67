// One seed, from plan to verdict; and the search for a smaller world that fails as well.

import EkidenRuntime

/// What became of a seed.
package struct Verdict {
    package let seed: UInt64
    package let violations: [String]
    package let hash: UInt64
    package let lineCount: Int
    package let tail: [String]
    package let counts: [String: Int]
    package let accepted: Int
    package let virtualSeconds: Double
    /// It had messages, domains, crashes and kinds of faults enough to count.
    package let isFull: Bool
    package var isGood: Bool { violations.isEmpty }
}

package enum Trial {
    /// Runs the world of a seed.
    /// - Parameters:
    ///   - hours: how long things go wrong in it; nil: as the seed says.
    ///   - printed: gets the trace, line by line.
    package static func run(
        _ seed: UInt64,
        hours: Double? = nil,
        diet: Diet = Diet(),
        printed: ((String) -> Void)? = nil
    ) -> Verdict {
        let town: Town
        do { town = try Town(TrialPlan(seed: seed, hours: hours, diet: diet)) } catch {
            preconditionFailure("the plan's configuration is wrong: \(error)")
        }
        town.trace.printed = printed
        town.run()
        town.judge()
        let verdict = Verdict(
            seed: seed,
            violations: town.ledger.violations,
            hash: town.trace.hash,
            lineCount: town.trace.lineCount,
            tail: town.trace.tail,
            counts: town.counts,
            accepted: town.ledger.copyCount,
            virtualSeconds: town.virtualSeconds,
            isFull: town.isFull
        )
        town.discard()
        return verdict
    }

    /// The leanest diet on which the seed still fails, by halving what can be halved and leaving
    /// out what can be left out.
    package static func shrink(
        _ seed: UInt64,
        hours: Double? = nil,
        told: (String) -> Void
    ) -> Diet {
        var best = Diet()
        func fails(_ diet: Diet) -> Bool { !run(seed, hours: hours, diet: diet).isGood }
        let plan = TrialPlan(seed: seed, hours: hours)
        for name in Set(plan.faults.map(\.fault.name)).sorted() {
            var diet = best
            diet.without.insert(name)
            if fails(diet) {
                best = diet
                told("fails without \(name)")
            }
        }
        func lower(_ path: WritableKeyPath<Diet, Int>, from most: Int, _ what: String) {
            var bad = most
            var good = 0
            while bad - good > 1 {
                let middle = (bad + good) / 2
                var diet = best
                diet[keyPath: path] = middle
                if fails(diet) { bad = middle } else { good = middle }
            }
            guard bad < most else { return }
            best[keyPath: path] = bad
            told("fails with \(bad) \(what)")
        }
        lower(\.faultsMax, from: plan.faults.count, "faults")
        lower(\.clientsMax, from: plan.clients.count, "clients")
        lower(\.lettersMax, from: plan.letters.count, "letters")
        return best
    }
}
