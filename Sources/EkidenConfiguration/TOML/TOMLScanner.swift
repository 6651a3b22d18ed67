// The cursor under the TOML parser: bytes, positions, white space, comments and line ends.
// `init` checks what holds for the whole document wherever it stands (UTF-8, control characters,
// bare CR, size), so that the grammar above it never meets a byte it must not see.

struct TOMLScanner {
    /// A configuration is read whole; this is far above any real one.
    static let documentBytesMax = 1_048_576

    private let bytes: [UInt8]
    private(set) var offset = 0
    /// The last position that was asked for; the next count starts there when it can.
    private var known: (offset: Int, position: TOMLPosition)

    init(_ document: [UInt8]) throws(TOMLError) {
        bytes = document
        // A byte order mark is not text; editors add it unasked.
        let start = document.starts(with: [0xef, 0xbb, 0xbf]) ? 3 : 0
        offset = start
        known = (start, TOMLPosition(line: 1, column: 1))
        guard document.count <= Self.documentBytesMax else {
            throw error(
                at: start,
                "the file is larger than \(Self.documentBytesMax) bytes; is it a configuration?"
            )
        }
        try checkEncoding()
        try checkControls(from: start)
        known = (start, TOMLPosition(line: 1, column: 1))
    }

    private mutating func checkEncoding() throws(TOMLError) {
        var invalid: Int?
        do {
            _ = try UTF8Span(validating: bytes.span)
        } catch {
            invalid = error.byteOffsets.lowerBound
        }
        if let invalid {
            throw error(at: invalid, "this byte is not UTF-8; save the file in UTF-8")
        }
    }

    /// TOML allows no control character anywhere but tab and the line ends LF and CRLF.
    private mutating func checkControls(from start: Int) throws(TOMLError) {
        var i = start
        while i < bytes.count {
            let byte = bytes[i]
            if byte == Self.cr {
                guard i + 1 < bytes.count, bytes[i + 1] == Self.lf else {
                    throw error(
                        at: i,
                        "a carriage return stands alone; end lines with LF or CRLF"
                    )
                }
            } else if byte < 0x20 && byte != Self.tab && byte != Self.lf || byte == 0x7f {
                throw error(
                    at: i,
                    "control character U+00\(hex(byte)) is not allowed; remove it, or write it "
                        + "as \\u00\(hex(byte)) in a string in double quotes"
                )
            }
            i += 1
        }
    }

    private func hex(_ byte: UInt8) -> String {
        (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
    }

    // MARK: Looking and moving

    static let tab = UInt8(ascii: "\t")
    static let lf = UInt8(ascii: "\n")
    static let cr = UInt8(ascii: "\r")

    var isAtEnd: Bool { offset >= bytes.count }

    /// The byte `ahead` of the cursor; nil past the end.
    func peek(_ ahead: Int = 0) -> UInt8? {
        offset + ahead < bytes.count ? bytes[offset + ahead] : nil
    }

    func looking(at text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        guard offset + count <= bytes.count else { return false }
        return (0..<count).allSatisfy { bytes[offset + $0] == text.utf8Start[$0] }
    }

    mutating func advance(_ count: Int = 1) { offset = min(offset + count, bytes.count) }

    mutating func take(_ byte: UInt8) -> Bool {
        guard peek() == byte else { return false }
        offset += 1
        return true
    }

    /// The bytes from `start` to the cursor.
    func slice(from start: Int) -> ArraySlice<UInt8> { bytes[start..<offset] }

    // MARK: White space

    mutating func skipBlanks() {
        while let byte = peek(), byte == 0x20 || byte == Self.tab { offset += 1 }
    }

    /// Takes LF or CRLF.
    mutating func takeNewline() -> Bool {
        if take(Self.lf) { return true }
        guard peek() == Self.cr else { return false }
        offset += 2
        return true
    }

    mutating func skipComment() {
        guard peek() == UInt8(ascii: "#") else { return }
        while let byte = peek(), byte != Self.lf, byte != Self.cr { offset += 1 }
    }

    /// Blanks, comments and line ends: what may stand between the elements of an array.
    mutating func skipBlanksAndLines() {
        repeat {
            skipBlanks()
            skipComment()
        } while takeNewline()
    }

    // MARK: Positions

    mutating func position(at target: Int) -> TOMLPosition {
        if target < known.offset {
            known = (bytes.starts(with: [0xef, 0xbb, 0xbf]) ? 3 : 0, .init(line: 1, column: 1))
        }
        var line = known.position.line
        var column = known.position.column
        var i = known.offset
        while i < min(target, bytes.count) {
            if bytes[i] == Self.lf {
                line += 1
                column = 1
            } else if bytes[i] & 0xc0 != 0x80 {
                column += 1
            }
            i += 1
        }
        known = (i, TOMLPosition(line: line, column: column))
        return known.position
    }

    mutating func here() -> TOMLPosition { position(at: offset) }

    mutating func error(at target: Int, _ sentence: String) -> TOMLError {
        TOMLError(position: position(at: target), sentence: sentence)
    }

    mutating func error(_ sentence: String) -> TOMLError { error(at: offset, sentence) }

    /// The character under the cursor, quoted for a sentence.
    var shown: String {
        guard let byte = peek() else { return "the end of the file" }
        if byte == Self.lf || byte == Self.cr { return "the end of the line" }
        let rest = bytes[offset..<min(offset + 4, bytes.count)]
        let character = String(decoding: rest, as: UTF8.self).unicodeScalars.first.map(String.init)
        return "\"" + (character ?? "?") + "\""
    }
}
