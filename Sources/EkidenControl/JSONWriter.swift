// Writes JSON objects, one to a line, as the control socket and `--json` have them. By hand, because
// a list of a hundred thousand messages should take tenths of a second, not seconds.

import EkidenMail

package struct JSONWriter: ~Copyable {
    private var out: BytesBuilder
    private var needsComma = false

    package init(capacity: Int = 1024) { out = BytesBuilder(capacity: capacity) }

    package var count: Int { out.count }

    package consuming func finish() -> Bytes { out.finish() }

    /// One object on a line of its own.
    package mutating func line(_ body: (inout JSONWriter) -> Void) {
        object(body)
        out.append(byte: 0x0a)
        needsComma = false
    }

    /// An object as a value: the element of an array or the whole line.
    package mutating func object(_ body: (inout JSONWriter) -> Void) {
        separate()
        out.append(byte: UInt8(ascii: "{"))
        needsComma = false
        body(&self)
        out.append(byte: UInt8(ascii: "}"))
        needsComma = true
    }

    package mutating func field(_ name: StaticString, _ value: String) {
        key(name)
        quoted(value)
    }

    package mutating func field(_ name: StaticString, _ value: Int) {
        key(name)
        out.append(text: String(value))
    }

    package mutating func field(_ name: StaticString, _ value: Bool) {
        key(name)
        out.append(value ? "true" : "false")
    }

    /// Seconds with three decimals.
    package mutating func field(_ name: StaticString, seconds value: Double) {
        key(name)
        let thousandths = Int64(value.isFinite ? max(-1e15, min(value * 1000, 1e15)).rounded() : 0)
        let rest = String(thousandths.magnitude % 1000)
        if thousandths < 0 { out.append(byte: UInt8(ascii: "-")) }
        out.append(text: String(thousandths.magnitude / 1000))
        out.append(byte: UInt8(ascii: "."))
        out.append(text: String(repeating: "0", count: 3 - rest.count) + rest)
    }

    /// RFC 3339, in UTC.
    package mutating func field(_ name: StaticString, _ value: WallTime) {
        field(name, value.timestamp)
    }

    /// Left out when nil.
    package mutating func field(_ name: StaticString, _ value: String?) {
        if let value { field(name, value) }
    }

    package mutating func field(_ name: StaticString, _ value: Int?) {
        if let value { field(name, value) }
    }

    package mutating func field(_ name: StaticString, seconds value: Double?) {
        if let value { field(name, seconds: value) }
    }

    package mutating func field(_ name: StaticString, _ value: WallTime?) {
        if let value { field(name, value) }
    }

    package mutating func field(_ name: StaticString, _ values: [String]) {
        key(name)
        out.append(byte: UInt8(ascii: "["))
        for (index, value) in values.enumerated() {
            if index > 0 { out.append(byte: UInt8(ascii: ",")) }
            quoted(value)
        }
        out.append(byte: UInt8(ascii: "]"))
    }

    package mutating func field<T>(
        _ name: StaticString,
        objects values: [T],
        _ body: (T, inout JSONWriter) -> Void
    ) {
        key(name)
        out.append(byte: UInt8(ascii: "["))
        needsComma = false
        for value in values { object { body(value, &$0) } }
        out.append(byte: UInt8(ascii: "]"))
        needsComma = true
    }

    package mutating func field<T>(
        _ name: StaticString,
        object value: T,
        _ body: (T, inout JSONWriter) -> Void
    ) {
        key(name)
        needsComma = false
        object { body(value, &$0) }
    }

    private mutating func separate() {
        if needsComma { out.append(byte: UInt8(ascii: ",")) }
    }

    private mutating func key(_ name: StaticString) {
        separate()
        out.append(byte: 0x22)
        out.append(name)
        out.append("\":")
        needsComma = true
    }

    /// A JSON string (RFC 8259 §7), runs of plain bytes copied whole.
    private mutating func quoted(_ value: String) {
        out.append(byte: 0x22)
        var value = value
        value.withUTF8 { bytes in
            var start = 0
            for index in 0..<bytes.count {
                let byte = bytes[index]
                if byte >= 0x20, byte != 0x22, byte != 0x5c, byte != 0x7f { continue }
                out.append(
                    UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: bytes[start..<index]))
                )
                start = index + 1
                if byte == 0x22 || byte == 0x5c {
                    out.append(byte: 0x5c)
                    out.append(byte: byte)
                } else {
                    let hex = String(byte, radix: 16)
                    out.append(text: "\\u00" + (hex.count == 1 ? "0" : "") + hex)
                }
            }
            out.append(UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: bytes[start...])))
        }
        out.append(byte: 0x22)
    }
}
