// The configurations in docs/POLICY.md are ones that work.

import Testing

@testable import EkidenConfiguration

@Suite struct PolicyPageTests {
    /// The page's TOML, each block with the line it begins at.
    static let blocks: [(line: Int, text: String)] = {
        let page = TestFiles.text(TestFiles.root + "/docs/POLICY.md") ?? ""
        var blocks: [(Int, String)] = []
        var open: (Int, String)?
        for (index, line) in page.split(separator: "\n", omittingEmptySubsequences: false)
            .enumerated()
        {
            if line == "```toml" {
                open = (index + 2, "")
            } else if line == "```", let block = open {
                blocks.append(block)
                open = nil
            } else if let block = open {
                open = (block.0, block.1 + line + "\n")
            }
        }
        return blocks
    }()

    @Test func `the page has its snippets and five whole files`() {
        #expect(Self.blocks.count >= 7)
        #expect(Self.blocks.filter { $0.text.hasPrefix("[relay]") }.count == 5)
    }

    @Test(arguments: blocks.map(\.line))
    func `a configuration on the page is accepted, a whole file without a warning`(
        line: Int
    ) throws {
        let text = try #require(Self.blocks.first { $0.line == line }?.text)
        let inspection = Configuration.inspect(
            text: Array(text.utf8),
            file: "POLICY.md from line \(line)",
            hostname: "mail.example.org"
        )
        #expect(inspection.errors.map(\.text) == [])
        if text.hasPrefix("[relay]") { #expect(inspection.problems.map(\.text) == []) }
    }
}
