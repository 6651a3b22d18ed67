// Thousands of trees through both passes: what a reader decodes is the same as before, the output is
// 7-bit and as long as was said, and how the bytes are cut makes no difference.

import Foundation
import TestKit
import Testing

@testable import EkidenMIME

@Suite struct ConversionPropertyTests {
    @Test func `what is in the parts arrives, in 7 bits, and as long as was said`() throws {
        var maker = TreeMaker(seed: 1)
        for round in 0..<3000 {
            let tree = maker.tree()
            let before = PlainReader.read(tree.message)
            #expect(before.leaves == tree.leaves, "the reader, round \(round)")
            let result = convert(tree.message)
            let output = try #require(
                result.output,
                "round \(round): \(result.findings.obstacle.map(\.rawValue) ?? "")"
            )
            let isSame =
                PlainReader.read(output) == before && output.allSatisfy { $0 < 0x80 }
                && output.count == result.findings.plan.byteCount
            #expect(isSame, "round \(round)")
            if !isSame || before.leaves != tree.leaves {
                Issue.record("\(String(decoding: tree.message, as: UTF8.self).debugDescription)")
                return
            }
            if tree.message.allSatisfy({ $0 < 0x80 }) { #expect(output == tree.message) }
        }
    }

    @Test func `converted lines are short, and nobody's boundary`() throws {
        var maker = TreeMaker(seed: 2)
        for _ in 0..<1000 {
            let tree = maker.tree()
            let before = Set(PlainReader.split(tree.message))
            for line in PlainReader.split(try #require(convert(tree.message).output))
            where !before.contains(line) {
                let length = line.suffix(2) == [13, 10] ? line.count - 2 : line.count
                #expect(length <= 76)
                #expect(!line.starts(with: "--".utf8))
                #expect(!line.dropLast().contains(10))
            }
        }
    }

    @Test func `every cut gives the same`() throws {
        var maker = TreeMaker(seed: 3)
        var random = TestRandom(seed: 4)
        for round in 0..<150 {
            let message = maker.tree().message
            let whole = convert(message)
            var cuts: [[Int]] = [Array(0..<message.count)]
            for _ in 0..<8 { cuts.append((0..<4).map { _ in random.below(message.count + 1) }) }
            if message.count < 250 { cuts += (0...message.count).map { [$0] } }
            for cut in cuts {
                let result = convert(message, cuts: cut)
                #expect(result.output == whole.output, "round \(round)")
                #expect(result.findings.plan == whole.findings.plan, "round \(round)")
            }
        }
    }

    @Test func `damaged messages stay whole, or are left alone`() {
        var maker = TreeMaker(seed: 5)
        var random = TestRandom(seed: 6)
        var obstacles: Set<SevenBitObstacle> = []
        for _ in 0..<4000 {
            var lines = PlainReader.split(maker.tree().message)
            for _ in 0..<1 + random.below(4) where !lines.isEmpty {
                let at = random.below(lines.count)
                switch random.below(5) {
                case 0: lines.remove(at: at)
                case 1: lines.insert(random.pick(lines), at: at)
                case 2: lines.swapAt(at, random.below(lines.count))
                case 3: lines[at].insert(UInt8(0x80 + random.below(128)), at: 0)
                default: lines.insert(Array("Content-Type: multipart/signed\r\n".utf8), at: at)
                }
            }
            let message = lines.flatMap { $0 }
            let result = convert(message, cuts: [random.below(message.count + 1)])
            guard let output = result.output else {
                if let obstacle = result.findings.obstacle { obstacles.insert(obstacle) }
                continue
            }
            #expect(output.allSatisfy { $0 < 0x80 })
            #expect(output.count == result.findings.plan.byteCount)
            // A second time there is nothing left to do.
            #expect(convert(output).output == output)
        }
        #expect(obstacles.count >= 4, "\(obstacles)")
    }

    /// For `Tests/Tools/eight_bit.py`: EKIDEN_MIME_CORPUS names a folder, EKIDEN_MIME_TREES how many.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["EKIDEN_MIME_CORPUS"] != nil))
    func `a corpus is written`() throws {
        let environment = ProcessInfo.processInfo.environment
        let folder = URL(filePath: environment["EKIDEN_MIME_CORPUS"] ?? "")
        let count = environment["EKIDEN_MIME_TREES"].flatMap { Int($0) } ?? 10_000
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        var maker = TreeMaker(seed: 7)
        for index in 0..<count {
            let message = maker.tree().message
            let output = try #require(convert(message).output)
            try Data(message).write(to: folder.appending(path: "\(index).eml"))
            try Data(output).write(to: folder.appending(path: "\(index).7bit"))
        }
    }
}
