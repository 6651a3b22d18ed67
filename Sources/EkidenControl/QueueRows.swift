// Rows of `ekiden queue`: messages, sites, and the causes that keep mail waiting.

import EkidenMail

/// A message in the queue.
package struct QueueRow: ControlRow {
    package static let kind = "message"
    /// Addresses in one row; of more only the number is given.
    package static let shownRecipients = 20

    package var id: QueueID
    package var arrived: WallTime
    package var ageSeconds: Double
    package var byteCount: Int
    /// Empty is the null sender.
    package var sender: String
    /// Pending recipients, at most `shownRecipients`.
    package var recipients: [String]
    package var pendingCount: Int
    /// Recipients that are done: delivered, bounced, removed.
    package var doneCount: Int
    package var state: PlaceWord
    /// Why it is there; of several recipients, of the one that is due first.
    package var reason: Reason
    /// The peer's last words or ours; may be empty.
    package var words: String
    package var site: String?
    package var since: WallTime?
    package var next: WallTime?
    package var nextInSeconds: Double?

    package init(
        id: QueueID,
        arrived: WallTime,
        byteCount: Int,
        sender: String,
        recipients: [String],
        pendingCount: Int,
        doneCount: Int = 0,
        state: PlaceWord,
        reason: Reason,
        words: String = "",
        site: String? = nil,
        since: WallTime? = nil,
        next: WallTime? = nil,
        now: WallTime
    ) {
        self.id = id
        self.arrived = arrived
        ageSeconds = (now - arrived).inSeconds
        self.byteCount = byteCount
        self.sender = sender
        self.recipients = Array(recipients.prefix(Self.shownRecipients))
        self.pendingCount = pendingCount
        self.doneCount = doneCount
        self.state = state
        self.reason = reason
        self.words = words
        self.site = site
        self.since = since
        self.next = next
        nextInSeconds = next.map { ($0 - now).inSeconds }
    }

    package func write(_ w: inout JSONWriter) {
        w.field("id", id.text)
        w.field("arrived", arrived)
        w.field("age_seconds", seconds: ageSeconds)
        w.field("size", byteCount)
        w.field("from", sender)
        w.field("to", recipients)
        w.field("pending", pendingCount)
        w.field("done", doneCount)
        w.field("state", state.rawValue)
        w.field("reason", reason.rawValue)
        w.field("because", reason.sentence)
        if !words.isEmpty { w.field("words", words) }
        w.field("site", site)
        w.field("since", since)
        w.field("next", next)
        w.field("next_in_seconds", seconds: nextInSeconds)
    }

    package init(_ object: JSONObject) throws(JSONProblem) {
        id = try object.id("id")
        arrived = try object.time("arrived")
        ageSeconds = try object.number("age_seconds")
        byteCount = try object.integer("size")
        sender = try object.string("from")
        recipients = try object.strings("to")
        pendingCount = try object.integer("pending")
        doneCount = try object.integer("done")
        state = try object.requiredWord("state")
        reason = try object.requiredWord("reason")
        words = try object.optionalString("words") ?? ""
        site = try object.optionalString("site")
        since = try object.optionalTime("since")
        next = try object.optionalTime("next")
        nextInSeconds = try object.optionalNumber("next_in_seconds")
    }
}

/// A site with mail or connections.
package struct SiteRow: ControlRow {
    package static let kind = "site"

    package var site: String
    /// `open`, `backing-off`, `suspended`; `unresolved` for a next hop without a site yet.
    package var state: String
    /// Connections allowed at once; nil where none are.
    package var window: Int?
    package var connections: Int
    /// Recipients by place.
    package var ready: Int
    package var waiting: Int
    package var inFlight: Int
    package var held: Int
    package var oldestAgeSeconds: Double?
    /// What most of its mail waits for.
    package var reason: Reason?
    package var words: String
    package var next: WallTime?
    package var nextInSeconds: Double?

    package init(
        site: String,
        state: String,
        window: Int? = nil,
        connections: Int = 0,
        ready: Int = 0,
        waiting: Int = 0,
        inFlight: Int = 0,
        held: Int = 0,
        oldest: WallTime? = nil,
        reason: Reason? = nil,
        words: String = "",
        next: WallTime? = nil,
        now: WallTime
    ) {
        self.site = site
        self.state = state
        self.window = window
        self.connections = connections
        self.ready = ready
        self.waiting = waiting
        self.inFlight = inFlight
        self.held = held
        oldestAgeSeconds = oldest.map { (now - $0).inSeconds }
        self.reason = reason
        self.words = words
        self.next = next
        nextInSeconds = next.map { ($0 - now).inSeconds }
    }

    package func write(_ w: inout JSONWriter) {
        w.field("site", site)
        w.field("state", state)
        w.field("window", window)
        w.field("connections", connections)
        w.field("ready", ready)
        w.field("waiting", waiting)
        w.field("in_flight", inFlight)
        w.field("held", held)
        w.field("oldest_age_seconds", seconds: oldestAgeSeconds)
        w.field("reason", reason?.rawValue)
        w.field("because", reason?.sentence)
        if !words.isEmpty { w.field("words", words) }
        w.field("next", next)
        w.field("next_in_seconds", seconds: nextInSeconds)
    }

    package init(_ object: JSONObject) throws(JSONProblem) {
        site = try object.string("site")
        state = try object.string("state")
        window = try object.optionalInteger("window")
        connections = try object.integer("connections")
        ready = try object.integer("ready")
        waiting = try object.integer("waiting")
        inFlight = try object.integer("in_flight")
        held = try object.integer("held")
        oldestAgeSeconds = try object.optionalNumber("oldest_age_seconds")
        reason = try object.word("reason")
        words = try object.optionalString("words") ?? ""
        next = try object.optionalTime("next")
        nextInSeconds = try object.optionalNumber("next_in_seconds")
    }
}

/// A root cause: everything that waits for the same place for the same reason.
package struct CauseRow: ControlRow {
    package static let kind = "cause"

    package var reason: Reason
    /// The host, site or next hop it is about; empty when it is about none.
    package var place: String
    package var words: String
    /// It does not wait: it is under way.
    package var isBeingSent: Bool
    package var messages: Int
    package var recipients: Int
    package var oldestAgeSeconds: Double?
    package var next: WallTime?
    package var nextInSeconds: Double?

    package init(
        reason: Reason,
        place: String = "",
        words: String = "",
        isBeingSent: Bool = false,
        messages: Int,
        recipients: Int,
        oldest: WallTime? = nil,
        next: WallTime? = nil,
        now: WallTime
    ) {
        self.reason = reason
        self.place = place
        self.words = words
        self.isBeingSent = isBeingSent
        self.messages = messages
        self.recipients = recipients
        oldestAgeSeconds = oldest.map { (now - $0).inSeconds }
        self.next = next
        nextInSeconds = next.map { ($0 - now).inSeconds }
    }

    package func write(_ w: inout JSONWriter) {
        w.field("reason", reason.rawValue)
        w.field("because", reason.sentence)
        if !place.isEmpty { w.field("place", place) }
        if !words.isEmpty { w.field("words", words) }
        if isBeingSent { w.field("state", PlaceWord.inFlight.rawValue) }
        w.field("messages", messages)
        w.field("recipients", recipients)
        w.field("oldest_age_seconds", seconds: oldestAgeSeconds)
        w.field("next", next)
        w.field("next_in_seconds", seconds: nextInSeconds)
    }

    package init(_ object: JSONObject) throws(JSONProblem) {
        reason = try object.requiredWord("reason")
        place = try object.optionalString("place") ?? ""
        words = try object.optionalString("words") ?? ""
        isBeingSent = try object.optionalString("state") == PlaceWord.inFlight.rawValue
        messages = try object.integer("messages")
        recipients = try object.integer("recipients")
        oldestAgeSeconds = try object.optionalNumber("oldest_age_seconds")
        next = try object.optionalTime("next")
        nextInSeconds = try object.optionalNumber("next_in_seconds")
    }
}

/// A message an action could not be done for.
package struct OutcomeRow: ControlRow {
    package static let kind = "outcome"
    package var id: QueueID
    package var problem: ControlProblem

    package init(id: QueueID, problem: ControlProblem) {
        self.id = id
        self.problem = problem
    }

    package func write(_ w: inout JSONWriter) {
        w.field("id", id.text)
        problem.write(&w)
    }

    package init(_ object: JSONObject) throws(JSONProblem) {
        id = try object.id("id")
        problem = try ControlProblem(object)
    }
}

extension JSONObject {
    func requiredWord<Word: RawRepresentable<String>>(
        _ name: String
    )
        throws(JSONProblem) -> Word
    {
        guard let word: Word = try word(name) else { throw .missing(name) }
        return word
    }
}
