// Domains beyond ASCII, for the DNS: U-labels become A-labels (IDNA2008: RFC 5890, 5891) by Punycode
// (RFC 3492). Without tables of its own it is stricter than IDNA: it takes the labels of which it is
// certain from what the standard library knows of characters, and no others. Called by the resolver;
// everywhere else domains stay as they were written.

extension Domain {
    /// The name to look up; nil when a label can't be put into ASCII here.
    package var lookupName: String? {
        if folded.utf8.allSatisfy({ $0 < 0x80 }) { return folded }
        var labels: [String] = []
        for label in folded.split(separator: ".", omittingEmptySubsequences: false) {
            guard let ascii = ALabel.of(label) else { return nil }
            labels.append(ascii)
        }
        let name = labels.joined(separator: ".")
        return name.utf8.count <= Limits.domainBytes ? name : nil
    }

    package var isASCII: Bool { text.utf8.allSatisfy { $0 < 0x80 } }
}

extension Address {
    package var isASCII: Bool { localPart.utf8.allSatisfy { $0 < 0x80 } && domain.isASCII }
}

extension ReversePath {
    package var isASCII: Bool {
        switch self {
        case .null: true
        case .address(let address): address.isASCII
        }
    }
}

enum ALabel {
    /// The label in ASCII; nil when it is no U-label, as far as can be told.
    static func of(_ label: Substring) -> String? {
        if label.utf8.allSatisfy({ $0 < 0x80 }) { return String(label) }
        // RFC 5895 §2: names are written in any case, and registered in lower case.
        let scalars = label.unicodeScalars.flatMap { scalar in
            Array(scalar.properties.lowercaseMapping.unicodeScalars)
        }
        guard isULabel(scalars), let encoded = punycode(scalars.map(\.value)) else { return nil }
        let ascii = "xn--" + encoded
        // RFC 1035 §2.3.4
        return ascii.utf8.count <= 63 ? ascii : nil
    }

    private static func isULabel(_ scalars: [Unicode.Scalar]) -> Bool {
        guard let first = scalars.first, let last = scalars.last, first != "-", last != "-",
            !isMark(first)
        else { return false }
        // RFC 5891 §4.2.3.1
        if scalars.count >= 4, scalars[2] == "-", scalars[3] == "-" { return false }
        return scalars.allSatisfy(isValid)
    }

    /// RFC 5892 §2, §3: letters, digits and marks that normalisation leaves alone.
    private static func isValid(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "a"..."z", "0"..."9", "-": return true
        // RFC 5892 §2.6, valid by exception.
        case "\u{df}", "\u{3c2}": return true
        // Conjoining Jamo (RFC 5892 §2.9), and other ASCII.
        case "\u{0}"..."\u{7f}", "\u{1100}"..."\u{11ff}", "\u{a960}"..."\u{a97f}",
            "\u{d7b0}"..."\u{d7ff}":
            return false
        default: break
        }
        let properties = scalar.properties
        if properties.changesWhenNFKCCaseFolded { return false }
        switch properties.generalCategory {
        case .lowercaseLetter, .otherLetter, .modifierLetter, .decimalNumber: return true
        // A mark that can be reordered or composed may not be in normal form (RFC 5891 §5.3).
        case .nonspacingMark, .spacingMark:
            return properties.canonicalCombiningClass == .notReordered
                || properties.canonicalCombiningClass == .virama
        default: return false
        }
    }

    private static func isMark(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark: true
        default: false
        }
    }

    // MARK: RFC 3492

    private static let base: UInt32 = 36
    private static let tMin: UInt32 = 1
    private static let tMax: UInt32 = 26

    /// RFC 3492 §6.3; nil when a number grows too large.
    static func punycode(_ input: [UInt32]) -> String? {
        var output = input.filter { $0 < 0x80 }.map { UInt8($0) }
        let basic = UInt32(output.count)
        if basic > 0 { output.append(UInt8(ascii: "-")) }
        var (n, delta, bias): (UInt32, UInt32, UInt32) = (128, 0, 72)
        var handled = basic
        while handled < input.count {
            guard let next = input.lazy.filter({ $0 >= n }).min() else { return nil }
            let (step, tooLarge) = (next - n).multipliedReportingOverflow(by: handled + 1)
            let (sum, carried) = delta.addingReportingOverflow(step)
            if tooLarge || carried { return nil }
            (delta, n) = (sum, next)
            for value in input {
                if value < n { delta += 1 }
                guard value == n else { continue }
                write(delta, bias, &output)
                bias = adapt(delta, handled + 1, isFirst: handled == basic)
                delta = 0
                handled += 1
            }
            delta += 1
            n += 1
        }
        return String(decoding: output, as: UTF8.self)
    }

    /// A number as digits of variable weight.
    private static func write(_ number: UInt32, _ bias: UInt32, _ output: inout [UInt8]) {
        var rest = number
        var k = base
        while true {
            let t = k <= bias ? tMin : min(tMax, k - bias)
            if rest < t { break }
            output.append(digit(t + (rest - t) % (base - t)))
            rest = (rest - t) / (base - t)
            k += base
        }
        output.append(digit(rest))
    }

    private static func digit(_ value: UInt32) -> UInt8 {
        value < 26 ? UInt8(0x61 + value) : UInt8(0x30 + value - 26)
    }

    /// RFC 3492 §6.1
    private static func adapt(_ delta: UInt32, _ count: UInt32, isFirst: Bool) -> UInt32 {
        var delta = isFirst ? delta / 700 : delta / 2
        delta += delta / count
        var k: UInt32 = 0
        while delta > (base - tMin) * tMax / 2 {
            delta /= base - tMin
            k += base
        }
        return k + (base - tMin + 1) * delta / (delta + 38)
    }
}
