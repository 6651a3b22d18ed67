// The configurations in README and docs are ones that work.

import Testing

@testable import EkidenConfiguration

@Suite struct PageTests {
    struct Block: Sendable, CustomTestStringConvertible {
        let page: String
        let line: Int
        let text: String

        var testDescription: String { "\(page) from line \(line)" }
    }

    static let pages = [
        "README.md", "docs/DELIVERY.md", "docs/LIMITS.md", "docs/POLICY.md", "docs/ROUTES.md",
        "docs/TLS.md", "docs/USERS.md",
    ]

    /// The pages' TOML, each block with the line it begins at.
    static let blocks: [Block] = pages.flatMap { page -> [Block] in
        let text = TestFiles.text(TestFiles.root + "/" + page) ?? ""
        var blocks: [Block] = []
        var open: (line: Int, text: String)?
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false)
            .enumerated()
        {
            if line == "```toml" {
                open = (index + 2, "")
            } else if line == "```", let block = open {
                blocks.append(Block(page: page, line: block.line, text: block.text))
                open = nil
            } else if let block = open {
                open = (block.line, block.text + line + "\n")
            }
        }
        return blocks
    }

    @Test(arguments: pages) func `a page that shows configurations has some`(page: String) {
        #expect(Self.blocks.contains { $0.page == page })
    }

    @Test func `the page of policies has its snippets and five whole files`() {
        let blocks = Self.blocks.filter { $0.page == "docs/POLICY.md" }
        #expect(blocks.count >= 7)
        #expect(blocks.filter { $0.text.hasPrefix("[relay]") }.count == 5)
    }

    @Test(arguments: blocks)
    func `a configuration on a page is accepted, a whole file without a warning`(block: Block) {
        let inspection = Configuration.inspect(
            text: Array(block.text.utf8),
            file: block.testDescription,
            hostname: "mail.example.org"
        )
        #expect(inspection.errors.map(\.text) == [])
        if block.text.hasPrefix("[relay]") { #expect(inspection.problems.map(\.text) == []) }
    }
}
