// Rows of `ekiden queue show ID`, in the order they come: the message, its recipients, their
// attempts, its header; and the chunks of `--raw`.

import EkidenCrypto
import EkidenMail

package struct MessageDetail: ControlRow {
    package static let kind = "detail"

    package var id: QueueID
    package var sender: String
    package var arrived: WallTime
    package var ageSeconds: Double
    package var byteCount: Int
    package var client: String
    package var helo: String
    package var inboundProtocol: String
    package var listener: String
    /// Why it is on hold; nil when it is not.
    package var holdReason: Reason?
    package var holdUID: Int?
    package var holdSince: WallTime?

    package init(id: QueueID, envelope: Envelope, byteCount: Int, hold: Hold?, now: WallTime) {
        self.id = id
        sender = envelope.sender.text
        arrived = envelope.arrived
        ageSeconds = (now - envelope.arrived).inSeconds
        self.byteCount = byteCount
        client = envelope.client.endpoint.text
        helo = envelope.client.helo
        inboundProtocol = envelope.client.inboundProtocol.text
        listener = envelope.client.listener
        holdReason = hold?.reason
        holdUID = hold?.uid.map { Int($0) }
        holdSince = hold?.since
    }

    package func write(_ w: inout JSONWriter) {
        w.field("id", id.text)
        w.field("from", sender)
        w.field("arrived", arrived)
        w.field("age_seconds", seconds: ageSeconds)
        w.field("size", byteCount)
        w.field("client", client)
        w.field("helo", helo)
        w.field("with", inboundProtocol)
        w.field("listener", listener)
        w.field("hold_reason", holdReason?.rawValue)
        w.field("hold_uid", holdUID)
        w.field("hold_since", holdSince)
    }

    package init(_ object: JSONObject) throws(JSONProblem) {
        id = try object.id("id")
        sender = try object.string("from")
        arrived = try object.time("arrived")
        ageSeconds = try object.number("age_seconds")
        byteCount = try object.integer("size")
        client = try object.string("client")
        helo = try object.string("helo")
        inboundProtocol = try object.string("with")
        listener = try object.string("listener")
        holdReason = try object.word("hold_reason")
        holdUID = try object.optionalInteger("hold_uid")
        holdSince = try object.optionalTime("hold_since")
    }
}

/// How one recipient stands.
package struct RecipientRow: ControlRow {
    package static let kind = "recipient"

    package var address: String
    /// The durable state: `pending`, `delivered`, `failed`, `expired`, `removed`.
    package var state: RecipientState
    /// Where a pending one is now.
    package var place: PlaceWord?
    package var attempts: Int
    package var reason: Reason
    package var host: String
    package var words: String
    package var since: WallTime?
    package var next: WallTime?
    package var nextInSeconds: Double?

    package init(
        address: String,
        state: RecipientState,
        place: PlaceWord? = nil,
        attempts: Int,
        reason: Reason,
        host: String = "",
        words: String = "",
        since: WallTime? = nil,
        next: WallTime? = nil,
        now: WallTime
    ) {
        self.address = address
        self.state = state
        self.place = place
        self.attempts = attempts
        self.reason = reason
        self.host = host
        self.words = words
        self.since = since
        self.next = next
        nextInSeconds = next.map { ($0 - now).inSeconds }
    }

    package func write(_ w: inout JSONWriter) {
        w.field("to", address)
        w.field("state", state.text)
        w.field("place", place?.rawValue)
        w.field("attempts", attempts)
        w.field("reason", reason.rawValue)
        w.field("because", reason.sentence)
        if !host.isEmpty { w.field("host", host) }
        if !words.isEmpty { w.field("words", words) }
        w.field("since", since)
        w.field("next", next)
        w.field("next_in_seconds", seconds: nextInSeconds)
    }

    package init(_ object: JSONObject) throws(JSONProblem) {
        address = try object.string("to")
        let word = try object.string("state")
        guard let state = RecipientState.allCases.first(where: { $0.text == word }) else {
            throw .wrongType("state")
        }
        self.state = state
        place = try object.word("place")
        attempts = try object.integer("attempts")
        reason = try object.requiredWord("reason")
        host = try object.optionalString("host") ?? ""
        words = try object.optionalString("words") ?? ""
        since = try object.optionalTime("since")
        next = try object.optionalTime("next")
        nextInSeconds = try object.optionalNumber("next_in_seconds")
    }
}

/// What one attempt brought for one recipient, as its mark recorded it.
package struct AttemptRow: ControlRow {
    package static let kind = "attempt"

    package var address: String
    package var at: WallTime
    /// Number of the attempt, from 1.
    package var attempt: Int
    package var state: RecipientState
    package var reason: Reason
    package var host: String
    package var words: String

    package init(address: String, mark: RecipientMark) {
        self.address = address
        at = mark.at
        attempt = mark.attempts
        state = mark.state
        reason = mark.reason
        host = mark.host
        words = mark.words
    }

    package func write(_ w: inout JSONWriter) {
        w.field("to", address)
        w.field("at", at)
        w.field("attempt", attempt)
        w.field("state", state.text)
        w.field("reason", reason.rawValue)
        if !host.isEmpty { w.field("host", host) }
        w.field("words", words)
    }

    package init(_ object: JSONObject) throws(JSONProblem) {
        address = try object.string("to")
        at = try object.time("at")
        attempt = try object.integer("attempt")
        let word = try object.string("state")
        guard let state = RecipientState.allCases.first(where: { $0.text == word }) else {
            throw .wrongType("state")
        }
        self.state = state
        reason = try object.requiredWord("reason")
        host = try object.optionalString("host") ?? ""
        words = try object.string("words")
    }
}

/// The header block for reading; bytes that are not UTF-8 are replaced.
package struct HeaderText: ControlRow {
    package static let kind = "header"
    package var text: String

    package init(text: String) { self.text = text }

    package func write(_ w: inout JSONWriter) { w.field("text", text) }

    package init(_ object: JSONObject) throws(JSONProblem) { text = try object.string("text") }
}

/// A piece of a message, in order.
package struct RawChunk: ControlRow {
    package static let kind = "chunk"
    /// Bytes of the message in one chunk.
    package static let byteCount = 48 * 1024

    package var bytes: [UInt8]

    package init(bytes: [UInt8]) { self.bytes = bytes }

    package func write(_ w: inout JSONWriter) { w.field("base64", Base64.encode(bytes)) }

    package init(_ object: JSONObject) throws(JSONProblem) {
        guard let bytes = Base64.decode(try object.string("base64")) else {
            throw .wrongType("base64")
        }
        self.bytes = bytes
    }
}
