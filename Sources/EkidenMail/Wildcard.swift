/// Text in which each `*` stands for any run of characters, or none; without the case of ASCII letters.
package struct Wildcard: Sendable, Hashable {
    /// As written.
    package let text: String
    private let pattern: [UInt8]

    package init(_ text: String) {
        self.text = text
        pattern = Array(text.asciiLowercased.utf8)
    }

    /// - Bounds: pattern times text at worst; both are short.
    package func matches(_ other: String) -> Bool {
        let text = Array(other.asciiLowercased.utf8)
        var (at, here) = (0, 0)
        /// Behind the last `*`, and how far its run reaches.
        var star: (pattern: Int, text: Int)?
        while here < text.count {
            if at < pattern.count, pattern[at] == UInt8(ascii: "*") {
                at += 1
                star = (at, here)
            } else if at < pattern.count, pattern[at] == text[here] {
                at += 1
                here += 1
            } else if let last = star {
                star = (last.pattern, last.text + 1)
                (at, here) = (last.pattern, last.text + 1)
            } else {
                return false
            }
        }
        return pattern[at...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
