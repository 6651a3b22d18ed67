// The history's files: their bounds, and what happens when they can't be written.

import EkidenMail
import Foundation
import Testing

@testable import EkidenLinux

@Suite struct HistoryTests {
    private func directory() throws -> String {
        var template = Array("/tmp/ekiden-history-XXXXXX".utf8CString)
        _ = try #require(mkdtemp(&template))
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private func lines(_ count: Int, _ text: String = "x") -> Bytes {
        var builder = BytesBuilder()
        for _ in 0..<count { builder.append(text: String(repeating: text, count: 99) + "\n") }
        return builder.finish()
    }

    private let start = WallTime(seconds: 1_795_226_400)

    @Test func `files are begun anew and the oldest go, so that all of them keep to the bound`()
        throws
    {
        let directory = try directory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let path = directory + "/history"
        var history = History(
            HistorySettings(directory: path, keep: .seconds(86_400), maxBytes: 2 << 20)
        )
        for second in 0..<60 {
            let word = history.append(lines(1000), at: start + .seconds(second))
            #expect(word == nil)
        }
        let files = History.files(in: path)
        let total = files.reduce(0) { $0 + $1.byteCount }
        #expect(total <= 2 << 20 && total > 1 << 20, "\(total)")
        // 131 072 bytes are two batches' worth of 100 000.
        #expect(files.count >= 8 && files.allSatisfy { $0.byteCount <= 200_000 })
        #expect(files.last?.path.hasSuffix("2026-11-21T02-00-58.jsonl") == true, "\(files)")
        #expect(files.map(\.path) == files.map(\.path).sorted())
    }

    @Test func `what is too old goes when a new file begins`() throws {
        let directory = try directory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let old = directory + "/2020-01-01T00-00-00.jsonl"
        try "old\n".write(toFile: old, atomically: false, encoding: .utf8)
        let other = directory + "/notes.txt"
        try "mine\n".write(toFile: other, atomically: false, encoding: .utf8)
        let now = WallTime(seconds: Int64(time(nil)) + 7200)
        var history = History(
            HistorySettings(directory: directory, keep: .seconds(3600), maxBytes: 1 << 20)
        )
        let word = history.append(lines(1), at: now)
        #expect(word == nil && !FileManager.default.fileExists(atPath: old))
        #expect(FileManager.default.fileExists(atPath: other))
        #expect(History.files(in: directory).count == 1)
        history.reconfigure(
            HistorySettings(directory: directory, keep: .zero, maxBytes: 1 << 20)
        )
        let kept = history.isKept
        #expect(!kept && History.files(in: directory).isEmpty)
        #expect(FileManager.default.fileExists(atPath: other))
    }

    @Test func `a file is a day old at most, or a sixteenth of what is kept`() throws {
        let directory = try directory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        var history = History(
            HistorySettings(directory: directory, keep: .seconds(16 * 3600), maxBytes: 1 << 30)
        )
        for hour in 0..<10 {
            let at = start + .seconds(hour * 3601)
            _ = history.append(lines(1), at: at)
            _ = history.append(lines(1), at: at + .seconds(60))
        }
        #expect(History.files(in: directory).count == 10)
    }

    @Test func `that it can't be written is said once, and that it can be again, too`() throws {
        let directory = try directory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let path = directory + "/history"
        try "in the way".write(toFile: path, atomically: false, encoding: .utf8)
        var history = History(
            HistorySettings(directory: path, keep: .seconds(3600), maxBytes: 1 << 20)
        )
        var words: [String] = []
        for _ in 0..<3 {
            if case .notice(let notice) = history.append(lines(1), at: start) {
                words.append(notice.text)
            }
        }
        #expect(words.count == 1 && words[0].contains("Not a directory"), "\(words)")
        try FileManager.default.removeItem(atPath: path)
        for _ in 0..<3 {
            if case .notice(let notice) = history.append(lines(1), at: start) {
                words.append(notice.text)
            }
        }
        #expect(words.count == 2 && words.last == "the history of messages is written again")
        #expect(History.files(in: path).map(\.byteCount) == [300])
    }
}
