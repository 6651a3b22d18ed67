import EkidenMail
import Glibc
import TestKit
import Testing

@testable import EkidenSMTP

/// A conversation from a file of `Dialogues/`.
///
/// `C:` what the client says, CRLF added; `c:` the same without CRLF; `S:` the beginning of a line
/// the server says; `S: 250 (all)` all lines of a 250, perhaps `with` or
/// `without` one that begins so; `S: (closed)`; `!` settings; `#` comment. `\r \n \t \\ \xHH` stand for bytes,
/// `\*N*X` for N times the character X. All `C` lines up to the next `S` are sent together.
struct Dialogue: Sendable, CustomTestStringConvertible {
    enum Line: Sendable {
        case client([UInt8])
        case server(String)
        case wholeOK(with: String?, without: String?)
        case closed
    }
    let name: String
    var settings = ServerSettings(hostName: "relay.example", messageBytes: 100_000)
    var newlines = BodyReceiver.Newlines.strict
    var mayOverride = false
    var security: TLSFacts?
    var certificateLogin: String?
    var mayLogInWithoutTLS = false
    var lines: [Line] = []

    var testDescription: String { name }

    init(name: String, text: String) throws {
        self.name = name
        for line in text.split(separator: "\n", omittingEmptySubsequences: true) {
            let words = line.split(separator: " ").map(String.init)
            switch line.prefix(2) {
            case "C:": lines.append(.client(try Self.unescape(line.dropFirst(3)) + [13, 10]))
            case "c:": lines.append(.client(try Self.unescape(line.dropFirst(3))))
            case "S:" where line == "S: (closed)": lines.append(.closed)
            case "S:" where line.hasPrefix("S: 250 (all)"):
                let rest = words.dropFirst(4).joined(separator: " ")
                lines.append(
                    .wholeOK(
                        with: words.count > 4 && words[3] == "with" ? rest : nil,
                        without: words.count > 4 && words[3] == "without" ? rest : nil
                    )
                )
            case "S:": lines.append(.server(String(line.dropFirst(3))))
            case "! ":
                let value = words.count > 2 ? Int(words[2]) ?? 0 : 0
                switch words[1] {
                case "messageBytes": settings.messageBytes = value
                case "recipients": settings.recipients = value
                case "errors": settings.errors = value
                case "commands": settings.commands = value
                case "overrides": mayOverride = true
                case "lenient": newlines = .lenient
                case "offersTLS": settings.offersTLS = true
                case "requiresTLS": settings.requiresTLS = true
                case "auth": settings.auth = AuthSettings()
                case "authRequired": settings.auth = AuthSettings(isRequired: true)
                case "mechanisms":
                    settings.auth = AuthSettings(mechanisms: words[2...].compactMap { .init($0) })
                case "trusted": mayLogInWithoutTLS = true
                case "protected": security = ServerDriver.tls
                case "bound": security?.exporterBinding = Bytes([1, 2, 3])
                case "certificate": certificateLogin = words[2]
                default: Issue.record("\(name): unknown setting \(words[1])")
                }
            case let other:
                if !other.hasPrefix("#") { Issue.record("\(name): unknown line \(line)") }
            }
        }
    }

    private static func unescape(_ text: Substring) throws -> [UInt8] {
        var result: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "\\") else {
                result.append(byte)
                continue
            }
            switch rest.popFirst() {
            case UInt8(ascii: "r"): result.append(13)
            case UInt8(ascii: "n"): result.append(10)
            case UInt8(ascii: "t"): result.append(9)
            case UInt8(ascii: "\\"): result.append(0x5c)
            case UInt8(ascii: "x"):
                let digits = String(decoding: rest.prefix(2), as: UTF8.self)
                let value = UInt8(digits, radix: 16)
                result.append(try #require(value))
                rest = rest.dropFirst(2)
            case UInt8(ascii: "*"):
                let digits = rest.prefix { $0 != UInt8(ascii: "*") }
                let count = Int(String(decoding: digits, as: UTF8.self))
                rest = rest.dropFirst(digits.count + 1)
                let repeated = rest.popFirst()
                result += Array(repeating: try #require(repeated), count: try #require(count))
            default: Issue.record("unknown escape in \(text)")
            }
        }
        return result
    }

    /// Every `.dialogue` file beside this source file, in order of name.
    static let all: [Dialogue] = {
        let folder = #filePath.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 }
        let path = folder + "/Dialogues"
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasSuffix(".dialogue") { names.append(name) }
        }
        return names.sorted().compactMap { name in
            guard let file = fopen(path + "/" + name, "r") else { return nil }
            defer { fclose(file) }
            var content: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 4096)
            while case let n = fread(&buffer, 1, buffer.count, file), n > 0 {
                content += buffer[..<n]
            }
            do { return try Dialogue(name: name, text: content.text) } catch {
                fatalError("\(name) is no dialogue: \(error)")
            }
        }
    }()
}

@Suite struct DialogueTests {
    @Test func `the dialogue files are found`() { #expect(Dialogue.all.count >= 20) }

    @Test(arguments: Dialogue.all)
    func `the session speaks as the dialogue says`(_ dialogue: Dialogue) {
        run(dialogue) { [$0] }
    }

    @Test(arguments: Dialogue.all)
    func `byte by byte it speaks the same`(_ dialogue: Dialogue) {
        run(dialogue) { $0.pieces(of: 1) }
    }

    @Test(arguments: Dialogue.all)
    func `in random fragments it speaks the same`(_ dialogue: Dialogue) {
        for seed in 1...5 {
            var random = TestRandom(seed: UInt64(seed))
            run(dialogue) { $0.pieces(&random, upTo: 9) }
        }
    }

    private func run(_ dialogue: Dialogue, cut: ([UInt8]) -> [[UInt8]]) {
        var driver = ServerDriver(
            dialogue.settings,
            security: dialogue.security,
            certificateLogin: dialogue.certificateLogin,
            mayLogInWithoutTLS: dialogue.mayLogInWithoutTLS
        )
        driver.newlines = dialogue.newlines
        driver.session.mayOverride = dialogue.mayOverride
        var heard: [String] = []
        var pending: [UInt8] = []
        for line in dialogue.lines {
            if case .client(let bytes) = line {
                #expect(heard.isEmpty, "\(dialogue.name): unexpected \(heard)")
                heard = []
                pending += bytes
                continue
            }
            for piece in cut(pending) { driver.receive(piece) }
            pending = []
            heard += driver.takeOutput().split(separator: UInt8(ascii: "\n"))
                .map { String(decoding: $0.dropLast(), as: UTF8.self) }
            switch line {
            case .client: break
            case .closed: #expect(driver.isClosed, "\(dialogue.name): not closed")
            case .wholeOK(let with, let without):
                let said = heard.map { String($0.dropFirst(4)) }
                func says(_ words: String) -> Bool {
                    said.contains { $0 == words || $0.hasPrefix(words + " ") }
                }
                if let with { #expect(says(with), "\(dialogue.name): no \(with) in \(said)") }
                if let without { #expect(!says(without), "\(dialogue.name): \(without)") }
                while heard.first?.hasPrefix("250-") == true { heard.removeFirst() }
                let actual = heard.isEmpty ? "(nothing)" : heard.removeFirst()
                #expect(actual.hasPrefix("250 "), "\(dialogue.name): \(actual)")
            case .server(let expected):
                let actual = heard.isEmpty ? "(nothing)" : heard.removeFirst()
                #expect(actual.hasPrefix(expected), "\(dialogue.name): \(actual)")
            }
        }
        #expect(heard.isEmpty, "\(dialogue.name): unexpected \(heard)")
        #expect(pending.isEmpty, "\(dialogue.name): ends with the client's words")
    }
}
