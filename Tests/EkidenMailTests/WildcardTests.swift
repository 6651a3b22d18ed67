import Testing

@testable import EkidenMail

@Suite struct WildcardTests {
    @Test(arguments: [
        ("", "", true), ("", "a", false), ("*", "", true), ("*", "anything", true),
        ("abc", "ABC", true), ("abc", "abcd", false), ("a*", "a", true), ("a*c", "abbc", true),
        ("a*c", "abcb", false), ("*b*", "abc", true), ("*a*b*", "xxaxxb", true),
        ("a*b*c", "abXbc", true), ("**", "x", true), ("a**b", "ab", true), ("*ab", "aab", true),
        ("bulk-*", "bulk", false), ("ü*", "über", true), ("Ü*", "über", false),
    ])
    func `a star is any run of characters`(pattern: String, text: String, fits: Bool) {
        #expect(Wildcard(pattern).matches(text) == fits)
    }

    @Test func `many stars end soon`() {
        let pattern = Wildcard(String(repeating: "*a", count: 200) + "b")
        #expect(!pattern.matches(String(repeating: "a", count: 4000)))
    }
}
