// A message's story as the history has it, as text for people.

import EkidenControl
import EkidenMail

struct TracedMessage {
    let id: String
    /// As they stand in the history.
    private(set) var lines: [String] = []
    private var events: [JSONObject] = []

    init(id: String) { self.id = id }

    mutating func add(_ event: JSONObject, _ line: String) {
        events.append(event)
        lines.append(line)
    }

    /// When something happened to it last.
    var last: WallTime? { events.last.flatMap { try? $0.optionalTime("time") } }

    private var accepted: JSONObject? { events.first { field($0, "event") == "accepted" } }

    var text: String {
        var lines = [heading]
        if accepted == nil, events.first.map({ field($0, "event") }) != "rejected" {
            lines.append("  (its beginning is not in the history any more)")
        }
        for event in events {
            let time = (field(event, "time") ?? "").prefix(19).map { $0 == "T" ? " " : $0 }
            let kind = word(event)
            let padding = String(repeating: " ", count: max(0, 10 - kind.count))
            lines.append("  \(String(time))  \(kind)\(padding) \(printable(story(event)))")
        }
        let open = waiting
        if !open.isEmpty {
            lines.append(
                "  waits for \(open.joined(separator: ", ")): ekiden queue show \(id) says why"
            )
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private var heading: String {
        var parts = [id]
        let first = accepted ?? events.first
        if let sender = first.flatMap({ field($0, "from") }) {
            parts.append("from \(sender)")
        }
        if let size = accepted.flatMap({ try? $0.optionalInteger("size") }) {
            parts.append("\(size) bytes")
        }
        if let messageID = accepted.flatMap({ field($0, "message-id") }) {
            parts.append("message-id \(messageID)")
        }
        return printable(parts[0] + "  " + parts.dropFirst().joined(separator: ", "))
    }

    private func recipients(_ event: JSONObject) -> [String] {
        (try? event.strings("to")) ?? field(event, "to").map { [$0] } ?? []
    }

    private static let ends: Set<String> = ["delivered", "bounced", "expired", "discarded"]

    /// Recipients of whose end the history knows nothing.
    private var waiting: [String] {
        guard let accepted else { return [] }
        if events.contains(where: { field($0, "state") == "removed" }) { return [] }
        let ended = events.filter { Self.ends.contains(field($0, "event") ?? "") }
            .flatMap { recipients($0) }
        let open = recipients(accepted).filter { !ended.contains($0) }
        return open.count > 5 ? Array(open.prefix(4)) + ["\(open.count - 4) more"] : open
    }

    private func word(_ event: JSONObject) -> String {
        let name = field(event, "event") ?? ""
        switch name {
        case "moved": return field(event, "state") ?? name
        case "accepted" where field(event, "about") != nil: return "made"
        default: return name
        }
    }

    private func story(_ event: JSONObject) -> String {
        switch field(event, "event") {
        case "accepted": return acceptance(event)
        case "moved":
            let reason = field(event, "because") ?? ""
            let who = (try? event.optionalInteger("uid")).map { " (uid \($0))" } ?? ""
            let route = field(event, "route").map { " (route \($0))" } ?? ""
            return (Reason(rawValue: reason)?.sentence ?? reason) + route + who
        case "rejected":
            return "rule \(field(event, "rule") ?? "?"): \(field(event, "reply") ?? "")"
        case "notice": return field(event, "text") ?? ""
        default: return attempt(event)
        }
    }

    private func acceptance(_ event: JSONObject) -> String {
        let all = recipients(event)
        var to = all.prefix(10).joined(separator: ", ")
        if all.count > 10 { to += " and \(all.count - 10) more" }
        if let about = field(event, "about") { return "for \(to), about \(about)" }
        guard let client = field(event, "client") else { return "for \(to)" }
        var parts = ["from \(client)"]
        if let helo = field(event, "helo"), !helo.isEmpty { parts[0] += " (\(helo))" }
        if let listener = field(event, "listener") { parts.append("listener \(listener)") }
        if let login = field(event, "login") { parts.append("login \(login)") }
        if let tls = field(event, "tls") { parts.append(tls) }
        return "for \(to) " + parts.joined(separator: ", ")
    }

    private func attempt(_ event: JSONObject) -> String {
        var text = recipients(event).joined(separator: ", ")
        if let host = field(event, "host") { text += " at \(host)" }
        if let tls = field(event, "tls"), tls != "none" { text += ", \(tls)" }
        if field(event, "converted") != nil {
            let host = field(event, "host")?.prefix { $0 != "[" } ?? "the host"
            text += ", converted to 7 bit for \(host)"
        }
        if let step = field(event, "step").flatMap({ DeliveryStep(rawValue: $0) }) {
            text += step == .endOfData ? ", after the final dot" : ", \(step.phrase)"
        }
        text += ": \(field(event, "reply") ?? "")"
        if let next = field(event, "next") {
            text += "; next at \(next.prefix(19).map { $0 == "T" ? " " : String($0) }.joined())"
        }
        return text
    }
}
