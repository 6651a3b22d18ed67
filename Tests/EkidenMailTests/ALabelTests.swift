import Testing

@testable import EkidenMail

@Suite struct ALabelTests {
    @Test(arguments: [
        ("example.org", "example.org"), ("Example.ORG", "example.org"),
        ("bücher.example", "xn--bcher-kva.example"), ("BÜCHER.example", "xn--bcher-kva.example"),
        ("münchen.de", "xn--mnchen-3ya.de"), ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("россия", "xn--h1alffa9f"), ("faß.example", "xn--fa-hia.example"),
        ("παράδειγμα.δοκιμή", "xn--hxajbheg2az3al.xn--jxalpdlp"),
        ("उदाहरण.परीक्षा", "xn--p1b6ci4b4b3a.xn--11b5bs3a9aj6g"), ("x.中国", "x.xn--fiqs8s"),
    ])
    func `a domain is looked up by its A-labels`(_ domain: String, _ name: String) {
        #expect(Domain(domain).lookupName == name)
    }

    @Test(arguments: [
        "bu\u{308}cher.example", "-ü.example", "ü-.example", "xn--ü.example", "ü ü.example",
        "ﬁsh.example", "①.example", "☃.example", "a\u{200d}ü.example", "\u{301}ü.example",
        "\u{1100}\u{1161}.example", "ü!.example", "ｅｘ.example",
        String(repeating: "ü", count: 63) + "é" + String(repeating: "漢", count: 40) + ".example",
    ])
    func `a label that is none, or of which that is not certain, has no name`(_ domain: String) {
        #expect(Domain(domain).lookupName == nil)
    }

    @Test func `random labels never trap and give a legal name or none`() {
        var state: UInt64 = 0x9e37_79b9_7f4a_7c15
        func below(_ bound: UInt64) -> UInt64 {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return state % bound
        }
        for _ in 0..<5000 {
            var view = String.UnicodeScalarView()
            let top: UInt64 = [0x80, 0x250, 0x3000, 0x11_0000][Int(below(4))]
            for _ in 0..<below(80) {
                if let scalar = Unicode.Scalar(UInt32(below(top))) { view.append(scalar) }
            }
            guard let name = Domain(String(view)).lookupName else { continue }
            #expect(name.utf8.allSatisfy { $0 < 0x80 } && name.utf8.count <= 255)
        }
    }
}
