// Finds messages in a history. Lines come in the order of time, so that what a message's first line tells
// (who it is from and for) is known before the rest.

import EkidenControl
import EkidenMail
import Glibc

/// What somebody asks for.
enum TraceQuery: Equatable {
    case id(String)
    /// An address, or a Message-ID without its brackets; in lower case.
    case mailbox(String)
    /// In lower case.
    case domain(String)

    init(_ text: String) {
        if let id = QueueID(text) {
            self = .id(id.text)
        } else {
            var bare = withoutBrackets(text).asciiLowercased
            if bare.hasSuffix(".") { bare.removeLast() }
            self =
                bare.contains("@") && !bare.hasPrefix("@")
                ? .mailbox(bare) : .domain(bare.hasPrefix("@") ? String(bare.dropFirst()) : bare)
        }
    }

    /// What a line must have in it to be looked at.
    fileprivate var needle: [UInt8] {
        switch self {
        case .id(let text), .mailbox(let text), .domain(let text):
            // As JSON has them in quoted local parts.
            text.utf8.flatMap { $0 == 0x22 || $0 == 0x5c ? [0x5c, $0] : [$0] }
        }
    }

    func fits(_ line: JSONObject) -> Bool {
        switch self {
        case .id(let id): return field(line, "id") == id || field(line, "about") == id
        case .mailbox(let mailbox):
            return addresses(line).contains(mailbox)
                || messageID(line) == mailbox
        case .domain(let domain):
            return addresses(line).contains { $0.hasSuffix("@" + domain) }
                || messageID(line) == domain
        }
    }

    private func messageID(_ line: JSONObject) -> String? {
        field(line, "message-id").map { withoutBrackets($0).asciiLowercased }
    }

    private func addresses(_ line: JSONObject) -> [String] {
        let to = (try? line.strings("to")) ?? field(line, "to").map { [$0] } ?? []
        return (to + [field(line, "from") ?? ""]).map { withoutBrackets($0).asciiLowercased }
    }
}

/// The field's text; nil where it is none.
func field(_ line: JSONObject, _ name: String) -> String? {
    try? line.optionalString(name)
}

struct TraceSearch {
    private let query: TraceQuery
    private let needle: [UInt8]
    private let limit: Int
    var since: WallTime?
    private var messages: [String: TracedMessage] = [:]
    /// In the order they were found.
    private var order: [String] = []
    /// Older ones that made room.
    private var gone: Set<String> = []
    var dropped: Int { gone.count }

    init(_ query: TraceQuery, limit: Int) {
        self.query = query
        self.limit = limit
        needle = query.needle.map { Self.folded($0) }
    }

    var found: [TracedMessage] {
        order.compactMap { messages[$0] }.filter { message in
            since.map { since in message.last.map { $0 >= since } ?? true } ?? true
        }
    }

    /// Bytes of the file held at a time, but for a line that is longer.
    private static let chunkBytes = 1 << 20

    mutating func read(_ path: String) throws(CommandProblem) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        if descriptor < 0 {
            // The relay has removed it meanwhile.
            if errno == ENOENT { return }
            throw CommandProblem(
                .negative,
                "can't read \(path): \(systemWords())",
                hint: "run it as root or as the relay's user"
            )
        }
        defer { close(descriptor) }
        var rest: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: Self.chunkBytes)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            if count <= 0 { return }
            rest += chunk[..<count]
            var start = 0
            while let end = rest[start...].firstIndex(of: 0x0a) {
                rest[start..<end].withUnsafeBytes { take($0) }
                start = end + 1
            }
            rest.removeFirst(start)
        }
    }

    /// Looks at one line.
    mutating func take(_ line: UnsafeRawBufferPointer) {
        let id = Self.id(of: line)
        let isKnown = id.map { messages[$0] != nil } ?? false
        guard isKnown || contains(line), let object = try? JSONReader.object(line),
            let id = field(object, "id")
        else { return }
        if !isKnown {
            guard query.fits(object), !gone.contains(id) else { return }
            if case .id(let wanted) = query, wanted != id, field(object, "about") != wanted {
                return
            }
            messages[id] = TracedMessage(id: id)
            order.append(id)
            if order.count > limit {
                let oldest = order.removeFirst()
                messages[oldest] = nil
                gone.insert(oldest)
            }
        }
        messages[id]?.add(object, String(decoding: line, as: UTF8.self))
    }

    /// The id near a line's beginning, without reading all of it.
    private static func id(of line: UnsafeRawBufferPointer) -> String? {
        let mark = Array(#""id":""#.utf8)
        let last = min(line.count, 160) - mark.count - 13
        guard last > 0 else { return nil }
        for start in 0..<last
        where line[start] == mark[0] && line[start + 1] == mark[1] && line[start + 2] == mark[2]
            && line[start..<start + mark.count].elementsEqual(mark)
        {
            let id = line[start + mark.count..<start + mark.count + 13]
            return String(decoding: id, as: UTF8.self)
        }
        return nil
    }

    private static func folded(_ byte: UInt8) -> UInt8 {
        byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte
    }

    private func contains(_ line: UnsafeRawBufferPointer) -> Bool {
        guard let first = needle.first, line.count >= needle.count else { return false }
        for start in 0...(line.count - needle.count) where Self.folded(line[start]) == first {
            if needle.indices.allSatisfy({ Self.folded(line[start + $0]) == needle[$0] }) {
                return true
            }
        }
        return false
    }
}
