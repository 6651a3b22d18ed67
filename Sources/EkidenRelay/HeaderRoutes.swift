// Which routes a message's header asks for: looked at once, when it comes in, and kept with it, so that
// no start has to read all messages.

import EkidenConfiguration
import EkidenMail

extension RouteTable {
    /// Bytes of a value that are looked at.
    private static let valueBytesMax = 65_536

    /// The names of the routes one of whose header patterns fits a field of this block (RFC 5322 §2.2;
    /// folded lines are one, §2.2.3), in the order of the file.
    func headerRoutes(of header: Bytes) -> [String] {
        if !looksAtHeaders { return [] }
        let asking = all.filter { !$0.header.isEmpty }
        var found: Set<String> = []
        Self.eachField(of: header.pointer) { name, value in
            for route in asking where !found.contains(route.name) {
                if route.header.contains(where: { $0.name == name && $0.value.matches(value) }) {
                    found.insert(route.name)
                }
            }
        }
        return asking.map(\.name).filter(found.contains)
    }

    private static func eachField(
        of header: UnsafeRawBufferPointer,
        _ body: (_ name: String, _ value: String) -> Void
    ) {
        var name: [UInt8] = []
        var value: [UInt8] = []
        func end() {
            if name.isEmpty { return }
            let text = String(decoding: value.prefix(valueBytesMax), as: UTF8.self)
            body(String(decoding: name, as: UTF8.self).asciiLowercased, text)
        }
        for line in header.split(separator: 0x0a, omittingEmptySubsequences: true) {
            let isSpace = { (byte: UInt8) in byte == 0x20 || byte == 0x09 || byte == 0x0d }
            var text = line.drop(while: isSpace)
            while let last = text.last, isSpace(last) { text.removeLast() }
            if text.startIndex > line.startIndex {
                if !text.isEmpty, value.count < valueBytesMax {
                    if !value.isEmpty { value.append(0x20) }
                    value.append(contentsOf: text)
                }
                continue
            }
            end()
            (name, value) = ([], [])
            guard let colon = text.firstIndex(of: 0x3a) else { continue }
            // RFC 5322 §4.5: spaces may stand before the colon in old mail.
            name = text[..<colon].filter { !isSpace($0) }
            value = Array(text[text.index(after: colon)...].drop(while: isSpace))
        }
        end()
    }
}
