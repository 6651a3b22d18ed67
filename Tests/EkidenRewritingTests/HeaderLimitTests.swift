import EkidenMail
import Testing

@testable import EkidenRewriting

/// Why a header is refused, fed in pieces of `size` bytes; nil when it is taken.
private func problem(_ header: String, _ rules: RewriteRules, size: Int) -> HeaderProblem? {
    let bytes = Array(header.utf8)
    var rewriter = HeaderRewriter(rules)
    for start in stride(from: 0, to: bytes.count, by: size) {
        let piece = Array(bytes[start..<min(start + size, bytes.count)])
        let problem = piece.withUnsafeBytes { bytes -> HeaderProblem? in
            do throws(HeaderProblem) {
                _ = try rewriter.append(bytes)
                return nil
            } catch {
                return error
            }
        }
        if let problem { return problem }
    }
    return nil
}

@Suite struct HeaderLimitTests {
    private func limited(fields: Int = 1000, fieldBytes: Int = 10_000) -> RewriteRules {
        var limited = rules()
        limited.headerFields = fields
        limited.headerFieldBytes = fieldBytes
        return limited
    }

    @Test func `a header has so many fields, folded lines not counted`() {
        let field = "X: a\r\n b\r\n c\r\n"
        for size in [1, 7, 1000] {
            let full = String(repeating: field, count: 3) + "\r\n"
            #expect(problem(full, limited(fields: 3), size: size) == nil)
            #expect(
                problem(field + full, limited(fields: 3), size: size) == .tooManyFields(limit: 3)
            )
        }
        // Those we take out count as well: they were sent.
        let hidden = String(repeating: "Bcc: x@y.example\r\n", count: 4) + "\r\n"
        #expect(problem(hidden, limited(fields: 3), size: 100) == .tooManyFields(limit: 3))
        // Lines of the body are no fields.
        let body = "X: a\r\n\r\n" + String(repeating: "Y: b\r\n", count: 9)
        #expect(problem(body, limited(fields: 1), size: 1000) == nil)
    }

    @Test func `a field has so many bytes, folded lines and line ends counted`() {
        // 6 + 4 bytes.
        for size in [1, 7, 1000] {
            let folded = "X: a\r\n b\r\nYY: a\r\n\r\n"
            #expect(problem(folded, limited(fieldBytes: 10), size: size) == nil)
            #expect(
                problem(folded, limited(fieldBytes: 9), size: size)
                    == .fieldTooLarge(limitBytes: 9)
            )
        }
    }

    @Test func `each has a rule and a reply of its own`() {
        for (problem, rule) in [
            (HeaderProblem.tooManyFields(limit: 7), "header-fields"),
            (.fieldTooLarge(limitBytes: 7), "header-field-size"),
        ] {
            #expect(problem.rule == rule)
            #expect(
                problem.reply.oneLine.hasPrefix("552 5.3.4 ") && problem.reply.oneLine.contains("7")
            )
        }
    }
}
