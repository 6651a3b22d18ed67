// "did you mean": the nearest of a few known words by edit distance. Called when a name, a section
// or a word of a closed set is not known.

enum Suggestion {
    /// The candidate nearest to `word`; nil when none is near enough to be meant. Of equally near
    /// ones, the first.
    static func nearest(to word: String, among candidates: [String]) -> String? {
        var best: (distance: Int, word: String)?
        for candidate in candidates {
            let distance = distance(Array(word.utf8.prefix(64)), Array(candidate.utf8))
            if distance < best?.distance ?? .max { best = (distance, candidate) }
        }
        guard let best, best.distance <= max(1, min(word.utf8.count, best.word.utf8.count) / 3)
        else {
            return nil
        }
        return best.word
    }

    /// ", did you mean X?", or nothing.
    static func question(_ word: String, among candidates: [String]) -> String {
        nearest(to: word, among: candidates).map { ", did you mean \"\($0)\"?" } ?? ""
    }

    /// Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment).
    static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var beforeLast: [Int] = []
        var last = Array(0...b.count)
        for i in a.indices {
            var row = [i + 1]
            for j in b.indices {
                var cost = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
                    cost = min(cost, beforeLast[j - 1] + 1)
                }
                row.append(cost)
            }
            beforeLast = last
            last = row
        }
        return last[b.count]
    }
}
