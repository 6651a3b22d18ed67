// TOML 1.0 by the rules of its specification: what valid documents mean, and at which line and
// column invalid ones are refused.

import EkidenMail
import TestKit
import Testing

@testable import EkidenConfiguration

/// A document and what it means, in the compact form of `TOMLTable.brief`.
struct ValidDocument: Sendable, CustomTestStringConvertible {
    let text: String
    let meaning: String
    var testDescription: String { text.debugDescription }

    init(_ text: String, _ meaning: String) {
        self.text = text
        self.meaning = meaning
    }
}

/// A document, where it is wrong, and a word of the error.
struct InvalidDocument: Sendable, CustomTestStringConvertible {
    let text: String
    let place: String
    let word: String
    var testDescription: String { text.debugDescription }

    init(_ text: String, _ place: String, _ word: String = "") {
        self.text = text
        self.place = place
        self.word = word
    }
}

extension TOMLTable {
    /// `{a=1,b={c="x"}}`, with each value in a form of its own.
    var brief: String {
        "{" + entries.map { "\($0.key.name)=\($0.node.value.brief)" }.joined(separator: ",") + "}"
    }
}

extension TOMLValue {
    var brief: String {
        switch self {
        case .string(let text): text.debugDescription
        case .integer(let integer): "\(integer)"
        case .float(let float): float.isNaN ? "nan" : "\(float)f"
        case .boolean(let boolean): "\(boolean)"
        case .dateTime(let dateTime): dateTime.brief
        case .array(let elements): "[" + elements.map(\.value.brief).joined(separator: ",") + "]"
        case .table(let table): table.brief
        }
    }
}

extension TOMLDateTime {
    var brief: String {
        let day = date.map { "\($0.year)/\($0.month)/\($0.day)" } ?? ""
        let clock = time.map { "@\($0.hour):\($0.minute):\($0.second)+\($0.nanosecond)ns" } ?? ""
        return day + clock + (offsetMinutes.map { "z\($0)" } ?? "")
    }
}

@Suite struct TOMLTests {
    @Test(arguments: ValidDocument.all)
    func `a valid document means what the specification says`(_ document: ValidDocument) throws {
        let table = try TOMLParser.parse(Array(document.text.utf8))
        #expect(table.brief == document.meaning)
    }

    @Test(arguments: ValidDocument.all)
    func `line ends may be CRLF, and a byte order mark is passed over`(
        _ document: ValidDocument
    ) throws {
        guard !document.text.utf8.contains(0x0d), !document.text.utf8.contains(0xef) else { return }
        let lines = document.text.utf8.flatMap { $0 == 0x0a ? [0x0d, 0x0a] : [$0] }
        let table = try TOMLParser.parse([0xef, 0xbb, 0xbf] + lines)
        #expect(table.brief == document.meaning)
    }

    @Test(arguments: InvalidDocument.all)
    func `an invalid document is refused at the place that is wrong`(
        _ document: InvalidDocument
    ) {
        let error = #expect(throws: TOMLError.self) {
            _ = try TOMLParser.parse(Array(document.text.utf8))
        }
        guard let error else { return }
        #expect("\(error.position.line):\(error.position.column)" == document.place)
        #expect(error.sentence.contains(document.word), "\(error.sentence)")
        #expect(!error.sentence.hasSuffix("."))
    }

    @Test(arguments: [
        ([0x61, 0x20, 0x3d, 0x20, 0x22, 0xff, 0x22] as [UInt8], "1:6"),
        ([0x23, 0xc3, 0x28], "1:2"),
        ([0x0a, 0x0a, 0x23, 0x20, 0xed, 0xa0, 0x80], "3:3"),
        ([0x23, 0xc0, 0xaf], "1:2"),
        ([0x23, 0xf4, 0x90, 0x80, 0x80], "1:2"),
        ([0x61, 0x3d, 0x31, 0xe2, 0x82], "1:4"),
    ])
    func `bytes that are not UTF-8 are refused where they stand`(bytes: [UInt8], place: String) {
        let error = #expect(throws: TOMLError.self) { _ = try TOMLParser.parse(bytes) }
        #expect(error.map { "\($0.position.line):\($0.position.column)" } == place)
        #expect(error?.sentence.contains("UTF-8") == true)
    }

    @Test func `columns count characters, not bytes`() {
        let text = "s = \"é漢🙂\" x"
        let error = #expect(throws: TOMLError.self) { _ = try TOMLParser.parse(Array(text.utf8)) }
        #expect(error?.position == TOMLPosition(line: 1, column: 11))
    }

    @Test func `every key and value knows its place`() throws {
        let text = "a = 1\n[b]\n  c.d = [\n    'x',\n  { e = 2 } ]\n[[f]]\n"
        let table = try TOMLParser.parse(Array(text.utf8))
        #expect(table.entries.map(\.key.position.line) == [1, 2, 6])
        #expect(table["a"]?.position == TOMLPosition(line: 1, column: 5))
        #expect(table["b"]?.position == TOMLPosition(line: 2, column: 1))
        guard case .table(let b)? = table["b"]?.value, case .table(let c)? = b["c"]?.value,
            case .array(let d)? = c["d"]?.value
        else {
            Issue.record("not the expected shape")
            return
        }
        #expect(b.entries[0].key.position == TOMLPosition(line: 3, column: 3))
        #expect(c.entries[0].key.position == TOMLPosition(line: 3, column: 5))
        #expect(d.map(\.position) == [.init(line: 4, column: 5), .init(line: 5, column: 3)])
        #expect(table["f"]?.position == TOMLPosition(line: 6, column: 1))
    }

    @Test func `nesting and size are bounded`() {
        let max = TOMLParser.depthMax
        func refuses(_ text: String) -> Bool {
            do throws(TOMLError) {
                _ = try TOMLParser.parse(Array(text.utf8))
                return false
            } catch {
                return error.sentence.contains("nesting") || error.sentence.contains("larger")
            }
        }
        func arrays(_ depth: Int) -> String {
            "a=" + String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        func tables(_ depth: Int) -> String {
            String(repeating: "a={", count: depth) + String(repeating: "}", count: depth)
        }
        func header(_ depth: Int) -> String {
            "[" + (0..<depth).map { "k\($0)" }.joined(separator: ".") + "]"
        }
        #expect(!refuses(arrays(max - 1)))
        #expect(refuses(arrays(max)))
        #expect(refuses(arrays(100_000)))
        #expect(!refuses(tables(max / 2)))
        #expect(refuses(tables(100_000)))
        #expect(!refuses(header(max)))
        #expect(refuses(header(max + 1)))
        #expect(!refuses("#" + String(repeating: "x", count: TOMLScanner.documentBytesMax - 1)))
        #expect(refuses("#" + String(repeating: "x", count: TOMLScanner.documentBytesMax)))
    }

    @Test func `many tables and many values on a line are read in time`() throws {
        let tables = String(repeating: "[[a]]\nb=1\n", count: 10_000)
        #expect(try TOMLParser.parse(Array(tables.utf8)).entries.count == 1)
        let values = "a=[" + String(repeating: "1,", count: 50_000) + "]"
        guard case .array(let elements)? = try TOMLParser.parse(Array(values.utf8))["a"]?.value
        else {
            Issue.record("not an array")
            return
        }
        #expect(elements.count == 50_000)
    }

    /// Fuzz: whatever comes in, the parser ends with a table or with an error inside the document.
    @Test func `any bytes give a table or an error within the document`() {
        let seeds = ValidDocument.all.map(\.text) + InvalidDocument.all.map(\.text)
        let pieces = "[]{}=.,\"'#\\\n\r\t -_+:eExob0129uUTZ\u{0}\u{7f}é"
        let alphabet = pieces.unicodeScalars.map { Array(String($0).utf8) } + [[0xff], [0x80]]
        var random = TestRandom(seed: 20_261_121)
        for _ in 0..<6_000 {
            var bytes = Array(random.pick(seeds).utf8)
            for _ in 0...random.below(6) {
                let at = random.below(bytes.count + 1)
                switch random.below(4) {
                case 0: bytes.insert(contentsOf: random.pick(alphabet), at: at)
                case 1: if at < bytes.count { bytes.remove(at: at) }
                case 2: bytes.removeSubrange(at...)
                default: bytes += Array(random.pick(seeds).utf8)
                }
            }
            do throws(TOMLError) {
                let first = try TOMLParser.parse(bytes)
                let second = try TOMLParser.parse(bytes)
                // Compared by meaning: nan is not equal to itself.
                if first.brief != second.brief { Issue.record("unstable: \(bytes)") }
            } catch {
                let lines = bytes.split(separator: 0x0a, omittingEmptySubsequences: false).count
                if error.position.line > lines || error.position.column > bytes.count + 1 {
                    Issue.record("outside the document: \(error) in \(bytes)")
                }
            }
        }
    }
}
