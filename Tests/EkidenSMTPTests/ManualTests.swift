import EkidenMail
import Foundation
import Testing

@testable import EkidenSMTP

/// docs/SMTP.md names what there is.
@Suite struct ManualTests {
    private static let manual = try? String(
        contentsOf: URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "docs/SMTP.md"),
        encoding: .utf8
    )

    @Test(arguments: ServerRule.allCases)
    func `the manual names every rule`(rule: ServerRule) throws {
        let manual = try #require(Self.manual)
        #expect(manual.contains("`\(rule.rawValue)`"))
    }

    @Test func `the manual names every command and every extension`() throws {
        let manual = try #require(Self.manual)
        for verb in Verb.table {
            let word = "\(verb.word)"
            #expect(manual.contains("`\(word)`") || manual.contains("`\(word) "), "\(word)")
        }
        let settings = ServerSettings(hostName: "h", offersTLS: true, auth: AuthSettings())
        for isSecured in [false, true] {
            let hello = Reply.hello(
                settings,
                isSecured: isSecured,
                mechanisms: [.plain],
                takesOverride: true
            )
            for line in hello.lines.dropFirst() {
                let word = line.split(separator: " ")[0]
                #expect(manual.contains("`\(word)`") || manual.contains("`\(word) "), "\(word)")
            }
        }
    }
}
