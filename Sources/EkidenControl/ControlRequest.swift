// What the command line may ask the daemon: one JSON object on a line, with the protocol's version.
// A request that either side does not know is refused, never guessed at.

import EkidenMail

/// The version of requests and answers; the daemon refuses others.
package let controlVersion = 1

/// Where a recipient is, in one word; the same in log, table and JSON.
package enum PlaceWord: String, Sendable, CaseIterable {
    case waiting
    case ready
    case inFlight = "in-flight"
    case held
}

/// Which messages are listed, and how.
package struct QueueQuery: Sendable, Equatable {
    package enum Grouping: String, Sendable, CaseIterable {
        /// Rows are `QueueRow`, by id, oldest first.
        case message
        /// Rows are `SiteRow`, most recipients first.
        case site
        /// Rows are `CauseRow`, most recipients first.
        case reason
    }

    package var grouping = Grouping.message
    package var ids: [QueueID] = []
    /// A whole address, without case; empty is the null sender.
    package var from: String?
    package var fromDomain: String?
    /// A recipient still pending.
    package var to: String?
    package var toDomain: String?
    package var state: PlaceWord?
    package var reason: Reason?
    package var site: String?
    package var olderThanSeconds: Int?
    /// Rows in all; nil for no bound.
    package var limit: Int?
    /// Only messages with greater ids: the place to go on from.
    package var after: QueueID?

    package init(grouping: Grouping = .message) { self.grouping = grouping }
}

/// Whom an operator means.
package enum Selection: Sendable, Equatable {
    case ids([QueueID])
    /// All messages of a sender; empty is the null sender.
    case from(String)
    /// All recipients at a domain.
    case toDomain(String)
    /// All recipients that wait for a site.
    case site(String)
    /// All recipients that go by a route.
    case route(String)
    case all
}

package enum QueueAction: String, Sendable, CaseIterable {
    /// Try now, whatever the schedule says.
    case retry
    /// Keep, and do not try until released.
    case hold
    case release
    /// Remove without a bounce.
    case delete
}

package enum ControlRequest: Sendable, Equatable {
    /// Answered by one `StatusReport`.
    case status
    /// Answered by rows of the query's grouping.
    case queue(QueueQuery)
    /// Answered by a `MessageDetail`, `RecipientRow`s, `AttemptRow`s and a `HeaderText`.
    case show(QueueID)
    /// Answered by `RawChunk`s: the message, byte for byte.
    case raw(QueueID)
    /// Durable before it is answered. Answered by an `OutcomeRow` for each message that could not
    /// be dealt with; the end line counts both kinds.
    case act(QueueAction, Selection)
    case reload
    /// The operator says that the wall clock is right; expiry goes on.
    case confirmClock
    case suspend(site: String, seconds: Int?)
    case resume(site: String)
    /// Lets clients of a network relay for so long.
    case allow(NetworkPrefix, seconds: Int)
    case revoke(NetworkPrefix)
    /// Answered by `AllowanceRow`s.
    case allowances

    package var name: String {
        switch self {
        case .status: "status"
        case .queue: "queue"
        case .show: "show"
        case .raw: "raw"
        case .act(let action, _): action.rawValue
        case .reload: "reload"
        case .confirmClock: "confirm-clock"
        case .suspend: "suspend"
        case .resume: "resume"
        case .allow: "allow"
        case .revoke: "revoke"
        case .allowances: "allowances"
        }
    }

    /// Changes something, so that asking takes more than the right to look.
    package var isChange: Bool {
        switch self {
        case .status, .queue, .show, .raw, .allowances: false
        case .act, .reload, .confirmClock, .suspend, .resume, .allow, .revoke: true
        }
    }
}

// MARK: On the wire

extension ControlRequest {
    /// The request's line, with its line end.
    package var line: Bytes {
        var writer = JSONWriter()
        writer.line { w in
            w.field("version", controlVersion)
            w.field("request", name)
            switch self {
            case .status, .reload, .confirmClock, .allowances: break
            case .queue(let query): Self.write(query, &w)
            case .show(let id), .raw(let id): w.field("id", id.text)
            case .act(_, let selection): Self.write(selection, &w)
            case .suspend(let site, let seconds):
                w.field("site", site)
                w.field("seconds", seconds)
            case .resume(let site): w.field("site", site)
            case .allow(let network, let seconds):
                w.field("client", network.text)
                w.field("seconds", seconds)
            case .revoke(let network): w.field("client", network.text)
            }
        }
        return writer.finish()
    }

    private static func write(_ query: QueueQuery, _ w: inout JSONWriter) {
        w.field("by", query.grouping.rawValue)
        if !query.ids.isEmpty { w.field("ids", query.ids.map(\.text)) }
        w.field("from", query.from)
        w.field("from_domain", query.fromDomain)
        w.field("to", query.to)
        w.field("to_domain", query.toDomain)
        w.field("state", query.state?.rawValue)
        w.field("reason", query.reason?.rawValue)
        w.field("site", query.site)
        w.field("older_than_seconds", query.olderThanSeconds)
        w.field("limit", query.limit)
        w.field("after", query.after?.text)
    }

    private static func write(_ selection: Selection, _ w: inout JSONWriter) {
        switch selection {
        case .ids(let ids): w.field("ids", ids.map(\.text))
        case .from(let sender): w.field("from", sender)
        case .toDomain(let domain): w.field("to_domain", domain)
        case .site(let site): w.field("site", site)
        case .route(let name): w.field("route", name)
        case .all: w.field("all", true)
        }
    }

    /// Reads a request's line, with or without its line end.
    package init(line: UnsafeRawBufferPointer) throws(ControlProblem) {
        do throws(JSONProblem) {
            let object = try JSONReader.object(line)
            let version = try object.integer("version")
            guard version == controlVersion else { throw JSONProblem.wrongType("version") }
            self = try Self.read(object)
        } catch {
            throw ControlProblem(
                .malformed,
                "the request can't be understood: \(error.text)",
                hint: error == .wrongType("version")
                    ? "this daemon speaks version \(controlVersion); use the ekiden it came with"
                    : ""
            )
        }
    }

    private static func read(_ object: JSONObject) throws(JSONProblem) -> ControlRequest {
        let name = try object.string("request")
        if let action = QueueAction(rawValue: name) { return .act(action, try selection(object)) }
        switch name {
        case "status": return .status
        case "queue": return .queue(try query(object))
        case "show": return .show(try object.id("id"))
        case "raw": return .raw(try object.id("id"))
        case "reload": return .reload
        case "confirm-clock": return .confirmClock
        case "suspend":
            return .suspend(
                site: try object.string("site"),
                seconds: try object.optionalInteger("seconds")
            )
        case "resume": return .resume(site: try object.string("site"))
        case "allow":
            let seconds = try object.integer("seconds")
            return .allow(try object.network("client"), seconds: seconds)
        case "revoke": return .revoke(try object.network("client"))
        case "allowances": return .allowances
        default: throw .wrongType("request")
        }
    }

    private static func query(_ object: JSONObject) throws(JSONProblem) -> QueueQuery {
        var query = QueueQuery()
        query.grouping = try object.word("by") ?? .message
        query.ids = try object.ids("ids")
        query.from = try object.optionalString("from")
        query.fromDomain = try object.optionalString("from_domain")
        query.to = try object.optionalString("to")
        query.toDomain = try object.optionalString("to_domain")
        query.state = try object.word("state")
        query.reason = try object.word("reason")
        query.site = try object.optionalString("site")
        query.olderThanSeconds = try object.optionalInteger("older_than_seconds")
        query.limit = try object.optionalInteger("limit")
        if let limit = query.limit, limit < 1 { throw .wrongType("limit") }
        if object["after"] != nil { query.after = try object.id("after") }
        return query
    }

    /// Exactly one way to select; anything else might delete more than was meant.
    private static func selection(_ object: JSONObject) throws(JSONProblem) -> Selection {
        var found: [Selection] = []
        if object["ids"] != nil { found.append(.ids(try object.ids("ids"))) }
        if let sender = try object.optionalString("from") { found.append(.from(sender)) }
        if let domain = try object.optionalString("to_domain") { found.append(.toDomain(domain)) }
        if let site = try object.optionalString("site") { found.append(.site(site)) }
        if let name = try object.optionalString("route") { found.append(.route(name)) }
        if try object.flag("all") { found.append(.all) }
        guard found.count == 1, found[0] != .ids([]) else { throw .wrongType("selection") }
        return found[0]
    }
}

extension JSONObject {
    package func id(_ name: String) throws(JSONProblem) -> QueueID {
        guard let id = QueueID(try string(name)) else { throw .wrongType(name) }
        return id
    }

    fileprivate func network(_ name: String) throws(JSONProblem) -> NetworkPrefix {
        guard let network = NetworkPrefix(try string(name)) else { throw .wrongType(name) }
        return network
    }

    fileprivate func ids(_ name: String) throws(JSONProblem) -> [QueueID] {
        var ids: [QueueID] = []
        for text in try strings(name) {
            guard let id = QueueID(text) else { throw .wrongType(name) }
            ids.append(id)
        }
        return ids
    }

    /// A word of a closed set; nil when absent.
    package func word<Word: RawRepresentable<String>>(
        _ name: String
    )
        throws(JSONProblem) -> Word?
    {
        guard let text = try optionalString(name) else { return nil }
        guard let word = Word(rawValue: text) else { throw .wrongType(name) }
        return word
    }
}
