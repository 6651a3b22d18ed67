// The house checks itself: layers, sizes and forbidden calls are ordinary tests, so that a rule
// that is broken is a rule that is seen. The rules are those of docs/ARCHITECTURE.md.

import Foundation
import Testing

private let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

struct SourceFile {
    let target: String
    let path: String
    let lines: [Substring]
    var text: String { lines.joined(separator: "\n") }
}

private func sources(below folder: String = "Sources") -> [SourceFile] {
    let base = root.appending(path: folder)
    guard let walker = FileManager.default.enumerator(at: base, includingPropertiesForKeys: nil)
    else { return [] }
    var files: [SourceFile] = []
    for case let url as URL in walker where url.pathExtension == "swift" {
        guard let text = try? String(contentsOf: url, encoding: .utf8) else { continue }
        let path = String(url.path.dropFirst(root.path.count + 1))
        files.append(
            SourceFile(
                target: String(path.split(separator: "/")[1]),
                path: path,
                lines: text.split(separator: "\n", omittingEmptySubsequences: false)
            )
        )
    }
    return files.sorted { $0.path < $1.path }
}

private let stages: Set<String> = [
    "EkidenIngress", "EkidenRewriting", "EkidenSpool", "EkidenScheduler", "EkidenResolver",
    "EkidenDelivery", "EkidenOutcome", "EkidenConfiguration",
]

/// Which modules of the house a target may import. What is not listed may not be imported.
private let allowed: [String: Set<String>] = {
    var table: [String: Set<String>] = [
        "EkidenMail": [],
        "EkidenRuntime": ["EkidenMail"],
        "EkidenCrypto": ["EkidenMail", "CEkiden", "COpenSSL"],
        "EkidenSMTP": ["EkidenMail", "EkidenCrypto"],
        "EkidenMIME": ["EkidenMail", "EkidenCrypto"],
        "EkidenControl": ["EkidenMail", "EkidenCrypto"],
        "EkidenConfiguration": ["EkidenMail", "EkidenRuntime"],
        "EkidenRewriting": ["EkidenMail"],
        "EkidenIngress": ["EkidenMail", "EkidenRuntime", "EkidenCrypto", "EkidenSMTP"],
        "EkidenSpool": ["EkidenMail", "EkidenRuntime", "EkidenCrypto"],
        "EkidenScheduler": ["EkidenMail", "EkidenRuntime"],
        "EkidenResolver": ["EkidenMail", "EkidenRuntime", "CResolv"],
        "EkidenDelivery": ["EkidenMail", "EkidenRuntime", "EkidenSMTP", "EkidenMIME"],
        "EkidenOutcome": ["EkidenMail", "EkidenMIME"],
        "EkidenLinux": [
            "EkidenMail", "EkidenRuntime", "CEkiden", "COpenSSL", "CResolv", "EkidenResolver",
        ],
        "EkidenSimulator": [
            "EkidenMail", "EkidenRuntime", "EkidenCrypto", "EkidenSMTP", "EkidenConfiguration",
            "EkidenSpool",
            "EkidenResolver", "EkidenControl", "EkidenRelay",
        ],
        "ekiden-sim": ["EkidenMail", "EkidenRuntime", "EkidenSimulator"],
    ]
    table["EkidenRelay"] = stages.union([
        "EkidenMail", "EkidenRuntime", "EkidenCrypto", "EkidenSMTP", "EkidenControl",
    ])
    table["ekiden"] = [
        "EkidenMail", "EkidenRuntime", "EkidenCrypto", "EkidenSMTP", "EkidenConfiguration",
        "EkidenIngress", "EkidenSpool", "EkidenControl", "EkidenRelay", "EkidenLinux",
    ]
    return table
}()

@Suite struct HouseTests {
    @Test func `every target imports only what lies below it`() {
        for file in sources() {
            guard let mayImport = allowed[file.target] else {
                Issue.record("\(file.path): target \(file.target) is not in the table of layers")
                continue
            }
            for line in file.lines where line.hasPrefix("import ") {
                let module = String(line.split(separator: " ")[1])
                guard module.hasPrefix("Ekiden") || module.hasPrefix("C") else { continue }
                #expect(mayImport.contains(module), "\(file.path) imports \(module)")
            }
        }
    }

    @Test func `no stage imports another stage`() {
        for file in sources() where stages.contains(file.target) {
            for line in file.lines where line.hasPrefix("import ") {
                let module = String(line.split(separator: " ")[1])
                #expect(!stages.contains(module), "\(file.path) imports \(module)")
            }
        }
    }

    @Test func `no file is longer than 700 lines, nine in ten are at most 350`() {
        let files = sources()
        for file in files { #expect(file.lines.count <= 700, "\(file.path): \(file.lines.count)") }
        let long = files.filter { $0.lines.count > 350 }
        #expect(long.count * 10 <= files.count, "\(long.map(\.path))")
    }

    @Test func `no function is longer than 70 lines`() {
        for file in sources() {
            for (start, length) in functions(in: file.lines) {
                #expect(length <= 70, "\(file.path):\(start + 1) has \(length) lines")
            }
        }
    }

    @Test func `clocks and randomness come through their seams`() {
        // A world may ask the system; so may the executable's tools, which run outside the relay.
        let worlds: Set<String> = ["EkidenLinux", "ekiden", "ekiden-sim"]
        let forbidden = [
            "clock_gettime", "gettimeofday", "Date()", "ContinuousClock", "SuspendingClock",
            "SystemRandomNumberGenerator", ".random(in", ".shuffled()", ".randomElement()",
            "Task.sleep", "DispatchQueue", "arc4random",
        ]
        for file in sources() where !worlds.contains(file.target) {
            for (number, line) in file.lines.enumerated() {
                let code = line.split(separator: "//", maxSplits: 1).first ?? ""
                for word in forbidden where code.contains(word) {
                    Issue.record("\(file.path):\(number + 1) uses \(word)")
                }
            }
        }
    }

    @Test func `unstructured tasks start in one place only`() {
        for file in sources() where file.path != "Sources/EkidenRuntime/Loop.swift" {
            for (number, line) in file.lines.enumerated() {
                let code = line.split(separator: "//", maxSplits: 1).first ?? ""
                if code.contains(/\bTask \{/) || code.contains("Task.detached") {
                    Issue.record("\(file.path):\(number + 1) starts a task outside Loop.spawn")
                }
            }
        }
    }

    @Test func `every unchecked Sendable is proved beside it`() {
        for file in sources() {
            for (number, line) in file.lines.enumerated()
            where line.contains("@unchecked Sendable") && !line.contains("///") {
                let above = file.lines[max(0, number - 14)..<number].joined(separator: "\n")
                #expect(
                    above.contains("`@unchecked Sendable`:"),
                    "\(file.path):\(number + 1) has no sentence that proves it"
                )
            }
        }
    }

    @Test func `every file says what it is`() {
        for file in sources() {
            let head = file.lines.prefix(12)
            #expect(
                head.contains { $0.hasPrefix("//") },
                "\(file.path) does not say what it is"
            )
        }
    }

    @Test func `packages are none`() throws {
        let manifest = try String(
            contentsOf: root.appending(path: "Package.swift"),
            encoding: .utf8
        )
        #expect(!manifest.contains(".package("))
    }
}

/// Start line and length of each function, by the indentation the formatter guarantees.
private func functions(in lines: [Substring]) -> [(Int, Int)] {
    var found: [(Int, Int)] = []
    for (number, line) in lines.enumerated() {
        let indent = line.prefix { $0 == " " }.count
        let code = line.dropFirst(indent)
        let words = code.split(separator: " ")
        guard words.contains("func") || code.hasPrefix("init(") || words.contains("init("),
            !code.hasPrefix("//")
        else { continue }
        let close = String(repeating: " ", count: indent) + "}"
        guard let end = lines[number...].firstIndex(where: { $0 == close }) else { continue }
        found.append((number, end - number + 1))
    }
    return found
}

@Suite struct PlantTests {
    /// deploy/plants applies them; who moves a line that one of them changes hears of it here.
    @Test func `every planted bug fits the sources as they are`() throws {
        let folder = root.appending(path: "Tests/Plants")
        let plants = try FileManager.default
            .contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
            .filter { $0.pathExtension == "patch" }
            .sorted { $0.path < $1.path }
        #expect(plants.count >= 12)
        for plant in plants {
            let git = Process()
            git.executableURL = URL(filePath: "/usr/bin/env")
            git.arguments = ["git", "apply", "--check", plant.path]
            git.currentDirectoryURL = root
            let errors = Pipe()
            git.standardError = errors
            try git.run()
            let text = String(
                decoding: errors.fileHandleForReading.readDataToEndOfFile(),
                as: UTF8.self
            )
            git.waitUntilExit()
            // 127: there is no git here.
            #expect(
                [0, 127].contains(git.terminationStatus),
                "\(plant.lastPathComponent): \(text)"
            )
        }
    }
}
