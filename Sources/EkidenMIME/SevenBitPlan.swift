// What is to be done to which part of a message so that it fits through 7 bits: what the survey finds
// and the converter does.

package struct SevenBitPlan: Sendable, Equatable {
    enum Change: UInt8, Sendable {
        case none
        /// A part inside it changes; of itself at most MIME-Version is added.
        case inside
        /// The same, and its own label of `8bit` or `binary` becomes `7bit` (RFC 2045 §6.4).
        case relabelled
        case quotedPrintable
        case base64
    }

    /// By entity; those behind the last one do not change.
    private(set) var changes: [Change] = []
    /// Bytes of the converted message.
    package internal(set) var byteCount = 0

    func change(of entity: Int) -> Change {
        changes.indices.contains(entity) ? changes[entity] : .none
    }

    mutating func set(_ change: Change, of entity: Int) {
        while changes.count <= entity { changes.append(.none) }
        changes[entity] = change
    }
}

/// The fields that the converter writes.
enum SevenBitFields {
    static let version: StaticString = "MIME-Version: 1.0\r\n"
    /// RFC 1428 §3: nobody has said what the characters are.
    static let contentType: StaticString = "Content-Type: text/plain; charset=unknown-8bit\r\n"

    /// nil: the change asks for none.
    static func transferEncoding(_ change: SevenBitPlan.Change) -> StaticString? {
        switch change {
        case .none, .inside: nil
        case .relabelled: "Content-Transfer-Encoding: 7bit\r\n"
        case .quotedPrintable: "Content-Transfer-Encoding: quoted-printable\r\n"
        case .base64: "Content-Transfer-Encoding: base64\r\n"
        }
    }
}
