import Foundation
import TestKit
import Testing

@Suite struct FuzzTests {
    private static let corpus = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "Corpus")

    private static func inputs(_ target: FuzzTarget) throws -> [[UInt8]] {
        let folder = corpus.appending(path: target.rawValue)
        return try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted().map {
            Array(try Data(contentsOf: folder.appending(path: $0)))
        }
    }

    @Test(arguments: FuzzTarget.allCases)
    func `what is in the corpus breaks nothing`(target: FuzzTarget) throws {
        let inputs = try Self.inputs(target)
        #expect(!inputs.isEmpty)
        for input in inputs { target.run(input) }
    }

    /// A few changes of each, as a fuzzer makes them.
    @Test(arguments: FuzzTarget.allCases)
    func `nor does what is like it`(target: FuzzTarget) throws {
        var random = TestRandom(seed: 20)
        for input in try Self.inputs(target) {
            for _ in 0..<20 {
                var changed = input
                for _ in 0..<1 + random.below(4) where !changed.isEmpty {
                    let at = random.below(changed.count)
                    switch random.below(4) {
                    case 0: changed[at] = UInt8(random.below(256))
                    case 1: changed[at] ^= 1 << UInt8(random.below(8))
                    case 2: changed.remove(at: at)
                    default: changed.insert(random.pick([0, 10, 13, 32, 46, 255]), at: at)
                    }
                }
                target.run(changed)
            }
        }
    }
}
