import EkidenMail
import TestKit

@testable import EkidenSMTP

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

extension [UInt8] {
    /// The bytes in pieces: of `size` each, or of random sizes.
    func pieces(of size: Int) -> [[UInt8]] {
        stride(from: 0, to: count, by: size).map { Array(self[$0..<Swift.min($0 + size, count)]) }
    }

    func pieces(_ random: inout TestRandom, upTo size: Int) -> [[UInt8]] {
        var pieces: [[UInt8]] = []
        var at = 0
        while at < count {
            let end = Swift.min(count, at + 1 + random.below(size))
            pieces.append(Array(self[at..<end]))
            at = end
        }
        return pieces
    }

    var text: String { String(decoding: self, as: UTF8.self) }
}

extension Bytes {
    var asArray: [UInt8] { withExtendedLifetime(self) { array } }
}

extension ServerSession {
    mutating func say(_ line: String, hasMoreInput: Bool = false) -> ServerEffect {
        bytes(line).withUnsafeBytes { command($0, hasMoreInput: hasMoreInput) }
    }
}

extension Reply {
    init(_ code: UInt16, _ text: String) { self.init(code, nil, text) }
}
